"""`./run` sets up what a machine lacks, says so first, and costs next to nothing when all is there."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A Debian 12 without Docker, as far as the functions of the script can tell.
BARE = """
    missing_parts() { echo engine; echo compose; }
    engine_answers() { return 1; }
    find_python() { command -v python3; }
    is_installed() { return 1; }
    identify_system() { distribution=debian suffix=/trixie; }
    start_command() { echo setsid dockerd; }
    sh() { echo "RAN AS ROOT"; }
    sudo() { echo "RAN AS ROOT"; }
"""


def bash(script: str, *, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `script` with the functions of `./run` at hand."""
    return subprocess.run(
        ["bash", "-c", f"source '{ROOT}/run'\n{script}"],
        env={name: value for name, value in os.environ.items() if name != "DOCKER_HOST"} | (env or {}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        ("deploy --env local", True),
        ("env.check deploy", True),
        ("images.build", True),
        ("sandbox.up", True),
        ("sandbox.status", False),
        ("render --env local", True),
        ("test", True),
        ("test -- -k env", True),
        ("deploy --help", False),
        ("deploy --env local --plan", False),
        ("--dry deploy", False),
        ("render --env local --check", False),
        ("--list", False),
        ("doctor", False),
        ("env.check --env staging", False),
        ("status --env test", False),
        ("test -s lint", False),
        ("test --list", False),
    ],
)
def test_only_tasks_that_use_an_engine_ask_for_one(arguments: str, *, needed: bool) -> None:
    assert (bash(f"needs_engine {arguments}").returncode == 0) is needed


@pytest.mark.parametrize(
    ("name", "sources", "wanted"),
    [
        pytest.param(
            "debian.list",
            "# deb http://old.example/debian bookworm main\n"
            "deb http://mirror.example/debian-security bookworm-security main\n"
            "deb [arch=amd64 signed-by=/keys/a.gpg] http://mirror.example/debian bookworm main contrib\n",
            "wharfinger-trixie.list\n"
            "deb [arch=amd64 signed-by=/keys/a.gpg] http://mirror.example/debian trixie main contrib\n",
            id="one line each",
        ),
        pytest.param(
            "debian.sources",
            "Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n\n"
            "Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\n\n"
            "Types: deb deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n"
            "Components: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDME\n",
            "wharfinger-trixie.sources\n"
            "Types: deb deb-src\nURIs: http://mirror.example/debian\nSuites: trixie\n"
            "Components: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDME\n",
            id="deb822",
        ),
        pytest.param("third.list", "deb http://vendor.example/apt stable main\n", "", id="none of Debian's"),
    ],
)
def test_trixie_comes_from_the_mirror_that_the_machine_already_trusts(
    tmp_path: Path, name: str, sources: str, wanted: str
) -> None:
    (tmp_path / name).write_text(sources)
    assert bash(f"apt_sources() {{ echo '{tmp_path / name}'; }}; trixie_source").stdout == wanted


@pytest.mark.parametrize("name", ["sources.list", "sources.list.d/debian.sources"])
def test_debian_12_is_known_by_either_file_without_the_other(tmp_path: Path, name: str) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text("Suites: bookworm bookworm-updates\n")
    assert bash(f"apt={tmp_path}; apt_has 'bookworm|oldstable'").returncode == 0
    assert bash(f"apt={tmp_path}; apt_has trixie").returncode != 0


def test_no_install_prints_the_commands_and_touches_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.list").write_text("deb http://mirror.example/debian bookworm main\n")
    result = bash(f"{BARE}\napt_sources() {{ echo '{tmp_path}/a.list'; }}; main --no-install deploy")
    assert result.returncode == 4
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "error: this machine lacks: engine compose",
        "fix: as root, run",
        "cat > /etc/apt/sources.list.d/wharfinger-trixie.list <<'END'",
        "deb http://mirror.example/debian trixie main",
        "END",
        r"printf 'Package: *\nPin: release n=trixie\nPin-Priority: 50\n'"
        " > /etc/apt/preferences.d/wharfinger-trixie",
        "apt-get update --quiet",
        "DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends"
        " docker.io/trixie docker-compose/trixie",
        "setsid dockerd",
    ]


