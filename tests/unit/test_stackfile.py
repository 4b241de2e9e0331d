"""A stack file's problems: all at once, each where it is, in words that help."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from wharfinger import stackfile
from wharfinger.errors import InvalidInput
from wharfinger.model.stack import Stack

ROOT: Final = Path(__file__).parents[2]
WORKED: Final = sorted(ROOT.glob("stacks/*/stack.yaml"))
SMALLEST: Final = """\
name: shop
services:
  api: {image: app}
environments:
  local: {server: local, domain: shop.localhost}
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "stack.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def problems(folder: Path, text: str | bytes) -> list[str]:
    """Return what is wrong with a text, without the file's own name; the summary where there are no details."""
    path = written(folder, text)
    with pytest.raises(InvalidInput) as caught:
        stackfile.load(path)
    assert caught.value.exit_code == 3
    assert caught.value.fix
    return [line.replace(f"{path}:", "", 1) for line in caught.value.details or (caught.value.problem,)]


def test_a_small_stack_needs_five_lines(tmp_path: Path) -> None:
    stack = stackfile.load(written(tmp_path, SMALLEST))

    assert (stack.name, tuple(stack.services), stack.runtime) == ("shop", ("api",), "compose")


@pytest.mark.parametrize("path", WORKED, ids=lambda path: path.parent.name)
def test_the_worked_stacks_are_valid(path: Path) -> None:
    assert stackfile.load(path).name == path.parent.name


def test_every_problem_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
name: Shop
services:
  api:
    image: app
    prot: 3000
    healthcheck:
      test: [check]
      intervall: 5s
    mounts:
      - {source: uploads, traget: /uploads}
    cpus: -1
  worker: {image: 5, stop_grace_period: soon}
data:
  db: {engine: postgress}
  cache: {engine: redis, mod: cache}
  queue: {mode: queue}
site:
  routes:
    - path: /
      servcie: api
env:
  KEY: {meaning: It opens., from: integer}
  b-c: {meaning: A name that no shell takes.}
deploi: {}
migrate: 5
environments:
  local: {server: local, domain: shop.localhost, tsl: {certificate: shop}}
"""

    assert problems(tmp_path, text) == [
        "1:1: name: String should match pattern '^[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*$'",
        "5:5: services.api.prot: unknown key; did you mean port?",
        "8:7: services.api.healthcheck.intervall: unknown key; did you mean interval?",
        "10:9: services.api.mounts.0.target: required, but missing",
        "10:27: services.api.mounts.0.traget: unknown key; did you mean target?",
        "11:5: services.api.cpus: should be greater than 0",
        "12:12: services.worker.image: should be text; put it in quotes",
        "12:22: services.worker.stop_grace_period: not a duration such as 500ms, 30s or 1m30s",
        "14:8: data.db.engine: should be one of 'postgres', 'redis'",
        "15:3: data.cache.mode: required, but missing",
        "15:26: data.cache.mod: unknown key; did you mean mode?",
        "16:3: data.queue.engine: required, but missing",
        "19:7: site.routes.0.service: required, but missing",
        "20:7: site.routes.0.servcie: unknown key; did you mean service?",
        "22:29: env.KEY.from: unknown key; did you mean form?",
        "23:3: env.b-c: String should match pattern '^[A-Za-z_][A-Za-z0-9_]*$'",
        "24:1: deploi: unknown key; did you mean deploy?",
        "25:1: migrate: should be a mapping",
        "27:50: environments.local.tsl: unknown key; did you mean tls?",
    ]


def test_sections_that_do_not_fit_each_other_are_told_where(tmp_path: Path) -> None:
    text = """\
name: shop
services:
  api:
    image: app
    mounts:
      - {source: uploads, target: /uploads}
      - {source: media, target: /media}
    environment: {KEY: fixed}
  db: {image: app}
  migrate: {image: app}
volumes: {uploads: {}}
data:
  db: {engine: postgres}
site:
  routes:
    - {path: /, service: api}
    - path: /admin
      service: admin
env:
  KEY: {meaning: It opens., services: [api, wrker]}
environments:
  local: {server: local, domain: shop.localhost, scale: {web: 2}}
