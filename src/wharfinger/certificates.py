"""What certificates say, and why one cannot serve: read from their PEM files, by a clock that the caller holds."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography import x509

WARN_BEFORE: Final = timedelta(days=21)
"""How long before its end a certificate that was not renewed is something to be told of."""
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_DAY: Final = 86400


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that serves or may serve: the first of a chain."""

    domains: tuple[str, ...]
    """The names that it is for, lower case; `*.example.com` stands for one label more."""
    issuer: str
    serial: str
    """Hexadecimal, upper case."""
    begins: datetime
    ends: datetime
    ocsp: str | None = None
    """Where is told whether it was revoked; hardly any certificate has this still."""

    def covers(self, domain: str) -> bool:
        """Whether it is for a host name."""
        _, _, parent = domain.lower().partition(".")
        return bool({domain.lower(), f"*.{parent}"} & set(self.domains))

    def days_left(self, clock: datetime) -> int:
        """Return the whole days until it ends, rounded down; negative once it has."""
        return int((self.ends - clock).total_seconds() // _DAY)

    def is_valid(self, clock: datetime) -> bool:
        """Whether browsers accept its dates."""
        return self.begins <= clock < self.ends

    def ends_soon(self, clock: datetime) -> bool:
        """Whether its renewal is overdue: 21 days before its end, or a third of its life where that is less."""
        return self.ends - clock < min(WARN_BEFORE, (self.ends - self.begins) / 3)

    def warning(self, clock: datetime) -> str | None:
        """Return what is to be told of its dates; None where they are well."""
        if clock >= self.ends:
            return f"it ended on {self.ends:%Y-%m-%d %H:%M} UTC: browsers refuse the site"
        if clock < self.begins:
            return f"it begins on {self.begins:%Y-%m-%d %H:%M} UTC only"
        return f"it ends on {self.ends:%Y-%m-%d}, in {self.days_left(clock)} days" if self.ends_soon(clock) else None


def read(fullchain: bytes | None) -> Certificate | None:
    """Return what the first certificate of a PEM file says; None where there is none that can be read."""
    chain = _chain(fullchain or b"")
    return _facts(chain[0]) if chain else None


def problems(fullchain: bytes, key: bytes, domains: Sequence[str], clock: datetime) -> tuple[str, ...]:
    """Return all reasons why a chain and its key cannot serve these domains."""
    chain = _chain(fullchain)
    if not chain:
        return ("fullchain.pem holds no certificate that can be read",)
    facts = _facts(chain[0])
    ends = [_facts(one) for one in chain if not _facts(one).is_valid(clock)]
    found = [f"the certificate of {_named(one)} {_since(one, clock)}" for one in ends]
    missing = [domain for domain in domains if not facts.covers(domain)]
    if missing:
        found.append(f"it is for {', '.join(facts.domains) or 'no name'}, not for {', '.join(missing)}")
    return (*found, *_key_problems(chain[0], key), *_order_problems(chain))


def is_signed_by(fullchain: bytes, authority: bytes) -> bool:
    """Whether a CA, given as PEM, signed the first certificate of a chain."""
    chain, roots = _chain(fullchain), _chain(authority)
    return bool(chain) and any(_signed(chain[0], root) for root in roots)


def _signed(child: x509.Certificate, parent: x509.Certificate) -> bool:
    with contextlib.suppress(Exception):  # whatever keeps it from being verified
        child.verify_directly_issued_by(parent)
        return True
    return False


def _since(one: Certificate, clock: datetime) -> str:
    if clock >= one.ends:
        return f"ended on {one.ends:%Y-%m-%d %H:%M} UTC"
    return f"begins on {one.begins:%Y-%m-%d %H:%M} UTC"


def _named(one: Certificate) -> str:
    return one.domains[0] if one.domains else f"serial {one.serial}"


def _key_problems(leaf: x509.Certificate, pem: bytes) -> Iterator[str]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        yield "privkey.pem wants a password, which nobody can type when Nginx starts; openssl pkey -in … removes it"
    except (ValueError, UnsupportedAlgorithm):
        yield "privkey.pem holds no private key that can be read"
    else:
        if key.public_key() != leaf.public_key():
            yield "privkey.pem is not the key of the first certificate in fullchain.pem"


def _order_problems(chain: Sequence[x509.Certificate]) -> Iterator[str]:
    """Yield where a certificate is not followed by the one that signed it; the root itself need not be there."""
    for child, parent in itertools.pairwise(chain):
        if not _signed(child, parent):
            yield (
                f"fullchain.pem is out of order: `{child.subject.rfc4514_string()}` is followed by "
                f"`{parent.subject.rfc4514_string()}`, which did not sign it; first the site's own, then its issuer's"
            )
            return


def _chain(pem: bytes) -> list[x509.Certificate]:
    from cryptography import x509

    if _BEGIN not in pem:
        return []
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []


def _facts(certificate: x509.Certificate) -> Certificate:
    return Certificate(
        domains=tuple(_names(certificate)),
        issuer=_name_of(certificate.issuer),
        serial=f"{certificate.serial_number:X}",
        begins=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
        ocsp=next(_responders(certificate), None),
    )


def _names(certificate: x509.Certificate) -> Iterable[str]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]


def _responders(certificate: x509.Certificate) -> Iterator[str]:
    from cryptography import x509
    from cryptography.x509.oid import AuthorityInformationAccessOID

    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return
    for entry in access:
        if entry.access_method == AuthorityInformationAccessOID.OCSP:
            yield entry.access_location.value


def _name_of(name: x509.Name) -> str:
    from cryptography.x509.oid import NameOID

    for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        found = name.get_attributes_for_oid(kind)
        if found:
            return str(found[0].value)
    return name.rfc4514_string()
