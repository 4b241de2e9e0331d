"""A light, constant load on a site: an open loop of keep-alive clients that never try again."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.integration.deployments import Deployment


@dataclass
class Load:
    """What the clients were answered: how often each status came, and all that went wrong."""

    answered: dict[int, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    served_by: set[bytes] = field(default_factory=set)
    """The bodies that came with 200."""

    @property
    def total(self) -> int:
        """How many requests were sent."""
        return sum(self.answered.values()) + len(self.failed)


@contextmanager
def load_on(
    deployment: Deployment,
    path: str = "/",
    *,
    rate: float = 80,
    clients: int = 8,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> Iterator[Load]:
    """Send `rate` requests a second as long as the block runs, each at its own time whatever became of the others."""
    load, lock, over = Load(), threading.Lock(), threading.Event()
    began = time.monotonic()

    def ask(number: int) -> None:
        connection, turn = http.client.HTTPConnection("127.0.0.1", deployment.http_port, timeout=10), number
        while not over.wait(max(0.0, began + turn / rate - time.monotonic())):
            try:
                host = f"{deployment.domain}:{deployment.http_port}"
                connection.request(method, path, headers={"Host": host, **(headers or {})})
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with lock:
                    load.failed.append(f"{time.monotonic() - began:.2f} s: {error!r}")
            else:
                with lock:
                    load.answered[response.status] = load.answered.get(response.status, 0) + 1
                    if response.status == http.HTTPStatus.OK:
                        load.served_by.add(body)
            turn += clients
        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        over.set()
        for thread in threads:
            thread.join()
