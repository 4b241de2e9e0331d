"""The edge where a server has an Nginx of its own, which serves other things too: one file a site, and a reload."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from wharfinger.commands import host_nginx as commands
from wharfinger.engine import Engine
from wharfinger.errors import CommandFailed, InvalidInput, NotReady, UsageError, WharfingerError
from wharfinger.hosts import File, Host
from wharfinger.model.maintenance import Maintenance
from wharfinger.model.release import SLOTS, Layout, Live
from wharfinger.rendering.live import live_default

_TIMEOUT: Final = 30.0
_PROBE_WITHIN: Final = 10.0
_PAUSE: Final = 0.05
_QUIET_PAUSE: Final = 0.2
_RELOADED_WITHIN: Final = 15.0
# Nginx starts new workers and tells the old ones to stop a tenth of a second later: so long, both take requests.
_UNANIMOUS_FOR: Final = 0.4
_PROC_TCP: Final = PurePosixPath("/proc/net/tcp")


@dataclass(frozen=True, slots=True)
class HostEdge:
    """The server's own Nginx, as one environment uses it; nothing of it but the environment's files is ever written."""

    host: Host
    engine: Engine
    layout: Layout
    nginx: tuple[str, ...]
    """How it is called."""
    listens_on: int
    """The port on which it answers HTTP."""
    ports: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Where each service is found on loopback, in blue and in green."""
    bind: str | None = None

    @property
    def project(self) -> str:
        """The name of a Compose project that nothing belongs to: this Nginx is in no container."""
        return "no-edge-in-a-container"

    @property
    def container(self) -> str:
        """The name of no container; see `project`."""
        return self.project

    @property
    def renewal_project(self) -> str:
        """The name of a Compose project that nothing belongs to: whoever runs this Nginx renews its certificates."""
        return self.project

    @property
    def site(self) -> str:
        """The name of this environment's site."""
        return self.layout.target.name

    def start(self, files: Mapping[str, bytes]) -> None:  # noqa: ARG002 - it has no files of ours
        """Nothing but look: it is started by whoever runs the server. Raises NotReady where it does not answer."""
        if not self._answers():
            raise NotReady(
                f"{self.host.name}: the server's own Nginx does not answer on port {self.listens_on}",
                fix="start it (systemctl start nginx; it listens where a site of it does, such as its default one)",
            )

    def put_site(self, content: bytes, live: Live) -> None:
        """Put the site's file in place once the whole configuration passes its test with it, and reload.

        `live` is where traffic goes if the site was not known before. Raises InvalidInput, with the old file put
        back byte for byte, when the test fails, and NotReady when Nginx does not include the file.
        """
        before = {path: self.host.read(path) for path in (self.layout.site, self.layout.live)}
        held = before[self.layout.live]
        wanted = {self.layout.site: File(content)}
        if held is None:
            wanted[self.layout.live] = File(live_default(live).encode())
        self.host.write(wanted)
        self._test_or_restore(before)
        self._reload()
        self._await(Live.parse(held.decode().partition('"')[2].partition('"')[0]) if held else live)

    def restore_site(self, content: bytes | None, live: bytes | None, *, reload: bool = True) -> None:
        """Put back what the site's files held before (None: there were none), and reload an Nginx that runs."""
        self._restore({self.layout.site: content, self.layout.live: live})
        if reload:
            self._reload()

    def take_up(self) -> None:
        """Load what lies on disk."""
        self._reload()

    def put_routes(self, content: bytes | None) -> None:
        """Nothing: its foreign routes are a part of the site."""

    def settle_routes(self, *, reload: bool) -> None:
        """Nothing: its foreign routes are a part of the site."""

    def mentions(self, certificate: str) -> bool:
        """Whether the environment's site serves with that certificate."""
        return f"/{certificate}/".encode() in (self.host.read(self.layout.site) or b"")

    def has_sites(self) -> bool:
        """Whether it serves anything: it always may."""
        return True

    def stop(self) -> None:
        """Nothing: it is not ours to stop."""

    def live(self) -> Live | None:
        """Return where the site's traffic goes; None where Nginx does not run or does not know the site."""
        answer = self.host.run(commands.read_live(self._address, self.site), timeout=_TIMEOUT, check=False)
        return Live.parse(answer.stdout) if answer.status == 0 else None

    def switch(self, live: Live, probes: Iterable[tuple[str, str]] = ()) -> None:
        """Send the site's traffic somewhere else; returns once no worker sends a new request to the old tier.

        Before that Nginx itself must reach the services probed (name and path) in the slot. Raises WharfingerError,
        with nothing changed, where it does not within ten seconds.
        """
        for service, path in probes:
            self._probe(live.slot, service, path)
        before = {self.layout.live: self.host.read(self.layout.live)}
        self.host.write({self.layout.live: File(live_default(live).encode())})
        self._test_or_restore(before)
        self._reload()
        self._await(live)

    def switch_back(self, live: Live) -> None:
        """Undo a switch, even of an Nginx that is down: the tier that it left must be what it finds when it starts."""
        self.host.write({self.layout.live: File(live_default(live).encode())})
        self._reload()
        self._await(live)

    def close(self, maintenance: Maintenance, page: bytes) -> None:  # noqa: ARG002 - as every edge
        """Raise UsageError: this Nginx is told of no maintenance."""
        raise UsageError("the server's own Nginx has no maintenance", fix="a page of your own by `site.snippet`")

    def open(self) -> None:
        """Nothing: there is no maintenance."""

    def settle_maintenance(self, *, tell: bool = True) -> bool:  # noqa: ARG002 - as every edge
        """Return False: there is no maintenance."""
        return False

    def await_quiet(
        self, project: str, *, within: float, note: Callable[[str], None], only: Collection[str] | None = None
    ) -> None:
        """Return once nobody on the server holds a connection to a project's ports, or after `within` seconds.

        Nobody tells of the end of a connection, so this looks five times a second.
        """
        deadline = time.monotonic() + within
        containers = [each for each in self.engine.project(project) if only is None or each.name in only]
        ports = {port for container in containers for port in container.ports}
        while ports:
            left = commands.open_to((self.host.read(_PROC_TCP) or b"").decode(), ports)
            if not left or time.monotonic() + _QUIET_PAUSE > deadline:
                return
            note(f"{left} connection{'s'[: left != 1]} in use")
            time.sleep(_QUIET_PAUSE)

    def _probe(self, slot: str, service: str, path: str) -> None:
        """Return once Nginx itself reaches a service in a slot; raises WharfingerError where it does not."""
        argv = commands.probe(self._address, self.site, slot, service, path)
        deadline = time.monotonic() + _PROBE_WITHIN
        while True:
            answer = self.host.run(argv, timeout=_TIMEOUT, check=False)
            reached = answer.status == 0 and answer.stdout not in {"", "000", "502", "503", "504"}
            if reached and (answer.stdout != "404" or self.live() is not None):  # another site's 404, while ours loads
                return
            if time.monotonic() > deadline:
                raise WharfingerError(
                    f"{self.host.name}: the server's own Nginx does not reach {service} in slot {slot} at {path}",
                    details=[f"it answers {answer.stdout or 'nothing'}", *answer.stderr.splitlines()[-3:]],
                    fix=f"see whether {service} answers on port {self._port(slot, service)}; its error log says more",
                )
            time.sleep(_PAUSE)

    @property
    def _address(self) -> str:
        return f"{self.bind or '127.0.0.1'}:{self.listens_on}"

    def _port(self, slot: str, service: str) -> int | None:
        pair = self.ports.get(service)
        return pair[[*SLOTS].index("blue" if slot == "blue" else "green") % len(pair)] if pair else None

    def _answers(self) -> bool:
        table = (self.host.read(_PROC_TCP) or b"").decode() + (
            self.host.read(PurePosixPath("/proc/net/tcp6")) or b""
        ).decode()
        return f":{self.listens_on:04X} " in table

    def _reload(self) -> None:
        try:
            self.host.run(commands.reload(self.nginx), timeout=_TIMEOUT)
        except CommandFailed as error:
            raise NotReady(
                f"{self.host.name}: the server's own Nginx was not reloaded",
                details=error.details,
                fix=f"`{' '.join(commands.reload(self.nginx))}` must work there; `edge.command` says how it is called",
            ) from None

    def _await(self, live: Live | None) -> None:
        """Return once every answer for a while was the same: both old and new workers may take what comes at first."""
        if live is None:
            return
        deadline, since = time.monotonic() + _RELOADED_WITHIN, time.monotonic()
        while time.monotonic() - since < _UNANIMOUS_FOR:
            if self.live() != live:
                since = time.monotonic()
            if time.monotonic() > deadline:
                raise WharfingerError(
                    f"{self.host.name}: the server's own Nginx does not take up {self.layout.live}",
                    fix="its error log says why; does anything else answer on that address and port?",
                )
            time.sleep(_PAUSE)

    def _test_or_restore(self, before: Mapping[PurePosixPath, bytes | None]) -> None:
        try:
            dumped = self.host.run(commands.dump(self.nginx), timeout=_TIMEOUT)
        except BaseException as error:
            self._restore(before)
            if not isinstance(error, CommandFailed):
                raise
            raise InvalidInput(
                f"{self.host.name}: Nginx refuses the new configuration; the old one is back in place",
                details=error.stderr.splitlines()[-5:],
                fix="correct `site` (and `site.snippet`) in stack.yaml, or the template that it names; "
                f"`{' '.join(self.nginx)} -t` there shows whether it is another site's",
            ) from None
        if f"# configuration file {self.layout.site}:" not in dumped.stdout:
            self._restore(before)
            raise NotReady(
                f"{self.host.name}: the server's own Nginx does not include {self.layout.sites}/*.conf",
                fix=f"once, as root: echo 'include {self.layout.sites}/*.conf;' > /etc/nginx/conf.d/wharfinger.conf; "
                "or name a folder that it includes in `edge.sites`",
            )

    def _restore(self, before: Mapping[PurePosixPath, bytes | None]) -> None:
        for path, content in before.items():
            if content is None:
                self.host.remove(path)
        self.host.write({path: File(content) for path, content in before.items() if content is not None})
