"""What the Docker Engine of a host says: containers, images, logs and events.

Nothing here writes but pulls, through the Docker SDK: `docker compose` and `docker buildx` do (ARCHITECTURE.md §6, 7).
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from wharfinger.commands.transfer import TransferLog
from wharfinger.engine_api import EngineApi, Stream
from wharfinger.errors import BuildFailed, CommandFailed, NotReady, WharfingerError

if TYPE_CHECKING:
    import docker

PROJECT: Final = "com.docker.compose.project"
SERVICE: Final = "com.docker.compose.service"
ONE_OFF: Final = "com.docker.compose.oneoff"
SLOT: Final = "org.wharfinger.slot"
OLDEST: Final = (25, 0)
"""The engine that first knows a health check's `start_interval`, without which a deploy waits for nothing."""

Event = Mapping[str, Any]

_API: Final = "1.44"  # of engine 25; to ask for it would take a request each time
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
    published: Mapping[int, int] = field(default_factory=dict, compare=False)
    """The ports of this machine that lead to its own TCP ports, by those."""
    labels: Mapping[str, str] = field(default_factory=dict, compare=False)
    image_id: str = ""
    """What it really runs, whatever `image` has come to mean since."""

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports of its host on which it is published."""
        return tuple(sorted(self.published.values()))

    @property
    def is_ready(self) -> bool:
        """Whether it runs and, where it has a health check, passes it."""
        return self.state == "running" and self.health in {"healthy", "none"}


class Afar(Protocol):
    """Asks an engine on its own machine, each question one exchange with that."""

    def inspected(self, labels: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Return what the engine says of all containers with these labels."""

    def answered(self, target: str) -> tuple[int, str, bytes]:
        """Return the status, content type and content of what it answers to a GET."""


class Unhealthy(WharfingerError):
    """A container did not become healthy; `details` are its last log lines."""


def client(url: str | None, *, timeout: int, host: str = "local") -> docker.DockerClient:
    """Return a connection to an engine (None: this machine's own).

    `timeout` is in seconds, for one question. Raises NotReady where no engine answers.
    """
    import docker

    try:
        if url is None:
            return docker.from_env(version="auto", timeout=timeout)
        return docker.DockerClient(url, version=_API, timeout=timeout)
    except docker.errors.DockerException:
        raise NotReady(
            f"{host}: no Docker Engine answers", fix="./run deploy installs and starts one; invoke doctor says more"
        ) from None


