"""The port table of a project, and what ends a deploy before anything starts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from tests.recording import Heard, tier
from tests.unit.planning.situations import OLD, empty, wanted

from wharfinger import project
from wharfinger.errors import InvalidInput, NotReady
from wharfinger.ports import refuse_clashes, refuse_foreign, show
from wharfinger.project import Place

STACK = """\
name: {name}
services:
  backend: {{image: "app:1", port: 3000}}
site:
  routes: [{{path: /, service: backend}}]
environments:
  staging:
    server: local
    domain: staging.{name}.localhost
    ports: {{backend: [{blue}, {green}]}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a project of two stacks on one server."""
    for name, blue in {"shop": 3001, "blog": 4001}.items():
        (tmp_path / "stacks" / name).mkdir(parents=True)
        text = STACK.format(name=name, blue=blue, green=blue + 100)
        (tmp_path / "stacks" / name / "stack.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def edit(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / "stacks" / name / "stack.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def place(folder: Path, stack: str = "shop") -> Place:
    return project.find(folder, stack=stack, environment="staging")


def test_the_table_says_who_uses_what_and_whether_somebody_listens(folder: Path) -> None:
    heard = Heard()
    show(folder, heard.console, as_json=True)
    found = json.loads(heard.data)
    assert [entry["port"] for entry in found if entry["environment"] == "shop-staging"] == [3001, 3101, 8080, 8443]
    assert {entry["listening"] for entry in found} <= {True, False}
    assert found[0]["place"] == "stacks/shop/stack.yaml:10:13"


def test_a_clash_is_shown_with_both_lines_and_ends_a_deploy_of_either(folder: Path) -> None:
    edit(folder, "blog", "4001", "3101")
    heard = Heard()
    with pytest.raises(InvalidInput) as caught:
        show(folder, heard.console, as_json=False)
    (told,) = caught.value.details
    assert "stacks/shop/stack.yaml:10:13" in told
    assert "stacks/blog/stack.yaml:10:13" in told
    assert "3101" in heard.data, "the table is printed all the same"
    for stack in ("shop", "blog"):
        with pytest.raises(InvalidInput):
            refuse_clashes(place(folder, stack))


def test_a_clash_of_others_and_a_broken_file_of_another_stack_are_no_concern(folder: Path) -> None:
    refuse_clashes(place(folder))
    (folder / "stacks" / "blog" / "stack.yaml").write_text("name: [", encoding="utf-8")
    refuse_clashes(place(folder))
    with pytest.raises(InvalidInput):
        show(folder, Heard().console, as_json=False)


def test_a_port_that_another_process_holds_is_told_before_anything_starts(folder: Path) -> None:
    observed = dataclasses.replace(empty(wanted()), ports_taken=frozenset({3101}))
    with pytest.raises(NotReady) as caught:
        refuse_foreign(place(folder), observed)
    assert caught.value.problem == "local: port 3101 is taken, and backend is to be published there"
    ours = {OLD: tuple(tier(OLD, "backend", published={3000: 3101}))}
    refuse_foreign(place(folder), dataclasses.replace(observed, tiers=ours))


def test_a_route_to_a_port_that_nobody_serves_ends_a_deploy(folder: Path) -> None:
    edit(
        folder, "shop", "    ports:", "    edge: {routes: [{domain: odoo.localhost, to: '127.0.0.1:8069'}]}\n    ports:"
    )
    observed = empty(wanted())
    with pytest.raises(NotReady) as caught:
        refuse_foreign(place(folder), observed)
    assert "the route to odoo.localhost leads to port 8069 of local" in caught.value.details[0]
    refuse_foreign(place(folder), dataclasses.replace(observed, ports_taken=frozenset({8069})))
