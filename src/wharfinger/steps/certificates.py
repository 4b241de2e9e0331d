"""Verbs on the certificates of the edge; what they put there stays, since the next try would have to ask again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from wharfinger.console import Step as Shown
from wharfinger.edge_certificates import EdgeCertificates
from wharfinger.hosts import File
from wharfinger.local_ca import Authority
from wharfinger.model.tls import Wish
from wharfinger.steps import World


@dataclass(frozen=True, slots=True)
class StartRenewal:
    """Bring up what renews the edge's certificates unattended."""

    files: Mapping[str, bytes] = field(repr=False)
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "start the renewal of certificates"

    def run(self, world: World, shown: Shown) -> None:
        """Write its files, and start it."""
        shown.note(world.edge.renewal_project)
        _certificates(world).start_renewal(self.files)

    def undo(self, world: World) -> None:
        """Nothing: it renews for every stack of the server."""


@dataclass(frozen=True, slots=True)
class ObtainCertificate:
    """Get a certificate from an ACME server, before anything of the release is touched."""

    certificate: str
    domains: tuple[str, ...]
    directory: str
    wish: Wish = field(repr=False)
    order: bytes = field(repr=False)
    authorities: bytes | None = field(repr=False)
    """The CAs of a private ACME server, as PEM."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"obtain the certificate of {', '.join(self.domains)}"

    def run(self, world: World, shown: Shown) -> None:
        """Ask for it; what is there already and still good is not asked for again."""
        host = urlsplit(self.directory).hostname or self.directory
        shown.note(f"from {host}")
        fresh = _certificates(world).obtain(self.wish, self.order, self.authorities)
        shown.conclude(f"from {host}" if fresh else "there already")

    def undo(self, world: World) -> None:
        """Nothing: ACME servers count how often they are asked, and the next deploy needs it."""


@dataclass(frozen=True, slots=True)
class IssueCertificate:
    """Make a certificate of this machine's local CA."""

    certificate: str
    domains: tuple[str, ...]
    folder: str
    """Where the CA lies on the machine that is deployed from."""
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return f"issue the certificate of {', '.join(self.domains)}"

    def run(self, world: World, shown: Shown) -> None:
        """Sign it here, and put it in place there."""
        shown.note("by the local CA")
        chain, key = Authority(Path(self.folder)).issue(self.domains, datetime.now(UTC))
        _certificates(world).put(self.certificate, chain, key)

    def undo(self, world: World) -> None:
        """Nothing: no site but this one serves with it."""


@dataclass(frozen=True, slots=True)
class PutTrust:
    """Note beside the certificates which CAs those who ask the site are to trust."""

    content: str | None = field(repr=False)
    before: str | None = field(repr=False)
    tidies: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What it does."""
        return "note the CA of the site's certificate" if self.content else "trust only public CAs"

    def run(self, world: World, shown: Shown) -> None:
        """Write it, or remove it."""
        _put_trust(world, self.content)

    def undo(self, world: World) -> None:
        """Put the old ones back."""
        _put_trust(world, self.before)


def _put_trust(world: World, content: str | None) -> None:
    if content is None:
        world.host.remove(world.layout.trust)
    else:
        world.host.write({world.layout.trust: File(content.encode())})


def _certificates(world: World) -> EdgeCertificates:
    return EdgeCertificates(world.host, world.edge, world.layout)
