"""What the frontend may rely on."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import pytest

from tests.conftest import Backend, eventually, free_port, role, started


def wanted(car: int, starts: str, ends: str, driver: str = "Ann") -> dict[str, Any]:
    return {"car": car, "driver": driver, "starts": f"2099-01-{starts}:00Z", "ends": f"2099-01-{ends}:00Z"}


def test_it_is_healthy_with_its_database_and_only_then(backend: Backend) -> None:
    assert backend.ask("health").json() == {"status": "healthy", "database": "connected"}
    alone = Backend(free_port())
    process = started(f"postgresql://nobody@127.0.0.1:{free_port()}/none", alone.port)
    try:
        answer = eventually(lambda: alone.ask("health"))
        assert answer.status == 503
        assert answer.json()["database"] == "disconnected"
    finally:
        process.terminate()
        process.wait(30)


def test_there_are_cars(backend: Backend) -> None:
    assert [car["plate"] for car in backend.ask("cars").json()] == ["ZK 100", "ZK 200"]


def test_a_booking_is_made_listed_and_given_back(backend: Backend) -> None:
    made = backend.ask("bookings", "POST", wanted(1, "05T10:00", "05T12:00"))
    assert made.status == 201
    assert made.json() in backend.ask("bookings").json()
    assert backend.ask(f"bookings/{made.json()['id']}", "DELETE").status == 204
    assert backend.ask(f"bookings/{made.json()['id']}", "DELETE").status == 404


def test_of_many_who_want_a_car_at_once_one_gets_it(backend: Backend) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(backend.ask, "bookings", "POST", wanted(2, "06T10:00", "06T12:00")) for _ in range(8)]
        statuses = sorted(each.result().status for each in asked)
    assert statuses == [201] + [409] * 7
    assert backend.ask("bookings", "POST", wanted(2, "06T12:00", "06T13:00")).status == 201, (
        "the next may follow at once"
    )


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"car": 1},
        wanted(1, "07T12:00", "07T10:00"),
        wanted(99, "07T10:00", "07T12:00"),
        wanted(2**40, "07T10:00", "07T12:00"),
        wanted(1, "07T10:00", "07T12:00", driver="  "),
        {**wanted(1, "07T10:00", "07T12:00"), "starts": "2099-01-07T10:00"},
    ],
)
def test_what_makes_no_sense_is_refused(backend: Backend, body: Any) -> None:
    assert backend.ask("bookings", "POST", body).status == 422


def test_migrations_run_once_and_say_so(migrated: str) -> None:
    assert role(migrated, "migrate", "--check").returncode == 0
    assert role(migrated, "migrate", "--list").stdout == ""
    assert role(migrated, "migrate").returncode == 0


def test_a_migration_without_a_database_fails_and_says_why() -> None:
    done = role(f"postgresql://nobody@127.0.0.1:{free_port()}/none", "migrate")
    assert done.returncode == 1
    assert "the migration failed" in done.stderr


def test_an_unknown_role_is_explained() -> None:
    assert role("", "dance").returncode == 64
