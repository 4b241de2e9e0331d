"""What the Nginx of an edge is asked and told while it serves, over its control socket: nothing is reloaded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Final

from wharfinger.errors import NotReady, WharfingerError
from wharfinger.hosts import Host
from wharfinger.model.release import Live

_ANSWERED_WITHIN: Final = 10.0
_SWITCHED_WITHIN: Final = 25.0
_WAITED_THERE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Control:
    """The control socket of an edge, as one site uses it."""

    host: Host
    socket: PurePosixPath
    site: str
    container: str

    def live(self) -> Live | None:
        """Return where the site's traffic goes; None where Nginx does not run or does not know the site."""
        status, said = self._ask(f"/live/{self.site}")
        return Live.parse(said) if status == HTTPStatus.OK else None

    def switch(self, live: Live, probes: Iterable[tuple[str, str]] = ()) -> None:
        """Send the site's traffic to another slot from the next request on, once Nginx reaches what is probed there.

        `probes` are services and paths. Raises WharfingerError with what is not reached; nothing was changed then.
        """
        asked = "&".join(f"probe={service}{path}" for service, path in probes)
        wrong = f"the edge does not reach {live}, so traffic stays where it is"
        self._tell(f"/live/{self.site}{asked and '?'}{asked}", str(live), wrong)

    def switch_back(self, live: Live) -> None:
        """Send the site's traffic back to a slot, from the next request on; raises WharfingerError."""
        self._tell(f"/live/{self.site}", str(live), f"the edge was not told to send the traffic back to {live}")

    def maintain(self, value: str) -> None:
        """Put the site under maintenance, or end it, from the next request on; raises WharfingerError."""
        self._tell(f"/maintenance/{self.site}", value, "the edge was not told of the maintenance")

    def await_done(self, release: str, *, within: float, note: Callable[[str], None]) -> None:
        """Return once each request has ended that a release was chosen for when it began, or after `within` seconds.

        Nginx looks every ten milliseconds, and whether there is any is asked again five times a second.
        """
        deadline = time.monotonic() + within
        while left := self._under_way(release, within=deadline - time.monotonic()):
            if time.monotonic() >= deadline:
                return
            note(f"{left} request{'s'[: left != 1]} under way")

    def _under_way(self, release: str, *, within: float) -> int:
        """Return how many requests are left once there are none, or after a moment; none where Nginx does not run."""
        waited = round(max(0.0, min(_WAITED_THERE, within)) * 1000)
        status, said = self._ask(f"/flights/{self.site}/{release}?within={waited}")
        return max(0, int(said or 0)) if status == HTTPStatus.OK else 0

    def _ask(self, path: str) -> tuple[int, str]:
        try:
            return self.host.ask(self.socket, "GET", path, timeout=_ANSWERED_WITHIN)
        except NotReady:
            return 0, ""

    def _tell(self, path: str, value: str, wrong: str) -> None:
        fix = f"docker logs {self.container} says why"
        try:
            status, said = self.host.ask(self.socket, "PUT", path, value.encode(), timeout=_SWITCHED_WITHIN)
        except NotReady as error:
            status, said = 0, error.problem
            fix += "; the next deploy starts an edge that is down, and replaces one of an older Wharfinger"
        if status != HTTPStatus.OK:
            raise WharfingerError(f"{self.host.name}: {wrong}", details=said.splitlines(), fix=fix)
