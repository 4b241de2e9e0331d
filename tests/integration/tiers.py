"""Real tiers for tests: rendered, started by the argument lists that a deploy uses, and removed."""

from __future__ import annotations

import contextlib
import functools
import json
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from tests.examples import sevra

from wharfinger import dotenv
from wharfinger.commands import compose
from wharfinger.engine import Engine
from wharfinger.hosts.local import LocalHost
from wharfinger.model.release import Layout, Target
from wharfinger.model.stack import Stack
from wharfinger.rendering.compose import render_data_tier
from wharfinger.rendering.templates import Templates

HOST: Final = LocalHost()
VALUES: Final = {"POSTGRES_USER": "atlas", "POSTGRES_PASSWORD": "p$w#'\"x y", "POSTGRES_DB": "atlas_db"}


def docker(*argv: str, stdin: str = "", check: bool = True) -> str:
    """Run a docker command and return its output."""
    done = HOST.run(("docker", *argv), timeout=120, stdin=stdin.encode(), check=check)
    return done.stdout.strip()


def status_of(*argv: str) -> int:
    """Run a docker command and return its exit status."""
    return HOST.run(("docker", *argv), timeout=60, check=False).status


@functools.cache
def engine() -> Engine:
    """Return this machine's engine."""
    return Engine(None, host="local")


@dataclass(frozen=True)
class DataTier:
    """A data tier of a stack and environment that only one test has."""

    stack: Stack
    layout: Layout

    @property
    def project(self) -> str:
        """Its Compose project."""
        return self.layout.target.name

    @property
    def file(self) -> str:
        """Its main Compose file."""
        return str(self.layout.data / "data.yaml")

    def container(self, service: str) -> str:
        """Return the name of a service's container."""
        return f"{self.project}-{service}"

    def write(self, stack: Stack | None = None) -> None:
        """Render its files, of another stack if given."""
        files = render_data_tier(
            stack or self.stack,
            self.layout.target.environment,
            layout=self.layout,
            engine_version=engine().version(),
            templates=Templates.of(),
        )
        for name, text in files.items():
            Path(self.layout.data / name).write_text(text)

    def up(self) -> None:
        """Start it as a deploy does, and wait until all of it is healthy."""
        HOST.run(compose.up(self.project, self.file, recreate=False), timeout=120)
        engine().wait_healthy(self.project, dict.fromkeys(self.stack.data, 1), timeout=60, note=lambda _: None)

    def down(self, *, volumes: bool = False) -> None:
        """Stop and remove it."""
        HOST.run(compose.down(self.project, volumes=volumes), timeout=120)

    def sql(self, statement: str, *, service: str = "postgres", database: str | None = None) -> str:
        """Run SQL in the application's database, and return what it prints."""
        where = () if database is None else ("--dbname", database)
        options = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1")
        return docker(*("exec", "--interactive", self.container(service), "psql", *options, *where), stdin=statement)

    def inspect(self, service: str) -> dict[str, Any]:
        """Return all that Docker knows of a service's container."""
        known: dict[str, Any] = json.loads(docker("container", "inspect", self.container(service)))[0]
        return known


@contextlib.contextmanager
def data_tier(
    folder: Path, data: Mapping[str, Any], *, values: Mapping[str, str] = VALUES, start: bool = True
) -> Iterator[DataTier]:
    """Yield a data tier whose files lie under `folder`; afterwards it is gone, with its volumes."""
    target = Target("wharfinger-test", f"t{secrets.token_hex(4)}")
    environments = {target.environment: {"server": "local", "domain": "tier.localhost"}}
    stack = sevra(name=target.stack, data=dict(data), environments=environments)
    tier = DataTier(stack, Layout(PurePosixPath(folder), target))
    Path(tier.layout.data).mkdir(parents=True)
    environment = Path(tier.layout.data / ".env")
    environment.touch(mode=0o600)
    environment.write_text(dotenv.dump(values))
    tier.write()
    try:
        if start:
            tier.up()
        yield tier
    finally:
        subprocess.run(compose.down(tier.project, stop_within=5, volumes=True), check=True, capture_output=True)
