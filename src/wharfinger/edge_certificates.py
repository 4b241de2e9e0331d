"""The certificates of a server's edge: how one gets there, which ones serve, and how their renewal goes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Final

from wharfinger import certificates
from wharfinger.certificates import Certificate
from wharfinger.commands import compose, host_nginx, renewal
from wharfinger.edges import AnyEdge
from wharfinger.errors import CommandFailed, InvalidInput, StepFailed, WharfingerError
from wharfinger.hosts import File, Host
from wharfinger.model.release import Layout
from wharfinger.model.tls import Wish

_START_TIMEOUT: Final = 120.0
_ORDER_TIMEOUT: Final = 700.0
_SHOWN_WITHIN: Final = 10.0
_SERVED: Final = re.compile(rb"^\s*ssl_certificate certs/([^/;\s]+)/", re.MULTILINE)
_SHOWN: Final = re.compile(rb"listen (\S+) ssl[^}]*?ssl_certificate (/\S+)/fullchain\.pem;[^}]*?server_name ([^\s;]+)")
"""The sites of the server's own Nginx: it finds certificates by whole paths."""
_FIXES: Final[Mapping[str, str]] = {
    "dns": "let an A or AAAA record of each name lead to this server; `aliases` and `domain` say which they are",
    "connection": "the ACME server comes to port 80 of each name: let its DNS lead here, and the firewall let it in",
    "unauthorized": "another server answers at that name: let its A and AAAA records lead here, and only here",
    "caa": "a CAA record of the domain forbids this CA: allow it there, or name another `acme.directory`",
    "rateLimited": "wait as long as it says; meanwhile try with the CA's own staging `acme.directory`",
    "rejectedIdentifier": "this CA gives no certificate for such a name: correct `domain` and `aliases`",
    "unsupportedIdentifier": "this CA gives no certificate for such a name: correct `domain` and `aliases`",
    "invalidContact": "correct `acme.email`, or leave it out",
    "externalAccountRequired": "this CA wants an account made beforehand, which is not supported: choose another",
}


@dataclass(frozen=True, slots=True)
class Served:
    """A certificate that a site or route of an environment serves with."""

    name: str
    certificate: Certificate | None
    """None: what lies there cannot be read, or Nginx shows none."""
    failures: int = 0
    """How often its renewal has failed in a row."""
    problem: tuple[str, ...] = ()
    """What was said the last time."""
    tried: str | None = None
    """When that was, ISO 8601 in UTC."""

    def warning(self, clock: datetime) -> str | None:
        """Return what is to be told of it, in words; None where all is well."""
        if self.certificate is None:
            return f"certificate {self.name}: {'; '.join(self.problem) or 'there is none that can be read'}"
        found = self.certificate.warning(clock)
        if found is None:
            return None
        again = f"; its renewal has failed {self.failures} times, last at {self.tried}" if self.failures else ""
        said = f": {self.problem[-1].strip()}" if self.failures and self.problem else ""
        return f"certificate {self.name}: {found}{again}{said}"

    def facts(self, clock: datetime) -> dict[str, Any]:
        """Return it as listings show it."""
        one = self.certificate
        return {
            "name": self.name,
            "domains": list(one.domains) if one else [],
            "issuer": one.issuer if one else None,
            "serial": one.serial if one else None,
            "ends": one.ends.isoformat() if one else None,
            "days_left": one.days_left(clock) if one else None,
            "renewal_failures": self.failures,
            "renewal_tried": self.tried,
            "warning": self.warning(clock),
        }


def served(host: Host, layout: Layout) -> tuple[Served, ...]:
    """Return the certificates that the site and the routes of an environment serve with, each once."""
    text = b"\n".join(host.read(path) or b"" for path in (layout.site, layout.routes))
    held = tuple(_served(host, layout, name.decode()) for name in dict.fromkeys(_SERVED.findall(text)))
    sites: dict[str, tuple[str, str]] = {}
    for listen, folder, domain in _SHOWN.findall(text):
        sites.setdefault(folder.decode(), (listen.decode(), domain.decode()))
    return (*held, *(_shown(host, folder, *site) for folder, site in sites.items()))


def _shown(host: Host, folder: str, listen: str, domain: str) -> Served:
    """Ask the server's own Nginx what it shows: the files are not ours to read, and it may not have loaded new ones."""
    address = listen if ":" in listen else f"127.0.0.1:{listen}"
    argv = host_nginx.show_certificate(address, domain.replace("*", "any"))
    try:
        shown = host.run(argv, timeout=_SHOWN_WITHIN, check=False).stdout
    except WharfingerError as error:  # there is no such command, or nothing answers
        return Served(folder, None, problem=(error.problem,))
    found = certificates.read(shown.encode())
    return Served(folder, found, problem=() if found else (f"Nginx shows none for {domain}",))


def _served(host: Host, layout: Layout, name: str) -> Served:
    state: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        state = json.loads(host.read(layout.renewal / "states" / f"{name}.json") or b"{}")
    tried = state.get("at")
    return Served(
        name,
        certificates.read(host.read(layout.chain(name))),
        failures=state.get("failures", 0),
        problem=tuple((state.get("problem") or {}).get("lines", ())),
        tried=None if tried is None else datetime.fromtimestamp(tried, UTC).isoformat(timespec="seconds"),
    )


