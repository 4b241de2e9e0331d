"""Everything that checks the project: `./run test` runs the default sessions in order, and so does CI."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2026.10"
# Most sessions need what `./run test` has installed beside Nox: requirements/dev.txt and this project.
nox.options.default_venv_backend = "none"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
nox.options.error_on_external_run = True

ROOT = Path(__file__).parent
TYPED = ("src", "tests", "docs", "benchmarks", "compose", "noxfile.py", "tasks.py")
# Tests with an engine wait a good part of their time: one worker more than there are cores keeps these busy.
WAITING_WORKERS = str(1 + (os.cpu_count() or 1))
# What these compare is how long things take, so nothing else runs beside them.
MEASURING = ("tests/integration/ssh/test_round_trips.py", "tests/integration/ssh/test_speed.py")
STACKS = sorted(path.parent.name for path in ROOT.glob("stacks/*/tests"))

os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
# uv reads neither pip's settings nor, by default, the machine's own certificates.
os.environ.setdefault("UV_SYSTEM_CERTS", "1")
for pip_name, uv_name in {"PIP_CERT": "SSL_CERT_FILE", "PIP_INDEX_URL": "UV_DEFAULT_INDEX"}.items():
    if pip_name in os.environ:
        os.environ.setdefault(uv_name, os.environ[pip_name])
# The tests run hundreds of our commands: each would compile all of this checkout anew, which takes as long as the rest.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def install(session: nox.Session, lock: str, *, project: bool = True) -> None:
    """Install exactly what `requirements/LOCK.txt` pins and, if wanted, this project, editable."""
    session.install("--require-hashes", "--no-deps", "-r", f"requirements/{lock}.txt")
    if project:
        session.install("--no-deps", "--no-build-isolation", "--editable", ".")


def ensure_stock_images(session: nox.Session) -> None:
    """Make the engine hold the stock images before tests that run at once would each begin to build them."""
    session.run(sys.executable, "-m", "wharfinger", "images.build", "--trial", external=True)


def shell_scripts(session: nox.Session) -> list[str]:
    """Return the tracked and new files that begin with a shell's `#!` line."""
    listed = session.run("git", "ls-files", "-co", "--exclude-standard", external=True, silent=True, log=False)
    shells = (b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash")
    files = [path for path in str(listed).splitlines() if (ROOT / path).is_file()]
    return [path for path in files if (ROOT / path).read_bytes().startswith(shells)]


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types, layers and shell scripts."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy", *TYPED)
    session.run("lint-imports")
    session.run("shellcheck", *shell_scripts(session))


@nox.session
def unit(session: nox.Session) -> None:
    """What needs no engine, no network and no other process."""
    session.run("pytest", "-n", "auto", "tests/unit", *session.posargs)


@nox.session
def golden(session: nox.Session) -> None:
    """Rendered files against those we keep, and against the programs that will read them."""
    ensure_stock_images(session)
    session.run("pytest", "-n", "auto", "tests/golden", *session.posargs)


@nox.session(venv_backend="uv")
@nox.parametrize("stack", STACKS)
def stacks(session: nox.Session, stack: str) -> None:
    """A worked stack's own types and tests, in the environment that its own pinned requirements make."""
    folder = ROOT / "stacks" / stack
    session.install("--require-hashes", "--no-deps", "-r", str(folder / "requirements-dev.txt"))
    ensure_stock_images(session)
    session.chdir(folder)
    session.run("mypy")
    session.run("pytest", "-n", WAITING_WORKERS, "--dist", "worksteal", "tests", *session.posargs)


@nox.session(venv_backend="uv")
def gixy(session: nox.Session) -> None:
    """Nginx configuration as it is rendered, for known security mistakes."""
    install(session, "gixy")
    session.run("invoke", "render", "--env", "local")
    edge = ROOT / "build" / "sevra-atlas" / "local" / "edge"
    # The golden sites cover what the worked stack leaves out, such as TLS.
    for site in (*edge.glob("sites/*.conf"), *sorted(ROOT.glob("tests/golden/*.conf"))):
        copy = Path(session.create_tmp(), site.stem).resolve()
        report = session.run("gixy", str(_edge_with_one_site(edge, site, copy)), silent=True)
        if f"File not found: {copy}/snippets" in str(report):
            session.error(f"gixy did not read every file: {report}")


