"""Finding what the user means: the project folder, the stack and the environment."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from wharfinger import dotenv, stackfile
from wharfinger.commands.sandbox import address_in
from wharfinger.errors import UsageError
from wharfinger.model.environment import Environment
from wharfinger.model.release import Layout, Target
from wharfinger.model.sandbox import Sandbox
from wharfinger.model.stack import Stack


@dataclass(frozen=True, slots=True)
class Place:
    """One stack in one environment, as its files describe it."""

    project: Path
    folder: Path
    """The stack's own folder."""
    stack: Stack
    environment_name: str

    @property
    def environment(self) -> Environment:
        """Where it runs."""
        return self.stack.environments[self.environment_name]

    @property
    def is_in_sandbox(self) -> bool:
        """Whether its servers are those of the project's sandbox."""
        return all(_sandbox_address(self.project, server) is not None for server in self.environment.servers)

    def sandbox_values(self) -> dict[str, str]:
        """Return the variables that the sandbox has for what runs on its servers; none for any other server."""
        values = Sandbox(self.project).values
        return dotenv.parse(values.read_text(encoding="utf-8")) if self.is_in_sandbox and values.is_file() else {}

    @property
    def must_be_confirmed(self) -> bool:
        """Whether a plan has to be agreed to before it is carried out."""
        confirm = self.environment.confirm
        return self.environment_name == "production" if confirm is None else confirm

    @property
    def target(self) -> Target:
        """The names that it goes by."""
        return Target(self.stack.name, self.environment_name)

    @property
    def build_folder(self) -> Path:
        """Where `invoke render` writes."""
        return self.project / "build" / self.stack.name / self.environment_name

    @property
    def env_file(self) -> Path:
        """The file that holds this environment's values."""
        return self.folder / f".env.{self.environment_name}"

    def on(self, server: str) -> Place:
        """Return the same place with one of its servers alone."""
        if self.environment.servers == (server,):
            return self
        return self._with(servers=(server,), address=_sandbox_address(self.project, server))

    def at(self, address: str) -> Place:
        """Return the same place whose checks ask an address, rather than wherever the domain leads."""
        return self._with(address=address)

    def _with(self, **changes: Any) -> Place:
        environment = self.environment.model_copy(update=changes)
        environments = {**self.stack.environments, self.environment_name: environment}
        return dataclasses.replace(self, stack=self.stack.model_copy(update={"environments": environments}))

    def named(self, server: str) -> Place:
        """Return the same place with the server of that name, with or without its user; raises UsageError.

        Without a name that is its first server.
        """
        known = self.environment.servers
        found = [
            each for each, machine in zip(known, self.environment.machines, strict=True) if server in (each, machine)
        ]
        if server and not found:
            raise UsageError(f"{self.environment_name} has no server {server}", fix=f"there is: {', '.join(known)}")
        return self.on(found[0] if found else known[0])

    def layout(self, default_root: str) -> Layout:
        """Return where everything lies on the server; `default_root` holds where the stack file names none."""
        root, edge = PurePosixPath(self.environment.root or default_root), self.environment.edge
        # Apart from those of an edge in a container: no Nginx understands the other's.
        sites = root / "edge" / "host-sites" if edge.sites is None else PurePosixPath(edge.sites)
        return Layout(root, self.target, sites if edge.is_host else None)


def find_project(start: Path) -> Path:
    """Return the nearest folder, from `start` upward, that holds `stacks/`; raises UsageError."""
    for folder in (start, *start.parents):
        if (folder / "stacks").is_dir():
            return folder
    raise UsageError(
        f"no stacks/ folder in {start} or above it",
        fix=f"cd to your project, or create stacks/NAME/{stackfile.FILE_NAME}",
    )


def stack_files(project: Path) -> dict[str, Path]:
    """Return the stack files of a project by the names of their folders."""
    return {path.parent.name: path for path in sorted(project.glob(f"stacks/*/{stackfile.FILE_NAME}"))}


def find(start: Path, *, stack: str | None, environment: str) -> Place:
    """Return what `--stack` and `--env` name.

    Without `--stack` there must be only one. Raises UsageError with the nearest name, and InvalidInput for a
    stack file with problems.
    """
    project = find_project(start)
    files = stack_files(project)
    if stack is None and len(files) != 1:
        raise UsageError(
            "which stack?", fix=f"--stack, or `wharfinger: {{stack: NAME}}` in invoke.yaml; {_known(files)}"
        )
    name = stack or next(iter(files))
    if name not in files:
        raise UsageError(f"there is no stack {name}{_nearest(name, files)}", fix=_known(files))
    described = stackfile.load(files[name], project=project)
    if not environment:
        raise UsageError("which environment?", fix=f"--env; {_known(described.environments)}")
    if environment not in described.environments:
        raise UsageError(
            f"{name} has no environment {environment}{_nearest(environment, described.environments)}",
            fix=_known(described.environments),
        )
    return Place(project, files[name].parent, _located(described, environment, project), environment)


def _located(stack: Stack, name: str, project: Path) -> Stack:
    """Say where the checks find a server of the sandbox, whose domain is in no DNS."""
    environment = stack.environments[name]
    if len(environment.servers) > 1:
        return stack
    address = environment.address or _sandbox_address(project, environment.server)
    located = environment.model_copy(update={"address": address})
    return stack.model_copy(update={"environments": {**stack.environments, name: located}})


def _sandbox_address(project: Path, server: str) -> str | None:
    config = Sandbox(project).ssh_config
    text = config.read_text(encoding="utf-8") if config.is_file() else ""
    return address_in(text, server.rpartition("@")[2])


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _known(names: Iterable[str]) -> str:
    return "there is: " + (", ".join(names) or "none")
