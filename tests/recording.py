"""A server in memory: a host, an engine and a runtime that answer as told and remember what was asked of them.

They stand where the world would be, below our own modules, which are never replaced. What they are told to do is
written in one list (`calls`), which they can share, so that a test sees the order across all of them.
"""

# ruff: noqa: ARG002 - what stands in for the world takes all that the world takes
from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from tests.examples import LAYOUT, sevra

from wharfinger.connecting import Server
from wharfinger.console import Console
from wharfinger.console import Step as Shown
from wharfinger.edge import Edge
from wharfinger.engine import ONE_OFF, PROJECT, Container, Engine
from wharfinger.errors import CommandFailed, ConnectionLost, WharfingerError
from wharfinger.hosts import Completed, File, operator
from wharfinger.hosts.files import assigned
from wharfinger.hosts.operator import Operator
from wharfinger.model.release import Layout, Slot
from wharfinger.model.stack import Stack
from wharfinger.project import Place
from wharfinger.runtimes import Note
from wharfinger.steps import Step, World

Call = tuple[Any, ...]
EDGE_PROJECT: Final = "wharfinger-edge"


@dataclass(frozen=True)
class Answer:
    """What a command or a question is answered that holds all of `words`, in that order."""

    words: tuple[str, ...]
    status: int = 0
    stdout: str = ""
    stderr: str = ""
    error: BaseException | None = None

    def fits(self, argv: Sequence[str]) -> bool:
        """Whether this answers a command."""
        rest = iter(argv)
        return all(word in rest for word in self.words)