def _edge_with_one_site(edge: Path, site: Path, copy: Path) -> Path:
    """Copy an edge's files so that their includes name the copy, not the folder in the container."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(edge, copy, ignore=shutil.ignore_patterns("sites"))
    (copy / "sites").mkdir()
    shutil.copy(site, copy / "sites")
    for path in copy.rglob("*.conf"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("/etc/nginx/wharfinger", str(copy)), encoding="utf-8")
    return copy / "nginx.conf"


@nox.session(venv_backend="uv")
def wheel(session: nox.Session) -> None:
    """The wheel, installed without this checkout, works from another folder."""
    install(session, "runtime", project=False)
    elsewhere = Path(session.create_tmp())
    shutil.rmtree(elsewhere, ignore_errors=True)
    session.run("hatchling", "build", "--target", "wheel", "--directory", str(elsewhere / "dist"))
    (built,) = (elsewhere / "dist").glob("*.whl")
    session.install("--no-deps", "--reinstall", str(built))
    shutil.copytree(ROOT / "stacks", elsewhere / "stacks")
    shutil.copy(ROOT / "invoke.yaml", elsewhere)
    session.chdir(elsewhere)
    session.run("wharfinger", "--list")
    session.run("wharfinger", "render", "--env", "local")


@nox.session
def integration(session: nox.Session) -> None:
    """Against a real engine, databases and Nginx, and what the documents show; what takes long is left to `faults`."""
    ensure_stock_images(session)
    folders = ("tests/faults", "tests/docs", "tests/integration/ssh", "tests/integration")  # the longest files first
    options = ("--dist", "loadfile", "--no-loadscope-reorder", "-m", "not long")
    session.run("pytest", "-n", WAITING_WORKERS, *options, *folders, *session.posargs)


@nox.session(default=False)
def faults(session: nox.Session) -> None:
    """Everything that can go wrong in a deploy, a kill at every step of one, and all other tests that take long."""
    ensure_stock_images(session)
    kills = ("tests/faults/test_kill_points.py", "tests/faults/test_kill_around.py")
    # Apart from those that restart the engine of a server that they share.
    servers = "tests/integration/test_several_servers.py"
    others = ("tests/faults", servers, *(f"--ignore={path}" for path in kills))
    # Whole files: what is long builds here and there on what comes before it.
    files = (str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("tests/*/**/test_*.py")))
    apart = ("tests/faults", servers, *MEASURING)
    long = [path for path in files if not path.startswith(apart) and "mark.long" in (ROOT / path).read_text("utf-8")]
    none = [0, 5] if session.posargs else [0]  # what was asked for may be in one of them only
    failed = []
    for words in (
        ("-n", WAITING_WORKERS, "--dist", "load", *kills),  # many short tests of one file: a deployment for each worker
        ("-n", WAITING_WORKERS, "--dist", "loadfile", *others),
        ("-n", WAITING_WORKERS, "--dist", "loadfile", *long),
        MEASURING,
    ):
        try:
            session.run("pytest", *words, *session.posargs, success_codes=none)
        except CommandFailed:  # the others take half an hour, and may fail too
            failed.append(words)
    if failed:
        session.error(f"{len(failed)} of these runs failed")


@nox.session
def load(session: nox.Session) -> None:
    """A deploy and a rollback under each shape of load: no request is lost or late. `bench` is the long version."""
    ensure_stock_images(session)
    session.run("pytest", "-m", "not long", "tests/load", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Deploys and rollbacks under load against plain Compose and the floor; `-- --short` does each once."""
    ensure_stock_images(session)
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Compile the pinned requirements anew; `-- --upgrade` takes the newest versions."""
    project = ("pyproject.toml", "requirements/build.in")
    sources = {
        "runtime": project,
        "dev": (*project, "--extra", "dev", "--constraint", "requirements/runtime.txt"),
        "gixy": (*project, "requirements/gixy.in", "--constraint", "requirements/runtime.txt"),
    }
    # Hashes and no addresses: a lock must serve behind any index.
    options = (
        "--quiet",
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-emit-index-url",
    )
    command = "./run test -s lock"
    for name, inputs in sources.items():
        output = ("--output-file", f"requirements/{name}.txt", "--custom-compile-command", command)
        session.run("uv", "pip", "compile", *options, *inputs, *output, *session.posargs)
    others = sorted(path for folder in ("stacks", "images") for path in ROOT.glob(f"{folder}/*/requirements*.in"))
    for path in others:
        session.chdir(path.parent)
        output = ("--output-file", f"{path.stem}.txt", "--custom-compile-command", command)
        session.run("uv", "pip", "compile", *options, path.name, *output, *session.posargs)
