"""Certificates: what a deploy needs to know of them, and the tasks that show, renew, put and trust them."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from wharfinger import certificates, local_ca
from wharfinger.connecting import Server, connect, connect_all, of_each
from wharfinger.console import Console
from wharfinger.edge_certificates import EdgeCertificates, served
from wharfinger.errors import InvalidInput, UsageError, WharfingerError
from wharfinger.hosts import Host
from wharfinger.hosts.local import LocalHost
from wharfinger.model.release import Layout
from wharfinger.model.tls import Wish
from wharfinger.planning.wanted import Certificates
from wharfinger.project import Place
from wharfinger.rendering.renewal import renewal_files
from wharfinger.showing import table

_FILES: Final = ("fullchain.pem", "privkey.pem")
_TIMEOUT: Final = 60.0


def wanted(place: Place, *, touch: bool) -> Certificates:
    """Return the certificates that an environment is to have; where `touch` is set, a missing local CA is made.

    Raises InvalidInput where a file that the stack names cannot be read.
    """
    wishes = place.stack.certificates(place.environment_name)
    if not wishes:
        return _of_own_nginx(place)
    authority = local_ca.of_user()
    held = authority.ensure(datetime.now(UTC)) if touch and any(one.tls.local for one in wishes) else None
    root = held or authority.certificate()
    authorities = {one.name: _authorities(place, one.tls.private_ca) for one in wishes if one.tls.private_ca}
    if root is not None:
        authorities |= {one.name: root.encode() for one in wishes if one.tls.local}
    served_by_site = place.stack.site is not None and place.environment.tls is not None
    return Certificates(
        wishes,
        authorities,
        str(authority.folder),
        renewal_files(place.environment.edge.project) if any(one.tls.acme for one in wishes) else {},
        wishes[0].name if served_by_site else None,
    )


def _of_own_nginx(place: Place) -> Certificates:
    """Return what there is to know of a certificate that the server's own Nginx serves with: whom to trust."""
    tls, site = place.environment.tls, place.target.name
    if place.stack.site is None or tls is None or tls.private_ca is None:
        return Certificates()
    return Certificates(authorities={site: _authorities(place, tls.private_ca)}, site=site)


def _authorities(place: Place, file: str) -> bytes:
    path = place.folder / file
    content = path.read_bytes() if path.is_file() else b""
    if certificates.read(content) is None:
        raise InvalidInput(
            f"{path}: `ca` names no PEM file of CA certificates",
            fix="put it there, or correct `ca` in stack.yaml",
        )
    return content


def refuse_unfit(place: Place, host: Host, layout: Layout) -> None:
    """Raise InvalidInput with all that keeps certificates of the user's own from serving."""
    found = [
        f"{layout.certs / wish.name}: {problem}"
        for wish in place.stack.certificates(place.environment_name)
        if wish.tls.certificate is not None
        for problem in _unfit(wish, host, layout)
    ]
    if found:
        raise InvalidInput(
            f"{place.target.name}: its certificate cannot serve; nothing was touched",
            details=found,
            fix=f"invoke certs.put --env {place.environment_name} --folder FOLDER checks and puts a better one there",
        )


def _unfit(wish: Wish, host: Host, layout: Layout) -> tuple[str, ...]:
    chain, key = (host.read(layout.certs / wish.name / name) for name in _FILES)
    missing = [name for name, content in zip(_FILES, (chain, key), strict=True) if content is None]
    if chain is None or key is None:
        return tuple(f"{name} is missing" for name in missing)
    return certificates.problems(chain, key, wish.domains, datetime.now(UTC))


def status(place: Place, console: Console, *, as_json: bool) -> None:
    """Show the certificates that serve, until when, and how their renewal goes.

    Raises NotReady for a server that cannot be reached, once those of the others were shown.
    """
    clock = datetime.now(UTC)
    held, away = of_each(place, lambda server: tuple(served(server.host, server.layout)))
    if held:
        found = [{"server": server, **one.facts(clock)} for server, of_one in held.items() for one in of_one]
        _show(found, place, console, as_json=as_json)
    for error in away.values():
        raise error


def _show(found: list[dict[str, Any]], place: Place, console: Console, *, as_json: bool) -> None:
    if as_json:
        console.json(found)
        return
    rows = {
        server: [
            (
                one["name"],
                " ".join(one["domains"]),
                one["issuer"] or "",
                one["ends"] or "",
                str(one["days_left"] if one["days_left"] is not None else ""),
            )
            for one in found
            if one["server"] == server
        ]
        for server in place.environment.servers
    }
    if found:
        table(console, place, ("certificate", "domains", "issuer", "ends", "days left"), rows)
    else:
        console.data("no certificate serves")
    for one in found:
        if one["warning"]:
            console.warn(one["warning"])


