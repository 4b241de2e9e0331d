"""When an image has to be built again, and when not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from wharfinger.builds import Ignored, tag_of, tree_hash
from wharfinger.errors import InvalidInput
from wharfinger.model.build import BuildSpec


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "src").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (folder / ".dockerignore").write_text("*.log\nnode_modules\n!**/keep.js\n")
    (folder / "src" / "main.py").write_text("print(1)\n")
    (folder / "link").symlink_to("src/main.py")
    return folder


SPEC = BuildSpec(context="app")
KNOWN = "3d65c6a6a46c8e75f75c9b4e947c9292e2577ac394f5e7b5368588d6381fc58a"


def change_byte(app: Path) -> None:
    (app / "src" / "main.py").write_text("print(2)\n")


def move_file(app: Path) -> None:
    (app / "src" / "main.py").rename(app / "main.py")


def make_executable(app: Path) -> None:
    (app / "src" / "main.py").chmod(0o755)


def turn_link(app: Path) -> None:
    (app / "link").unlink()
    (app / "link").symlink_to("src")


def link_becomes_file(app: Path) -> None:
    (app / "link").unlink()
    (app / "link").write_text("src/main.py")


def change_dockerfile(app: Path) -> None:
    (app / "Dockerfile").write_text("FROM scratch\nCOPY src /\n")


def ignore_more(app: Path) -> None:
    (app / ".dockerignore").write_text("*.log\nsrc\n")


def add_empty_file(app: Path) -> None:
    (app / "empty").touch()


def add_kept_exception(app: Path) -> None:
    (app / "node_modules" / "x").mkdir(parents=True)
    (app / "node_modules" / "x" / "keep.js").touch()


def move_a_byte_between_files(app: Path) -> None:
    (app / "a").write_text("xy")
    (app / "b").write_text("z")


CHANGES = [
    change_byte,
    move_file,
    make_executable,
    turn_link,
    link_becomes_file,
    change_dockerfile,
    ignore_more,
    add_empty_file,
    add_kept_exception,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_that_counts(app: Path, change: Callable[[Path], None]) -> None:
    before = tree_hash(app.parent, SPEC)
    change(app)
    assert tree_hash(app.parent, SPEC) != before


@pytest.mark.parametrize(
    "spec",
    [
        BuildSpec(context="app", target="final"),
        BuildSpec(context="app", args={"A": "1"}),
        BuildSpec(context="app", args={"A": "2"}),
        BuildSpec(context="app", platform="linux/arm64"),
        BuildSpec(context="app", dockerfile="src/main.py"),
    ],
)
def test_what_is_asked_of_the_build_counts(app: Path, spec: BuildSpec) -> None:
    others = [SPEC, BuildSpec(context="app", args={"A": "3"})]
    assert tree_hash(app.parent, spec) not in {tree_hash(app.parent, other) for other in others}


def touch(app: Path) -> None:
    os.utime(app / "src" / "main.py", (1, 1))


def close_to_others(app: Path) -> None:
    (app / "src" / "main.py").chmod(0o600)


def add_ignored(app: Path) -> None:
    (app / "debug.log").write_text("x")
    (app / "node_modules" / "left-pad").mkdir(parents=True)
    (app / "node_modules" / "left-pad" / "index.js").write_text("x")


def add_empty_folder(app: Path) -> None:
    (app / "src" / "__pycache__").mkdir()


@pytest.mark.parametrize("change", [touch, close_to_others, add_ignored, add_empty_folder])
def test_a_change_that_does_not(app: Path, change: Callable[[Path], None]) -> None:
    before = tree_hash(app.parent, SPEC)
    change(app)
    assert tree_hash(app.parent, SPEC) == before


def test_the_hash_is_the_same_on_every_machine(app: Path) -> None:
    assert tree_hash(app.parent, SPEC) == KNOWN
    assert tag_of(app.parent, SPEC) == "tree-" + KNOWN[:16]


def test_bytes_do_not_run_from_one_file_into_the_next(app: Path) -> None:
    (app / "a").write_text("x")
    (app / "b").write_text("yz")
    before = tree_hash(app.parent, SPEC)
    move_a_byte_between_files(app)
    assert tree_hash(app.parent, SPEC) != before


def test_a_dockerfile_may_have_an_ignore_file_of_its_own(app: Path) -> None:
    (app / "Dockerfile.dockerignore").write_text("src\nDockerfile.dockerignore\n")
    before = tree_hash(app.parent, SPEC)
    change_byte(app)
    assert tree_hash(app.parent, SPEC) == before
    (app / "debug.log").write_text("no longer ignored")
    assert tree_hash(app.parent, SPEC) != before


def test_strange_names_and_kinds_are_no_obstacle(app: Path) -> None:
    (app / os.fsdecode(b"\xff\n name")).write_text("x")
    os.mkfifo(app / "pipe")
    (app / "nowhere").symlink_to("/does/not/exist")
    (app / "loop").symlink_to(".")
    assert len(tree_hash(app.parent, SPEC)) == 64


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (BuildSpec(context="nowhere"), "nowhere: the build context is no folder"),
        (BuildSpec(context="app", dockerfile="Dokcerfile"), "app/Dokcerfile: there is no such Dockerfile"),
        (BuildSpec(context="app/Dockerfile"), "app/Dockerfile: the build context is no folder"),
    ],
)
def test_what_is_not_there_is_named(app: Path, spec: BuildSpec, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem) as caught:
        tree_hash(app.parent, spec)
    assert caught.value.fix


def test_a_bad_ignore_file_is_named_with_its_line(app: Path) -> None:
    (app / ".dockerignore").write_text("a\n[z-a]\n")
    with pytest.raises(InvalidInput, match=r"\.dockerignore: line 2: "):
        tree_hash(app.parent, SPEC)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_named(app: Path) -> None:
    (app / "src" / "main.py").chmod(0)
    with pytest.raises(InvalidInput, match=r"main\.py: Permission denied"):
        tree_hash(app.parent, SPEC)


def test_two_thousand_files_take_a_third_of_a_second(app: Path) -> None:
    (app / ".dockerignore").write_text("\n".join(["**/*.pyc", ".git", "node_modules", "*.md", "!README.md"]))
    for number in range(2000):
        folder = app / f"d{number % 40}"
        folder.mkdir(exist_ok=True)
        (folder / f"f{number}").write_bytes(os.urandom(4096))
    tree_hash(app.parent, SPEC)
    began = time.process_time()
    tree_hash(app.parent, SPEC)
    assert time.process_time() - began < 0.3


@pytest.mark.parametrize(
    ("patterns", "path", "counts"),
    [
        (("docs/**",), "app/docs/a.md", True),  # seen from the stack's folder
        (("app/docs/**",), "app/docs/deep/a.md", False),
        (("app/docs",), "app/docs/a.md", False),
        (("docs/",), "app/docs/a.md", False),  # as in a .gitignore: in any folder
        (("*.md",), "app/docs/a.md", False),
        (("/*.md",), "app/docs/a.md", True),
        (("*.md", "!a.md"), "app/docs/a.md", True),
        (("*.md", "!a.md"), "app/docs/b.md", False),
        ((), "app/docs/a.md", True),
    ],
)
def test_a_file_that_a_deploy_ignores_does_not_count(
    app: Path, patterns: tuple[str, ...], path: str, counts: bool
) -> None:
    ignored = Ignored.read(patterns)
    file = app.parent / path
    file.parent.mkdir(parents=True)
    file.write_text("before")
    before, held = tree_hash(app.parent, SPEC, ignored), ignored.files(app.parent)

    file.write_text("after")

    assert (tree_hash(app.parent, SPEC, ignored) != before) is counts
    assert (ignored.files(app.parent) == held) is counts
    assert (path in held) is not counts


def test_the_dockerfile_counts_even_where_a_pattern_names_it(app: Path) -> None:
    ignored = Ignored.read(("Dockerfile",))
    before = tree_hash(app.parent, SPEC, ignored)

    change_dockerfile(app)

    assert tree_hash(app.parent, SPEC, ignored) != before


def test_what_lies_outside_the_stacks_folder_is_never_ignored() -> None:
    assert not Ignored.read(("*",)).covers("../shared/a.md")
    assert Ignored.read(("*",)).covers("./a.md")


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"deploy\.ignore: line 2"):
        Ignored.read(("docs", "[b-a]"))
