"""The workflow that `ci.github` writes, as GitHub's schema, actionlint, shellcheck and our command line read it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.docs.test_commands import parse
from tests.recording import Heard

from wharfinger import ci, project
from wharfinger.errors import InvalidInput, UsageError, WharfingerError

BIN = Path(sys.executable).parent
STACK = """\
name: shop
registry: {registry}
build: {{app: {{}}}}
services:
  web: {{image: app, port: 3000}}
site:
  routes: [{{path: /, service: web}}]
env:
  POSTGRES_PASSWORD: {{meaning: Its password, secret: true, generated: true, form: hex}}
  DATABASE_URL: {{meaning: Where it is, default: 'postgresql://x:${{POSTGRES_PASSWORD}}@postgres/x'}}
  GREETING: {{meaning: What it says, default: "it's: $$5 # or so"}}
  LOG_LEVEL: {{meaning: How much it logs, default: info, environments: {{production: {{required: true}}}}}}
environments:
  local: {{server: local, domain: localhost}}
  staging: {{server: deploy@vps1.example.com, domain: staging.example.com}}
  production: {{server: deploy@vps2.example.com, domain: example.com, tls: {{certificate: example.com}}}}
"""


@pytest.fixture(params=["ghcr.io/acme", "registry.example.com/acme"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a project with one stack, and our `./run`."""
    (tmp_path / "stacks" / "shop").mkdir(parents=True)
    text = STACK.format(registry=request.param)
    (tmp_path / "stacks" / "shop" / "stack.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "run").touch()
    return tmp_path


def write(folder: Path, source: str = "staging", target: str = "production", *, check: bool = False) -> Path:
    first, last = (project.find(folder, stack="shop", environment=name) for name in (source, target))
    ci.github(first, last, Heard().console, branch="main", check=check, dry=False)
    return folder / ci.GITHUB


def read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def steps(workflow: Any) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("with_run", [True, False])
def test_github_can_read_it(folder: Path, with_run: bool) -> None:
    if not with_run:
        (folder / "run").unlink()
    path = write(folder)
    schema = ("--builtin-schema", "vendor.github-workflows")
    subprocess.run((str(BIN / "check-jsonschema"), *schema, str(path)), check=True, timeout=60)
    subprocess.run((str(BIN / "actionlint"), str(path)), check=True, timeout=60)


def test_every_script_is_a_good_one_and_every_task_exists(folder: Path) -> None:
    scripts = [step["run"] for step in steps(read(write(folder))) if "run" in step]
    for number, script in enumerate(scripts):
        file = folder / f"{number}.sh"
        file.write_text(f"#!/usr/bin/env bash\n{script}\n", encoding="utf-8")
        subprocess.run((str(BIN / "shellcheck"), "--exclude=SC2088", str(file)), check=True, timeout=60)
    ours = [command for script in scripts for command in re.findall(r"\./run ([a-z][^|)\n]*)", script)]
    assert [command.split()[0] for command in ours] == ["test", "push", "deploy", "status", "promote"]
    for command in ours[1:]:
        parse(shlex.split(command))


def test_the_jobs_follow_each_other_and_production_gets_what_staging_verified(folder: Path) -> None:
    jobs = read(write(folder))["jobs"]
    assert {name: job.get("needs") for name, job in jobs.items()} == {
        "test": None,
        "build": "test",
        "staging": "build",
        "production": "staging",
    }
    assert jobs["production"]["environment"] == {"name": "production", "url": "https://example.com"}
    promote = jobs["production"]["steps"][-1]
    assert promote["env"]["RELEASE"] == "${{ needs.staging.outputs.release }}"
    assert '--release "$RELEASE"' in promote["run"]
    assert all("pull_request" in jobs[name]["if"] for name in ("build", "staging", "production"))


def test_it_may_do_no_more_than_it_must(folder: Path) -> None:
    workflow = read(write(folder))
    assert workflow["permissions"] == {"contents": "read"}
    allowed = {name: job.get("permissions", {}) for name, job in workflow["jobs"].items()}
    assert "write" not in {*allowed["test"].values(), *allowed["production"].values()}
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]) for step in steps(workflow) if "uses" in step)
    assert "concurrency" in workflow
    given = [set(step.get("env", {})) for step in workflow["jobs"]["test"]["steps"]]
    assert given == [set(), set()], "no secret where a pull request's code runs"


def test_secrets_and_variables_have_the_names_of_the_contract(folder: Path) -> None:
    jobs = read(write(folder))["jobs"]
    staging = next(step["env"] for step in jobs["staging"]["steps"] if "Deploy" in step.get("name", ""))
    assert staging == {
        "POSTGRES_PASSWORD": "${{ secrets.POSTGRES_PASSWORD }}",
        "GREETING": "${{ vars.GREETING || 'it''s: $5 # or so' }}",
        "LOG_LEVEL": "${{ vars.LOG_LEVEL || 'info' }}",
    }
    production = jobs["production"]["steps"][-1]["env"]
    assert production["LOG_LEVEL"] == "${{ vars.LOG_LEVEL }}", "required there, so no default stands for it"


def test_check_tells_when_it_is_out_of_date(folder: Path) -> None:
    with pytest.raises(WharfingerError, match="differs"):
        write(folder, check=True)
    path = write(folder)
    write(folder, check=True)
    path.write_text("name: mine\n", encoding="utf-8")
    with pytest.raises(WharfingerError) as caught:
        write(folder, check=True)
    assert caught.value.exit_code == 1
    assert path.read_text(encoding="utf-8") == "name: mine\n"


def test_what_cannot_work_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError):
        write(folder, "staging", "staging")
    file = folder / "stacks" / "shop" / "stack.yaml"
    file.write_text(re.sub("registry: .*\n", "", file.read_text(encoding="utf-8"), count=1), encoding="utf-8")
    with pytest.raises(InvalidInput, match="names no `registry`"):
        write(folder)
