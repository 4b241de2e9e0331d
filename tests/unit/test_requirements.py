"""The pinned requirements are those that pyproject.toml asks for; checked without a network."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ("runtime", "dev", "gixy")


def read_lock(name: str) -> dict[str, Requirement]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n", " ", text).splitlines()
    pins = [line.split("--hash")[0] for line in lines if line and not line.lstrip().startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, pins)}


def read_project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def unmet(wanted: list[str], lock: dict[str, Requirement]) -> list[str]:
    return [text for text in wanted if not _is_met(Requirement(text), lock)]


def _is_met(wanted: Requirement, lock: dict[str, Requirement]) -> bool:
    pin = lock.get(canonicalize_name(wanted.name))
    return pin is not None and all(wanted.specifier.contains(spec.version) for spec in pin.specifier)


def test_each_lock_meets_the_ranges_of_the_project() -> None:
    project = read_project()
    needed = project["project"]["dependencies"] + project["build-system"]["requires"]
    for name in LOCKS:
        assert unmet(needed, read_lock(name)) == [], f"requirements/{name}.txt: run ./run test -s lock"
    assert unmet(project["project"]["optional-dependencies"]["dev"], read_lock("dev")) == []


def test_a_range_that_the_lock_does_not_meet_is_noticed() -> None:
    lock = {"jinja2": Requirement("jinja2==3.1.6")}
    assert unmet(["jinja2>=3.1", "Jinja2>=4", "absent"], lock) == ["Jinja2>=4", "absent"]


@pytest.mark.parametrize(
    "path",
    [
        *ROOT.glob("requirements/*.txt"),
        *ROOT.glob("stacks/*/requirements*.txt"),
        *ROOT.glob("images/*/requirements.txt"),
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_pin_is_exact_and_hashed_and_names_no_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if not entry.startswith("#")]
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


def test_the_tools_run_on_the_versions_that_users_get() -> None:
    runtime, dev = read_lock("runtime"), read_lock("dev")
    assert {name: pin for name, pin in runtime.items() if dev.get(name) != pin} == {}
