"""The tasks that `invoke` (and `wharfinger`) runs; each is a decorator, a docstring and one call.

What a task calls is imported inside it, so that `invoke --list` stays fast.
"""

from __future__ import annotations

from invoke.collection import Collection

from wharfinger.tasks import certs, ci, deploy, env, images, looking, making, operating, sandbox, server

namespace = Collection(
    deploy.deploy,
    deploy.promote,
    deploy.rollback,
    deploy.recover,
    deploy.down,
    operating.up,
    operating.scale,
    operating.restart,
    operating.maintenance,
    operating.execute,
    looking.status,
    looking.health,
    looking.releases,
    looking.logs,
    looking.ports,
    looking.doctor,
    making.render,
    making.build,
    making.push,
    making.schema,
    certs=Collection.from_module(certs),
    ci=Collection.from_module(ci),
    env=Collection.from_module(env),
    images=Collection.from_module(images),
    sandbox=Collection.from_module(sandbox),
    server=Collection.from_module(server),
)
"""Everything that `invoke --list` shows."""