@dataclass(frozen=True, slots=True)
class EdgeCertificates:
    """The certificates of the edge that one environment uses."""

    host: Host
    edge: AnyEdge
    layout: Layout

    def start_renewal(self, files: Mapping[str, bytes]) -> None:
        """Bring up what renews certificates unattended, also after a reboot."""
        folder = self.layout.renewal
        for name in ("orders", "states"):
            self.host.make_folder(folder / name)
        self.host.write({folder / name: File(content) for name, content in files.items()})
        argv = compose.up(self.edge.renewal_project, str(folder / "compose.yaml"))
        self.host.run(argv, timeout=_START_TIMEOUT)

    def obtain(self, wish: Wish, order: bytes, authorities: bytes | None) -> bool:
        """Get a certificate from its ACME server; return whether there is a new one.

        Raises StepFailed with the server's own words, and then leaves all as it was.
        """
        path, trusted = self._orders / f"{wish.name}.json", self._orders / f"{wish.name}.ca.pem"
        before = self.host.read(path)
        files = {path: File(order)} | ({trusted: File(authorities)} if authorities is not None else {})
        self.host.write(files)
        try:
            return self.renew(wish.name)
        except StepFailed:
            if before is None:
                self.host.remove(path)
                self.host.remove(trusted)
            raise

    def renew(self, name: str, *, force: bool = False) -> bool:
        """Renew a certificate that was ordered, where it is due or `force` is set; return whether there is a new one.

        Nginx loads it only then. Raises StepFailed, and the old certificate serves on.
        """
        argv = renewal.renew(self.edge.renewal_project, name, force=force)
        done = self.host.run(argv, timeout=_ORDER_TIMEOUT, check=False)
        answer = _answer(done.stdout)
        if answer is None:
            raise StepFailed(
                f"{self.host.name}: certbot does not answer",
                details=done.stderr.splitlines()[-10:],
                fix=f"docker logs {renewal.container(self.edge.renewal_project)}",
            )
        if answer["problem"] is not None:
            raise _refused(name, answer["problem"])
        if answer["changed"] and self.edge.mentions(name):
            self.edge.take_up()
        return bool(answer["changed"])

    def put(self, name: str, fullchain: bytes, key: bytes) -> None:
        """Put a certificate in place in one atomic act, and let Nginx load it where a site serves with it.

        Raises InvalidInput where Nginx refuses it, with the old one back in place.
        """
        where = f".store/{name}/{hashlib.sha256(fullchain).hexdigest()[:16]}"
        folder, link = self.layout.certs / where, self.layout.certs / name
        before = self.host.link_target(link)
        if before is None and self.host.names_in(link):
            raise InvalidInput(
                f"{link} is a folder that somebody made by hand",
                fix=f"move it away and try again, or replace its files yourself and run "
                f"docker exec {self.edge.container} nginx -s reload",
            )
        found = certificates.read(fullchain)
        files = {folder / "privkey.pem": File(key, 0o600), folder / "fullchain.pem": File(fullchain)}
        if found is not None and found.ocsp is not None:
            files[folder / "stapling.conf"] = File(b"ssl_stapling on;\n")
        self.host.write(files)
        self.host.link(link, where)
        if not self.edge.mentions(name):
            return
        try:
            self.edge.take_up()
        except CommandFailed as error:
            self._put_back(link, before)
            raise InvalidInput(
                f"{self.host.name}: Nginx refuses the certificate; the old one is back in place",
                details=error.stderr.splitlines()[-5:],
                fix="see whether fullchain.pem and privkey.pem belong together",
            ) from None
        self._forget_old(folder.parent, {PurePosixPath(where).name, PurePosixPath(before or ".").name})

    def _put_back(self, link: PurePosixPath, before: str | None) -> None:
        if before is None:
            self.host.remove(link)
        else:
            self.host.link(link, before)

    def _forget_old(self, store: PurePosixPath, kept: set[str]) -> None:
        for name in self.host.names_in(store):
            if name not in kept:
                self.host.remove(store / name)

    @property
    def _orders(self) -> PurePosixPath:
        return self.layout.renewal / "orders"


def _answer(stdout: str) -> dict[str, Any] | None:
    last = stdout.strip().rpartition("\n")[2]
    with contextlib.suppress(ValueError):
        answer = json.loads(last)
        if isinstance(answer, dict) and {"changed", "problem"} <= set(answer):
            return answer
    return None


def _refused(name: str, problem: Mapping[str, Any]) -> StepFailed:
    kinds = tuple(problem.get("kinds", ()))
    fixes: Iterator[str] = (_FIXES[kind] for kind in kinds if kind in _FIXES)
    return StepFailed(
        f"the ACME server gives no certificate for {name}" + (f" ({', '.join(kinds)})" if kinds else ""),
        details=tuple(problem.get("lines", ())),
        fix=next(fixes, "mend what is said there; nothing was changed"),
    )
