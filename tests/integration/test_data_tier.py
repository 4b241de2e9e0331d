"""The data tier on a real engine: safe settings, no privileges, and nothing lost by stopping or deploying."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.examples import sevra
from tests.integration.tiers import HOST, VALUES, DataTier, data_tier, docker, engine, status_of

from wharfinger.commands import compose
from wharfinger.runtimes.compose import ComposeRuntime

DATA = {
    "postgres": {"engine": "postgres", "mem_limit": "256m", "settings": {"max_connections": "30"}},
    "redis_cache": {"engine": "redis", "mode": "cache", "maxmemory": "2m", "mem_limit": "64m"},
    "redis_queue": {"engine": "redis", "mode": "queue", "port": 6380, "maxmemory": "2m", "mem_limit": "64m"},
}
SERVICES = tuple(DATA)


@pytest.fixture(scope="module")
def tier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataTier]:
    with data_tier(tmp_path_factory.mktemp("server"), DATA) as running:
        yield running


def redis(tier: DataTier, service: str, *words: str) -> str:
    port = "6380" if service == "redis_queue" else "6379"
    return docker("exec", tier.container(service), "redis-cli", "-p", port, *words)


def test_compose_accepts_the_files_without_any_value(tmp_path: Path) -> None:
    with data_tier(tmp_path, DATA, start=False) as tier:
        Path(tier.layout.data / ".env").unlink()

        assert status_of(*compose.config(tier.file)[1:]) == 0


def test_postgres_has_what_was_committed_on_disk(tier: DataTier) -> None:
    wanted = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "wal_level": "replica",
        "data_checksums": "on",
        "max_wal_size": "2GB",
        "shared_buffers": "64MB",
        "max_connections": "30",
    }

    assert {name: tier.sql(f"SHOW {name}") for name in wanted} == wanted


def test_the_password_opens_the_database_from_another_container(tier: DataTier) -> None:
    """The value arrives byte for byte, and a wrong one is refused."""
    url = ("--host", "postgres", "--username", VALUES["POSTGRES_USER"], "--no-password", VALUES["POSTGRES_DB"])
    client = ("run", "--rm", "--network", tier.layout.target.data_network, "--env", "PGPASSWORD", "postgres:17")
    who = "SELECT current_user, current_database()"

    right = HOST.run(
        ("docker", *client, "psql", *url, "-Atc", who), timeout=60, env={"PGPASSWORD": VALUES["POSTGRES_PASSWORD"]}
    )
    wrong = HOST.run(
        ("docker", *client, "psql", *url, "-Atc", who), timeout=60, env={"PGPASSWORD": "wrong"}, check=False
    )

    assert right.stdout.strip() == "atlas|atlas_db"
    assert wrong.status != 0


def test_the_password_is_in_no_command_line(tier: DataTier) -> None:
    processes = docker("top", tier.container("postgres"), "-eo", "pid,args")

    assert "postgres" in processes
    assert VALUES["POSTGRES_PASSWORD"] not in processes
    assert all(VALUES["POSTGRES_PASSWORD"] not in word for word in tier.inspect("postgres")["Config"]["Cmd"])


def test_the_cache_evicts_and_the_queue_refuses(tier: DataTier) -> None:
    """Filled beyond their memory, one forgets something for what is new, the other says so and forgets nothing."""
    filling = ("eval", "for i = 1, 64 do redis.call('set', KEYS[1] .. i, string.rep('x', 65536)) end", "1", "k")

    redis(tier, "redis_queue", "set", "first", "1")
    try:
        filled = redis(tier, "redis_cache", *filling), redis(tier, "redis_cache", "set", "newest", "1")
        redis(tier, "redis_queue", *filling)  # a script that began below the limit may end
        refused = redis(tier, "redis_queue", *filling), redis(tier, "redis_queue", "set", "newest", "1")
        kept = redis(tier, "redis_queue", "dbsize"), redis(tier, "redis_queue", "get", "first")
    finally:
        redis(tier, "redis_queue", "flushall")

    assert filled == ("", "OK")
    assert redis(tier, "redis_cache", "get", "newest") == "1"
    assert 0 < int(redis(tier, "redis_cache", "dbsize")) < 64
    assert all("OOM" in answer for answer in refused)
    assert kept == ("65", "1")


def test_nothing_in_the_data_tier_is_root_or_can_become_it(tier: DataTier) -> None:
    for service in SERVICES:
        status = docker("exec", tier.container(service), "cat", "/proc/1/status").splitlines()
        facts = {name: value.split() for name, _, value in (line.partition(":") for line in status)}

        assert "0" not in facts["Uid"], service
        assert facts["CapEff"] == facts["CapBnd"] == ["0" * 16], service
        assert facts["NoNewPrivs"] == ["1"], service
        assert status_of("exec", tier.container(service), "touch", "/usr/x") != 0, service


def test_only_named_volumes_hold_data(tier: DataTier) -> None:
    """A volume without a name would be lost with its container."""
    volumes = {
        service: [mount["Name"] for mount in tier.inspect(service)["Mounts"] if mount["Type"] == "volume"]
        for service in SERVICES
    }

    assert volumes == {
        "postgres": [f"{tier.project}-postgres"],
        "redis_cache": [],
        "redis_queue": [f"{tier.project}-redis_queue"],
    }


def test_nobody_outside_the_data_network_gets_in_and_nobody_inside_gets_out(tier: DataTier) -> None:
    internal = docker("network", "inspect", "--format", "{{.Internal}}", tier.layout.target.data_network)
    published = [tier.inspect(service)["HostConfig"]["PortBindings"] for service in SERVICES]

    assert internal == "true"
    assert published == [{}, {}, {}]


def test_a_database_that_is_being_made_is_whole_once_it_is_stopped(tmp_path: Path) -> None:
    """In its first seconds it takes no signal, and killed then it would never start again."""
    with data_tier(tmp_path, {"postgres": DATA["postgres"]}, start=False) as tier:
        HOST.run(compose.up(tier.project, tier.file), timeout=120)
        ComposeRuntime(HOST, engine(), tier.layout).stop_data()
        assert engine().project(tier.project) == ()

        tier.up()

        assert tier.sql("SELECT current_database()") == "atlas_db"


def test_a_deploy_with_changed_files_leaves_a_running_database_alone(tier: DataTier) -> None:
    before = [tier.inspect(service)["State"]["StartedAt"] for service in SERVICES]

    changed = {**DATA, "postgres": {"engine": "postgres", "mem_limit": "300m"}}
    environments = {tier.layout.target.environment: {"server": "local", "domain": "tier.localhost"}}
    tier.write(sevra(name=tier.stack.name, data=changed, environments=environments))
    tier.up()

    assert [tier.inspect(service)["State"]["StartedAt"] for service in SERVICES] == before
    tier.write()


def test_rows_and_jobs_survive_a_crash_and_the_removal_of_every_container(tier: DataTier) -> None:
    tier.sql("CREATE TABLE kept AS SELECT 42 AS answer")
    redis(tier, "redis_queue", "rpush", "jobs", "thumbnail")
    redis(tier, "redis_cache", "set", "page", "old")
    redis(tier, "redis_queue", "waitaof", "1", "0", "5000")

    docker("kill", tier.container("postgres"), tier.container("redis_queue"), tier.container("redis_cache"))
    tier.up()
    assert tier.sql("SELECT answer FROM kept") == "42"

    tier.down()
    assert status_of("container", "inspect", tier.container("postgres")) != 0
    tier.up()

    assert tier.sql("SELECT answer FROM kept") == "42"
    assert redis(tier, "redis_queue", "lrange", "jobs", "0", "-1") == "thumbnail"
    assert redis(tier, "redis_cache", "get", "page") == ""


def test_it_is_not_healthy_while_the_first_start_makes_the_database(tmp_path: Path) -> None:
    """The server that runs first-start scripts answers on its socket, but is not the one to be used."""
    script = tmp_path / "wait.sh"
    script.write_text("until [ -e /tmp/go-on ]; do sleep 0.1; done\n")
    script.chmod(0o644)
    with data_tier(tmp_path, {"postgres": DATA["postgres"]}, start=False) as tier:
        override = tmp_path / "override.yaml"
        override.write_text(
            f"services: {{postgres: {{volumes: ['{script}:/docker-entrypoint-initdb.d/wait.sh:ro']}}}}\n"
        )
        up = compose.up(tier.project, tier.file)
        HOST.run((*up[:8], "--file", str(override), *up[8:]), timeout=60)
        until = ("exec", tier.container("postgres"), "sh", "-c", "until pg_isready --quiet; do sleep 0.1; done")
        docker(*until)
        check = tier.inspect("postgres")["Config"]["Healthcheck"]["Test"][1:]

        during = status_of("exec", tier.container("postgres"), *check)
        docker("exec", tier.container("postgres"), "touch", "/tmp/go-on")
        tier.up()

        assert during != 0
        assert status_of("exec", tier.container("postgres"), *check) == 0
