"""Accounts: passwords kept as scrypt hashes, sessions as signed cookies."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from sevra_atlas.database import Database

COST, BLOCK, LANES = 2**14, 8, 5  # 16 MiB and some 150 ms: OWASP's setting for little memory
SESSION_SECONDS = 14 * 24 * 3600
PASSWORD_LENGTHS = range(10, 129)

_hashing = asyncio.Semaphore(4)  # a burst of sign-ins may use 64 MiB, not the container's whole limit


class EmailTakenError(Exception):
    """There is an account with this e-mail address already."""


@dataclass(frozen=True)
class Account:
    """Somebody who may add places and photos."""

    id: int
    name: str
    email: str


def _scrypt(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    memory = 256 * cost * block
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=lanes, maxmem=memory, dklen=32)


async def hash_password(password: str) -> str:
    """Return `password` in the form that is stored: scrypt$cost$block$lanes$salt$hash."""
    salt = secrets.token_bytes(16)
    async with _hashing:
        digest = await asyncio.to_thread(_scrypt, password, salt, COST, BLOCK, LANES)
    return f"scrypt${COST}${BLOCK}${LANES}${salt.hex()}${digest.hex()}"


async def is_password(password: str, stored: str) -> bool:
    """Tell whether `password` is the one that `stored` was made from."""
    _, cost, block, lanes, salt, digest = stored.split("$")
    async with _hashing:
        actual = await asyncio.to_thread(_scrypt, password, bytes.fromhex(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(actual, bytes.fromhex(digest))


async def sign_up(database: Database, name: str, email: str, password: str) -> Account:
    """Create an account; raise EmailTakenError if the address has one, whatever its letters' case."""
    stored = await hash_password(password)
    try:
        row = await database.fetchrow(
            "INSERT INTO users (name, email, password) VALUES ($1, $2, $3) RETURNING id, name, email",
            name, email.lower(), stored,
        )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise EmailTakenError from error
    assert row is not None  # RETURNING gives the row that was inserted
    return Account(**row)


async def sign_in(database: Database, email: str, password: str) -> Account | None:
    """Return the account if the password is right; an unknown address takes as long as a wrong password."""
    row = await database.fetchrow("SELECT id, name, email, password FROM users WHERE email = $1", email.lower())
    if row is None:
        await hash_password(password)
        return None
    if not await is_password(password, row["password"]):
        return None
    return Account(row["id"], row["name"], row["email"])


async def find_account(database: Database, account_id: int) -> Account | None:
    """Return the account with this id, if it still exists."""
    row = await database.fetchrow("SELECT id, name, email FROM users WHERE id = $1", account_id)
    return Account(**row) if row else None


def _signature(payload: str, key: bytes) -> str:
    digest = hmac.digest(key, payload.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def make_session(account_id: int, now: float, key: bytes) -> str:
    """Return the value of a session cookie for an account, good for 14 days from `now` (Unix seconds)."""
    payload = f"{account_id}.{int(now) + SESSION_SECONDS}"
    return f"{payload}.{_signature(payload, key)}"


def read_session(cookie: str, now: float, key: bytes) -> int | None:
    """Return the account id of a session cookie, or None if it is forged, damaged or over."""
    payload, _, signature = cookie.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(payload, key).encode()):
        return None
    account_id, _, until = payload.partition(".")
    return int(account_id) if int(until) > now else None