class RecordingHost:
    """A `Host` whose files are a dict; every command succeeds in silence unless an answer fits it.

    `calls` gets ("run", argv), ("ask", method, path, body) and (verb, path) for whatever changes something.
    """

    def __init__(
        self,
        files: Mapping[PurePosixPath, bytes] | None = None,
        *,
        name: str = "recorder",
        calls: list[Call] | None = None,
        free: int = 1 << 40,
    ) -> None:
        self.name = name
        self.files = {path: File(content) for path, content in (files or {}).items()}
        self.links: dict[PurePosixPath, str] = {}
        self.folders: dict[PurePosixPath, tuple[int, int | None]] = {}
        self.calls: list[Call] = [] if calls is None else calls
        self.answers: list[Answer] = []
        self.environments: list[Mapping[str, Any]] = []
        self.free = free
        self.cut = False
        self.gone = False
        self.reached_again = False

    @property
    def commands(self) -> list[tuple[str, ...]]:
        """The commands that were run, in order."""
        return [call[1] for call in self.calls if call[0] == "run"]

    @property
    def asked(self) -> list[tuple[str, ...]]:
        """What was asked over Unix sockets, in order: method, path and body."""
        return [call[1:] for call in self.calls if call[0] == "ask"]

    def answer(
        self, *words: str, status: int = 0, stdout: str = "", stderr: str = "", error: BaseException | None = None
    ) -> None:
        """Script the answer to commands and questions that hold these words, in this order; the last one wins."""
        self.answers.insert(0, Answer(words, status, stdout, stderr, error))

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes = b"",
        stdin_path: PurePosixPath | None = None,
        env: Mapping[str, Any] | None = None,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Record a command and give its answer; see `Host.run`."""
        self.calls.append(("run", tuple(argv)))
        self.environments.append(env or {})
        found = next((answer for answer in self.answers if answer.fits(argv)), Answer(()))
        if found.error is not None:
            raise found.error
        if on_line is not None:
            for line in found.stderr.splitlines():
                on_line(line)
        if check and found.status != 0:
            raise CommandFailed(argv, found.status, found.stderr, host=self.name)
        return Completed(tuple(argv), found.status, found.stdout, found.stderr)

    def run_to_file(
        self, argv: Sequence[str], path: PurePosixPath, *, timeout: float, mode: int = 0o600
    ) -> tuple[int, str]:
        """Write the answer's stdout to a file; see `Host.run_to_file`."""
        content = self.run(argv, timeout=timeout).stdout.encode()
        self.files[path] = File(content, mode)
        return len(content), "0" * 64

    def ask(
        self, socket: PurePosixPath, method: str, path: str, body: bytes = b"", *, timeout: float
    ) -> tuple[int, str]:
        """Record a question and give its answer, which is an empty 200 unless one fits its words; see `Host.ask`."""
        words = (method, path, body.decode())
        self.calls.append(("ask", *words))
        found = next((answer for answer in self.answers if answer.fits(words)), Answer(()))
        if found.error is not None:
            raise found.error
        return found.status or 200, found.stdout

    def left_running(self, words: Sequence[tuple[str, ...]], *, within: float, end: bool = False) -> tuple[str, ...]:
        """Find no process."""
        if end:
            self.calls.append(("end", tuple(words)))
        return ()

    def attach(self, argv: Sequence[str], *, without: bytes = b"") -> int:
        """Record a command; see `Host.attach`."""
        return self.run(argv, timeout=0, check=False).status

    def read(self, path: PurePosixPath) -> bytes | None:
        """Read a file; see `Host.read`."""
        held = self.files.get(self._followed(path))
        return None if held is None else held.content

    def _followed(self, path: PurePosixPath) -> PurePosixPath:
        for link, target in self.links.items():
            if link in path.parents:
                return link.parent / target / path.relative_to(link)
        return path

    def read_all(self, paths: Iterable[PurePosixPath]) -> dict[PurePosixPath, bytes | None]:
        """Read files; see `Host.read_all`."""
        return {path: self.read(path) for path in paths}

    def read_in(
        self, folder: PurePosixPath, name: str | None = None, *, last: int | None = None, unless: Sequence[bytes] = ()
    ) -> dict[str, bytes]:
        """Read what a folder holds; see `Host.read_in`."""
        names = self.names_in(folder)[-last:] if last else self.names_in(folder)
        held = {each: self.read(folder / each / name if name else folder / each) for each in names}
        return {
            each: content
            for each, content in held.items()
            if content is not None and not any(mark in content for mark in unless)
        }

    def write(self, files: Mapping[PurePosixPath, File], *, awaited: bool = True) -> None:
        """Write files; see `Host.write`."""
        for path, file in files.items():
            self.calls.append(("write", path))
            self.files[path] = file

    def create(self, path: PurePosixPath, file: File) -> bool:
        """Write a new file; see `Host.create`."""
        if path in self.files:
            return False
        self.calls.append(("create", path))
        self.files[path] = file
        return True

    def remove_if(self, path: PurePosixPath, content: bytes) -> None:
        """Remove a file of that content; see `Host.remove_if`."""
        if self.read(path) == content:
            self.remove(path)

    def append(self, path: PurePosixPath, line: str, *, awaited: bool = True) -> None:
        """Append a line; see `Host.append`."""
        held = self.files.get(path, File(b"", 0o600))
        self.files[path] = File(held.content + f"{line}\n".encode(), held.mode)

    def assign(self, path: PurePosixPath, values: Mapping[str, str]) -> None:
        """Put lines into a file; see `Host.assign`."""
        self.write({path: File(assigned(self.read(path) or b"", values), 0o600)})

    def make_folder(self, path: PurePosixPath, *, mode: int = 0o755, owner: int | None = None) -> None:
        """Make a folder; see `Host.make_folder`."""
        self.folders.setdefault(path, (mode, owner))

    def link(self, path: PurePosixPath, target: str) -> None:
        """Point a link; see `Host.link`."""
        self.calls.append(("link", path, target))
        self.links[path] = target

    def link_target(self, path: PurePosixPath) -> str | None:
        """Read a link; see `Host.link_target`."""
        return self.links.get(path)

    def names_in(self, folder: PurePosixPath) -> tuple[str, ...]:
        """List a folder; see `Host.names_in`."""
        held = (*self.files, *self.links, *self.folders)
        return tuple(sorted({path.relative_to(folder).parts[0] for path in held if folder in path.parents}))

    def remove(self, path: PurePosixPath) -> None:
        """Remove a path; see `Host.remove`."""
        self.calls.append(("remove", path))
        kept = {each for each in (*self.files, *self.links, *self.folders) if path not in (each, *each.parents)}
        self.files = {each: file for each, file in self.files.items() if each in kept}
        self.links = {each: target for each, target in self.links.items() if each in kept}
        self.folders = {each: facts for each, facts in self.folders.items() if each in kept}

    def free_bytes(self, path: PurePosixPath) -> int:
        """Measure free space; see `Host.free_bytes`."""
        return self.free

    def docker_url(self) -> str | None:
        """Return None."""
        return None

    def operator(self) -> Operator:
        """Return who runs this test; by way of another process once the host was reached again."""
        return dataclasses.replace(operator.current(), by_way_of="recorder" if self.reached_again else "")

    def has_ended(self, holder: Operator) -> bool:
        """Whether a process of this machine has ended, or served before the host was reached again."""
        return operator.is_gone(holder) or (self.reached_again and holder == operator.current())

    @contextmanager
    def lend(self, port: int) -> Iterator[None]:
        """Record which port, and how long."""
        self.calls.append(("lend", port))
        yield
        self.calls.append(("no longer lend", port))

    def is_reached(self) -> bool:
        """Whether the connection stands: until a test cuts it."""
        return not self.cut

    def reach_again(self, *, within: float) -> None:
        """Stand again, where a test lets it."""
        self.calls.append(("reach again",))
        if self.gone:
            raise ConnectionLost("recorder: no connection")
        self.cut, self.reached_again = False, True


