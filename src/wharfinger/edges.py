"""What an edge can do, whichever Nginx it is: one in a container of ours, or the server's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from wharfinger.engine import Engine
from wharfinger.model.maintenance import Maintenance
from wharfinger.model.release import Live


class AnyEdge(Protocol):
    """The one Nginx of a server, as one environment uses it."""

    @property
    def project(self) -> str:
        """The Compose project of its container."""

    @property
    def container(self) -> str:
        """The name of its container."""

    @property
    def renewal_project(self) -> str:
        """The Compose project that renews its certificates."""

    @property
    def engine(self) -> Engine:
        """The engine of its server."""

    @property
    def site(self) -> str:
        """The name of this environment's site."""

    @property
    def listens_on(self) -> int | None:
        """The port that tells whether it runs; None where its container tells."""

    def start(self, files: Mapping[str, bytes]) -> None:
        """Write the files that all sites share, and bring Nginx up with them; sites stay as they are."""

    def put_site(self, content: bytes, live: Live) -> None:
        """Put the site's file in place once the whole configuration passes its test with it, and load it.

        Raises InvalidInput, with the old file put back byte for byte, when the test fails.
        """

    def restore_site(self, content: bytes | None, live: bytes | None, *, reload: bool = True) -> None:
        """Put back what the site's files held before (None: there were none), and load that."""

    def take_up(self) -> None:
        """Load what lies on disk, once it passes its test; raises CommandFailed where it does not."""

    def put_routes(self, content: bytes | None) -> None:
        """Put the environment's foreign routes in place, or none; raises InvalidInput, with the old ones put back."""

    def settle_routes(self, *, reload: bool) -> None:
        """Put back the foreign routes of before, where putting new ones in place was cut off."""

    def mentions(self, certificate: str) -> bool:
        """Whether any site or route on the server serves with that certificate."""

    def has_sites(self) -> bool:
        """Whether anything on the server is served."""

    def stop(self) -> None:
        """Stop it, if it is ours."""

    def live(self) -> Live | None:
        """Return where the site's traffic goes; None where Nginx does not run or does not know the site."""

    def switch(self, live: Live, probes: Iterable[tuple[str, str]] = ()) -> None:
        """Send the site's traffic somewhere else, and make that survive a restart.

        Before that Nginx itself must reach the services probed (name and path) in the slot. Raises WharfingerError.
        """

    def switch_back(self, live: Live) -> None:
        """Undo a switch, even of an Nginx that is down."""

    def close(self, maintenance: Maintenance, page: bytes) -> None:
        """Answer 503 and that page to all but those who may pass."""

    def open(self) -> None:
        """End the maintenance."""

    def settle_maintenance(self, *, tell: bool = True) -> bool:
        """Let Nginx do what is written down; return whether the site is closed."""

    def await_quiet(
        self, project: str, *, within: float, note: Callable[[str], None], only: Collection[str] | None = None
    ) -> None:
        """Return once Nginx is done with a project's containers (or with some), or after `within` seconds."""
