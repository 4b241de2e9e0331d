"""The sandbox: disposable servers on this machine, for trying a remote deploy without a server."""

from __future__ import annotations

import io
import os
import re
import secrets
import tarfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, Final

from wharfinger import assets, dotenv, sandbox_images
from wharfinger.commands import compose
from wharfinger.commands import sandbox as commands
from wharfinger.console import Console
from wharfinger.engine import Container, Engine
from wharfinger.errors import CommandFailed, NotReady, UsageError
from wharfinger.hosts import File
from wharfinger.hosts.local import LocalHost
from wharfinger.model.sandbox import DEFAULT, Sandbox

_HOME: Final = "org.wharfinger.sandbox"
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_SERVERS: Final = ("vps1", "vps2")
_WITH_NGINX: Final = _SERVERS[1]
_BARE: Final = "bare"
_OTHERS: Final = ("registry", "acme", "names", "s3")
_PORTS: Final = ("VPS1_SSH", "VPS1_HTTP", "VPS1_HTTPS", "VPS2_SSH", "VPS2_HTTP", "VPS2_HTTPS", "BARE_SSH")
_OTHER_PORTS: Final = ("REGISTRY", "ACME", "ACME_ROOTS", "NAMES", "S3")
_START: Final = 180.0
_QUICK: Final = 30.0
_STOP_WITHIN: Final = 1
_PAUSE: Final = 0.1
_KEY_BYTES: Final = 10
_SECRET_BYTES: Final = 20


def up(project: Path, console: Console, *, name: str, bare: bool, dry: bool = False) -> None:
    """Start two servers, a registry, an ACME and an S3 server, and write what `ssh` needs to reach the servers.

    `bare` adds a server with nothing installed. What runs already stays as it is. Raises UsageError, NotReady and
    BuildFailed.
    """
    sandbox, host = _named(project, name), LocalHost()
    servers = (*_SERVERS, _BARE) if bare else _SERVERS
    if dry:
        console.say(f"would start {', '.join((*servers, *_OTHERS))} as {sandbox.compose_project}")
        return
    engine = Engine(host.docker_url(), host=host.name)
    with console.steps(("images", "start", "log in")) as steps:
        _refuse_anothers(engine, sandbox)
        with steps.step("images") as shown:
            seed = sandbox_images.ensure(host, say=console.say, note=shown.note, bare=bare)
            shown.conclude("all there")
        with steps.step("start") as shown:
            _start(host, sandbox, (*servers, *_OTHERS), _environ(host, sandbox, seed))
            services = dict.fromkeys((*servers, *_OTHERS), 1)
            engine.wait_healthy(sandbox.compose_project, services, timeout=_START, note=shown.note)
            shown.conclude(sandbox.compose_project)
        with steps.step("log in") as shown:
            found = {each.service: each for each in engine.project(sandbox.compose_project)}
            issuing = found["acme"].published[commands.ACME_ROOTS_PORT]
            _introduce(host, sandbox, {each: found[each] for each in (*_SERVERS, _BARE) if each in found}, issuing)
            shown.conclude(", ".join(servers))
    engine.close()
    _say_how_to_go_on(console, sandbox)


def _named(project: Path, name: str) -> Sandbox:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a sandbox", fix="take letters, digits and hyphens: --name trial")
    return Sandbox(project, name)


def _refuse_anothers(engine: Engine, sandbox: Sandbox) -> None:
    """Two checkouts would take the default sandbox away from each other."""
    homes = {container.labels.get(_HOME, "") for container in engine.project(sandbox.compose_project)}
    if home := next((each for each in homes - {"", str(sandbox.folder)}), None):
        raise UsageError(
            f"the sandbox {sandbox.name} runs already, for {home}",
            fix="invoke sandbox.up --name ANOTHER, or invoke sandbox.down there",
        )


