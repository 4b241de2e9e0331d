"""Command lines of ours in processes that are forked from one which has imported all of us.

The same programs, each in a process, a folder, an environment and files of its own; what they share is the start of
the interpreter and the imports, which are half of what a command costs, and tests run hundreds of them. Where just
that start is put to the test, or a process is known by its argv, `python -m` is the way.
"""

from __future__ import annotations

import faulthandler
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

_IMPORTED: Final = ("wharfinger", "docker", "jinja2", "ruamel.yaml", "cryptography.x509")
_ROOT: Final = Path(__file__).parents[2]
_LONGEST_REQUEST: Final = 1 << 18
_STARTED_WITHIN: Final = 60.0
_ENDED_WITHIN: Final = 10.0


def run(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a module of ours, and its arguments, as `python -m` does, without any input; return what came of it.

    Raises TimeoutExpired, with a note of what it said and where its threads stood, and ends it in any case.
    """
    with (
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking,
    ):
        asking.settimeout(timeout)
        asking.connect(_address())
        request = json.dumps({"argv": list(argv), "cwd": str(cwd), "env": dict(env)}).encode()
        socket.send_fds(asking, [request], [stdout.fileno(), stderr.fileno()])
        (pid,) = struct.unpack("i", asking.recv(4))
        try:
            (status,) = struct.unpack("i", asking.recv(4))
        except TimeoutError:
            os.kill(pid, signal.SIGABRT)  # it tells where its threads stand
            asking.settimeout(_ENDED_WITHIN)
            try:
                asking.recv(4)
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
            expired = subprocess.TimeoutExpired(list(argv), timeout)
            expired.add_note(_whole(stderr))
            raise expired from None
        return subprocess.CompletedProcess(list(argv), status, _whole(stdout), _whole(stderr))


def _whole(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@functools.cache
def _address() -> str:
    """Start the process that forks, which ends with this one; return where it listens."""
    address = f"\0wharfinger-test-{os.getpid()}"
    process = subprocess.Popen(
        (sys.executable, "-m", __name__, address[1:]), cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], _STARTED_WITHIN)[0], "it did not start"
    assert process.stdout.readline() == b"listening\n"
    _KEPT.append(process)
    return address


_KEPT: Final[list[subprocess.Popen[bytes]]] = []
"""As long as this process runs, so does what forks for it: its standard input is open."""


def _import_all() -> None:
    """Import what command lines import, early or late."""
    for name in _IMPORTED:
        package = importlib.import_module(name)
        if name == "wharfinger":
            for module in pkgutil.walk_packages(package.__path__, "wharfinger."):
                if not module.name.endswith("__main__"):
                    importlib.import_module(module.name)


def _serve(address: str) -> dict[str, Any]:
    """Fork for each request; return in a process that is to run one, and nowhere else."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that the kernel reaps them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end of its input is its end
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen(64)
        print("listening", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                sys.exit()
            asked, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                request, files, _, _ = socket.recv_fds(asked, _LONGEST_REQUEST, 2)
                _watch(asked)
                return {**json.loads(request), "files": files}
            asked.close()


def _watch(asked: socket.socket) -> None:
    """Return in a process that is forked once more; tell how it ends from the one in between."""
    pid = os.fork()
    if pid == 0:
        asked.close()
        return
    asked.send(struct.pack("i", pid))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    asked.send(struct.pack("i", status))
    os._exit(0)


def _become(request: Mapping[str, Any]) -> None:
    """Go on as the process that was asked for, to its own end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for descriptor, file in enumerate(request["files"], start=1):
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    faulthandler.enable()
    module, *words = request["argv"]
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _import_all()
    gc.freeze()
    _become(_serve(f"\0{sys.argv[1]}"))
