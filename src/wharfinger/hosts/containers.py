"""What an engine says, asked on its own machine: also of containers, one answer for a list and all that is in it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from wharfinger.errors import NotReady
from wharfinger.hosts.unix_http import UnixConnection

_TIMEOUT: Final = 30.0
_STATE: Final = ("Status", "ExitCode", "StartedAt", "FinishedAt")


def answered(engine: str, target: str, *, host: str) -> tuple[int, str, bytes]:
    """Return the status, content type and content of what the engine answers to a GET.

    `engine` is its Unix socket. Raises NotReady where it does not answer.
    """
    with _connected(engine, host) as connection:
        return _answer(connection, target)


def inspected(engine: str, labels: Sequence[str], *, host: str) -> tuple[Mapping[str, Any], ...]:
    """Return the engine's own description of each container that has all these labels, as far as we read it.

    `engine` is its Unix socket. Raises NotReady where it does not answer.
    """
    with _connected(engine, host) as connection:
        filters = quote(json.dumps({"label": list(labels)}))
        listed = _asked(connection, f"/containers/json?all=1&filters={filters}") or ()
        found = (_asked(connection, f"/containers/{each['Id']}/json") for each in listed)
        return tuple(_short(facts) for facts in found if facts is not None)  # one may have gone meanwhile


@contextmanager
def _connected(engine: str, host: str) -> Iterator[UnixConnection]:
    connection = UnixConnection(engine, timeout=_TIMEOUT)
    try:
        yield connection
    except (OSError, http.client.HTTPException, ValueError):
        raise NotReady(f"{host}: no Docker Engine answers at {engine}", fix="systemctl status docker there") from None
    finally:
        connection.close()


def _asked(connection: UnixConnection, path: str) -> Any:
    status, _, content = _answer(connection, path)
    if status == http.HTTPStatus.NOT_FOUND:
        return None
    if status != http.HTTPStatus.OK:
        raise ValueError(f"status {status}")
    return json.loads(content)


def _answer(connection: UnixConnection, target: str) -> tuple[int, str, bytes]:
    connection.request("GET", target)
    answer = connection.getresponse()
    return answer.status, answer.headers.get("Content-Type", ""), answer.read()


def _short(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part that counts, in the engine's own form: all of it would be ten times as long."""
    state = {name: facts["State"][name] for name in _STATE}
    if "Health" in facts["State"]:
        state["Health"] = {"Status": facts["State"]["Health"]["Status"]}
    settings = facts["NetworkSettings"]
    networks = {name: {"IPAddress": each["IPAddress"]} for name, each in settings["Networks"].items()}
    return {
        "Id": facts["Id"],
        "Image": facts["Image"],
        "Name": facts["Name"],
        "RestartCount": facts["RestartCount"],
        "Config": {"Labels": facts["Config"]["Labels"], "Image": facts["Config"]["Image"]},
        "State": state,
        "NetworkSettings": {"Networks": networks, "Ports": settings.get("Ports")},
    }
