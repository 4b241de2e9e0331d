"""Releases as Compose projects: a long-lived one for the data tier, one for each release's app tier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Final

from wharfinger import registry
from wharfinger.commands import compose
from wharfinger.console import Step as Shown
from wharfinger.engine import ONE_OFF, PROJECT, Container, Engine, Unhealthy
from wharfinger.errors import CommandFailed, StepFailed
from wharfinger.hosts import Completed, File, Host
from wharfinger.model.release import Layout, Slot, scale_variable, slot_variables
from wharfinger.runtimes import Note

_START_TIMEOUT: Final = 120.0
_PULLS_AT_ONCE: Final = 4
_STOP_MARGIN: Final = 60.0
_LOG_LINES: Final = 5000
_DATA_HEALTHY_WITHIN: Final = 180.0
_DATA_STOPPED_WITHIN: Final = 240.0  # of which the files give a database two minutes


@dataclass(frozen=True, slots=True)
class ComposeRuntime:
    """Runs one environment's tiers by `docker compose` on its server."""

    host: Host
    engine: Engine
    layout: Layout
    ports: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """The ports of loopback on which services are published, in blue and in green."""

    def start_data(self, files: Mapping[str, File], services: tuple[str, ...], *, note: Note) -> None:
        """Bring the data tier up; see `Runtime.start_data`."""
        project, folder = self.layout.target.name, self.layout.data
        self.host.write({folder / name: file for name, file in files.items()})
        try:
            self.host.run(compose.up(project, str(folder / "data.yaml"), recreate=False), timeout=_START_TIMEOUT)
        except CommandFailed as error:
            raise self.engine.without_network(self.layout.target.data_network, error) or error from None
        expected = dict.fromkeys(services, 1)
        self.engine.wait_healthy(project, expected, timeout=_DATA_HEALTHY_WITHIN, note=note)

    def stop_data(self) -> None:
        """Stop the data tier; see `Runtime.stop_data`."""
        project = self.layout.target.name
        running = Counter(each.service for each in self.engine.project(project) if each.state == "running")
        with suppress(Unhealthy):
            # Postgres' image takes no signal while it makes its first database, and a kill would leave half of one,
            # which no start completes: https://github.com/docker-library/postgres/issues/1207
            self.engine.wait_healthy(project, running, timeout=_DATA_HEALTHY_WITHIN, note=lambda _: None)
        self.host.run(compose.down(project), timeout=_DATA_STOPPED_WITHIN)

    def pull(self, images: tuple[str, ...], *, shown: Shown) -> None:
        """Fetch images; see `Runtime.pull`."""
        missing = self.engine.missing(images)

        def fetch(image: str) -> None:
            with shown.progress(image.partition("@")[0].rpartition("/")[2], total=None, unit="bytes") as bar:
                self.engine.pull(image, moved=bar.update)

        ports = {port for image in missing if (port := registry.loopback_port(image)) is not None}
        with ExitStack() as lent:
            for port in ports:  # of the operator's own registry: images come by the way on which the server is reached
                lent.enter_context(self.host.lend(port))
            with ThreadPoolExecutor(max_workers=_PULLS_AT_ONCE) as pool:
                list(pool.map(fetch, missing))
        shown.conclude(f"{len(missing)} fetched" if missing else "all there")

    def migrate(self, release: str, *, timeout: float, note: Note) -> None:
        """Run the migration; see `Runtime.migrate`."""
        fix = "correct the migration and deploy again; the database was backed up before it ran"
        self._run_once(release, "migrate", "migration", fix, timeout, note)

    def seed(self, release: str, *, timeout: float, note: Note) -> None:
        """Run the seed; see `Runtime.seed`."""
        fix = "correct the seed and try again; it runs until it succeeds"
        self._run_once(release, "seed", "seed", fix, timeout, note)

    def _run_once(self, release: str, service: str, what: str, fix: str, timeout: float, note: Note) -> None:
        project = self.layout.target.app_project(release)
        argv = compose.run_once(project, self._file(release), service)
        try:
            done = self.host.run(argv, timeout=timeout, check=False, on_line=note)
        except CommandFailed:
            # Only Compose was ended. The container, which undoing removes, is still there to be asked.
            left = self.engine.containers({PROJECT: project, ONE_OFF: "True"})
            raise StepFailed(
                f"{self.host.name}: the {what} did not end within {timeout:g} s",
                details=[line for container in left for line in self.engine.logs(container.id)],
                fix=f"see what it waits for, such as a lock in the database; or give it more time: {service}.timeout",
            ) from None
        if done.status != 0:
            lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
            raise StepFailed(f"{self.host.name}: the {what} exited {done.status}", details=lines[-20:], fix=fix)

    def run_once(
        self, release: str, service: str, command: tuple[str, ...], *, timeout: float, note: Note
    ) -> Completed:
        """Run a command once; see `Runtime.run_once`."""
        project = self.layout.target.app_project(release)
        argv = (*compose.run_once(project, self._file(release), service), *command)
        try:
            return self.host.run(argv, timeout=timeout, check=False, on_line=note)
        except BaseException:  # what was ended is only the client; the container goes on
            left = ("docker", "rm", "--force", compose.once_name(project, service))
            self.host.run(left, timeout=_START_TIMEOUT, check=False)
            raise

    def end_once(self, release: str) -> None:
        """End what was run once; see `Runtime.end_once`."""
        left = self.engine.containers({PROJECT: self.layout.target.app_project(release), ONE_OFF: "True"})
        if left:
            names = (container.name for container in left)
            self.host.run(("docker", "rm", "--force", "--volumes", *names), timeout=_STOP_MARGIN)

    def start_app(self, release: str, slot: Slot, expected: Mapping[str, int], *, timeout: float, note: Note) -> None:
        """Start an app tier; see `Runtime.start_app`."""
        project = self.layout.target.app_project(release)
        self.choose(release, slot=slot, scale=expected)
        self.host.run(compose.up(project, self._file(release), services=expected), timeout=_START_TIMEOUT)
        self.engine.wait_healthy(project, expected, timeout=timeout, note=note)

    def choose(self, release: str, *, slot: Slot | None = None, scale: Mapping[str, int] | None = None) -> None:
        """Write slot and replicas into the release's `.env`; see `Runtime.choose`."""
        chosen = {scale_variable(service): str(count) for service, count in (scale or {}).items()}
        chosen |= slot_variables(slot, self.ports) if slot is not None else {}
        self.host.assign(self.layout.release(release) / ".env", chosen)

    def start_more(self, release: str, slot: Slot, more: Mapping[str, int], *, timeout: float, note: Note) -> None:
        """Start more replicas; see `Runtime.start_more`."""
        project = self.layout.target.app_project(release)
        there = self.engine.project(project)
        counts = {name: count + sum(each.service == name for each in there) for name, count in more.items()}
        argv = compose.up(project, self._file(release), services=more, recreate=False, scale=counts)
        self.host.run(argv, timeout=_START_TIMEOUT, env=slot_variables(slot, self.ports))
        besides = {each.name for each in there}
        self.engine.wait_healthy(project, more, timeout=timeout, note=note, besides=besides)

    def stop_replicas(self, release: str, names: Collection[str], *, drain: float) -> None:
        """Stop replicas; see `Runtime.stop_replicas`."""
        there = self.engine.project(self.layout.target.app_project(release))
        doomed = [each.name for each in there if each.name in names]
        if doomed:
            stop = ("docker", "stop", "--time", str(round(drain)), *doomed)
            self.host.run(stop, timeout=drain + _STOP_MARGIN)
            self.host.run(("docker", "rm", "--force", "--volumes", *doomed), timeout=_STOP_MARGIN)

    def stop_services(self, release: str, services: tuple[str, ...], *, drain: float) -> None:
        """Stop services; see `Runtime.stop_services`."""
        project = self.layout.target.app_project(release)
        argv = compose.stop(project, self._file(release), services=services, stop_within=round(drain))
        self.host.run(argv, timeout=drain + _STOP_MARGIN)

    def start_services(self, release: str, services: tuple[str, ...], *, timeout: float) -> None:
        """Start services again; see `Runtime.start_services`."""
        project = self.layout.target.app_project(release)
        argv = compose.up(project, self._file(release), services=services, recreate=False)
        self.host.run(argv, timeout=_START_TIMEOUT)
        self.engine.wait_healthy(project, dict.fromkeys(services, 1), timeout=timeout, note=lambda _: None)

    def stop_app(self, release: str, *, drain: float) -> None:
        """Stop an app tier; see `Runtime.stop_app`."""
        argv = compose.down(self.layout.target.app_project(release), stop_within=round(drain))
        self.host.run(argv, timeout=drain + _STOP_MARGIN)

    def app_containers(self, release: str) -> tuple[Container, ...]:
        """List an app tier's containers; see `Runtime.app_containers`."""
        return self.engine.project(self.layout.target.app_project(release))

    def app_logs(self, release: str) -> Mapping[str, tuple[str, ...]]:
        """Read an app tier's logs; see `Runtime.app_logs`."""
        found: dict[str, tuple[str, ...]] = {}
        for container in self.app_containers(release):
            found[container.service] = (
                *found.get(container.service, ()),
                *self.engine.logs(container.id, lines=_LOG_LINES),
            )
        return found

    def images_in(self, repository: str) -> tuple[str, ...]:
        """Return a repository's images; see `Runtime.images_in`."""
        return self.engine.images_in(repository)

    def remove_images(self, images: tuple[str, ...]) -> None:
        """Remove images; see `Runtime.remove_images`."""
        with ThreadPoolExecutor() as pool:  # at once: the engine may be far away
            names = [name for each in pool.map(self.engine.names_of, images) for name in each]
        if names:  # one that a container still uses is refused, and stays
            self.host.run(("docker", "image", "rm", *names), timeout=_START_TIMEOUT, check=False)

    def running(self) -> Mapping[str, tuple[str, ...]]:
        """List the app tiers; see `Runtime.running`."""
        found: dict[str, list[str]] = {}
        for container in self.engine.containers({"org.wharfinger.stack": self.layout.target.stack, PROJECT: None}):
            release = self.layout.target.release_of(container.project)
            if release is not None:
                found.setdefault(release, []).append(container.name)
        return {release: tuple(names) for release, names in found.items()}

    def _file(self, release: str) -> str:
        return str(self.layout.release(release) / "compose.yaml")