def test_what_is_installed_is_said_before_it_is_done() -> None:
    install = "install=yes; as_root 'this machine lacks: engine' 'apt-get install docker.io'"
    lines = bash(f"{BARE}\n{install}").stderr.splitlines()
    assert lines == [
        "this machine lacks: engine; as root, running",
        "apt-get install docker.io",
        "RAN AS ROOT",
    ]


def test_an_install_that_fails_is_an_error_with_a_way_out() -> None:
    failing = "sh() { return 100; }; sudo() { return 100; }; install=yes; as_root 'lacks engine' 'apt-get …'"
    result = bash(f"{BARE}\n{failing}")
    assert result.returncode == 4
    assert "error: setting up this machine failed" in result.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_a_user_outside_the_docker_group_is_told() -> None:
    script = f"{BARE}\nmissing_parts() {{ :; }}; install=yes; socket=engine.sock; prepare_machine python3 yes"
    # Not tmp_path: nobody else may enter that.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as engine:
        Path(folder).chmod(0o755)
        shutil.copy(ROOT / "run", folder)
        engine.bind(f"{folder}/engine.sock")
        Path(folder, "engine.sock").chmod(0o600)
        result = subprocess.run(
            ["setpriv", "--reuid=65534", "--clear-groups", "bash", "-c", f"source ./run\n{script}"],
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=30,
            check=False,
        )
    assert result.returncode == 4
    assert result.stderr.startswith("error: user nobody may not use Docker\nfix: sudo usermod -aG docker nobody")


def test_another_machines_engine_is_used_as_it_is() -> None:
    script = f'{BARE}\nprepare_machine() {{ echo "engine: $2" >&2; exit; }}; main deploy'
    assert bash(script).stderr == "engine: yes\n"
    assert bash(script, env={"DOCKER_HOST": "ssh://deploy@192.0.2.1"}).stderr == "engine: no\n"


def test_other_systems_are_told_what_to_install() -> None:
    result = bash(f"{BARE}\nidentify_system() {{ distribution=; }}; main deploy")
    assert result.returncode == 4
    assert "error: this machine lacks: engine compose\nfix: install them" in result.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of this checkout, with its environment made by `./run`."""
    copy = tmp_path_factory.mktemp("run") / "checkout"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "dist"))
    (copy / "tasks.py").write_text(
        "from invoke import task\n\n@task\ndef hello(c):\n    print('hello')\n", encoding="utf-8"
    )
    first = run(copy, "hello")
    assert first.returncode == 0, first.stderr
    assert first.stdout == "hello\n"
    assert "installing" in first.stderr
    yield copy
    shutil.rmtree(copy)


def run(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `./run` of a checkout from another folder, as from a cron job."""
    return subprocess.run(
        [str(checkout / "run"), *arguments], capture_output=True, text=True, cwd="/", timeout=300, check=False
    )


def test_a_second_run_costs_under_300_ms_of_its_own(checkout: Path) -> None:
    def seconds(*command: str) -> float:
        begin = time.perf_counter()
        result = subprocess.run(command, capture_output=True, text=True, cwd=checkout, timeout=60, check=True)
        assert (result.stdout, result.stderr) == ("hello\n", "")
        return time.perf_counter() - begin

    ours = statistics.median(seconds("./run", "hello") for _ in range(5))
    floor = statistics.median(seconds(".venv/bin/invoke", "hello") for _ in range(5))
    assert ours - floor < 0.3


def test_changed_requirements_are_installed_before_the_task_runs(checkout: Path) -> None:
    with (checkout / "pyproject.toml").open("a", encoding="utf-8") as project:
        project.write("# changed\n")
    assert "installing" in run(checkout, "hello").stderr
    assert run(checkout, "hello").stderr == ""


def test_two_runs_at_once_make_one_environment(checkout: Path) -> None:
    (checkout / ".venv" / ".runtime").unlink()
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: run(checkout, "hello"), range(2)))
    assert [result.stdout for result in both] == ["hello\n", "hello\n"]
    assert sum("installing" in result.stderr for result in both) == 1


@pytest.mark.long
def test_a_moved_checkout_runs_its_own_packages(checkout: Path) -> None:
    moved = checkout.with_name("moved")
    checkout.rename(moved)
    try:
        result = run(moved, "hello")
        assert (result.returncode, result.stdout) == (0, "hello\n"), result.stderr
        assert str(moved) in (moved / ".venv" / "bin" / "invoke").read_text(encoding="utf-8").splitlines()[0]
    finally:
        moved.rename(checkout)
