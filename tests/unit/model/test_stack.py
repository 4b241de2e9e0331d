"""What a stack says of itself: defaults that keep a server safe, and addresses that users type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.examples import sevra

from wharfinger import stackfile
from wharfinger.model.checks import Check, LatencyCheck, LogCheck
from wharfinger.model.environment import Environment
from wharfinger.model.stack import Redis, Service, Stack

WORKED = sorted((Path(__file__).parents[3] / "stacks").glob("*/stack.yaml"))


def environment(**facts: Any) -> Environment:
    return Environment.model_validate({"server": "local", "domain": "shop.localhost"} | facts)


@pytest.mark.parametrize(
    ("facts", "url", "bind"),
    [
        ({}, "http://shop.localhost:8080", "127.0.0.1"),
        ({"edge": {"http_port": 80}}, "http://shop.localhost", "127.0.0.1"),
        ({"edge": {"http_port": 9000, "bind": "0.0.0.0"}}, "http://shop.localhost:9000", "0.0.0.0"),
        ({"tls": {"certificate": "shop"}}, "https://shop.localhost:8443", "127.0.0.1"),
        ({"server": "root@vps1.example.com"}, "http://shop.localhost", "0.0.0.0"),
        ({"server": "vps1", "tls": {"certificate": "shop"}}, "https://shop.localhost", "0.0.0.0"),
        (
            {"server": "vps1", "tls": {"certificate": "shop"}, "edge": {"https_port": 444}},
            "https://shop.localhost:444",
            "0.0.0.0",
        ),
    ],
)
def test_the_address_that_users_type_follows_from_the_environment(facts: dict[str, Any], url: str, bind: str) -> None:
    found = environment(**facts)

    assert (found.url, found.bind) == (url, bind)


@pytest.mark.parametrize(
    "domain", ["", "Shop.example.com", "shop_example", "-shop", "shop-", "shop.", "a b", "a;b", "a/b", "a\nb", "${X}"]
)
def test_a_domain_cannot_smuggle_anything_into_the_site(domain: str) -> None:
    with pytest.raises(ValidationError):
        environment(domain=domain)


def test_what_is_not_said_keeps_a_server_safe() -> None:
    service = Service(image="app")

    assert (service.mem_limit, service.cpus, service.pids_limit) == ("512m", 1.0, 512)
    assert service.port is None  # nothing is reached but through the edge


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("services", {}),
        ("environments", {}),
        ("services", {"api": {"image": "app", "port": 70000}}),
        ("services", {"api": {"image": "app", "scale": 0}}),
        ("data", {"postgres": {"engine": "postgres", "mode": "cache"}}),
        ("data", {"redis": {"engine": "redis"}}),
        ("data", {"postgres": {"engine": "postgres", "version": "9"}}),
        ("checks", [{"path": "health"}]),
        ("deploy", {"keep": 0}),
        ("volumes", {"up/../..": {}}),
        ("environments", {"stag-ing": {"server": "local", "domain": "x"}}),  # stack a-b in c and stack a in b-c
        ("runtime", "swam"),
    ],
)
def test_what_could_not_run_is_no_stack(section: str, changes: Any) -> None:
    with pytest.raises(ValidationError):
        sevra(**{section: changes, "site": None, "volumes": {"uploads": {}}} | {section: changes})


def test_a_check_names_the_members_of_the_answer() -> None:
    check = Check.model_validate({"path": "/health", "json": {"status": "healthy"}})

    assert (check.expect, check.status, check.method) == ({"status": "healthy"}, 200, "GET")


def test_an_image_is_built_or_comes_from_elsewhere() -> None:
    stack = sevra()

    assert stack.image_is_built("app")
    assert not stack.image_is_built("registry.example.com/acme/reporter:4")


def test_the_kind_of_a_data_service_is_told_by_its_engine() -> None:
    assert isinstance(sevra().data["redis_queue"], Redis)


@pytest.mark.parametrize("stack", [sevra(), *map(stackfile.load, WORKED)], ids=lambda stack: stack.name)
def test_a_stack_reads_back_from_its_release_directory(stack: Stack) -> None:
    """A rollback reads `stack.json`: what it runs must be what was deployed, not today's stack file."""
    kept = stack.model_dump_json(by_alias=True, exclude_unset=True)

    assert Stack.model_validate_json(kept) == stack


