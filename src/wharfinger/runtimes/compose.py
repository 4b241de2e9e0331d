"""Releases as Compose projects: a long-lived one for the data tier, one for each release's app tier."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from wharfinger.commands import compose
from wharfinger.console import Step as Shown
from wharfinger.engine import PROJECT, Container, Engine
from wharfinger.errors import StepFailed
from wharfinger.hosts import Completed, File, Host
from wharfinger.model.release import Layout, Slot
from wharfinger.runtimes import Note

_START_TIMEOUT: Final = 120.0
_PULLS_AT_ONCE: Final = 4
_STOP_MARGIN: Final = 60.0
_LOG_LINES: Final = 5000
_DATA_HEALTHY_WITHIN: Final = 180.0


@dataclass(frozen=True, slots=True)
class ComposeRuntime:
    """Runs one environment's tiers by `docker compose` on its server."""

    host: Host
    engine: Engine
    layout: Layout

    def start_data(self, files: Mapping[str, File], services: tuple[str, ...], *, note: Note) -> None:
        """Bring the data tier up; see `Runtime.start_data`."""
        project, folder = self.layout.target.name, self.layout.data
        self.host.write({folder / name: file for name, file in files.items()})
        self.host.run(compose.up(project, str(folder / "data.yaml"), recreate=False), timeout=_START_TIMEOUT)
        expected = dict.fromkeys(services, 1)
        self.engine.wait_healthy(project, expected, timeout=_DATA_HEALTHY_WITHIN, note=note)

    def pull(self, images: tuple[str, ...], *, shown: Shown) -> None:
        """Fetch images; see `Runtime.pull`."""
        missing = [image for image in images if not self.engine.has_image(image)]

        def fetch(image: str) -> None:
            with shown.progress(image.partition("@")[0].rpartition("/")[2], total=None, unit="bytes") as bar:
                self.engine.pull(image, moved=bar.update)

        with ThreadPoolExecutor(max_workers=_PULLS_AT_ONCE) as pool:
            list(pool.map(fetch, missing))
        shown.conclude(f"{len(missing)} fetched" if missing else "all there")

    def migrate(self, release: str, *, timeout: float, note: Note) -> None:
        """Run the migration; see `Runtime.migrate`."""
        argv = compose.run_once(self.layout.target.app_project(release), self._file(release), "migrate")
        done = self.host.run(argv, timeout=timeout, check=False, on_line=note)
        if done.status != 0:
            lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
            raise StepFailed(
                f"{self.host.name}: the migration exited {done.status}",
                details=lines[-20:],
                fix="correct the migration and deploy again; the database was backed up before it ran",
            )

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

    def start_app(self, release: str, slot: Slot, expected: Mapping[str, int], *, timeout: float, note: Note) -> None:
        """Start an app tier; see `Runtime.start_app`."""
        folder, project = self.layout.release(release), self.layout.target.app_project(release)
        self._choose_slot(folder / ".env", slot)
        self.host.run(compose.up(project, self._file(release), services=expected), timeout=_START_TIMEOUT)
        self.engine.wait_healthy(project, expected, timeout=timeout, note=note)

    def _choose_slot(self, path: PurePosixPath, slot: Slot) -> None:
        """Write the slot where a person's own `docker compose up` in that folder finds it too."""
        text = (self.host.read(path) or b"").decode()
        kept = [line for line in text.splitlines(keepends=True) if not line.startswith("WHARFINGER_SLOT=")]
        self.host.write({path: File(f"WHARFINGER_SLOT={slot}\n{''.join(kept)}".encode(), 0o600)})

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

    def remove_images(self, images: tuple[str, ...]) -> None:
        """Remove images; see `Runtime.remove_images`."""
        names = [name for image in images for name in self.engine.names_of(image)]
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
