"""Every error that a user can meet, each with the command or edit that mends it.

Exit codes (stable; CI may rely on them):

    0    done, or already up to date
    1    WharfingerError      anything else; `--check` or `health` found something; Invoke knows no such task or flag
    2    UsageError           unknown stack, environment, release or service
    3    InvalidInput         stack file, contract, env values, templates or site are not valid
    4    NotReady             machine or server lacks something: engine, Compose, disk, a free port; or lets nobody in
    5    BuildFailed          an image does not build, push or pull; the registry is down
    6    LockHeld             somebody else deploys this environment
    7    StepFailed           a step failed; the old release serves
    8    NotConfirmed         the plan was declined, or could not be asked about
    9    ConnectionLost       the connection to the server was lost in mid-run; it says what serves and was put right
    130  Interrupted          Ctrl-C; what was begun has been undone (a second one ends that: `invoke recover`)
"""

from __future__ import annotations

from collections.abc import Sequence


class WharfingerError(Exception):
    """What went wrong and what mends it; shown to the user without a traceback.

    `problem` says what and where (`file:line:col`, server, step); `fix` is the command or edit that mends it;
    `details` are further lines, such as all problems of one file or the last log lines of a container.
    """

    exit_code = 1

    def __init__(self, problem: str, *, fix: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.problem = problem
        self.fix = fix
        self.details = tuple(details)

    def __str__(self) -> str:
        lines = [self.problem, *(f"  {line}" for line in self.details)]
        if self.fix:
            lines.append(f"fix: {self.fix}")
        return "\n".join(lines)


class UsageError(WharfingerError):
    """The command line asks for what does not exist."""

    exit_code = 2


class InvalidInput(WharfingerError):
    """A file or value that the user wrote is not valid; nothing was touched."""

    exit_code = 3


class NotReady(WharfingerError):
    """This machine or server lacks something that the task needs; nothing was touched."""

    exit_code = 4


class BuildFailed(WharfingerError):
    """An image could not be built, pushed or pulled."""

    exit_code = 5


class LockHeld(WharfingerError):
    """Somebody else holds the deploy lock of this environment."""

    exit_code = 6


class StepFailed(WharfingerError):
    """A step of the plan failed and what was done has been undone."""

    exit_code = 7


class NotConfirmed(WharfingerError):
    """The plan was shown and not agreed to."""

    exit_code = 8


class ConnectionLost(WharfingerError):
    """A server no longer answers; whether what it was asked to do was done is not known."""

    exit_code = 9


class HostKeyRefused(NotReady):
    """A server's key is unknown, or another than the known one; nothing was sent to it."""


class Interrupted(WharfingerError):
    """The user pressed Ctrl-C and what was begun has been undone."""

    exit_code = 130


class CommandFailed(WharfingerError):
    """A command on a host exited non-zero; callers turn it into an error that says what it meant.

    `argv` holds no secret (rule 2); `stderr` is the command's own words.
    """

    def __init__(self, argv: Sequence[str], exit_code: int, stderr: str, *, host: str, fix: str = "") -> None:
        tail = stderr.strip().splitlines()[-20:]
        super().__init__(f"{host}: `{' '.join(argv)}` exited {exit_code}", fix=fix, details=tail)
        self.argv = tuple(argv)
        self.status = exit_code
        self.stderr = stderr
