"""What differs between a server and what is wanted, in words, and which releases are no longer kept."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from wharfinger import dotenv
from wharfinger.facts import Observed
from wharfinger.model.release import Release


def reasons(
    wanted: Release,
    observed: Observed,
    expected: Mapping[str, int],
    values: tuple[bytes, bytes],
    *,
    data: Iterable[str],
    with_site: bool,
) -> tuple[str, ...]:
    """Return why a deploy is needed; nothing where the current release is the wanted one and all of it serves.

    `values` are the `.env` files of the current release and of the wanted one; only names are told of them.
    """
    current = observed.release(observed.current)
    if current is None:
        return ("nothing is deployed yet",)
    found = [
        f"image {name} changed" if name in current.images else f"image {name} is new"
        for name, image in wanted.images.items()
        if current.images.get(name) != image
    ]
    if current.env_checksum != wanted.env_checksum:
        found.append(f"values changed: {', '.join(_changed_names(*values)) or 'of data services'}")
    if current.fingerprint != wanted.fingerprint and not found:
        found.append("rendered files changed")
    return tuple(found) or not_serving(current, observed, expected, data=data, with_site=with_site)


def ignored_changes(current: Release | None, wanted: Release) -> tuple[str, ...]:
    """Return the files of `deploy.ignore` that differ; none where the current release kept no note of them."""
    before, after = current.ignored if current is not None else {}, wanted.ignored
    return tuple(path for path in sorted({*before, *after}) if before and before.get(path) != after.get(path))


def _changed_names(before: bytes, after: bytes) -> tuple[str, ...]:
    old, new = dotenv.parse(before.decode()), dotenv.parse(after.decode())
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return tuple(name for name in names if not name.startswith("WHARFINGER_"))


def file_changes(
    before: Mapping[str, bytes | None], after: Mapping[str, bytes], ids: tuple[str, ...]
) -> tuple[str, ...]:
    """Return how files differ, as lines of a unified diff in which release ids do not count."""
    lines: list[str] = []
    for name, content in after.items():
        old, new = (_without_ids(text, ids) for text in (before.get(name) or b"", content))
        lines += difflib.unified_diff(old, new, f"{name} (current)", f"{name} (wanted)", lineterm="")
    return tuple(lines)


def _without_ids(content: bytes, ids: tuple[str, ...]) -> list[str]:
    text = content.decode()
    for release in ids:
        text = text.replace(release, "RELEASE")
    return text.splitlines()


def not_serving(
    current: Release, observed: Observed, expected: Mapping[str, int], *, data: Iterable[str], with_site: bool
) -> tuple[str, ...]:
    """Return what of the current release does not serve as it should.

    `expected` says how many containers of each service there are to be, `data` names the data services.
    """
    found = []
    tier = [container for container in observed.tiers.get(current.id, ()) if container.is_ready]
    for service, count in expected.items():
        ready = sum(container.service == service for container in tier)
        if ready < count:
            found.append(f"{service}: {ready} of {count} containers are healthy")
    ready_data = {container.service for container in observed.data if container.is_ready}
    found += [f"{name}: no healthy container" for name in data if name not in ready_data]
    if not with_site:
        return tuple(found)
    if not observed.edge_is_ready:
        found.append("the edge does not run")
    elif observed.live is None or observed.live.release != current.id:
        found.append("the edge sends its traffic elsewhere")
    return tuple(found)


def serving(observed: Observed) -> str:
    """Return what users get while a deploy runs, and if it fails."""
    if observed.current is None:
        return "nothing serves: there was no release before"
    return f"release {observed.current} still serves"


def pruned(
    releases: Sequence[Release], observed: Observed, *, keep: int, current: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the releases to remove, and the images that only they use.

    The newest `keep` successful ones stay, and so do the current one and the one before it; those that never
    succeeded do not count and go once a newer release has succeeded.
    """
    successful = [release.id for release in releases if release.succeeded is not None]
    kept = {*successful[-keep:], current, observed.current}
    gone = [release for release in releases if release.id not in kept]
    in_use = {image for release in releases if release.id in kept for image in release.images.values()}
    images = dict.fromkeys(image for release in gone for image in release.images.values() if image not in in_use)
    return tuple(release.id for release in gone), tuple(images)