def test_a_default_that_an_environment_takes_away_stays_away_in_stack_json() -> None:
    """What is said and equals the default is said all the same: production must go on asking for the value."""
    rules = {"meaning": "Where mail goes.", "default": "mail", "environments": {"production": {"default": None}}}
    stack = sevra(env={**sevra().model_dump(by_alias=True, exclude_unset=True)["env"], "MAIL_HOST": rules})
    assert stack.env.root["MAIL_HOST"].within("production").is_required

    again = Stack.model_validate_json(stack.model_dump_json(by_alias=True, exclude_unset=True))

    assert again.env.root["MAIL_HOST"].within("production").is_required


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        ({"path": "/"}, Check),
        ({"logs": {}}, LogCheck),
        ({"logs": {"deny": "ERROR|Traceback", "services": ["api"]}}, LogCheck),
        ({"latency": {"path": "/", "samples": 5, "factor": 1.5, "floor": "10ms"}}, LatencyCheck),
    ],
)
def test_a_checklist_survives_its_way_through_stack_json(check: dict[str, Any], kind: type) -> None:
    """A rollback reads the checks of then from the release's own description."""
    stack = sevra(checks=[check])
    assert isinstance(stack.checks[0], kind)

    again = Stack.model_validate_json(stack.model_dump_json(by_alias=True, exclude_unset=True))

    assert again.checks == stack.checks


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        ({"logs": {"deny": "("}}, "not a regular expression"),
        ({"logs": {"services": ["wep"]}}, "no service named wep"),
        ({"path": "/", "headers": {"X": "a\r\nY: b"}}, "should match pattern"),
        ({"latency": {"samples": 1}}, "greater than or equal to 3"),
    ],
)
def test_a_check_that_cannot_be_made_is_refused(check: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        sevra(checks=[check])


def test_without_a_site_there_is_no_public_address_to_ask() -> None:
    assert sevra(site=None, checks=[{"logs": {}}]).checks
    with pytest.raises(ValidationError, match="no public address"):
        sevra(site=None, checks=[{"path": "/"}])


def test_a_name_that_no_name_server_can_be_asked_for_is_refused() -> None:
    """The edge would look for it for ever. With the server's own Nginx nobody asks."""
    facts = {"server": "local", "domain": "localhost"}
    own = {**facts, "edge": "host", "ports": {"api": [3000, 3100], "worker": [3001, 3101]}}
    fits = 63 - len(f"{'s' * 40}--green-worker")

    assert sevra(name="s" * 40, environments={"e" * fits: facts}).name
    assert sevra(name="s" * 40, environments={"e" * (fits + 1): own}).name
    with pytest.raises(ValidationError, match=r"worker: the edge would ask for .*-green-worker, and .* at most 63"):
        sevra(name="s" * 40, environments={"e" * (fits + 1): facts})


# Ports of loopback, and the server's own Nginx


def placed(ports: dict[str, Any], **facts: Any) -> Stack:
    return sevra(environments={"local": {"server": "local", "domain": "localhost", "ports": ports, **facts}})


@pytest.mark.parametrize(
    ("ports", "facts", "told"),
    [
        ({"api": 3001}, {}, "ports.api: needs two ports"),
        ({"api": [3001, 3001]}, {}, "ports.api: the two slots need two different ports"),
        ({"api": [3001, 3101]}, {"scale": {"api": 2}}, "ports.api: api has several replicas"),
        ({"apy": [3001, 3101]}, {}, "ports.apy: no service or data service named apy"),
        ({"reporter": [3001, 3101]}, {}, "ports.reporter: reporter listens on no `port`"),
        ({"postgres": [5432, 5433]}, {}, "ports.postgres: a data service has one port only"),
        ({"postgres": 5432}, {"edge": "host"}, "edge: the host's own Nginx finds api only on a port"),
        ({"api": [3001, 3101, 3201]}, {}, "at most 2 items"),
        ({"api": [0, 1]}, {}, "greater than or equal to 1"),
    ],
)
def test_ports_that_cannot_work_are_refused(ports: dict[str, Any], facts: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        placed(ports, **facts)
    assert told in str(caught.value)


def test_the_servers_own_nginx_may_be_named_in_one_word() -> None:
    found = placed({"api": [3001, 3101]}, edge="host").environments["local"]
    assert found.edge.is_host
    assert (found.url, found.edge.command) == ("http://localhost", ("nginx",))


def test_a_stack_must_not_be_called_as_the_edges_folder() -> None:
    with pytest.raises(ValidationError, match="the edge's own folder"):
        sevra(name="edge")


# Several servers


def on_several(*servers: str, **sections: Any) -> Stack:
    facts = {"server": list(servers), "domain": "shop.example.com", **sections.pop("environment", {})}
    parts = {"data": None, "volumes": None, "services": {"api": {"image": "app", "port": 3000}}, **sections}
    return sevra(**parts, environments={"production": facts})


def test_an_environment_may_have_several_servers_each_with_all_of_the_stack() -> None:
    found = on_several("deploy@web1", "deploy@web2").environments["production"]

    assert (found.servers, found.machines, found.server) == (
        ("deploy@web1", "deploy@web2"),
        ("web1", "web2"),
        "deploy@web1",
    )
    assert not found.is_local


@pytest.mark.parametrize("servers", ["web1", ["web1", "web2"]])
def test_servers_are_written_down_as_they_were_given(servers: str | list[str]) -> None:
    described = on_several(*([servers] if isinstance(servers, str) else servers))

    held = described.model_dump_json(by_alias=True, exclude_unset=True)

    assert json.loads(held)["environments"]["production"]["server"] == servers
    assert Stack.model_validate_json(held) == described


@pytest.mark.parametrize(
    ("servers", "sections", "told"),
    [
        (["web1", "local"], {}, "production.server.1: this machine cannot be one of several servers"),
        (["deploy@web1", "web1"], {}, "production.server.1: the same server twice"),
        (
            ["web1", "web2"],
            {"data": {"db": {"engine": "postgres"}}},
            "data.db: each server of production would have its",
        ),
        (
            ["web1", "web2"],
            {"volumes": {"uploads": {}}},
            "volumes.uploads: each server of production would have its own",
        ),
        (["web1", "web2"], {"environment": {"tls": {"acme": {}}}}, "production.tls: the ACME server may ask another"),
        (["web1", "web2"], {"environment": {"address": "192.0.2.7"}}, "production.address: it is that of one server"),
        (
            ["web1", "web2"],
            {"environment": {"edge": {"routes": [{"domain": "a.b", "to": "x:1", "tls": {"acme": {}}}]}}},
            "production.edge.routes.0.tls: the ACME server may ask another",
        ),
        ([], {}, "at least 1 item"),
    ],
)
def test_what_several_servers_cannot_have_in_common_is_refused(
    servers: list[str], sections: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        on_several(*servers, **sections)
    assert told in str(caught.value)


def test_a_certificate_of_ones_own_may_be_on_all() -> None:
    assert on_several("web1", "web2", environment={"tls": {"certificate": "shop.example.com"}})
