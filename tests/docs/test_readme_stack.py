"""The stack that the README makes, deployed as the README does it, under a name and ports of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.docs import documents
from tests.docs.documents import ROOT
from tests.integration.deployments import Deployment

from wharfinger.tasks import namespace

README = ROOT / "README.md"


def source(folder: Path) -> Path:
    """Write the files of stacks/hello, as the README shows them, and return their folder."""
    files: dict[str, str] = {}
    for block in documents.blocks(README):
        if block.file and block.file.startswith("stacks/hello/"):
            files.setdefault(block.file, block.text)
    assert len(files) == 4
    for name, text in files.items():
        path = folder / Path(name).name
        path.write_text(text, encoding="utf-8")
    return folder


def here(text: str, deployment: Deployment) -> str:
    """Return a command or an output with the names and ports of this deployment."""
    text = text.replace("hello.localhost:8080", f"{deployment.domain}:{deployment.http_port}")
    text = re.sub(r"127\.0\.0\.1:5055/hello/", f"…/{deployment.name}/", text)
    text = re.sub(r"(?<=stacks/)hello\b|(?<=--stack )hello\b|\bhello(?=-local)", deployment.name, text)
    return text.replace("sevra-atlas", deployment.name)


def type_in(command: str, folder: Path, *, status: int = 0) -> tuple[int, str]:
    """Run a command line as a person's shell does, after one that exited `status`; return its status and output."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ("bash", "-c", f"(exit {status}); {command}"),
        cwd=folder,
        env={**environment, "PATH": path, "WHARFINGER_ROOT": str(folder / "server"), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.fixture
def hello(make_deployment: Callable[[Path], Deployment], tmp_path: Path) -> Deployment:
    """The README's stack in a project with the checkout's tasks, not yet deployed."""
    made = make_deployment(source(tmp_path))
    shutil.copy(ROOT / "tasks.py", made.project)
    return made


def test_the_readme_does_what_it_says(hello: Deployment) -> None:
    status = 0
    for block in documents.blocks(README, "console"):
        for typed in documents.console(block):
            command = here(typed.command, hello)
            if command.startswith("curl ") and shutil.which("curl") is None:  # a bare machine
                status, output = 0, hello.request("/").body.decode()
            else:
                status, output = type_in(command, hello.project, status=status)
            fails = any(line.startswith("error:") for line in typed.output)
            assert (status != 0) == fails, f"{command} exited {status}:\n{output}"
            expected = documents.Typed(command, tuple(here(line, hello) for line in typed.output)).expected()
            assert not typed.output or expected.fullmatch(output), f"{command} printed:\n{output}"


def keys_in(cell: str) -> dict[str, set[str]]:
    """Return the keys that a cell names: of the whole under the empty name, of a list in it under its own."""
    found: dict[str, set[str]] = {"": set()}
    for part in cell.split(";"):
        before, colon, after = part.rpartition(":")
        owner = documents.codes(before)[-1].removesuffix("[]") if colon else ""
        found[""] |= {code.removesuffix("[]") for code in documents.codes(before if colon else after)}
        if colon:
            found[owner] = set(documents.codes(after))
    return found


def keys_of(printed: Any) -> dict[str, set[str]]:
    """Return the keys of what a command printed, and of the first item of each list in it."""
    whole = printed[0] if isinstance(printed, list) else printed
    lists = {name: value for name, value in whole.items() if isinstance(value, list) and value}
    return {"": set(whole), **{name: set(value[0]) for name, value in lists.items()}}


def test_json_has_the_keys_that_the_readme_names(hello: Deployment) -> None:
    hello.deploy()
    rows = {documents.codes(command)[0]: cell for command, cell in documents.table(README, "command", "what it prints")}
    listings = {context.name for context in namespace.to_contexts() if "--json" in context.flags}
    assert {command.split()[1] for command in rows} == listings

    origins = set(documents.codes(rows.pop("invoke images.status --json")))
    assert set(json.loads(hello.wharfinger("images.status", "--json").stdout).values()) <= origins
    (by_tag,) = json.loads(hello.wharfinger("build", "--json").stdout).values()
    (by_digest,) = json.loads(hello.wharfinger("push", "--json").stdout).values()
    repository = by_digest.partition("@sha256:")[0]
    assert rows.pop("invoke push --json").endswith("`REPOSITORY@DIGEST`")
    assert rows.pop("invoke build --json").endswith("`REPOSITORY:TAG`")
    assert by_tag.startswith(f"{repository}:tree-")

    for command, cell in rows.items():
        listed, named = json.loads(hello.wharfinger(*command.split()[1:]).stdout), keys_in(cell)
        if listed != []:  # this stack has no certificates
            printed = keys_of(listed)
            assert {name: named[name] for name in printed} == printed, command
    (hello.folder / ".env.local").write_text("GRETING=Hello\n", encoding="utf-8")
    printed = keys_of(json.loads(hello.wharfinger("env.check", "--env", "local", "--json", status=3).stdout))
    assert printed["problems"] == keys_in(rows["invoke env.check --env local --json"])["problems"]


def test_the_tree_of_the_server_is_the_one_in_the_documents(hello: Deployment) -> None:
    hello.deploy()
    folders = (hello.server, hello.server / "current", hello.edge_folder)
    names = {path.name for folder in folders for path in folder.iterdir()}
    for document in (README, ROOT / "ARCHITECTURE.md"):
        (tree,) = (block.text for block in documents.blocks(document, "text") if "releases/" in block.text)
        assert not {name for name in names if name not in tree}, document.name
        assert {"current", "journal", "releases", "release.json", "nginx.conf"} <= names


def test_what_is_rendered_needs_no_wharfinger(tmp_path: Path) -> None:
    """The README's commands for plain Compose and Nginx accept the worked stack."""
    ignored = shutil.ignore_patterns("tests", ".env*", "__pycache__", ".*_cache")
    shutil.copytree(ROOT / "stacks", tmp_path / "stacks", ignore=ignored)
    for name in ("tasks.py", "invoke.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    blocks = [block for block in documents.blocks(README, "sh") if "docker compose -f build/" in block.text]
    commands = ["invoke render --env local", *(line for block in blocks for line in documents.shell_lines(block))]
    assert len(commands) == 4
    for command in (*commands, "invoke render --env local --check"):
        status, output = type_in(command, tmp_path)
        assert status == 0, f"{command} exited {status}:\n{output}"