class RecordingEngine(Engine):
    """An engine that holds the containers that it is given, and finds them healthy at once.

    `unhealthy` maps a project to the error of a wait for it; `calls` gets ("wait", project, expected).
    """

    def __init__(self, *containers: Container, calls: list[Call] | None = None, one_offs: Iterable[str] = ()) -> None:
        super().__init__(None, host="recorder")
        self.held = list(containers)
        self.one_offs = set(one_offs)
        self.images: set[str] = set()
        self.named_networks = {EDGE_PROJECT, LAYOUT.target.data_network}
        self.named_volumes: dict[str, tuple[str, ...]] = {}
        self.unhealthy: dict[str, WharfingerError] = {}
        self.calls: list[Call] = [] if calls is None else calls

    def version(self) -> tuple[int, int]:
        """Say what engine this is."""
        return (26, 1)

    def containers(
        self, labels: Mapping[str, str | None], *, of: Callable[[str], bool] = bool
    ) -> tuple[Container, ...]:
        """Find containers by project and by being one-off ones; other labels are not kept."""
        project, one_off = labels.get(PROJECT), labels.get(ONE_OFF)
        return tuple(
            sorted(
                (
                    container
                    for container in self.held
                    if of(container.project)
                    and project in {None, container.project}
                    and one_off in {None, str(container.name in self.one_offs)}
                ),
                key=lambda container: container.name,
            )
        )

    def networks(self) -> tuple[str, ...]:
        """Return those that were given to this engine."""
        return tuple(sorted(self.named_networks))

    def volumes(self, project: str) -> tuple[str, ...]:
        """Return the volumes of a project."""
        return self.named_volumes.get(project, ())

    def logs(self, container: str, *, lines: int = 20) -> tuple[str, ...]:
        """Return a line that names the container."""
        return (f"last words of {container}",)

    def has_image(self, reference: str) -> bool:
        """Whether the image was given to this engine."""
        return reference in self.images

    def wait_healthy(
        self,
        project: str,
        expected: Mapping[str, int],
        *,
        timeout: float,
        note: Note,
        besides: Collection[str] = (),
    ) -> None:
        """Return, or raise what `unhealthy` says."""
        self.calls.append(("wait", project, dict(expected)))
        if project in self.unhealthy:
            raise self.unhealthy[project]


@dataclass
class RecordingRuntime:
    """A `Runtime` that only remembers; `failures` maps a verb to the error that it raises."""

    calls: list[Call] = field(default_factory=list)
    failures: dict[str, BaseException] = field(default_factory=dict)
    tiers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    seen: list[tuple[Container, ...]] = field(default_factory=list)
    """What each look at an app tier finds; the last one stays."""
    logged: dict[str, tuple[str, ...]] = field(default_factory=dict)
    once: Completed = field(default_factory=lambda: Completed((), 0, "", ""))
    """What becomes of every command that is run once."""

    def _called(self, verb: str, *facts: Any) -> None:
        self.calls.append((verb, *facts))
        if verb in self.failures:
            raise self.failures[verb]

    def start_data(self, files: Mapping[str, File], services: tuple[str, ...], *, note: Note) -> None:
        """Remember it."""
        self._called("start_data", services)

    def stop_data(self) -> None:
        """Remember it."""
        self._called("stop_data")

    def pull(self, images: tuple[str, ...], *, shown: Shown) -> None:
        """Remember it."""
        self._called("pull", images)

    def migrate(self, release: str, *, timeout: float, note: Note) -> None:
        """Remember it."""
        self._called("migrate", release)

    def seed(self, release: str, *, timeout: float, note: Note) -> None:
        """Remember it."""
        self._called("seed", release)

    def run_once(
        self, release: str, service: str, command: tuple[str, ...], *, timeout: float, note: Note
    ) -> Completed:
        """Remember it, and say how it ended."""
        self._called("run_once", release, service, command)
        return self.once

    def app_containers(self, release: str) -> tuple[Container, ...]:
        """Return the next of what it was given."""
        return self.seen.pop(0) if len(self.seen) > 1 else next(iter(self.seen), ())

    def app_logs(self, release: str) -> Mapping[str, tuple[str, ...]]:
        """Return what it was given."""
        return self.logged

    def end_once(self, release: str) -> None:
        """Remember it."""
        self._called("end_once", release)

    def start_app(self, release: str, slot: Slot, expected: Mapping[str, int], *, timeout: float, note: Note) -> None:
        """Remember it."""
        self._called("start_app", release, slot)

    def stop_services(self, release: str, services: tuple[str, ...], *, drain: float) -> None:
        """Remember it."""
        self._called("stop_services", release, services, drain)

    def start_services(self, release: str, services: tuple[str, ...], *, timeout: float) -> None:
        """Remember it."""
        self._called("start_services", release, services)

    def stop_app(self, release: str, *, drain: float) -> None:
        """Remember it."""
        self._called("stop_app", release, drain)

    def choose(self, release: str, *, slot: Slot | None = None, scale: Mapping[str, int] | None = None) -> None:
        """Remember it."""
        self._called("choose", release, slot, scale)

    def start_more(self, release: str, slot: Slot, more: Mapping[str, int], *, timeout: float, note: Note) -> None:
        """Remember it."""
        self._called("start_more", release, slot, more)

    def stop_replicas(self, release: str, names: Collection[str], *, drain: float) -> None:
        """Remember it."""
        self._called("stop_replicas", release, tuple(sorted(names)), drain)

    def images_in(self, repository: str) -> tuple[str, ...]:
        """Return those that it was given."""
        return tuple(image for image in self.images if image.partition("@")[0] == repository)

    def remove_images(self, images: tuple[str, ...]) -> None:
        """Remember it."""
        self._called("remove_images", images)

    def running(self) -> Mapping[str, tuple[str, ...]]:
        """Return what it was given."""
        return self.tiers