def _environ(host: LocalHost, sandbox: Sandbox, seed: str) -> dict[str, str]:
    """Return the variables of compose/sandbox.yaml, making keys for SSH and the S3 server where there are none."""
    host.make_folder(PurePosixPath(sandbox.folder), mode=0o700)
    key = sandbox.folder / "id_ed25519"
    if not key.exists():
        host.run(commands.make_key(str(key)), timeout=_QUICK)
    if not sandbox.values.exists():
        made = commands.values(secrets.token_hex(_KEY_BYTES), secrets.token_hex(_SECRET_BYTES))
        host.write({PurePosixPath(sandbox.values): File(made.encode(), 0o600)})
    values = dotenv.parse(sandbox.values.read_text(encoding="utf-8"))
    ports = {} if sandbox.name == DEFAULT else {f"SANDBOX_{port}": "0" for port in (*_PORTS, *_OTHER_PORTS)}
    return {
        "AUTHORIZED_KEYS": key.with_name("id_ed25519.pub").read_text(encoding="utf-8").strip(),
        "SANDBOX_HOME": str(sandbox.folder),
        "SANDBOX_SEED": seed,
        **values,
        **ports,
        **{name: value for name, value in os.environ.items() if name.startswith("SANDBOX_")},
    }


def _start(host: LocalHost, sandbox: Sandbox, services: Sequence[str], environ: Mapping[str, str]) -> None:
    file = str(assets.folder("compose") / "sandbox.yaml")
    try:
        host.run(compose.up(sandbox.compose_project, file, services=services), timeout=_START, env=environ)
    except CommandFailed as error:
        raise NotReady(
            "the sandbox does not start",
            details=error.details,
            fix="mend what is said there; `invoke sandbox.up --name trial` takes free ports instead of the usual ones",
        ) from None


def _introduce(host: LocalHost, sandbox: Sandbox, servers: Mapping[str, Container], issuing: int) -> None:
    """Write what `ssh` needs, prove that it lets one in, and let every name mean the first server."""
    with ThreadPoolExecutor(len(servers)) as pool:
        keys = dict(zip(servers, pool.map(lambda each: _host_key(host, sandbox, each), servers), strict=True))
    known = sandbox.folder / "known_hosts"
    authority = _file_in(host, sandbox.container("acme"), commands.ACME_CA)
    files = {
        known: "".join(f"{name} {key}\n" for name, key in keys.items()).encode(),
        sandbox.folder / "acme-ca.pem": authority + b"\n" + _issuer(issuing, authority),
        sandbox.folder / f"{_WITH_NGINX}-ca.pem": _file_in(host, sandbox.container(_WITH_NGINX), commands.OWN_CA),
    }
    host.write({PurePosixPath(path): File(content, 0o600) for path, content in files.items()})
    first = servers[_SERVERS[0]]
    argv = commands.answer_names_with(sandbox.container(_SERVERS[0]), first.addresses[0], "names")
    host.run(argv, timeout=_QUICK)
    direct = {name: (container.addresses[0], 22) for name, container in servers.items()}
    published = {name: ("127.0.0.1", container.published[22]) for name, container in servers.items()}
    # By its own address a server has the ports that it would have anywhere; some engines keep containers out of reach.
    if not _lets_in(host, sandbox, known, direct) and not _lets_in(host, sandbox, known, published):
        raise NotReady(
            "the sandbox's servers run, and let nobody in over SSH",
            fix=f"ssh -v -F {sandbox.ssh_config} {next(iter(servers))}",
        )


def _issuer(port: int, authority: bytes) -> bytes:
    """Return the CA of what the ACME server issues: another one at each of its starts. Raises NotReady."""
    import ssl
    import time
    import urllib.request

    trusted = ssl.create_default_context(cadata=authority.decode())
    deadline = time.monotonic() + _QUICK
    while True:
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{port}/roots/0", timeout=5, context=trusted) as answer:
                content: bytes = answer.read()
                return content
        except OSError as error:  # it tells nobody when it is ready
            if time.monotonic() > deadline:
                raise NotReady(
                    f"the sandbox's ACME server does not answer on port {port}: {error}",
                    fix="invoke sandbox.down, then invoke sandbox.up",
                ) from None
            time.sleep(_PAUSE)


