"""Files, links, tables and stack files that the documents show are those of the project."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from tests.docs import documents
from tests.docs.documents import DOCUMENTS, ROOT

from wharfinger import errors, stackfile
from wharfinger.model.contract import Rules, Variable
from wharfinger.model.forms import FormName
from wharfinger.model.release import Layout, Target
from wharfinger.model.stack import Stack
from wharfinger.rendering.release import NO_RELEASE, render

README, ARCHITECTURE, STACK_FILE = ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "docs" / "stack-file.md"
EVERY_DOCUMENT = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
# Made by commands that the documents show, or by a deploy.
MADE = ("build/", "stacks/hello/", "stacks/NAME/", "stacks/x/")


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@EVERY_DOCUMENT
def test_a_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        linked = (document.parent / path).resolve() if path else document
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@EVERY_DOCUMENT
def test_a_path_that_is_named_exists(document: Path) -> None:
    tops = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir())
    for code in documents.inline(document):
        for word in code.split():
            if word.startswith(tops) and not word.startswith(MADE) and not re.search(r"[…*{]|\b[A-Z]{3,}", word):
                bases = (ROOT, document.parent, ROOT / "src" / "wharfinger")
                assert any((base / word).exists() for base in bases), word


def test_the_layers_are_those_that_import_linter_enforces() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    there = {path.stem for path in (ROOT / "src" / "wharfinger").iterdir()}
    enforced = [
        set(re.findall(r"\w+", layer)) & there for layer in project["tool"]["importlinter"]["contracts"][0]["layers"]
    ]
    rows = documents.table(ARCHITECTURE, "layer", "role", "modules")
    written = [{code.removesuffix("/").removesuffix(".py") for code in documents.codes(row[2])} for row in rows]
    assert written == enforced


def test_the_sections_of_a_stack_file_are_named() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8").partition("## 4.")[2].partition("\n## ")[0]
    assert set(Stack.model_fields) <= set(documents.codes(text))


def test_the_exit_codes_are_those_of_the_errors() -> None:
    rows = documents.table(README, "exit code", "means")
    listed = re.findall(r"^    (\d+) +(?:[A-Z]\w+  +)?(.*)$", inspect.getdoc(errors) or "", re.MULTILINE)
    assert list(rows) == listed
    kinds = [
        kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.WharfingerError)
    ]
    assert {"0", *(str(kind.exit_code) for kind in kinds)} == {code for code, _ in rows}


def test_the_variables_are_those_that_we_read() -> None:
    sources = [*ROOT.glob("src/**/*.py"), *ROOT.glob("compose/*.yaml")]
    read = {
        name
        for path in sources
        for name in re.findall(r"[\"{](WHARFINGER_[A-Z_]*[A-Z])\b", path.read_text(encoding="utf-8"))
    }
    rows = documents.table(README, "variable", "what it does")
    assert {documents.codes(name)[0] for name, _ in rows} == read - {"WHARFINGER_SLOT"}


def test_the_forms_are_those_of_the_contract() -> None:
    rows = documents.table(STACK_FILE, "form", "what it takes")
    assert [documents.codes(name)[0] for name, _ in rows] == list(get_args(FormName))


def stack_files() -> list[Any]:
    """Return every stack file, or part of one, that the documents show."""
    found = [block for document in DOCUMENTS for block in documents.blocks(document, "yaml")]
    assert all(block.file for block in found), "the first line of a yaml block names its file"
    shown = [block for block in found if str(block.file).endswith("/stack.yaml")]
    return [pytest.param(block, id=f"{block.document.name}-{number}") for number, block in enumerate(shown)]


@pytest.mark.parametrize("block", stack_files())
def test_a_stack_file_that_is_shown_is_one(block: documents.Block, tmp_path: Path) -> None:
    """It also renders, in every environment; what a part leaves out is the README's own stack."""
    from ruamel.yaml import YAML

    yaml, path = YAML(), tmp_path / "stack.yaml"
    whole = next(one.text for one in documents.blocks(README, "yaml") if one.file == "stacks/hello/stack.yaml")
    shown = yaml.load(block.text)
    yaml.dump(shown if "name" in shown else {**yaml.load(whole), **shown}, path)
    stack = stackfile.load(path)
    for environment in stack.environments:
        images = {name: f"127.0.0.1:5055/{stack.name}/{name}@sha256:{'0' * 64}" for name in stack.build}
        layout = Layout(tmp_path, Target(stack.name, environment))  # type: ignore[arg-type]
        render(
            stack,
            environment,
            release=NO_RELEASE,
            images=images,
            layout=layout,
            engine_version=(26, 1),
            project=tmp_path,
        )


def used_keys(value: object) -> set[tuple[str, str]]:
    """Return (model, key) for every key that was given in a model and those within it."""
    found: set[tuple[str, str]] = set()
    if isinstance(value, BaseModel):
        found |= {(type(value).__name__, name) for name in value.model_fields_set}
        inner: Any = [getattr(value, name) for name in type(value).model_fields]
    elif isinstance(value, dict):
        inner = value.values()
    else:
        inner = value if isinstance(value, tuple) else ()
    return found.union(*map(used_keys, inner))


def every_key() -> set[tuple[str, str]]:
    """Return (model, key) for every key that a stack file may have."""
    schema = stackfile.json_schema()
    by_alias = {"json": "expect", "server": "servers"}
    models = {"Stack": schema, **schema["$defs"]}
    return {
        (model, by_alias.get(key, key))
        for model, described in models.items()
        for key in described.get("properties", ())
    }


def test_every_key_is_shown_and_explained(tmp_path: Path) -> None:
    block, *_ = documents.blocks(STACK_FILE, "yaml")
    path = tmp_path / "stack.yaml"
    path.write_text(block.text, encoding="utf-8")
    missing = every_key() - used_keys(stackfile.load(path))
    # A variable's rules for one environment have keys of the variable itself, explained there.
    rules = {("Rules", name) for name in Rules.model_fields if name in Variable.model_fields}
    assert missing <= rules
