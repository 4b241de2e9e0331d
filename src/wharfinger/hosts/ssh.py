"""A server reached by the user's own OpenSSH: one connection, which everything shares."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from wharfinger.commands import ssh as commands
from wharfinger.commands.ssh import Way
from wharfinger.errors import ConnectionLost, NotReady
from wharfinger.hosts import processes, shipping
from wharfinger.hosts.connection import Connection, NotServing, Traffic
from wharfinger.hosts.host_keys import HostKeys
from wharfinger.hosts.remote import RemoteHost
from wharfinger.hosts.ssh_trouble import explained

CONFIG_VARIABLE: Final = "WHARFINGER_SSH_CONFIG"
_OPEN_WITHIN: Final = 60.0
_CONTROL_WITHIN: Final = 15.0
_LEND_WITHIN: Final = 60.0
_PAUSE: Final = 0.5
_FAILED: Final = 255


def way_to(destination: str, *, environment: str, config: str | None = None) -> Way:
    """Return how an environment's server is reached.

    That is by the file that $WHARFINGER_SSH_CONFIG names, else by `config`, else by the user's own ssh_config.
    """
    config = os.environ.get(CONFIG_VARIABLE) or config
    name = hashlib.sha256(f"{destination}\0{config}".encode()).hexdigest()[:16]
    return Way(destination, str(_private_folder() / name), config, f"invoke server.trust --env {environment}")


class SshHost(RemoteHost):
    """A server at the other end of an SSH connection."""

    def __init__(self, way: Way) -> None:
        """Connect; raises NotReady, or HostKeyRefused, with the mend."""
        self._way = way
        self._engine: str | None = None
        super().__init__(way.destination, self._opened)

    def _opened(self, traffic: Traffic) -> Connection:
        shared = Path(self._way.control).exists()
        try:
            return self._open(traffic)
        except NotServing as error:
            if not (shared and error.status == _FAILED):
                raise self._explained(error) from None
        self._leave()  # the connection of an earlier command was dead
        try:
            return self._open(traffic)
        except NotServing as error:
            raise self._explained(error) from None

    def _open(self, traffic: Traffic) -> Connection:
        traffic.sessions += 1
        self._engine = None
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                commands.session(self._way, shipping.PYTHON),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                process_group=0,  # so that Ctrl-C does not reach it: what was begun has to be undone over it
            )
            expired = threading.Timer(_OPEN_WITHIN, process.kill)
            expired.start()
            try:
                return Connection(process, name=self.name, traffic=traffic)
            except NotServing as error:
                said.seek(0)
                error.said = said.read().decode(errors="replace")
                raise
            finally:
                expired.cancel()

    def _explained(self, error: NotServing) -> NotReady:
        if error.status == _FAILED:
            return explained(self._way, HostKeys(self._way), error.said)
        if error.python or error.status == _NO_COMMAND:
            found = f"Python {error.python} is older than" if error.python else "there is no python3;"
            oldest = ".".join(map(str, shipping.OLDEST))
            return NotReady(
                f"{self.name}: {found} {oldest}"
                if error.python
                else f"{self.name}: {found} {oldest} or later is needed",
                fix=f"apt-get install python3 there; Debian 12 and Ubuntu 24.04 have {oldest} or later",
            )
        return NotReady(
            f"{self.name}: python3 does not serve there: it exited {error.status}",
            details=error.said.splitlines()[-5:],
            fix=f"ssh {self._way.destination} python3 --version",
        )

    def attach(self, argv: Sequence[str], *, without: bytes = b"") -> int:
        """Run a command on the terminal, over the same connection; see `Host.attach`."""
        interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self.traffic.sessions += 1
        command = commands.terminal(self._way, argv, interactive=interactive)
        try:
            status = processes.attach(command, without=without, environ=os.environ)
        except KeyboardInterrupt:
            return 130
        if status == _FAILED and not self.is_reached():
            raise ConnectionLost(f"{self.name}: the connection was lost", fix="the same command again")
        return status

    def docker_url(self) -> str | None:
        """Return a socket of this machine that leads to the server's engine; raises NotReady."""
        hello = self._connection.hello
        user = hello.operator.user
        if hello.docker is None:
            self._leave()
            raise NotReady(f"{self.name}: no Docker Engine runs there", fix="apt-get install docker.io there")
        if not hello.docker_may:
            self._leave()  # who belongs to which group is settled when one logs in
            raise NotReady(
                f"{self.name}: {user} may not use the Docker Engine there",
                fix=f"as root there: usermod --append --groups docker {user}",
            )
        if self._engine is None:
            socket = f"{self._way.control}.docker"
            if not self._control(commands.lead_here(self._way, socket, hello.docker)):
                raise NotReady(
                    f"{self.name}: {hello.docker} cannot be reached over SSH",
                    fix="AllowStreamLocalForwarding yes, in the server's sshd_config",
                )
            self._engine = f"unix://{socket}"
        return self._engine

    def inspected(self, labels: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
        """Return what the server's engine says of all containers with these labels, in one exchange."""
        found: tuple[Mapping[str, Any], ...] = self._ask("inspected", self._docker(), tuple(labels))
        return found

    def answered(self, target: str) -> tuple[int, str, bytes]:
        """Return what the server's engine answers to a GET, in one exchange: a forwarded socket has to be opened."""
        status, kind, content = self._ask("answered", self._docker(), target)
        return status, kind, content

    def _docker(self) -> str | None:
        if self._engine is None:
            self.docker_url()  # which says what is missing there
        return self._connection.hello.docker

    @contextmanager
    def lend(self, port: int) -> Iterator[None]:
        """Let the server reach a port of this machine; see `Host.lend`.

        Other runs of this machine may use the same at the same time: the last one ends it.
        """
        with Path(f"{self._way.control}.{port}").open("ab") as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            self._lent(port)
            try:
                yield
            finally:
                with suppress(BlockingIOError):
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._control(commands.lead_there(self._way, port, end=True))

    def _lent(self, port: int) -> None:
        deadline = time.monotonic() + _LEND_WITHIN
        while not self._control(commands.lead_there(self._way, port)):
            if time.monotonic() > deadline:
                raise NotReady(
                    f"{self.name}: port {port} of its loopback is taken, by which it is to reach this machine's images",
                    fix=f"stop what listens there (ss -ltnp 'sport = :{port}'), or set WHARFINGER_REGISTRY_PORT; "
                    "AllowTcpForwarding must be yes in its sshd_config",
                )
            time.sleep(_PAUSE)  # another machine deploys to it just now, and tells nobody of its end

    def reach_again(self, *, within: float) -> None:
        """Connect anew, not on what is left of the old connection; see `Host.reach_again`."""
        self._leave()
        super().reach_again(within=within)
        if self._engine is None and self._connection.hello.docker_may:
            self.docker_url()  # at the same path as before

    def _leave(self) -> None:
        self._control(commands.leave(self._way))

    def _control(self, argv: Sequence[str]) -> bool:
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_CONTROL_WITHIN,
                check=False,
                process_group=0,
            )
            return done.returncode == 0
        return False


_NO_COMMAND: Final = 127


def _private_folder() -> Path:
    """Return the folder of the sockets, which nobody else may enter; raises NotReady."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    parent = Path(runtime) if runtime and Path(runtime).is_dir() else Path(tempfile.gettempdir())
    folder = parent / f"wharfinger-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    held = folder.lstat()
    if held.st_uid != os.getuid() or held.st_mode & 0o077 or folder.is_symlink():
        raise NotReady(f"{folder} is not only yours to enter", fix=f"remove {folder}")
    return folder
