"""The `tls` section of an environment: where the certificate of a site or a route comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from wharfinger.model.site import WholeSeconds
from wharfinger.model.values import Model

LETS_ENCRYPT: Final = "https://acme-v02.api.letsencrypt.org/directory"

Source = Literal["own", "acme", "local"]
"""Who makes a certificate: the user, an ACME server, or this machine's local CA."""

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
CertificateName = Annotated[str, StringConstraints(pattern=rf"^({_NAME}|(/{_NAME})+)$", max_length=120)]
"""A name that is safe as a folder, or the whole path of one."""


class Acme(Model):
    """A certificate from an ACME server, got over HTTP-01 through the edge and renewed unattended.

    Who gives this section agrees to that server's terms.
    """

    email: Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    """Where it writes to about the account; absent: nowhere."""
    directory: Annotated[str, StringConstraints(pattern=r"^https://[^\s\"']+$")] = LETS_ENCRYPT
    """Its address; Let's Encrypt's where absent."""
    ca: str | None = None
    """For a private ACME server: a PEM file in the stack's folder: the CAs of its address and of what it issues."""


class Tls(Model):
    """How an environment's site serves HTTPS: with one of `certificate`, `acme` and `local`."""

    certificate: CertificateName | None = None
    """The folder under the edge's `certs/` that holds fullchain.pem and privkey.pem; `certs.put` makes it.

    For the server's own Nginx also the whole path of one.
    """
    ca: str | None = None
    """For a `certificate` that no public CA signed: a PEM file in the stack's folder, of the CAs that checks trust."""
    acme: Acme | None = None
    local: bool = False
    """A certificate of this machine's own CA, which `certs.trust` makes browsers trust."""
    https_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The port that visitors see, to which plain HTTP is sent on; absent: the one that the edge listens on."""
    hsts: WholeSeconds | None = None
    """How long browsers shall refuse plain HTTP for this site; absent: they are not told."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum((self.certificate is not None, self.acme is not None, self.local)) != 1:
            raise ValueError("one of `certificate`, `acme` and `local: true` says where the certificate comes from")
        if self.ca is not None and self.certificate is None:
            raise ValueError("`ca` belongs to a `certificate` of your own; `acme` has one itself")
        return self

    @property
    def private_ca(self) -> str | None:
        """The file of the CAs which only this stack knows of; None: there is none."""
        return self.acme.ca if self.acme is not None else self.ca

    @property
    def source(self) -> Source:
        """Who makes the certificate."""
        if self.acme is not None:
            return "acme"
        return "local" if self.local else "own"


@dataclass(frozen=True, slots=True)
class Wish:
    """A certificate that an environment needs: its folder under the edge's `certs/`, and the names it is for."""

    name: str
    domains: tuple[str, ...]
    tls: Tls


def wish(tls: Tls, owner: str, domains: Sequence[str]) -> Wish:
    """Return the certificate that `owner`, a site or route, needs for its domains.

    One that is made for it has another name for other domains or another maker, so that the site which serves keeps
    its own until the new one is in place.
    """
    if tls.certificate is not None:
        return Wish(tls.certificate, tuple(domains), tls)
    maker = tls.acme.directory if tls.acme is not None else "local"
    digest = hashlib.sha256("\0".join((maker, *domains)).encode()).hexdigest()[:8]
    return Wish(f"{owner}-{digest}", tuple(domains), tls)