"""

    assert problems(tmp_path, text) == [
        "7:10: services.api.mounts.1.source: no volume named media",
        "8:19: services.api.environment.KEY: a variable of the contract (`env`); give it in one place",
        "10:3: services.migrate: the one-off migration has this name",
        "13:3: data.db: a service has the same name",
        "16:17: site.routes.0.service: api has no port",
        "18:7: site.routes.1.service: no service named admin",
        "20:45: env.KEY.services.1: no service or data service named wrker",
        "22:58: environments.local.scale.web: no service named web",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("name: shop\nname: shop\n", '2:1: found duplicate key "name"', id="a key twice"),
        pytest.param(f"{SMALLEST}x: [1, 2\n", "7:1: expected ',' or ']', but got '<stream end>'", id="open bracket"),
        pytest.param("services:\n\tapi: {}\n", "2:1: found character '\\t' that cannot start any token", id="a tab"),
        pytest.param("a: 'x\n", "2:1: found unexpected end of stream", id="open quote"),
        pytest.param("a: *other\n", "1:4: found undefined alias 'other'", id="undefined alias"),
        pytest.param("--- {}\n--- {}\n", "2:1: but found another document", id="two documents"),
        pytest.param("", "1:1: not a mapping of sections", id="empty"),
        pytest.param("# only a comment\n", "1:1: not a mapping of sections", id="a comment"),
        pytest.param("- name: shop\n", "1:1: not a mapping of sections", id="a list"),
        pytest.param("shop\n", "1:1: not a mapping of sections", id="a word"),
        pytest.param(b"name: caf\xe9\n", " byte 9 is not UTF-8", id="Latin-1"),
        pytest.param(b"name: \x00\n", " not valid YAML", id="a zero byte"),
        pytest.param("day: 2026-99-99\n", " not valid YAML", id="no such day"),
        pytest.param("port: !!int http\n", " not valid YAML", id="a tag that does not fit"),
        pytest.param("[" * 1000, " not valid YAML", id="1000 brackets"),
    ],
)
def test_a_file_that_is_no_yaml_mapping_is_told_where(tmp_path: Path, text: str | bytes, problem: str) -> None:
    assert problems(tmp_path, text) == [problem]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"stack\.yaml: No such file or directory"):
        stackfile.load(tmp_path / "stack.yaml")


def test_the_path_is_shown_as_seen_from_the_project(tmp_path: Path) -> None:
    folder = tmp_path / "stacks/shop"
    folder.mkdir(parents=True)

    with pytest.raises(InvalidInput) as caught:
        stackfile.load(written(folder, "name: Shop\n"), project=tmp_path)

    assert caught.value.problem == "stacks/shop/stack.yaml: 3 problems"
    assert all(line.startswith("stacks/shop/stack.yaml:1:1: ") for line in caught.value.details)


def test_a_wrong_value_is_never_echoed(tmp_path: Path) -> None:
    """Someone may have put a secret where none belongs."""
    told = problems(
        tmp_path,
        f"{SMALLEST}registry: [s3cret]\nmigrate: s3cret\nvolumes: {{up: {{owner: s3cret}}}}\nvolumes: s3cret\n",
    )
    told += problems(tmp_path, f"{SMALLEST}registry: [s3cret]\nmigrate: s3cret\ndeploy: {{drain: s3cret}}\n")

    assert len(told) == 4
    assert "s3cret" not in " ".join(told)


# Anything that anybody may write

WORDS: Final = sorted({name for kind in (Stack,) for name in kind.model_fields} | {"api", "image", "engine", "path"})
SCALARS: Final = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8), st.sampled_from(WORDS)
)
VALUES: Final = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), inner, max_size=4),
    ),
    max_leaves=12,
)
YAML_TEXT: Final = st.text(alphabet="ab1:-,[]{}&*!|>%#?'\" \n\t\\@`<=~.\x00\x85é", max_size=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("arbitrary")


def load_or_explain(path: Path) -> None:
    """Load a file; whatever is wrong must be told as a place and a text."""
    told = None
    try:
        stackfile.load(path)
    except InvalidInput as error:
        told = error
    place = re.compile(rf"{re.escape(str(path))}:[1-9]\d*:[1-9]\d*: .+", re.DOTALL)
    assert told is None or (told.fix and all(place.fullmatch(line) for line in told.details))


@settings(deadline=None)
@given(text=YAML_TEXT)
def test_no_text_ends_in_anything_but_a_stack_or_an_explanation(folder: Path, text: str) -> None:
    load_or_explain(written(folder, text))


@settings(deadline=None)
@given(document=VALUES)
def test_no_document_ends_in_anything_but_a_stack_or_an_explanation(folder: Path, document: Any) -> None:
    load_or_explain(written(folder, json.dumps(document)))  # JSON is YAML


@settings(deadline=None)
@given(data=st.data())
def test_no_change_to_a_stack_ends_in_anything_but_a_stack_or_an_explanation(folder: Path, data: st.DataObject) -> None:
    document = plain(WORKED[0])
    node: Any = document
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not (isinstance(node[key], dict | list) and node[key]) or data.draw(st.booleans()):
            break
        node = node[key]
    change = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if change == "remove":
        del node[key]
    elif change == "add" and isinstance(node, dict):
        node[data.draw(st.text(max_size=8))] = data.draw(VALUES)
    else:
        node[key] = data.draw(VALUES)

    load_or_explain(written(folder, json.dumps(document)))


# What editors check by


def plain(path: Path) -> Any:
    return copy.deepcopy(YAML(typ="safe", pure=True).load(path.read_text()))


def test_the_committed_schema_is_that_of_the_models() -> None:
    committed = (ROOT / "schema/stack.json").read_text()

    assert committed == json.dumps(stackfile.json_schema(), indent=2, ensure_ascii=False) + "\n", (
        "invoke schema > schema/stack.json"
    )


@pytest.mark.parametrize("path", WORKED, ids=lambda path: path.parent.name)
def test_the_schema_accepts_the_worked_stacks(path: Path) -> None:
    jsonschema_rs.validator_for(stackfile.json_schema()).validate(plain(path))


@pytest.mark.parametrize(
    "change",
    [
        lambda stack: stack.update(servces={}),
        lambda stack: stack["services"]["api"].update(prot=3000),
        lambda stack: stack["services"]["api"]["healthcheck"].update(intervall="5s"),
        lambda stack: stack["data"]["postgres"].update(mode="cache"),
        lambda stack: stack["env"]["LOG_LEVEL"].update(defualt="info"),
        lambda stack: stack["services"]["api"].update(port="http"),
        lambda stack: stack.pop("services"),
    ],
)
def test_the_schema_refuses_what_the_models_refuse(change: Any) -> None:
    stack = plain(ROOT / "stacks/sevra-atlas/stack.yaml")
    change(stack)

    assert not jsonschema_rs.validator_for(stackfile.json_schema()).is_valid(stack)


def test_every_key_is_explained_where_its_name_does_not_say_it_all() -> None:
    described = json.dumps(stackfile.json_schema())

    assert "How long requests in flight on the old tier may take to finish." in described
