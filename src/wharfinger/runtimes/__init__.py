"""How a release runs: one protocol, one module a runtime."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from wharfinger.console import Step as Shown
from wharfinger.engine import Container
from wharfinger.hosts import Completed, File
from wharfinger.model.release import Slot

Note = Callable[[str], None]


class Runtime(Protocol):
    """What differs between Compose, Swarm, plain files and an app platform."""

    def start_data(self, files: Mapping[str, File], services: tuple[str, ...], *, note: Note) -> None:
        """Bring the data tier up, healthy, without recreating what runs."""

    def stop_data(self) -> None:
        """Stop and remove the data tier's containers; its volumes stay."""

    def pull(self, images: tuple[str, ...], *, shown: Shown) -> None:
        """Fetch images by digest where the server lacks them, with a progress bar each; raises BuildFailed."""

    def migrate(self, release: str, *, timeout: float, note: Note) -> None:
        """Run the release's migration once; raises StepFailed with its last output."""

    def seed(self, release: str, *, timeout: float, note: Note) -> None:
        """Run the release's seed once; raises StepFailed with its last output."""

    def run_once(
        self, release: str, service: str, command: tuple[str, ...], *, timeout: float, note: Note
    ) -> Completed:
        """Run a command in a container of its own, as one of the release's services; its status is the caller's.

        The container is gone afterwards in any case. Raises CommandFailed when the time-out passes.
        """

    def end_once(self, release: str) -> None:
        """End and remove every container in which a command of a release was run once."""

    def start_app(self, release: str, slot: Slot, expected: Mapping[str, int], *, timeout: float, note: Note) -> None:
        """Start so many containers of a release's services in a slot; return once all of them are healthy."""

    def stop_services(self, release: str, services: tuple[str, ...], *, drain: float) -> None:
        """Stop some of a release's services and keep their containers; they get `drain` seconds to finish."""

    def start_services(self, release: str, services: tuple[str, ...], *, timeout: float) -> None:
        """Start services again that were stopped, and return once they are healthy; those that run are left alone."""

    def stop_app(self, release: str, *, drain: float) -> None:
        """Stop and remove a release's app tier; requests in flight get `drain` seconds to finish."""

    def choose(self, release: str, *, slot: Slot | None = None, scale: Mapping[str, int] | None = None) -> None:
        """Write a release's slot and replicas where whoever starts it by hand finds them too."""

    def start_more(self, release: str, slot: Slot, more: Mapping[str, int], *, timeout: float, note: Note) -> None:
        """Start more replicas of a running release's services, in a slot, and return once all of them are healthy.

        Those that run are left alone, whatever their slot and health.
        """

    def stop_replicas(self, release: str, names: Collection[str], *, drain: float) -> None:
        """Stop and remove containers of a release, those that there are; requests in flight get `drain` seconds."""

    def app_containers(self, release: str) -> tuple[Container, ...]:
        """Return the containers of a release's app tier, by name."""

    def app_logs(self, release: str) -> Mapping[str, tuple[str, ...]]:
        """Return what the containers of a release's app tier have logged, by service; of very much, the last lines."""

    def images_in(self, repository: str) -> tuple[str, ...]:
        """Return the images of a repository that the server holds, as REPOSITORY@DIGEST."""

    def remove_images(self, images: tuple[str, ...]) -> None:
        """Remove images that nothing uses; those still in use stay."""

    def running(self) -> Mapping[str, tuple[str, ...]]:
        """Return the releases that have an app tier, each with its containers' names."""
