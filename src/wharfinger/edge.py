"""The edge of a server: its one Nginx, which sites it serves and where their traffic goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from wharfinger.commands import compose
from wharfinger.commands import edge as commands
from wharfinger.edge_control import Control
from wharfinger.engine import Engine
from wharfinger.errors import CommandFailed, InvalidInput, WharfingerError
from wharfinger.hosts import File, Host
from wharfinger.model.maintenance import Maintenance
from wharfinger.model.release import Layout, Live
from wharfinger.rendering.live import live_default

SERVICE: Final = "nginx"
_TIMEOUT: Final = 30.0
_START_TIMEOUT: Final = 120.0
_SERVER_NAMES: Final = re.compile(r"^\s*server_name\s+([^;]+);", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Edge:
    """The edge, as one environment uses it."""

    host: Host
    engine: Engine
    layout: Layout
    project: str

    @property
    def container(self) -> str:
        """The name of its container."""
        return f"{self.project}-{SERVICE}-1"

    @property
    def renewal_project(self) -> str:
        """The Compose project that renews its certificates."""
        return f"{self.project}-renewal"

    @property
    def listens_on(self) -> None:
        """None: its container tells whether it runs."""
        return

    @property
    def site(self) -> str:
        """The name of this environment's site."""
        return self.layout.target.name

    @property
    def _control(self) -> Control:
        return Control(self.host, self.layout.control, self.site, self.container)

    def start(self, files: Mapping[str, bytes]) -> None:
        """Write the files that all sites share, and bring Nginx up with them; sites stay as they are.

        A running Nginx takes them up by a reload; where they fail the test the old ones are put back.
        """
        for folder in ("sites", "acme", "certs"):
            self.host.make_folder(self.layout.edge / folder)
        self.host.make_folder(self.layout.control.parent.parent, mode=0o700)  # for who owns it, and root
        self.host.make_folder(self.layout.control.parent)  # for Nginx' workers too, who never see the one around it
        wanted = {self.layout.edge / name: File(content) for name, content in files.items()}
        before = {path: self.host.read(path) for path in wanted}
        self.host.write(wanted)
        running = any(container.is_ready for container in self.engine.project(self.project))
        if running:
            self._test_or_restore(before)
        try:
            self.host.run(compose.up(self.project, str(self.layout.edge / "compose.yaml")), timeout=_START_TIMEOUT)
            self.engine.wait_healthy(self.project, {SERVICE: 1}, timeout=60, note=lambda _: None)
        except WharfingerError as error:
            told = self._does_not_start(error) if isinstance(error, CommandFailed) else error
            if not running:
                self.host.run(compose.down(self.project), timeout=_START_TIMEOUT, check=False)
            raise told from None
        if running:
            self.host.run(commands.reload(self.container), timeout=_TIMEOUT)

    def _does_not_start(self, error: CommandFailed) -> WharfingerError:
        return self.engine.without_network(self.project, error) or WharfingerError(
            f"{self.host.name}: the edge does not start",
            details=error.details,
            fix=f"mend what is said there: a port that another process listens on (ss -ltnp), or {self.layout.edge}",
        )

    def put_site(self, content: bytes, live: Live) -> None:
        """Put the site's file in place once the whole configuration passes its test with it, and reload.

        `live` is where traffic goes if the site was not known before. Raises InvalidInput, with the old file put
        back byte for byte, when the test fails.
        """
        self._refuse_names_of_others(content)
        before = {path: self.host.read(path) for path in (self.layout.site, self.layout.live)}
        wanted = {self.layout.site: File(content)}
        if before[self.layout.live] is None:
            wanted[self.layout.live] = File(live_default(live).encode())
        self.host.write(wanted)
        self._test_or_restore(before)
        self.host.run(commands.reload(self.container), timeout=_TIMEOUT)

    def take_up(self) -> None:
        """Load what lies on disk, once it passes its test; raises CommandFailed where it does not."""
        self.host.run(commands.test(self.container), timeout=_TIMEOUT)
        self.host.run(commands.reload(self.container), timeout=_TIMEOUT)

    def put_routes(self, content: bytes | None) -> None:
        """Put the environment's foreign routes in place, or none, once the whole configuration passes its test.

        Raises InvalidInput, with the old ones put back byte for byte. What they were lies beside them meanwhile, for
        `settle_routes`.
        """
        self._refuse_names_of_others(content or b"")
        path, before = self.layout.routes, self.host.read(self.layout.routes)
        self.host.write({self.layout.routes_before: File(before or b"")})
        self._restore({path: content})
        try:
            self._test_or_restore({path: before})
        except InvalidInput:
            self.host.remove(self.layout.routes_before)
            raise
        self.host.run(commands.reload(self.container), timeout=_TIMEOUT)
        self.host.remove(self.layout.routes_before)

    def settle_routes(self, *, reload: bool) -> None:
        """Put back the foreign routes of before, where putting new ones in place was cut off."""
        before = self.host.read(self.layout.routes_before)
        if before is None:
            return
        self._restore({self.layout.routes: before or None})
        if reload:
            self.host.run(commands.reload(self.container), timeout=_TIMEOUT)
        self.host.remove(self.layout.routes_before)

    def restore_site(self, content: bytes | None, live: bytes | None, *, reload: bool = True) -> None:
        """Put back what the site's files held before (None: there were none), and reload an Nginx that runs."""
        self._restore({self.layout.site: content, self.layout.live: live})
        if reload:
            self.host.run(commands.reload(self.container), timeout=_TIMEOUT)

    def has_sites(self) -> bool:
        """Whether any stack on the server is served."""
        return any(name.endswith(".conf") for name in self.host.names_in(self.layout.edge / "sites"))

    def mentions(self, certificate: str) -> bool:
        """Whether any site or route on the server serves with that certificate."""
        sites, mark = self.layout.site.parent, f"certs/{certificate}/".encode()
        names = [name for name in self.host.names_in(sites) if name.endswith(".conf")]
        return any(mark in (self.host.read(sites / name) or b"") for name in names)

    def stop(self) -> None:
        """Stop Nginx and the renewal of certificates, and remove its network and cache; its files stay."""
        if self.engine.project(self.renewal_project):
            self.host.run(compose.down(self.renewal_project), timeout=_START_TIMEOUT)
        self.host.run(compose.down(self.project, volumes=True), timeout=_START_TIMEOUT)

    def live(self) -> Live | None:
        """Return where the site's traffic goes; None where Nginx does not run or does not know the site."""
        return self._control.live()

    def switch(self, live: Live, probes: Iterable[tuple[str, str]] = ()) -> None:
        """Send the site's traffic somewhere else from the next request on, and make that survive a restart.

        Before that Nginx itself must reach the services probed (name and path) in the slot. Raises WharfingerError,
        with nothing changed, where it does not within ten seconds.
        """
        self._control.switch(live, probes)
        self.host.write({self.layout.live: File(live_default(live).encode())}, awaited=False)

    def switch_back(self, live: Live) -> None:
        """Undo a switch, even of an Nginx that is down: the tier that it left must be what it finds when it starts."""
        self.host.write({self.layout.live: File(live_default(live).encode())})
        self._control.switch_back(live)

    def close(self, maintenance: Maintenance, page: bytes) -> None:
        """Answer 503 and that page from the next request on, to all but those who may pass; restarts change nothing."""
        self.host.write({self.layout.maintenance_page: File(page)})
        self._control.maintain(maintenance.value)
        self.host.write({self.layout.maintenance: File(maintenance.default.encode(), 0o600)})

    def open(self) -> None:
        """End the maintenance from the next request on."""
        self._control.maintain("off")
        self.host.remove(self.layout.maintenance)
        self.host.remove(self.layout.maintenance_page)

    def settle_maintenance(self, *, tell: bool = True) -> bool:
        """Let Nginx do what is written down, and remove a page that nobody is shown; return whether it is closed.

        Without `tell` only the page goes: an Nginx that is down reads the file when it starts.
        """
        kept = Maintenance.parse((self.host.read(self.layout.maintenance) or b"").decode())
        if tell:
            self._control.maintain(kept.value if kept is not None else "off")
        if kept is None:
            self.host.remove(self.layout.maintenance_page)
        return kept is not None

    def await_quiet(
        self, project: str, *, within: float, note: Callable[[str], None], only: Collection[str] | None = None
    ) -> None:
        """Return once Nginx is done with a project's containers (or some of them), or after `within` seconds.

        Nothing that the release was chosen for is under way then, WebSockets and bodies that are still coming in among
        it: what gets no new requests is done with the old ones, whatever its services make of SIGTERM. Of some
        containers nobody counts the requests, nor tells of the end of a connection: this looks five times a second.
        """
        if only is None:
            self._control.await_done(project.rpartition("-")[2], within=within, note=note)
            return
        meant = (each for each in self.engine.project(project) if each.name in only)
        addresses = [address for container in meant for address in container.addresses]
        if addresses:
            argv = commands.await_quiet(self.container, addresses, within=within)

            def told(left: str) -> None:
                note(f"{left} request{'s'[: left != '1']} under way")

            # Fails where Nginx does not run.
            self.host.run(argv, timeout=within + _TIMEOUT, check=False, on_line=told)

    def _refuse_names_of_others(self, content: bytes) -> None:
        """Raise InvalidInput for a host name that another environment has: Nginx would only warn, and choose one."""
        wanted, own = names_served(content.decode(errors="replace")), {str(self.layout.site), str(self.layout.routes)}
        listed = self.host.run(commands.server_names(str(self.layout.site.parent)), timeout=_TIMEOUT, check=False)
        for line in listed.stdout.splitlines():
            path, _, directive = line.partition(":")
            taken = sorted(wanted & names_served(directive))
            if taken and path not in own:
                raise InvalidInput(
                    f"{self.host.name}: {', '.join(taken)} is served already, by {path}",
                    fix="choose another `domain`, alias or route, or take down what serves it",
                )

    def _test_or_restore(self, before: Mapping[PurePosixPath, bytes | None]) -> None:
        try:
            self.host.run(commands.test(self.container), timeout=_TIMEOUT)
        except BaseException as error:
            self._restore(before)
            if not isinstance(error, CommandFailed):
                raise
            raise InvalidInput(
                f"{self.host.name}: Nginx refuses the new configuration; the old one is back in place",
                details=error.stderr.splitlines()[-5:],
                fix="correct `site`, `site.snippet` or `edge.routes` in stack.yaml, or your own template",
            ) from None

    def _restore(self, before: Mapping[PurePosixPath, bytes | None]) -> None:
        for path, content in before.items():
            if content is None:
                self.host.remove(path)
        self.host.write({path: File(content) for path, content in before.items() if content is not None})


def names_served(text: str) -> set[str]:
    """Return the host names of all `server_name` lines of an Nginx file."""
    return {name for names in _SERVER_NAMES.findall(text) for name in names.split()}
