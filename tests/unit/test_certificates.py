"""What certificates say, and why one cannot serve."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wharfinger import certificates
from wharfinger.errors import InvalidInput
from wharfinger.local_ca import Authority, of_user

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
DOMAINS = ("atlas.example.com", "www.atlas.example.com")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A CA of a test's own."""
    return Authority(tmp_path / "ca")


def test_a_certificate_says_for_whom_by_whom_and_until_when_it_is(authority: Authority) -> None:
    chain, _ = authority.issue(DOMAINS, NOW)
    found = certificates.read(chain)
    assert found is not None
    assert found.domains == DOMAINS
    assert found.issuer == "Wharfinger local CA 2026-11-20"
    assert found.days_left(NOW) == 397
    assert found.is_valid(NOW)
    assert found.warning(NOW) is None
    assert found.ocsp is None


@pytest.mark.parametrize(
    "pem", [None, b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_none(pem: bytes | None) -> None:
    assert certificates.read(pem) is None


def test_a_good_pair_has_no_problem(authority: Authority) -> None:
    chain, key = authority.issue(DOMAINS, NOW)
    assert certificates.problems(chain, key, DOMAINS, NOW) == ()
    assert certificates.problems(chain + authority.ensure(NOW).encode(), key, DOMAINS, NOW) == ()


def test_every_problem_is_told_at_once(authority: Authority) -> None:
    chain, _ = authority.issue(DOMAINS, NOW)
    _, other_key = authority.issue(DOMAINS, NOW)
    late = NOW + timedelta(days=400)
    told = certificates.problems(chain, other_key, ("shop.example.com",), late)
    assert told == (
        "the certificate of atlas.example.com ended on 2027-12-22 14:30 UTC",
        "it is for atlas.example.com, www.atlas.example.com, not for shop.example.com",
        "privkey.pem is not the key of the first certificate in fullchain.pem",
    )


def test_a_chain_out_of_order_is_told(authority: Authority, tmp_path: Path) -> None:
    chain, key = authority.issue(DOMAINS, NOW)
    stranger = Authority(tmp_path / "stranger").ensure(NOW).encode()
    (told,) = certificates.problems(chain + stranger, key, DOMAINS, NOW)
    assert "out of order" in told


@pytest.mark.parametrize(("key", "why"), [(b"", "no private key"), (b"-----BEGIN X-----", "no private key")])
def test_a_key_that_cannot_be_read_is_told(authority: Authority, key: bytes, why: str) -> None:
    chain, _ = authority.issue(DOMAINS, NOW)
    (told,) = certificates.problems(chain, key, DOMAINS, NOW)
    assert why in told


def test_a_key_with_a_password_is_told_with_its_mend(authority: Authority) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    chain, key = authority.issue(DOMAINS, NOW)
    locked = load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
    )
    (told,) = certificates.problems(chain, locked, DOMAINS, NOW)
    assert "openssl pkey" in told


def test_a_wildcard_stands_for_one_label(authority: Authority) -> None:
    found = certificates.read(authority.issue(("*.example.com",), NOW)[0])
    assert found is not None
    assert found.covers("shop.example.com")
    assert found.covers("SHOP.example.com")
    assert not found.covers("example.com")
    assert not found.covers("a.shop.example.com")


@pytest.mark.parametrize(
    ("life", "left", "warned"),
    [(90, 22, False), (90, 20, True), (6, 3, False), (6, 1, True), (90, -1, True)],
)
def test_a_warning_comes_21_days_before_the_end_or_a_third_of_a_short_life(life: int, left: int, warned: bool) -> None:
    ends = NOW + timedelta(days=left)
    one = certificates.Certificate(("a.example.com",), "CA", "1", ends - timedelta(days=life), ends)
    assert (one.warning(NOW) is not None) == warned


def test_the_ca_is_made_once_and_its_key_is_the_users_only(authority: Authority) -> None:
    assert authority.certificate() is None
    first = authority.ensure(NOW)
    assert authority.ensure(NOW + timedelta(days=9)) == first
    assert (authority.folder / "ca.key").stat().st_mode & 0o777 == 0o600
    assert authority.folder.stat().st_mode & 0o777 == 0o700
    chain, _ = authority.issue(DOMAINS, NOW)
    assert certificates.is_signed_by(chain, first.encode())
    assert b"PRIVATE" not in chain


def test_a_broken_ca_is_told_with_its_mend(authority: Authority) -> None:
    authority.ensure(NOW)
    (authority.folder / "ca.key").write_bytes(b"not a key")
    with pytest.raises(InvalidInput) as told:
        authority.issue(DOMAINS, NOW)
    assert "remove that folder" in told.value.fix


def test_the_ca_lies_in_the_users_data_folder() -> None:
    assert of_user({"XDG_DATA_HOME": "/data"}).path == Path("/data/wharfinger-ca/ca.pem")
