"""The Compose files of both tiers, read by a YAML reader and held against the Compose Specification."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from ruamel.yaml import YAML
from tests.examples import IMAGES, LAYOUT, RELEASE, sevra

from wharfinger.model.stack import Stack
from wharfinger.rendering.compose import render_app_tier, render_data_tier
from wharfinger.rendering.templates import Templates

SLOT = "${WHARFINGER_SLOT:-blue}"


def app_text(stack: Stack, environment: str = "local", *, engine: tuple[int, int] = (26, 1)) -> str:
    return render_app_tier(
        stack,
        environment,
        release=RELEASE,
        images=IMAGES,
        layout=LAYOUT,
        engine_version=engine,
        templates=Templates.of(),
    )


def data_files(stack: Stack, *, engine: tuple[int, int] = (26, 1)) -> dict[str, str]:
    return render_data_tier(stack, "local", layout=LAYOUT, engine_version=engine, templates=Templates.of())


def read(text: str) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return document


def app(stack: Stack, environment: str = "local") -> dict[str, Any]:
    return read(app_text(stack, environment))


def data(stack: Stack) -> dict[str, Any]:
    return read(data_files(stack)["data.yaml"])


@cache
def compose_schema() -> jsonschema_rs.Validator:
    text = (files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text()
    # By the schema's own draft: an older one passes over misspelt keys.
    return jsonschema_rs.validator_for(json.loads(text))


@pytest.mark.parametrize("stack", [sevra(), sevra(data={}), sevra(migrate=None), sevra(volumes={"uploads": {}})])
def test_every_file_follows_the_compose_specification(stack: Stack) -> None:
    documents = [app_text(stack), app_text(stack, "staging", engine=(20, 10)), *data_files(stack).values()]

    for text in documents:
        compose_schema().validate(read(text))


def test_the_specification_would_refuse_a_wrong_file() -> None:
    """The check above can fail."""
    broken = app(sevra())
    broken["services"]["api"]["mem_limits"] = "1g"

    assert not compose_schema().is_valid(broken)


def test_equal_arguments_give_equal_text() -> None:
    assert app_text(sevra()) == app_text(sevra())
    assert data_files(sevra()) == data_files(sevra())


def test_nothing_is_published_and_no_service_may_gain_privileges() -> None:
    for service in app(sevra())["services"].values():
        assert "ports" not in service
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["cap_drop"] == ["ALL"]
        assert service["init"] is True
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
        assert service["mem_limit"]
        assert service["cpus"]
        assert service["pids_limit"]


def test_a_service_runs_the_digest_that_was_pushed() -> None:
    services = app(sevra())["services"]

    assert services["api"]["image"] == services["migrate"]["image"] == IMAGES["app"]
    assert services["reporter"]["image"] == "registry.example.com/acme/reporter:4"


def test_an_image_from_elsewhere_can_be_pinned_too() -> None:
    pinned = "registry.example.com/acme/reporter@sha256:" + "cd" * 32
    text = render_app_tier(
        sevra(),
        "local",
        release=RELEASE,
        images={**IMAGES, "registry.example.com/acme/reporter:4": pinned},
        layout=LAYOUT,
        engine_version=(26, 1),
        templates=Templates.of(),
    )

    assert read(text)["services"]["reporter"]["image"] == pinned


def test_a_service_gets_its_variables_by_name_only() -> None:
    """No value of the contract is ever in the file; who is not named does not get it."""
    services = app(sevra())["services"]

    assert services["api"]["environment"] == {
        "DATABASE_URL": None,
        "QUEUE_URL": None,
        "LOG_FORMAT": "json",
        "PRICE": "5$$ or $${MORE}",
    }
    assert services["migrate"]["environment"] == {"DATABASE_URL": None, "POSTGRES_PASSWORD": None}


def test_containers_are_found_by_their_labels() -> None:
    labels = app(sevra())["services"]["api"]["labels"]

    assert labels == {
        "org.wharfinger.stack": "sevra-atlas",
        "org.wharfinger.environment": "local",
        "org.wharfinger.service": "api",
        "org.wharfinger.release": RELEASE,
        "org.wharfinger.slot": SLOT,
    }
    assert isinstance(labels["org.wharfinger.release"], str)


def test_the_edge_reaches_a_listening_service_by_its_slot_and_by_its_release() -> None:
    document = app(sevra())

    assert document["services"]["api"]["networks"] == {
        "data": None,
        "edge": {"aliases": [f"sevra-atlas-local-{SLOT}-api", f"sevra-atlas-local-{SLOT}-{RELEASE}-api"]},
    }
    assert document["services"]["reporter"]["networks"] == {"data": None, "edge": None}
    assert document["networks"] == {
        "data": {"name": "sevra-atlas-local-data", "external": True},
        "edge": {"name": "wharfinger-edge", "external": True},
    }


def test_a_name_means_this_release_and_this_environment() -> None:
    """Links come before the edge's network, where other stacks may use the same names."""
    assert app(sevra())["services"]["worker"]["external_links"] == [
        "sevra-atlas-local-postgres:postgres",
        "sevra-atlas-local-redis_cache:redis_cache",
        "sevra-atlas-local-redis_queue:redis_queue",
        f"sevra-atlas-local-{SLOT}-api:api",
        f"sevra-atlas-local-{SLOT}-worker:worker",
    ]


