"""The generator counts what it is there to count: else a switch that loses requests would look clean."""

from __future__ import annotations

import asyncio

import pytest
from benchmarks.clients import CLOSED, Address
from benchmarks.load import Generator
from benchmarks.report import Closure, Report, Sample, Shown

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Version: v1\r\n\r\nok"
KINDS = {
    "good": ANSWER,
    "broken": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    "closed": b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n",
    "down": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    "cut off": b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok",
}


async def against(answer: bytes, shape: str, rate: float, pause: float) -> Report:
    """Load a server that answers once a connection, after a pause."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(pause)
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        generator = Generator(Address("127.0.0.1", port, "test"), shape, rate)
        await generator.run(0.3, asyncio.Event())
    return Report([Sample(*sample) for sample in generator.samples])


def loaded(answer: bytes, *, shape: str = "alone", rate: float = 100, pause: float = 0.0) -> Report:
    """What becomes of 0.3 seconds of load."""
    return asyncio.run(against(answer, shape, rate, pause))


@pytest.mark.parametrize(
    ("kind", "problems"),
    [
        ("good", {}),
        ("broken", {"502": 30}),
        ("down", {"503": 30}),
        ("closed", {CLOSED: 30}),
        ("cut off", {"reset": 30}),
    ],
)
def test_every_answer_that_is_not_good_counts(kind: str, problems: dict[str, int]) -> None:
    report = loaded(KINDS[kind])
    assert (len(report.samples), dict(report.problems)) == (30, problems)


def test_waiting_is_not_hidden_and_the_rate_does_not_sink_with_the_server() -> None:
    report = loaded(ANSWER, pause=1.2)
    assert len(report.samples) == 30
    assert report.late == 30


def test_a_kept_connection_that_was_closed_is_seen_but_nothing_is_tried_again() -> None:
    assert not loaded(ANSWER, shape="kept", rate=20).problems


def test_an_old_version_counts_once_the_switch_was_reported_done() -> None:
    shown = [Shown(0.0, "v0"), Shown(10.0, "v1"), Shown(20.0, "v0")]

    def wrong(asked: float, version: str) -> int:
        return Report([Sample(asked, asked, asked, "kept", version, "")]).wrong(shown)

    assert [wrong(9.0, "v0"), wrong(9.0, "v1"), wrong(11.0, "v1"), wrong(11.0, "v0")] == [0, 0, 0, 0]
    assert [wrong(11.0, "v2"), wrong(21.0, "v1"), wrong(21.0, "v0")] == [1, 1, 0]


@pytest.mark.parametrize(
    ("asked", "problem", "counts"),
    [
        (2.0, "", []),
        (2.0, CLOSED, [CLOSED]),
        (11.0, "", []),
        (11.0, CLOSED, []),
        (15.0, "", ["passed"]),
        (15.0, CLOSED, []),
        (15.0, "503", ["503"]),
        (21.0, "", []),
        (21.0, CLOSED, []),
        (30.0, "", []),
        (30.0, CLOSED, [CLOSED]),
    ],
)
def test_during_maintenance_refused_is_right_and_nothing_else(asked: float, problem: str, counts: list[str]) -> None:
    """Either will do while the site is being closed (10 to 12) and opened (20 to 22)."""
    sample = Sample(asked, asked, asked + 0.1, "kept", "" if problem else "v0", problem)

    read = Report([sample]).with_closures([Closure(10.0, 12.0, 20.0, 22.0)])

    assert list(read.problems) == counts
    assert read.wrong([Shown(0.0, "v0")]) == 0
