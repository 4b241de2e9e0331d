"""What the Docker Engine of a host says: containers, images, logs and events.

Nothing here writes but pulls, through the Docker SDK: `docker compose` and `docker buildx` do (ARCHITECTURE.md §6, 7).
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from wharfinger.commands.transfer import TransferLog
from wharfinger.engine_api import EngineApi
from wharfinger.errors import BuildFailed, NotReady, WharfingerError

if TYPE_CHECKING:
    import docker

PROJECT: Final = "com.docker.compose.project"
SERVICE: Final = "com.docker.compose.service"
ONE_OFF: Final = "com.docker.compose.oneoff"
SLOT: Final = "org.wharfinger.slot"
_CALL_TIMEOUT: Final = 30
_AT_ONCE: Final = 8
_PULL_SILENCE: Final = 300  # seconds without any news of a pull


@dataclass(frozen=True, slots=True)
class Container:
    """One container as the engine sees it now."""

    id: str
    name: str
    project: str
    service: str
    slot: str
    image: str
    state: str
    """`running`, `exited`, `restarting`, …, as Docker says."""
    health: str
    """`healthy`, `starting`, `unhealthy`; `none` where the container has no health check."""
    exit_code: int
    restarts: int
    since: str
    """When its present state began, ISO 8601 in UTC."""
    addresses: tuple[str, ...] = ()
    """Its IPv4 addresses, one for each network that it is connected to."""
    ports: tuple[int, ...] = ()
    """The ports of its host on which it is published."""
    image_id: str = ""
    """What it really runs, whatever `image` has come to mean since."""

    @property
    def is_ready(self) -> bool:
        """Whether it runs and, where it has a health check, passes it."""
        return self.state == "running" and self.health in {"healthy", "none"}


class Unhealthy(WharfingerError):
    """A container did not become healthy; `details` are its last log lines."""


def client(url: str | None, *, timeout: int, host: str = "local") -> docker.DockerClient:
    """Return a connection to an engine (None: this machine's own); one must not be shared between threads.

    `timeout` is in seconds, for one question. Raises NotReady where no engine answers.
    """
    import docker

    try:
        if url is None:
            return docker.from_env(version="auto", timeout=timeout)
        return docker.DockerClient(url, version="auto", timeout=timeout)
    except docker.errors.DockerException:
        raise NotReady(
            f"{host}: no Docker Engine answers", fix="./run deploy installs and starts one; invoke doctor says more"
        ) from None


class Engine:
    """A connection to one Docker Engine, opened at the first question."""

    def __init__(self, url: str | None, *, host: str) -> None:
        self._url = url
        self._host = host
        self._api = EngineApi(url, host=host, timeout=_CALL_TIMEOUT)

    def close(self) -> None:
        """End the connection; the next question opens another."""
        self._api.close()

    def version(self) -> tuple[int, int]:
        """Return the engine's major and minor version."""
        major, minor, *_ = self._api.get("/version")["Version"].split(".")
        return int(major), int(minor)

    def containers(
        self, labels: Mapping[str, str | None], *, of: Callable[[str], bool] = bool
    ) -> tuple[Container, ...]:
        """Return the containers, running or not, that have all these labels (None: with any value), by name.

        `of` says of a project's name whether its containers are wanted; the others are not looked at.
        """
        wanted = [name if value is None else f"{name}={value}" for name, value in labels.items()]
        listed = self._api.get("/containers/json", {"all": True, "filters": {"label": wanted}})
        identifiers = [entry["Id"] for entry in listed if of(entry["Labels"].get(PROJECT, "-"))]
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            found = tuple(pool.map(self._inspect, identifiers))
        return tuple(sorted((container for container in found if container), key=lambda container: container.name))

    def project(self, name: str) -> tuple[Container, ...]:
        """Return the containers of a Compose project, one-off ones aside."""
        return self.containers({PROJECT: name, ONE_OFF: "False"})

    def volumes(self, project: str) -> tuple[str, ...]:
        """Return the names of the volumes that a Compose project made."""
        listed = self._api.get("/volumes", {"filters": {"label": [f"{PROJECT}={project}"]}})["Volumes"] or ()
        return tuple(sorted(volume["Name"] for volume in listed))

    def logs(self, container: str, *, lines: int = 20) -> tuple[str, ...]:
        """Return a container's last log lines, of both its streams."""
        raw = self._api.get_bytes(f"/containers/{container}/logs", {"stdout": True, "stderr": True, "tail": lines})
        return tuple((raw or b"").decode(errors="replace").splitlines())

    def names_of(self, image: str) -> tuple[str, ...]:
        """Return every name, by tag and by digest, of an image; none where the engine lacks it."""
        facts = self._api.get(f"/images/{image}/json")
        return () if facts is None else (*(facts["RepoTags"] or ()), *(facts["RepoDigests"] or ()))

    def image_id(self, reference: str) -> str | None:
        """Return what a name, by tag or by digest, means to the engine now; None where it lacks that."""
        facts = self._api.get(f"/images/{reference}/json")
        return None if facts is None else str(facts["Id"])

    def has_image(self, reference: str) -> bool:
        """Whether the engine holds an image, by tag or by digest."""
        return bool(self.names_of(reference))

    def pull(self, reference: str, *, moved: Callable[[int, int], None]) -> None:
        """Fetch an image; `moved` hears of the bytes that have come, and of all. Raises BuildFailed."""
        import docker
        import requests

        repository, _, digest = reference.partition("@")
        log, connection = TransferLog(), client(self._url, timeout=_PULL_SILENCE, host=self._host)
        try:
            for event in connection.api.pull(repository, tag=digest or None, stream=True, decode=True):
                log.feed(event)
                moved(log.moved, log.total)
        except (docker.errors.DockerException, requests.RequestException) as error:
            log.error = str(error)
        finally:
            connection.close()
        if log.error:
            raise BuildFailed(
                f"{self._host}: {reference} was not pulled: {log.error}",
                fix=f"see whether `docker pull {reference}` works there; is its registry up?",
            )

    def wait_healthy(
        self,
        project: str,
        expected: Mapping[str, int],
        *,
        timeout: float,
        note: Callable[[str], None],
        besides: Collection[str] = (),
    ) -> None:
        """Return once so many containers of every service are healthy; `note` hears of progress.

        Containers named in `besides` do not count, whatever their state.

        Waits on the engine's events. Raises Unhealthy as soon as one container exits, is found unhealthy, or the
        time-out (in seconds) passes.
        """
        deadline = time.monotonic() + timeout
        with self._events(project) as changes:
            while True:
                containers = [each for each in self.project(project) if each.name not in besides]
                self._refuse_failed(containers)
                ready = [container for container in containers if container.is_ready]
                if all(sum(c.service == service for c in ready) >= count for service, count in expected.items()):
                    return
                note(f"{len(ready)} of {sum(expected.values())} healthy")
                if not _next_change(changes, deadline):
                    raise self._too_late(containers, timeout)

    def _refuse_failed(self, containers: Sequence[Container]) -> None:
        for container in containers:
            # One that is healthy now may have been restarted long ago: the data tier and the edge outlive deploys.
            crashed = container.restarts > 0 and container.health != "healthy"
            if crashed or container.state in {"exited", "dead", "restarting"}:
                code = f" with code {container.exit_code}" if container.exit_code else ""
                why = f"exited{code} while starting"
            elif container.health == "unhealthy":
                why = "fails its health check"
            else:
                continue
            raise Unhealthy(f"{container.service} {why} ({container.name})", details=self.logs(container.id))

    def _too_late(self, containers: Sequence[Container], timeout: float) -> Unhealthy:
        waiting = [container for container in containers if not container.is_ready]
        if not waiting:
            return Unhealthy(f"not every container was there after {timeout:g} s")
        first = waiting[0]
        return Unhealthy(
            f"{first.service} was not healthy after {timeout:g} s ({first.name})", details=self.logs(first.id)
        )

    @contextlib.contextmanager
    def _events(self, project: str) -> Iterator[queue.Queue[None]]:
        """Yield a queue that gets an item whenever a container of the project changes."""
        changes: queue.Queue[None] = queue.Queue()
        filters = {
            "type": ["container"],
            "label": [f"{PROJECT}={project}"],
            "event": ["start", "die", "health_status"],
        }
        stream = self._api.stream("/events", {"filters": filters, "since": int(time.time()) - 1})

        def forward() -> None:
            with contextlib.suppress(Exception):  # closing the stream ends its reader with whatever error it likes
                for _ in stream:
                    changes.put(None)

        threading.Thread(target=forward, daemon=True).start()
        try:
            yield changes
        finally:
            stream.close()

    def _inspect(self, container: str) -> Container | None:
        facts = self._api.get(f"/containers/{container}/json")
        if facts is None:
            return None
        labels, state = facts["Config"]["Labels"], facts["State"]
        running, networks = state["Status"] == "running", facts["NetworkSettings"]["Networks"]
        return Container(
            id=facts["Id"],
            name=facts["Name"].removeprefix("/"),
            project=labels.get(PROJECT, ""),
            service=labels.get(SERVICE, ""),
            slot=labels.get(SLOT, ""),
            image=facts["Config"]["Image"],
            state=state["Status"],
            health=state.get("Health", {}).get("Status", "none"),
            exit_code=state["ExitCode"],
            restarts=facts["RestartCount"],
            since=state["StartedAt"] if running else state["FinishedAt"],
            addresses=tuple(network["IPAddress"] for network in networks.values() if network["IPAddress"]),
            ports=tuple(sorted(set(_published(facts)))),
            image_id=facts["Image"],
        )


def _published(facts: Mapping[str, Any]) -> Iterator[int]:
    for bindings in (facts["NetworkSettings"].get("Ports") or {}).values():
        yield from (int(binding["HostPort"]) for binding in bindings or ())


def _next_change(changes: queue.Queue[None], deadline: float) -> bool:
    """Wait for a change, and for all that came with it; return False when the deadline passes first."""
    try:
        changes.get(timeout=max(0.0, deadline - time.monotonic()))
        while True:
            changes.get_nowait()
    except queue.Empty:
        return time.monotonic() < deadline
