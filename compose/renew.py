"""Gets and renews the edge's certificates by certbot, in certbot's own image, with nothing but what that holds.

    renew.py                 for ever: look twice a day at every order whose certificate a site mentions
    renew.py NAME [--force]  now, for one order; prints {"changed": …, "problem": null or {"kinds": […], "lines": […]}}

An order is renewal/orders/NAME.json: {"domains", "directory", "email", "ca"}. What came of it last is in
renewal/states/NAME.json.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import random
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EDGE = Path("/edge")
CERTS, ORDERS, STATES = EDGE / "certs", EDGE / "renewal" / "orders", EDGE / "renewal" / "states"
CERTBOT = EDGE / "renewal" / "letsencrypt"
INTERVAL = float(os.environ.get("RENEWAL_SECONDS") or 43200)
FIRST_PAUSE, LONGEST_PAUSE = 3600.0, 86400.0
KEPT = 2
CERTBOT_SECONDS = 600
PROBLEM = re.compile(r"urn:ietf:params:acme:error:(\w+)")
NOISE = ("Saving debug log", "Ask for help", "See the logfile", "Hint:", "- - -", "Account registered")


def become_the_owner() -> None:
    """Be whoever the edge's folder belongs to, so that all that is written here is theirs."""
    owner = CERTS.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
    os.umask(0o022)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait for another renewal to end: certbot runs once at a time."""
    CERTBOT.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (CERTBOT / ".alone").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def renew(name: str, *, force: bool = False) -> tuple[bool, dict[str, list[str]] | None]:
    """Ask certbot for an order, and install what is new; return whether that changed anything, and what went wrong."""
    with alone():
        try:
            problem = ask(name, json.loads((ORDERS / f"{name}.json").read_text()), force=force)
            changed = problem is None and install(name)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            problem, changed = {"kinds": [], "lines": [f"{type(error).__name__}: {error}"]}, False
        note(name, problem)
    return changed, problem


def ask(name: str, order: dict[str, Any], *, force: bool) -> dict[str, list[str]] | None:
    """Run certbot, which orders nothing that is not due; return the kinds and words of its failure."""
    logs = Path("/tmp/certbot")  # noqa: S108 - a tmpfs of this container's own
    shutil.rmtree(logs, ignore_errors=True)
    email = ("--email", str(order["email"])) if order.get("email") else ("--register-unsafely-without-email",)
    domains = [word for domain in order["domains"] for word in ("--domain", str(domain))]
    argv = (
        *("certbot", "certonly", "--non-interactive", "--agree-tos", *email, "--server", str(order["directory"])),
        *("--webroot", "--webroot-path", str(EDGE / "acme"), "--key-type", "ecdsa", "--cert-name", name, *domains),
        *("--config-dir", str(CERTBOT), "--work-dir", f"{logs}/work", "--logs-dir", str(logs)),
        *("--no-directory-hooks", "--force-renewal" if force else "--keep-until-expiring"),
    )
    authorities = ORDERS / f"{name}.ca.pem"
    trust = {"REQUESTS_CA_BUNDLE": str(authorities)} if order.get("ca") else {}
    done = subprocess.run(
        argv, env={**os.environ, **trust}, capture_output=True, text=True, timeout=CERTBOT_SECONDS, check=False
    )
    if done.returncode == 0:
        return None
    log = logs / "letsencrypt.log"
    told = log.read_text(errors="replace") if log.is_file() else ""
    kinds = [kind for kind in dict.fromkeys(PROBLEM.findall(told)) if kind != "badNonce"]
    lines = [line.rstrip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return {"kinds": kinds, "lines": [line for line in lines if not line.startswith(NOISE)][-20:]}


def install(name: str) -> bool:
    """Point certs/NAME at certbot's newest pair in one atomic act, unless it holds that already."""
    live = CERTBOT / "live" / name
    chain, key = (live / "fullchain.pem").read_bytes(), (live / "privkey.pem").read_bytes()
    there = CERTS / name / "fullchain.pem"
    if there.is_file() and there.read_bytes() == chain:
        return False
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(live / "fullchain.pem", live / "privkey.pem")
    store = CERTS / ".store" / name
    folder = store / hashlib.sha256(chain).hexdigest()[:16]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write(folder / "privkey.pem", key, 0o600)
    write(folder / "fullchain.pem", chain, 0o644)
    responder = responder_of(chain)
    if responder is not None:
        write(folder / "stapling.conf", b"ssl_stapling on;\n", 0o644)
    fresh = CERTS / f".{name}.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(folder.relative_to(CERTS))
    fresh.replace(CERTS / name)
    old = sorted((each for each in store.iterdir() if each != folder), key=lambda each: each.stat().st_mtime)
    for each in old[: max(0, len(old) - (KEPT - 1))]:
        shutil.rmtree(each, ignore_errors=True)
    return True


def responder_of(chain: bytes) -> str | None:
    """Return where the certificate says that its revocation is told of."""
    from cryptography import x509
    from cryptography.x509.oid import AuthorityInformationAccessOID as Access

    try:
        found = x509.load_pem_x509_certificate(chain).extensions.get_extension_for_class(
            x509.AuthorityInformationAccess
        )
    except x509.ExtensionNotFound:
        return None
    return next((one.access_location.value for one in found.value if one.access_method == Access.OCSP), None)


def write(path: Path, content: bytes, mode: int) -> None:
    """Write a file that is whole and on disk once it has its name."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def note(name: str, problem: dict[str, list[str]] | None) -> None:
    """Write down how it went, and when it is to be tried again: after a failure ever later, up to a day."""
    now, failures = time.time(), 0 if problem is None else state_of(name).get("failures", 0) + 1
    pause = INTERVAL if problem is None else min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE)
    state = {"at": now, "failures": failures, "next": now + pause * random.uniform(0.9, 1.0), "problem": problem}  # noqa: S311
    STATES.mkdir(parents=True, exist_ok=True)
    write(STATES / f"{name}.json", json.dumps(state).encode() + b"\n", 0o644)


def state_of(name: str) -> dict[str, Any]:
    """Return how it went the last time; nothing where nobody knows."""
    try:
        found: dict[str, Any] = json.loads((STATES / f"{name}.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


def due(now: float) -> Iterator[str]:
    """Yield the orders to be looked at now: what no site mentions is not renewed."""
    sites = "".join(path.read_text() for path in sorted((EDGE / "sites").glob("*.conf")))
    for path in sorted(ORDERS.glob("*.json")):
        if f"certs/{path.stem}/" in sites and float(state_of(path.stem).get("next", 0)) <= now:
            yield path.stem


def keep_renewing() -> None:
    """Renew what is due, for as long as the container runs; a failure keeps the certificate that there is."""
    while True:
        for name in due(time.time()):
            changed, problem = renew(name)
            print(json.dumps({"certificate": name, "changed": changed, "problem": problem}))
            if changed:  # Nginx looks at the time of this file: see health.sh
                write(CERTS / ".changed", f"{name}\n".encode(), 0o644)
        time.sleep(min(60.0, INTERVAL))


def main(words: list[str]) -> int:
    """Renew for ever, or one order now."""
    become_the_owner()
    if not words:
        keep_renewing()
    changed, problem = renew(words[0], force="--force" in words)
    print(json.dumps({"changed": changed, "problem": problem}))
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
