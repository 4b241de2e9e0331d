"""The port table, and that no two environments of a server ever meet."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from wharfinger.model.release import Layout, Target
from wharfinger.model.stack import Stack
from wharfinger.planning.ports import Named, Use, clashes, names, shared_names, unserved, uses
from wharfinger.rendering.release import render

ROOT = PurePosixPath("/srv/wharfinger")
IMAGE = {"app": f"127.0.0.1:5055/x/app@sha256:{'ab' * 32}"}


def stack(name: str = "zenkar", **changes: Any) -> Stack:
    sections: dict[str, Any] = {
        "name": name,
        "build": {"app": {}},
        "services": {"backend": {"image": "app", "port": 3000}},
        "data": {"postgres": {"engine": "postgres", "version": "15"}},
        "volumes": {"uploads": {}},
        "site": {"routes": [{"path": "/", "service": "backend"}]},
        "environments": {
            "staging": {
                "server": "deploy@vps.example.com",
                "domain": "staging.example.com",
                "ports": {"backend": [3001, 3101], "postgres": 5433},
            },
            "production": {
                "server": "ssh://deploy@vps.example.com",
                "domain": "example.com",
                "ports": {"backend": [3000, 3100], "postgres": 5432},
            },
        },
    }
    return Stack.model_validate({**sections, **changes})


def placed(keys: tuple[int | str, ...]) -> str:
    return "stack.yaml:" + ".".join(map(str, keys))


def table(*stacks: Stack) -> tuple[Use, ...]:
    return tuple(use for one in stacks for use in uses(one, placed))


def changed(environment: str, **facts: Any) -> Stack:
    """Return the stack with something else declared in one environment."""
    found = stack().model_dump(by_alias=True)
    found["environments"][environment].update(facts)
    return Stack.model_validate(found)


def test_every_port_is_in_the_table_once_for_each_slot() -> None:
    found = [
        (use.server, use.port, use.bind, use.what) for use in table(stack()) if use.environment == "zenkar-staging"
    ]
    assert found == [
        ("vps.example.com", 80, "0.0.0.0", "edge http"),
        ("vps.example.com", 443, "0.0.0.0", "edge https"),
        ("vps.example.com", 3001, "127.0.0.1", "backend (blue)"),
        ("vps.example.com", 3101, "127.0.0.1", "backend (green)"),
        ("vps.example.com", 5433, "127.0.0.1", "postgres"),
    ]


def test_environments_side_by_side_do_not_clash() -> None:
    assert not list(clashes(table(stack())))


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"ports": {"backend": [3000, 3101]}}, "port 3000 of vps.example.com is backend (blue) of zenkar-staging"),
        ({"ports": {"backend": [3001, 3100]}}, "port 3100 of vps.example.com is backend (green) of zenkar-staging"),
        ({"ports": {"postgres": 5432}}, "port 5432 of vps.example.com is postgres of zenkar-staging"),
        ({"ports": {"postgres": 443}}, "port 443 of vps.example.com is"),
        ({"edge": {"http_port": 8080}}, "edge wharfinger-edge, http of vps.example.com listens on 0.0.0.0:8080"),
        ({"edge": {"bind": "192.0.2.1"}}, "edge wharfinger-edge, http of vps.example.com listens on 192.0.2.1:80"),
        ({"edge": {"project": "other"}}, "port 80 of vps.example.com is edge http of zenkar-staging"),
        ({"edge": {"kind": "host"}, "ports": {"backend": [3001, 3101]}}, "port 80 of vps.example.com is edge http"),
    ],
)
def test_a_clash_names_both_places(facts: dict[str, Any], told: str) -> None:
    (first, *_) = list(clashes(table(changed("staging", **facts))))
    assert told in first.problem
    assert "stack.yaml:environments.staging" in first.problem
    assert "stack.yaml:environments.production" in first.problem
    assert set(first.between) == {"zenkar-staging", "zenkar-production"}


@pytest.mark.parametrize(
    "facts",
    [
        {"server": "deploy@other.example.com", "ports": {"backend": [3000, 3100]}},
        {"edge": {"project": "second", "bind": "192.0.2.2"}},
    ],
)
def test_another_server_or_address_is_no_clash(facts: dict[str, Any]) -> None:
    first = changed("production", edge={"bind": "192.0.2.1"})
    both = first.model_dump(by_alias=True)
    both["environments"]["staging"].update(facts)
    assert not list(clashes(table(Stack.model_validate(both))))


def test_two_stacks_clash_too() -> None:
    other = stack(
        "blog", environments={"live": {"server": "vps.example.com", "domain": "b", "ports": {"postgres": 5432}}}
    )
    (found,) = clashes(table(stack(), other))
    assert set(found.between) == {"zenkar-production", "blog-live"}


def test_an_environment_has_its_ports_on_each_of_its_servers_and_clashes_on_any() -> None:
    """The first is a machine of its own; on the second there is another stack."""
    servers = ["deploy@vps2.example.com", "deploy@vps.example.com"]
    environments = {"live": {"server": servers, "domain": "b", "ports": {"web": [3000, 3100]}}}
    services = {"web": {"image": "app", "port": 3000}}
    other = stack("blog", services=services, data={}, volumes={}, environments=environments, site=None)

    assert [(use.server, use.port) for use in table(other)] == [
        ("vps2.example.com", 3000),
        ("vps2.example.com", 3100),
        ("vps.example.com", 3000),
        ("vps.example.com", 3100),
    ]
    assert {clash.problem.partition(" of ")[2].partition(" ")[0] for clash in clashes(table(stack(), other))} == {
        "vps.example.com"
    }


def test_the_hosts_own_nginx_is_one_for_all() -> None:
    hosts = stack().model_dump(by_alias=True)
    for name, environment in hosts["environments"].items():
        environment["edge"] = {"kind": "host", "project": name}
    assert not list(clashes(table(Stack.model_validate(hosts))))


def test_a_route_needs_somebody_at_its_end() -> None:
    found = table(changed("production", edge={"routes": [{"domain": "odoo.example.com", "to": "127.0.0.1:8069"}]}))
    (lost,) = unserved(found, {80, 443})
    assert lost.startswith(
        "stack.yaml:environments.production.edge.routes.0.to: the route to odoo.example.com leads to"
    )
    assert not unserved(found, {8069})
    ours = table(changed("production", edge={"routes": [{"domain": "old.example.com", "to": "localhost:3001"}]}))
    assert not unserved(ours, set())


# Names

TRICKY = [
    ("a", "b", "c-d"),
    ("a-b", "c", "d"),
    ("a", "b", "data"),
    ("a-b", "blue", "c"),
    ("a", "b", "blue-c"),
    ("zenkar", "staging", "postgres"),
    ("zenkar", "production", "postgres"),
    ("zenkar", "production2", "postgres"),
    ("zenkar-staging", "data", "x"),
    ("zenkar", "staging", "data"),
    ("wharfinger", "edge", "nginx"),
]


def one(stack_name: str, environment: str, service: str) -> tuple[Stack, Layout]:
    made = stack(
        stack_name,
        services={"web": {"image": "app", "port": 3000}, f"{service}-app": {"image": "app", "port": 3001}},
        data={service: {"engine": "postgres", "version": "15"}, "cache": {"engine": "redis", "mode": "cache"}},
        site={"routes": [{"path": "/", "service": "web"}]},
        environments={environment: {"server": "local", "domain": "localhost"}},
    )
    return made, Layout(ROOT, Target(stack_name, environment))


def named(described: Stack, layout: Layout) -> Named:
    return Named(layout.target.name, ("local",), "here", names(described, layout))


def really(described: Stack, layout: Layout) -> set[tuple[str, str]]:
    """Return what the rendered files call things on the server, but for the shared edge."""
    rendered = render(
        described,
        layout.target.environment,
        release="20261120143000",
        images=IMAGE,
        layout=layout,
        engine_version=(26, 1),
        project=Path("/nowhere"),
    )
    found = {("folder", str(layout.home)), ("site", str(layout.site))}
    for text in (rendered.app["compose.yaml"], rendered.data["data.yaml"]):
        document = YAML(typ="safe", pure=True).load(text)
        found.add(("project", document["name"]))
        for kind in ("networks", "volumes"):
            for what in (document.get(kind) or {}).values():
                found.add((kind, what["name"]))
        for service in document["services"].values():
            found |= {("container", service["container_name"])} if "container_name" in service else set()
            networks = service.get("networks")
            edge = networks.get("edge") if isinstance(networks, dict) else None
            found |= {("alias", alias) for alias in (edge or {}).get("aliases", ())}
    return found - {("networks", "wharfinger-edge")}


@cache
def rendered_once(*names: str) -> set[tuple[str, str]]:
    return really(*one(*names))


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(TRICKY, 2)))
def test_no_two_environments_share_a_name_unless_it_is_told(
    first: tuple[str, str, str], second: tuple[str, str, str]
) -> None:
    if first[:2] == second[:2]:
        return
    one_side, other = one(*first), one(*second)
    meets = bool(rendered_once(*first) & rendered_once(*second))
    told = bool(list(shared_names([named(*one_side), named(*other)])))
    assert told or not meets


def test_what_would_meet_is_told() -> None:
    (container, volume) = shared_names([named(*one("a", "b", "c-d")), named(*one("a-b", "c", "d"))])
    assert (
        container.problem
        == "here: the container a-b-c-d is data service d of a-b-c here, and data service c-d of a-b in here"
    )
    assert "volume a-b-c-d" in volume.problem


PARTS = st.lists(st.sampled_from(["a", "b", "data", "blue", "cache"]), min_size=1, max_size=3).map("-".join)
ENVIRONMENTS = st.sampled_from(["a", "b", "data", "blue", "staging", "web"])


@settings(max_examples=25, deadline=None)
@given(PARTS, ENVIRONMENTS, PARTS, PARTS, ENVIRONMENTS, PARTS)
def test_any_two_environments_are_apart_or_told(a: str, b: str, c: str, d: str, e: str, f: str) -> None:
    if (a, b) == (d, e) or "cache" in (c, f):
        return
    first, second = one(a, b, c), one(d, e, f)
    meets = really(*first) & really(*second)
    assert not meets or list(shared_names([named(*first), named(*second)]))