def renew(place: Place, console: Console, *, force: bool, dry: bool) -> None:
    """Renew the certificates of ACME servers that are due, or all with `force`; Nginx loads what is new.

    Raises StepFailed, and the old certificate serves on.
    """
    wishes = [one for one in place.stack.certificates(place.environment_name) if one.tls.acme is not None]
    if not wishes:
        raise UsageError(
            f"{place.environment_name} has no certificate of an ACME server",
            fix="`tls: {acme: {}}` in stack.yaml asks for one; your own are replaced by invoke certs.put",
        )
    with connect(place) as server:
        keeper = _keeper(server)
        if not server.engine.project(server.edge.renewal_project):
            fix = f"invoke deploy --env {place.environment_name} starts it"
            raise WharfingerError("the renewal of certificates does not run", fix=fix)
        if dry:
            return
        with console.steps(()) as steps:
            for one in wishes:
                with steps.step(f"renew {', '.join(one.domains)}") as shown:
                    shown.conclude("renewed" if keeper.renew(one.name, force=force) else "not due")


def put(place: Place, console: Console, folder: str, *, dry: bool) -> None:
    """Check a certificate of the user's own and put it in place; Nginx loads it where the site serves with it.

    Raises InvalidInput with all that keeps it from serving, or where Nginx refuses it.
    """
    own = [one for one in place.stack.certificates(place.environment_name) if one.tls.certificate is not None]
    if not own:
        raise UsageError(
            f"{place.environment_name} names no certificate of your own",
            fix=f"tls: {{certificate: NAME}} in environments.{place.environment_name} of stack.yaml",
        )
    chain, key = (_read(Path(folder) / name) for name in _FILES)
    one = next((each for each in own if not certificates.problems(chain, key, each.domains, datetime.now(UTC))), None)
    if one is None:
        raise InvalidInput(
            f"{folder}: this certificate cannot serve; nothing was touched",
            details=certificates.problems(chain, key, own[0].domains, datetime.now(UTC)),
            fix="get one that can from whoever issued it",
        )
    with connect_all(place) as servers:
        for server in () if dry else servers:
            server.host.make_folder(server.layout.certs)
            _keeper(server).put(one.name, chain, key)
    found = certificates.read(chain)
    console.say(
        f"{one.name} holds the certificate of {', '.join(one.domains)}"
        + (f" until {found.ends:%Y-%m-%d}" if found else "")
    )


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise UsageError(f"{path}: no such file", fix="--folder names a folder with fullchain.pem and privkey.pem")
    return path.read_bytes()


def trust(console: Console, *, assume_yes: bool, dry: bool) -> None:
    """Show the commands that make this machine trust the local CA, and run them where the user agrees."""
    authority = local_ca.of_user()
    path = authority.path
    if authority.certificate() is None:
        raise UsageError("there is no local CA yet", fix="deploy an environment with `tls: {local: true}` first")
    commands = tuple(_trusting(path))
    console.say(f"the local CA is {path}; curl takes it with --cacert {path}")
    for argv in commands:
        console.data(shlex.join(argv))
    if not commands:
        console.warn("no way is known to make this system trust it; import it into your browser by hand")
    console.say("Firefox keeps CAs of its own: Settings, Certificates, Authorities, Import")
    if dry or not commands or not (assume_yes or console.confirm("run that now?")):
        return
    for argv in commands:
        LocalHost().run(argv, timeout=_TIMEOUT)
    console.say("this system trusts the local CA")


def _trusting(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield what makes a system trust a CA, by the tools that it has."""
    name = "wharfinger-local-ca.crt"
    if sys.platform == "darwin":
        yield ("sudo", "security", "add-trusted-cert", "-d", "-k", "/Library/Keychains/System.keychain", str(path))
    elif shutil.which("update-ca-certificates", path="/usr/sbin:/usr/bin:/sbin:/bin"):
        yield ("sudo", "cp", str(path), f"/usr/local/share/ca-certificates/{name}")
        yield ("sudo", "update-ca-certificates")
    elif shutil.which("update-ca-trust", path="/usr/sbin:/usr/bin:/sbin:/bin"):
        yield ("sudo", "cp", str(path), f"/etc/pki/ca-trust/source/anchors/{name}")
        yield ("sudo", "update-ca-trust")


def _keeper(server: Server) -> EdgeCertificates:
    return EdgeCertificates(server.host, server.edge, server.layout)