class Engine:
    """A connection to one Docker Engine, opened at the first question."""

    def __init__(self, url: Callable[[], str | None] | str | None, *, host: str, there: Afar | None = None) -> None:
        """Remember where it is; a function that knows is asked at the first question.

        Where it is far away, `there` asks it on its own machine.
        """
        self._where = url
        self._there = there
        self._host = host
        answered = there.answered if there is not None else None
        self._api = EngineApi(self._found, host=host, timeout=_CALL_TIMEOUT, answered=answered)

    def _found(self) -> str | None:
        return self._where() if callable(self._where) else self._where

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
        if self._there is not None:
            described = map(_container, self._there.inspected(wanted))
            found = [container for container in described if of(container.project or "-")]
        else:
            listed = self._api.get("/containers/json", {"all": True, "filters": {"label": wanted}})
            inspected = (self._inspect(entry["Id"]) for entry in listed if of(entry["Labels"].get(PROJECT, "-")))
            found = [container for container in inspected if container]
        return tuple(sorted(found, key=lambda container: container.name))

    def project(self, name: str) -> tuple[Container, ...]:
        """Return the containers of a Compose project, one-off ones aside."""
        return self.containers({PROJECT: name, ONE_OFF: "False"})

    def volumes(self, project: str) -> tuple[str, ...]:
        """Return the names of the volumes that a Compose project made."""
        listed = self._api.get("/volumes", {"filters": {"label": [f"{PROJECT}={project}"]}})["Volumes"] or ()
        return tuple(sorted(volume["Name"] for volume in listed))

    def networks(self) -> tuple[str, ...]:
        """Return the names of all networks."""
        return tuple(sorted(network["Name"] for network in self._api.get("/networks")))

    def without_network(self, name: str, error: CommandFailed) -> WharfingerError | None:
        """Return what to say of a command that failed before it had made a network; None where that is there.

        An engine that has no addresses left makes none, and what it says then names no mend.
        """
        there = self.networks()
        if name in there:
            return None
        return NotReady(
            f"{self._host}: Docker did not make the network {name} beside the {len(there)} that there are",
            details=error.details,
            fix="where it has no addresses left, docker network prune removes networks that nothing uses, and "
            "default-address-pools in the engine's daemon.json gives it room for more",
        )

    def logs(self, container: str, *, lines: int = 20) -> tuple[str, ...]:
        """Return a container's last log lines, of both its streams."""
        raw = self._api.get_bytes(f"/containers/{container}/logs", {"stdout": True, "stderr": True, "tail": lines})
        return tuple((raw or b"").decode(errors="replace").splitlines())

    def names_of(self, image: str) -> tuple[str, ...]:
        """Return every name, by tag and by digest, of an image; none where the engine lacks it."""
        facts = self._api.get(f"/images/{image}/json")
        return () if facts is None else (*(facts["RepoTags"] or ()), *(facts["RepoDigests"] or ()))

    def images_in(self, repository: str) -> tuple[str, ...]:
        """Return the images of a repository that the engine holds, as REPOSITORY@DIGEST."""
        listed = self._api.get("/images/json", {"filters": {"reference": [repository]}}) or ()
        names = (name for image in listed for name in image["RepoDigests"] or ())
        return tuple(name for name in names if name.partition("@")[0] == repository)

    def image_id(self, reference: str) -> str | None:
        """Return what a name, by tag or by digest, means to the engine now; None where it lacks that."""
        facts = self._api.get(f"/images/{reference}/json")
        return None if facts is None else str(facts["Id"])

    def has_image(self, reference: str) -> bool:
        """Whether the engine holds an image, by tag or by digest."""
        return bool(self.names_of(reference))

    def missing(self, images: Sequence[str]) -> list[str]:
        """Return those of some images that the engine lacks."""
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            return [image for image, there in zip(images, pool.map(self.has_image, images), strict=True) if not there]

    def pull(self, reference: str, *, moved: Callable[[int, int], None]) -> None:
        """Fetch an image; `moved` hears of the bytes that have come, and of all. Raises BuildFailed."""
        import docker
        import requests

        repository, _, digest = reference.partition("@")
        log, connection = TransferLog(), client(self._found(), timeout=_PULL_SILENCE, host=self._host)
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
        with self._events(project) as events:
            containers, exits = self._others(project, besides), dict[str, int]()
            while True:
                self._refuse_failed(containers, exits)
                ready = [container for container in containers if container.is_ready]
                if all(sum(c.service == service for c in ready) >= count for service, count in expected.items()):
                    return
                note(f"{len(ready)} of {sum(expected.values())} healthy")
                came = _awaited(events, deadline)
                if not came:
                    raise self._too_late(containers, timeout)
                exits |= _exit_codes(came)
                told = _told(containers, came)
                containers = self._others(project, besides) if told is None else told

    def _others(self, project: str, besides: Collection[str]) -> list[Container]:
        return [each for each in self.project(project) if each.name not in besides]

    def _refuse_failed(self, containers: Sequence[Container], exits: Mapping[str, int]) -> None:
        for container in containers:
            # One that is healthy now may have been restarted long ago: the data tier and the edge outlive deploys.
            crashed = container.restarts > 0 and container.health != "healthy"
            if crashed or container.state in {"exited", "dead", "restarting"}:
                code = exits.get(container.id, container.exit_code)  # one that was restarted no longer says
                why = f"exited{f' with code {code}' if code else ''} while starting"
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
    def _events(self, project: str) -> Iterator[queue.Queue[Event]]:
        """Yield a queue of what happens to the project's containers, and of what the engine remembers of it."""
        events: queue.Queue[Event] = queue.Queue()
        labels = [f"{PROJECT}={project}", f"{ONE_OFF}=False"]
        filters = {"type": ["container"], "label": labels, "event": ["die", "health_status"]}
        opening: Future[Stream] = Future()

        def forward() -> None:
            with contextlib.suppress(Exception):  # closing the stream ends its reader with whatever error it likes
                # All that is remembered: the clock there may be another, and what happens until this is open counts.
                opening.set_result(self._api.stream("/events", {"filters": filters, "since": 1}))
                for event in opening.result():
                    events.put(event)
            events.put({})  # who looks now learns why nothing comes any more

        threading.Thread(target=forward, daemon=True).start()
        try:
            yield events
        finally:
            opening.add_done_callback(lambda opened: opened.result().close())

    def _inspect(self, container: str) -> Container | None:
        facts = self._api.get(f"/containers/{container}/json")
        return None if facts is None else _container(facts)


def _container(facts: Mapping[str, Any]) -> Container:
    """Return what an engine's own description says."""
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
        published=_published(facts["NetworkSettings"].get("Ports") or {}),
        labels=labels,
        image_id=facts["Image"],
    )


def _published(ports: Mapping[str, Sequence[Mapping[str, str]] | None]) -> dict[int, int]:
    tcp = {name.removesuffix("/tcp"): bindings for name, bindings in ports.items() if name.endswith("/tcp")}
    return {int(name): int(bindings[0]["HostPort"]) for name, bindings in tcp.items() if bindings}


def _awaited(events: queue.Queue[Event], deadline: float) -> list[Event]:
    """Wait for an event, and return all that came with it; none when the deadline passes first."""
    came = []
    try:
        came.append(events.get(timeout=max(0.0, deadline - time.monotonic())))
        while True:
            came.append(events.get_nowait())
    except queue.Empty:
        return came if time.monotonic() < deadline else []


def _exit_codes(events: Iterable[Event]) -> dict[str, int]:
    died = (event["Actor"] for event in events if event.get("Action") == "die")
    return {actor["ID"]: int(actor["Attributes"]["exitCode"]) for actor in died}


def _told(containers: Sequence[Container], events: Iterable[Event]) -> list[Container] | None:
    """Return the containers as events tell, so that nobody has to look again; None where they do not tell enough."""
    known = {container.id: container for container in containers if container.state == "running"}
    for event in events:
        container = known.get(event["Actor"]["ID"]) if event else None
        if container is None:
            return None
        if event["timeNano"] / 1e9 <= datetime.fromisoformat(container.since).timestamp():
            continue  # of before it was started
        action, _, health = event["Action"].partition(": ")
        if action != "health_status":
            return None
        known[container.id] = dataclasses.replace(container, health=health)
    return [known.get(container.id, container) for container in containers]
