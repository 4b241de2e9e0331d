from __future__ import annotations

from wharfinger.commands.transfer import TransferLog

DIGEST = "sha256:" + "0" * 64


def pushing(layer: str, current: int, total: int | None = None) -> dict[str, object]:
    progress = {"current": current} | ({} if total is None else {"total": total})
    return {"status": "Pushing", "id": layer, "progressDetail": progress}


def read(*events: dict[str, object]) -> TransferLog:
    log = TransferLog()
    for event in events:
        log.feed(event)
    return log


def test_bytes_of_all_layers_are_added_up() -> None:
    log = read(
        {"status": "The push refers to repository [r/s/api]"},
        {"status": "Preparing", "progressDetail": {}, "id": "a"},
        {"status": "Layer already exists", "progressDetail": {}, "id": "b"},
        pushing("a", 10, 100),
        pushing("c", 5),
        pushing("c", 7, 50),
    )
    assert (log.moved, log.total) == (17, 150)
    log.feed({"status": "Pushed", "progressDetail": {}, "id": "a"})
    assert (log.moved, log.total) == (107, 150)


def test_more_bytes_than_announced_are_not_more_than_all() -> None:
    log = read(pushing("a", 10, 100), pushing("a", 120))
    assert (log.moved, log.total) == (120, 120)


def test_what_comes_counts_as_what_goes() -> None:
    progress = {"current": 30, "total": 90}
    log = read({"status": "Downloading", "id": "a", "progressDetail": progress})
    assert (log.moved, log.total) == (30, 90)
    log.feed({"status": "Download complete", "id": "a", "progressDetail": {}})
    assert (log.moved, log.total) == (90, 90)


def test_the_digest_is_in_the_last_event() -> None:
    log = read(
        {"status": "tree-1: digest: …"}, {"progressDetail": {}, "aux": {"Tag": "t", "Digest": DIGEST, "Size": 7}}
    )
    assert (log.digest, log.error) == (DIGEST, "")


def test_an_error_is_one_event_among_others() -> None:
    log = read(pushing("a", 1, 2), {"errorDetail": {"message": "no space left"}, "error": "no space left"})
    assert log.error == "no space left"
    assert read({"error": "denied"}).error == "denied"
    assert read({"errorDetail": {}}).error == "unknown error"