def container(project: str, service: str, **changes: Any) -> Container:
    """Return a healthy container of a Compose project, with whatever is named changed."""
    facts: dict[str, Any] = {
        "id": f"id-of-{project}-{service}",
        "name": f"{project}-{service}-1",
        "project": project,
        "service": service,
        "slot": "",
        "image": f"{service}@sha256:{'ab' * 32}",
        "state": "running",
        "health": "healthy",
        "exit_code": 0,
        "restarts": 0,
        "since": "2026-11-20T14:31:00Z",
    }
    return Container(**(facts | changes))


def tier(release: str, *services: str, slot: Slot = "blue", layout: Layout = LAYOUT, **changes: Any) -> list[Container]:
    """Return the containers of a release's app tier in a slot."""
    project = layout.target.app_project(release)
    return [container(project, service, slot=slot, **changes) for service in services]


def data_tier(*services: str, layout: Layout = LAYOUT, **changes: Any) -> list[Container]:
    """Return the containers of the data tier."""
    return [container(layout.target.name, service, **changes) for service in services]


def edge_container(**changes: Any) -> Container:
    """Return the edge's container."""
    return container(EDGE_PROJECT, "nginx", **changes)


def server(
    host: RecordingHost | None = None, engine: RecordingEngine | None = None, *, layout: Layout = LAYOUT
) -> Server:
    """Return a server in memory, with a real `Edge` on it."""
    host = host or RecordingHost()
    engine = engine or RecordingEngine(calls=host.calls)
    place = Place(Path("/p"), Path("/p/stacks/sevra-atlas"), sevra(), layout.target.environment)
    return Server(host, engine, Edge(host, engine, layout, EDGE_PROJECT), layout, place, here=host)


def world(
    stack: Stack, host: RecordingHost, *, runtime: RecordingRuntime | None = None, layout: Layout = LAYOUT
) -> World:
    """Return what steps act on, all of it in memory and writing to the host's `calls`."""
    edge = server(host, layout=layout).edge
    runtime = runtime or RecordingRuntime(host.calls)
    source = Path("/home/ann/stacks/sevra-atlas")
    return World(stack=stack, host=host, runtime=runtime, edge=edge, layout=layout, here=host, source=source)


@dataclass
class Heard:
    """A console without a terminal, and what it wrote."""

    out: io.StringIO = field(default_factory=io.StringIO)
    err: io.StringIO = field(default_factory=io.StringIO)

    @property
    def console(self) -> Console:
        """The console."""
        return Console(self.out, self.err, ticking=False)

    @property
    def said(self) -> str:
        """All that went to stderr."""
        return self.err.getvalue()

    @property
    def data(self) -> str:
        """All that went to stdout."""
        return self.out.getvalue()


def run_step(step: Step, on: World) -> None:
    """Run one step as the runner does."""
    with Heard().console.steps([step.title]) as steps, steps.step(step.title) as shown:
        step.run(on, shown)