def test_another_edge_is_another_network() -> None:
    environments = {"local": {"server": "local", "domain": "localhost", "edge": {"project": "second-edge"}}}

    assert app(sevra(environments=environments))["networks"]["edge"]["name"] == "second-edge"


def test_a_stack_without_data_has_no_data_network_and_no_data_files() -> None:
    stack = sevra(data={})
    document = app(stack)

    assert data_files(stack) == {}
    assert list(document["networks"]) == ["edge"]
    assert "data" not in document["services"]["api"]["networks"]


def test_the_migration_starts_only_when_asked() -> None:
    migrate = app(sevra())["services"]["migrate"]

    assert migrate["profiles"] == ["migrate"]
    assert migrate["restart"] == "no"
    assert migrate["healthcheck"] == {"disable": True}
    assert migrate["networks"] == ["data"]
    assert "depends_on" not in migrate
    assert "migrate" not in app(sevra(migrate=None))["services"]


@pytest.mark.parametrize(
    ("data_services", "networks"),
    [({}, ["edge"]), ({"cache": {"engine": "redis", "mode": "cache"}}, ["data", "edge"])],
)
def test_the_migration_of_a_database_elsewhere_gets_out(data_services: dict[str, Any], networks: list[str]) -> None:
    assert app(sevra(data=data_services))["services"]["migrate"]["networks"] == networks


def test_shared_folders_are_bound_and_never_made_by_docker() -> None:
    services = app(sevra())["services"]
    bound = {
        "type": "bind",
        "source": "/srv/wharfinger/sevra-atlas/local/shared/uploads",
        "target": "/app/uploads",
        "bind": {"create_host_path": False},
    }

    assert services["api"]["volumes"] == [bound]
    assert services["worker"]["volumes"] == [{**bound, "read_only": True}]


def test_a_service_says_what_the_stack_file_says() -> None:
    services = app(sevra())["services"]

    assert services["api"]["user"] == "10001:10001"
    assert services["api"]["read_only"] is True
    assert services["api"]["tmpfs"] == ["/tmp:size=64m"]
    assert services["worker"]["stop_grace_period"] == "1m"
    assert services["reporter"]["pids_limit"] == 64
    assert "user" not in services["worker"]
    assert "healthcheck" not in services["worker"], "the image's own check counts"


def test_an_environment_scales_its_services() -> None:
    assert app(sevra(), "staging")["services"]["api"]["scale"] == "${WHARFINGER_SCALE_API:-2}"
    assert app(sevra(), "local")["services"]["api"]["scale"] == "${WHARFINGER_SCALE_API:-1}"


@pytest.mark.parametrize(("engine", "known"), [((26, 1), True), ((25, 0), True), ((24, 9), False), ((20, 10), False)])
def test_an_older_engine_is_not_given_what_it_refuses(engine: tuple[int, int], known: bool) -> None:
    service = read(app_text(sevra(), engine=engine))["services"]["api"]
    postgres = read(data_files(sevra(), engine=engine)["data.yaml"])["services"]["postgres"]

    assert service["healthcheck"]["test"] == ["CMD", "python", "-m", "sevra_atlas", "check", "3000"]
    assert service["healthcheck"]["interval"] == "5s"
    assert ("start_interval" in service["healthcheck"]) is known
    assert ("start_interval" in postgres.get("healthcheck", {})) is known


def test_the_data_tier_extends_the_files_that_come_with_it() -> None:
    files = data_files(sevra())

    assert set(files) == {"data.yaml", "postgres.yaml", "redis_cache.yaml", "redis_queue.yaml"}
    for service in read(files["data.yaml"])["services"].values():
        assert service["extends"]["service"] in read(files[service["extends"]["file"]])["services"]


def test_the_data_tier_keeps_what_it_must_in_named_volumes() -> None:
    document = data(sevra())
    mounts = {name: service.get("volumes") for name, service in document["services"].items()}

    assert document["name"] == "sevra-atlas-local"
    assert document["volumes"] == {
        "postgres": {"name": "sevra-atlas-local-postgres"},
        "redis_queue": {"name": "sevra-atlas-local-redis_queue"},
    }
    assert mounts == {
        "postgres": [{"type": "volume", "source": "postgres", "target": "/var/lib/postgresql/data"}],
        "redis_cache": None,
        "redis_queue": [{"type": "volume", "source": "redis_queue", "target": "/data"}],
    }


