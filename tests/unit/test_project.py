"""What the user means is found from any folder of the project, and a slip of the keyboard is understood."""

from __future__ import annotations

import dataclasses
from pathlib import Path, PurePosixPath

import pytest
from tests.examples import sevra

from wharfinger.commands.sandbox import ssh_config
from wharfinger.errors import InvalidInput, UsageError
from wharfinger.project import Place, find, find_project, stack_files

STACK = """\
name: {name}
services: {{api: {{image: app}}}}
environments:
  local: {{server: local, domain: {name}.localhost}}
  staging: {{server: vps1, domain: staging.example.com, root: /opt/wharf}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("shop", "blog"):
        folder = tmp_path / "stacks" / name
        folder.mkdir(parents=True)
        (folder / "stack.yaml").write_text(STACK.format(name=name))
    (tmp_path / "stacks/notes").mkdir()
    return tmp_path


@pytest.mark.parametrize("inside", [".", "stacks", "stacks/shop", "stacks/notes"])
def test_the_project_is_found_from_every_folder_of_it(project: Path, inside: str) -> None:
    assert find_project(project / inside) == project
    assert find(project / inside, stack="shop", environment="local").folder == project / "stacks/shop"


def test_outside_of_a_project_the_mend_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no stacks/ folder in") as caught:
        find_project(tmp_path)

    assert "stacks/NAME/stack.yaml" in caught.value.fix
    assert caught.value.exit_code == 2


def test_only_folders_with_a_stack_file_are_stacks(project: Path) -> None:
    assert list(stack_files(project)) == ["blog", "shop"]


@pytest.mark.parametrize(
    ("stack", "environment", "problem", "fix"),
    [
        ("shpo", "local", "there is no stack shpo; did you mean shop?", "there is: blog, shop"),
        ("warehouse", "local", "there is no stack warehouse", "there is: blog, shop"),
        ("shop", "stagin", "shop has no environment stagin; did you mean staging?", "there is: local, staging"),
        ("shop", "prod", "shop has no environment prod", "there is: local, staging"),
        (None, "local", "which stack?", "--stack, or `wharfinger: {stack: NAME}` in invoke.yaml; there is: blog, shop"),
    ],
)
def test_what_there_is_not_is_told_with_what_there_is(
    project: Path, stack: str | None, environment: str, problem: str, fix: str
) -> None:
    with pytest.raises(UsageError) as caught:
        find(project, stack=stack, environment=environment)

    assert (caught.value.problem, caught.value.fix) == (problem, fix)


def test_the_only_stack_needs_no_name(project: Path) -> None:
    (project / "stacks/blog/stack.yaml").unlink()

    assert find(project, stack=None, environment="local").stack.name == "shop"


def test_a_project_without_stacks_says_so(project: Path) -> None:
    for path in project.glob("stacks/*/stack.yaml"):
        path.unlink()

    with pytest.raises(UsageError) as caught:
        find(project, stack=None, environment="local")

    assert caught.value.fix.endswith("there is: none")


def test_only_the_stack_that_is_meant_must_be_valid(project: Path) -> None:
    (project / "stacks/blog/stack.yaml").write_text("name: [")

    assert find(project, stack="shop", environment="local")
    with pytest.raises(InvalidInput, match=r"^stacks/blog/stack\.yaml:"):
        find(project, stack="blog", environment="local")


def test_a_place_knows_its_names_and_folders(project: Path) -> None:
    place = find(project, stack="shop", environment="local")

    assert place.target.name == "shop-local"
    assert place.build_folder == project / "build/shop/local"
    assert place.env_file == project / "stacks/shop/.env.local"
    assert place.environment.is_local
    assert place.layout("/srv").home == PurePosixPath("/srv/shop/local")


def test_the_root_of_the_stack_file_wins(project: Path) -> None:
    place = dataclasses.replace(find(project, stack="shop", environment="local"), environment_name="staging")

    assert isinstance(place, Place)
    assert place.layout("/srv").home == PurePosixPath("/opt/wharf/shop/staging")


@pytest.mark.parametrize(
    ("environment", "confirm", "asks"),
    [("local", None, False), ("production", None, True), ("production", False, False), ("local", True, True)],
)
def test_production_asks_unless_it_says_otherwise(environment: str, confirm: bool | None, asks: bool) -> None:
    described = sevra().environments["local"].model_copy(update={"confirm": confirm})
    stack = sevra().model_copy(update={"environments": {environment: described}})
    assert Place(Path("/p"), Path("/p/stacks/x"), stack, environment).must_be_confirmed == asks


def test_checks_find_a_server_of_the_sandbox_whose_domain_is_in_no_dns(project: Path) -> None:
    folder = project / "build" / "sandbox"
    folder.mkdir(parents=True)
    config = ssh_config({"vps1": ("192.0.2.7", 22)}, folder / "id", folder / "known")
    (folder / "ssh_config").write_text(config, encoding="utf-8")

    staging = find(project, stack="shop", environment="staging")
    assert staging.is_in_sandbox
    assert staging.environment.address == "192.0.2.7"
    assert "192.0.2.7" not in staging.stack.model_dump_json(), "a release would differ with every new sandbox"

    local = find(project, stack="shop", environment="local")
    assert not local.is_in_sandbox
    assert local.environment.address is None


def test_without_the_sandbox_a_servers_domain_is_asked_about(project: Path) -> None:
    assert find(project, stack="shop", environment="staging").environment.address is None


def with_servers(*servers: str) -> Place:
    described = sevra().environments["staging"].model_copy(update={"servers": servers})
    stack = sevra().model_copy(update={"environments": {"staging": described}})
    return Place(Path("/p"), Path("/p/stacks/x"), stack, "staging")


@pytest.mark.parametrize(
    ("named", "server"), [("", "deploy@web1"), ("web2", "deploy@web2"), ("deploy@web2", "deploy@web2")]
)
def test_one_of_several_servers_is_named_with_or_without_its_user(named: str, server: str) -> None:
    assert with_servers("deploy@web1", "deploy@web2").named(named).environment.servers == (server,)


def test_a_server_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="staging has no server web3") as caught:
        with_servers("deploy@web1", "deploy@web2").named("web3")
    assert caught.value.fix == "there is: deploy@web1, deploy@web2"
