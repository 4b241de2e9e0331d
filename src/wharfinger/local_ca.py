"""This machine's own certificate authority, for sites that only its user visits.

Its key never leaves the user's data folder. Nothing trusts it until the user says so (`certs.trust`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wharfinger.errors import InvalidInput
from wharfinger.hosts.files import write_atomically

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

_CA_LIFE: Final = timedelta(days=3650)
_LIFE: Final = timedelta(days=397)  # browsers refuse what lives longer
_BEFORE: Final = timedelta(hours=1)  # clocks differ


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA whose certificate and key lie in a folder of the user's own."""

    folder: Path

    @property
    def path(self) -> Path:
        """The file of its certificate, which may be given to anybody."""
        return self.folder / "ca.pem"

    def certificate(self) -> str | None:
        """Return its certificate as PEM; None where there is none yet."""
        return self.path.read_text(encoding="ascii") if self.path.is_file() and self._key.is_file() else None

    def ensure(self, clock: datetime) -> str:
        """Return its certificate as PEM, making key and certificate where there are none."""
        held = self.certificate()
        return held if held is not None else self._make(clock)

    def issue(self, domains: Sequence[str], clock: datetime) -> tuple[bytes, bytes]:
        """Return a new certificate for these names, and its key, as PEM; raises InvalidInput where the CA is broken."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID

        self.ensure(clock)
        ca, ca_key = self._load()
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(domain) for domain in domains])
        serve = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        issued = (
            _draft(domains[0][:64], ca.subject, key, clock, min(clock + _LIFE, ca.not_valid_after_utc))
            .add_extension(names, critical=False)
            .add_extension(serve, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        return _pem(issued), _key_pem(key)

    @property
    def _key(self) -> Path:
        return self.folder / "ca.key"

    def _make(self, clock: datetime) -> str:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"Wharfinger local CA {clock:%Y-%m-%d}")
        uses = dict.fromkeys(
            (
                *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
                *("key_agreement", "encipher_only", "decipher_only"),
            ),
            False,
        )
        made = (
            _draft(None, name, key, clock, clock + _CA_LIFE, subject=name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **uses), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(self._key, _key_pem(key), 0o600)
        write_atomically(self.path, _pem(made), 0o644)
        return self.path.read_text(encoding="ascii")

    def _load(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            ca = x509.load_pem_x509_certificate(self.path.read_bytes())
            key = load_pem_private_key(self._key.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise InvalidInput(
                f"{self.folder}: the local CA cannot be read: {error}",
                fix="remove that folder; a new CA is made, which you then have to trust anew",
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != ca.public_key():
            raise InvalidInput(
                f"{self.folder}: ca.key is not the key of ca.pem",
                fix="remove that folder; a new CA is made, which you then have to trust anew",
            )
        return ca, key


def of_user(environ: Mapping[str, str] = os.environ) -> Authority:
    """Return the user's own CA, in the user's data folder (XDG Base Directory Specification)."""
    data_home = environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Authority(Path(data_home) / "wharfinger-ca")


def _draft(
    name: str | None,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    clock: datetime,
    end: datetime,
    *,
    subject: x509.Name | None = None,
) -> x509.CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject if subject is not None else _name(name or ""))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(clock - _BEFORE)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