def test_postgres_18_keeps_its_data_one_folder_up() -> None:
    """The image moved PGDATA; a volume in the old place would hold nothing."""
    document = data(sevra(data={"db": {"engine": "postgres", "version": "18"}}))

    assert document["services"]["db"]["image"] == "postgres:18"
    assert document["services"]["db"]["volumes"][0]["target"] == "/var/lib/postgresql"


def test_the_data_network_leads_nowhere_else() -> None:
    assert data(sevra())["networks"] == {"default": {"name": "sevra-atlas-local-data", "internal": True}}


def test_a_data_service_gets_only_variables_that_name_it() -> None:
    services = data(sevra())["services"]

    assert services["postgres"]["environment"] == dict.fromkeys(["POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"])
    assert "environment" not in services["redis_queue"]


def test_postgres_stays_safe_and_takes_the_stacks_settings_last() -> None:
    command = data(sevra())["services"]["postgres"]["command"]

    assert command[0] == "postgres"
    assert {"--fsync=on", "--synchronous_commit=on", "--full_page_writes=on", "--wal_level=replica"} <= set(command)
    assert command[-3:] == ["--shared_buffers=256MB", "--effective_cache_size=768MB", "--max_connections=50"]


def test_a_stacks_setting_wins_over_the_one_made_from_its_memory() -> None:
    stack = sevra(data={"db": {"engine": "postgres", "mem_limit": "64m", "settings": {"shared_buffers": "8MB"}}})
    command = data(stack)["services"]["db"]["command"]

    assert [flag for flag in command if "shared_buffers" in flag] == ["--shared_buffers=8MB"]
    assert "--effective_cache_size=48MB" in command


def test_redis_listens_and_is_asked_on_the_same_port() -> None:
    queue = data(sevra())["services"]["redis_queue"]

    assert queue["command"][-4:] == ["--port", "6380", "--maxmemory", "128MB"]
    assert queue["healthcheck"]["test"] == ["CMD", "redis-cli", "-e", "-p", "6380", "ping"]


def test_two_services_of_one_engine_do_not_share_anything() -> None:
    stack = sevra(data={"main": {"engine": "postgres"}, "audit": {"engine": "postgres"}})
    document = data(stack)
    names = [service["container_name"] for service in document["services"].values()]

    assert names == ["sevra-atlas-local-main", "sevra-atlas-local-audit"]
    assert [volume["name"] for volume in document["volumes"].values()] == names
    assert set(data_files(stack)) == {"data.yaml", "postgres.yaml"}


def test_a_projects_own_template_counts(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "data.yaml.j2").write_text("name: {{ target.name }}\nservices: {}\n")

    files = render_data_tier(sevra(), "local", layout=LAYOUT, engine_version=(26, 1), templates=Templates.of(tmp_path))

    assert files["data.yaml"] == "name: sevra-atlas-local\nservices: {}\n"


# Ports of loopback, and the server's own Nginx


def published(**edge: Any) -> Stack:
    ports = {"api": [3001, 3101], "postgres": 5433, "redis_queue": 6390}
    here = {"server": "local", "domain": "localhost", "ports": ports, **edge}
    return sevra(environments={"local": here})


def test_nothing_is_published_unless_it_is_asked_for() -> None:
    documents = (app(sevra()), data(sevra()))
    assert not [name for document in documents for name, service in document["services"].items() if "ports" in service]


def test_a_service_is_published_on_loopback_on_its_slots_port() -> None:
    services = app(published())["services"]
    assert services["api"]["ports"] == ["127.0.0.1:${WHARFINGER_PORT_API:-3001}:3000"]
    assert "ports" not in services["worker"]


def test_a_published_data_service_has_a_second_network_since_the_first_is_internal() -> None:
    document = data(published())
    assert document["services"]["postgres"]["ports"] == ["127.0.0.1:5433:5432"]
    assert document["services"]["redis_queue"]["ports"] == ["127.0.0.1:6390:6380"]
    assert set(document["services"]["postgres"]["networks"]) == {"default", "published"}
    assert "networks" not in document["services"]["redis_cache"]
    assert document["networks"]["default"]["internal"] is True
    assert document["networks"]["published"] == {"name": "sevra-atlas-local-published"}


def test_behind_the_servers_own_nginx_a_release_has_a_network_of_its_own() -> None:
    stack = published(edge="host", ports={"api": [3001, 3101]})
    assert app(stack)["networks"]["edge"] == {"name": f"sevra-atlas-local-{RELEASE}"}
    assert app(sevra())["networks"]["edge"] == {"name": "wharfinger-edge", "external": True}


@pytest.mark.parametrize("edge", [{}, {"edge": "host", "ports": {"api": [3001, 3101]}}])
def test_published_files_follow_the_compose_specification(edge: dict[str, Any]) -> None:
    stack = published(**edge)
    for document in (app(stack), data(stack)):
        assert [error.message for error in compose_schema().iter_errors(document)] == []