def _lets_in(host: LocalHost, sandbox: Sandbox, known: Path, ways: Mapping[str, tuple[str, int]]) -> bool:
    config = commands.ssh_config(ways, sandbox.folder / "id_ed25519", known)
    host.write({PurePosixPath(sandbox.ssh_config): File(config.encode(), 0o600)})

    def log_in(server: str) -> bool:
        argv = commands.log_in(str(sandbox.ssh_config), server)
        return host.run(argv, timeout=_QUICK, check=False).status == 0

    with ThreadPoolExecutor(len(ways)) as pool:
        return all(pool.map(log_in, ways))


def _host_key(host: LocalHost, sandbox: Sandbox, server: str) -> str:
    text = _file_in(host, sandbox.container(server), commands.HOST_KEY).decode()
    return " ".join(text.split()[:2])


def _file_in(host: LocalHost, container: str, path: str) -> bytes:
    archive = host.run(commands.read_in(container, path), timeout=_QUICK).stdout.encode()
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        member = files.extractfile(files.getmembers()[0])
        return member.read() if member else b""


def _say_how_to_go_on(console: Console, sandbox: Sandbox) -> None:
    config = os.path.relpath(sandbox.ssh_config)
    console.say(f"the sandbox is up: ssh -F {config} {_SERVERS[0]}")
    if sandbox.name == DEFAULT:
        console.say(f"a stack's environment with `server: {_SERVERS[0]}` goes there: invoke deploy --env staging")
    else:
        console.say(f"to deploy to it: WHARFINGER_SSH_CONFIG={config} invoke deploy --env staging")
    console.say("invoke sandbox.status shows it, invoke sandbox.down removes it with all it holds")


def down(project: Path, console: Console, *, name: str, dry: bool = False) -> None:
    """Remove a sandbox: containers, volumes, networks, its key and what leads to it. Nothing happens without one."""
    sandbox, host = _named(project, name), LocalHost()
    engine = Engine(host.docker_url(), host=host.name)
    _refuse_anothers(engine, sandbox)
    there = bool(engine.project(sandbox.compose_project)) or sandbox.folder.exists()
    if dry or not there:
        console.say(f"{'would remove' if there else 'there is no'} {sandbox.compose_project}")
        return
    with console.steps(("remove",)) as steps, steps.step("remove") as shown:
        argv = compose.down(sandbox.compose_project, volumes=True, stop_within=_STOP_WITHIN)
        host.run(argv, timeout=_START, on_line=shown.note)
        for file in (
            "id_ed25519",
            "id_ed25519.pub",
            "known_hosts",
            "ssh_config",
            "acme-ca.pem",
            sandbox.values.name,
            f"{_WITH_NGINX}-ca.pem",
        ):
            host.remove(PurePosixPath(sandbox.folder / file))
        if sandbox.folder.is_dir() and not any(sandbox.folder.iterdir()):
            sandbox.folder.rmdir()
        shown.conclude(sandbox.compose_project)
    engine.close()


def status(project: Path, console: Console, *, name: str, as_json: bool) -> None:
    """Show what of a sandbox runs, and where it is to be reached."""
    sandbox, host = _named(project, name), LocalHost()
    engine = Engine(host.docker_url(), host=host.name)
    containers = engine.project(sandbox.compose_project)
    engine.close()
    facts: dict[str, Any] = {
        "sandbox": sandbox.name,
        "up": bool(containers) and all(container.is_ready for container in containers),
        "ssh_config": str(sandbox.ssh_config) if sandbox.ssh_config.exists() else None,
        "services": [_facts_of(container) for container in containers],
    }
    if as_json:
        console.json(facts)
        return
    if not containers:
        console.data(f"{sandbox.name}: not up (invoke sandbox.up)")
        return
    rows = [
        (facts["service"], facts["state"], facts["address"], " ".join(f"{b}→{a}" for a, b in facts["ports"].items()))
        for facts in facts["services"]
    ]
    console.table(("service", "state", "address", "on 127.0.0.1"), rows)


def _facts_of(container: Container) -> dict[str, Any]:
    return {
        "service": container.service,
        "state": container.health if container.health != "none" else container.state,
        "address": next(iter(container.addresses), ""),
        "ports": {str(inside): outside for inside, outside in sorted(container.published.items())},
    }
