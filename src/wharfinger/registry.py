"""Where images are kept between build and deploy: what is there, and how an image gets there.

The embedded registry (the real Distribution, on this machine's loopback) is asked over plain HTTP, as Docker
does with every loopback registry; any other through the engine, with the credentials of `docker login`.
"""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wharfinger import engine
from wharfinger.commands import compose
from wharfinger.commands.transfer import TransferLog
from wharfinger.errors import BuildFailed, CommandFailed, NotReady
from wharfinger.hosts import Host

EMBEDDED_PORT: Final = 5055
EMBEDDED_PORT_VARIABLE: Final = "WHARFINGER_REGISTRY_PORT"
EMBEDDED_PROJECT: Final = "wharfinger-registry"
EMBEDDED_IMAGE: Final = "registry:2"

_ASK: Final = 5.0  # seconds for one question
_START: Final = 120.0
_ANSWER_WITHIN: Final = 20.0
_POLL: Final = 0.05
_PUSH_SILENCE: Final = 300  # seconds without any news of a push
_LOOPBACK: Final = re.compile(r"(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_MANIFESTS: Final = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
Moved = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry and the folder in it: `127.0.0.1:5055`, `ghcr.io/acme`."""

    address: str
    project: str | None = None
    """The Compose project on this machine that serves it; None: it is somebody else's to run."""
    docker_url: str | None = None
    """The engine that pushes; None: this machine's own."""

    @property
    def host(self) -> str:
        """Name and port alone."""
        return self.address.partition("/")[0]

    def repository(self, stack: str, name: str) -> str:
        """Return the full name of an image's repository."""
        return f"{self.address}/{stack}/{name}"

    def is_up(self) -> bool:
        """Whether something answers as a registry does; a registry that is not on loopback is not asked."""
        if not _LOOPBACK.fullmatch(self.host):
            return True
        try:
            return self._ask("/v2/")[0] in (200, 401)
        except (OSError, http.client.HTTPException):
            return False

    def ensure_running(self, host: Host, compose_folder: Path) -> bool:
        """Start the embedded registry where it does not answer; return whether that was needed.

        Its image must be there (`EMBEDDED_IMAGE`). Raises NotReady if it does not start, and BuildFailed if a
        registry that is not ours to start is down.
        """
        if self.is_up():
            return False
        if self.project is None:
            raise self._down()
        try:
            host.run(
                compose.up(self.project, str(compose_folder / "registry.yaml")),
                timeout=_START,
                env={EMBEDDED_PORT_VARIABLE: self.host.rpartition(":")[2]},
            )
        except CommandFailed as error:
            port = self.host.rpartition(":")[2]
            raise NotReady(
                f"the embedded registry does not start on {self.host}",
                details=error.details,
                fix=f"free port {port}, or name another registry in stack.yaml (`registry:`)",
            ) from None
        self._await_answer()
        return True

    def digest(self, repository: str, tag: str) -> str | None:
        """Return the digest (`sha256:…`) that a tag stands for, or None where it is not in the registry.

        Raises BuildFailed if the registry does not answer or lets nobody in.
        """
        if not _LOOPBACK.fullmatch(self.host):
            return self._digest_through_engine(repository, tag)
        path = repository.partition("/")[2]
        try:
            status, digest = self._ask(f"/v2/{path}/manifests/{tag}")
        except (OSError, http.client.HTTPException):
            raise self._down() from None
        if status == http.HTTPStatus.UNAUTHORIZED:
            return self._digest_through_engine(repository, tag)
        if status == http.HTTPStatus.NOT_FOUND:
            return None
        if status != http.HTTPStatus.OK or not _DIGEST.fullmatch(digest):
            raise BuildFailed(f"{self.host} answers {status} and is no registry", fix=self._other_fix())
        return digest

    def push(self, repository: str, tag: str, *, moved: Moved) -> str:
        """Push an image that the engine has; return its digest.

        `moved` hears of the bytes sent, and of all that are to be sent. Raises BuildFailed with the
        registry's own words.
        """
        import docker
        import requests

        log = TransferLog()
        try:
            for event in self._events(repository, tag):
                log.feed(event)
                moved(log.moved, log.total)
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise BuildFailed(f"{repository}:{tag} was not pushed: {error}", fix=self._fix()) from None
        if log.error or not log.digest:
            raise BuildFailed(
                f"{repository}:{tag} was not pushed: {log.error or 'no digest came back'}", fix=self._fix()
            )
        return log.digest

    def _events(self, repository: str, tag: str) -> Iterator[dict[str, Any]]:
        client = engine.client(self.docker_url, timeout=_PUSH_SILENCE)
        try:
            yield from client.images.push(repository, tag=tag, stream=True, decode=True)
        finally:
            client.close()

    def _ask(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.host, timeout=_ASK)
        try:
            connection.request("HEAD", path, headers={"Accept": _MANIFESTS})
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Docker-Content-Digest", "")
        finally:
            connection.close()

    def _digest_through_engine(self, repository: str, tag: str) -> str | None:
        import docker
        import requests

        client = engine.client(self.docker_url, timeout=30)
        try:
            return client.images.get_registry_data(f"{repository}:{tag}").id
        except docker.errors.NotFound:
            return None
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise BuildFailed(f"registry {self.host}: {error}", fix=self._fix()) from None
        finally:
            client.close()

    def _await_answer(self) -> None:
        deadline = time.monotonic() + _ANSWER_WITHIN
        while not self.is_up():  # a registry tells nobody when it is ready
            if time.monotonic() > deadline:
                raise NotReady(
                    f"the embedded registry was started and does not answer on {self.host}",
                    fix=f"docker compose -p {self.project} logs",
                )
            time.sleep(_POLL)

    def _down(self) -> BuildFailed:
        return BuildFailed(f"registry {self.host} does not answer", fix=self._fix())

    def _fix(self) -> str:
        if self.project is not None:
            return f"docker compose -p {self.project} logs says why; the next deploy starts it again"
        if _LOOPBACK.fullmatch(self.host):
            return self._other_fix()
        return f"docker login {self.host}, and check `registry` in stack.yaml"

    def _other_fix(self) -> str:
        return f"start the registry on {self.host}, or name another one in stack.yaml (`registry:`)"


def loopback_port(reference: str) -> int | None:
    """Return the port of the registry of an image where that is on loopback; None for any other."""
    host = reference.partition("/")[0]
    _, _, port = host.rpartition(":")
    return int(port) if _LOOPBACK.fullmatch(host) and port.isdigit() else None


def embedded(*, port: int = EMBEDDED_PORT, project: str = EMBEDDED_PROJECT) -> Registry:
    """Return the registry that Wharfinger keeps on this machine."""
    return Registry(f"127.0.0.1:{port}", project)
