"""What every task needs: the user's terminal, what the flags name, and errors without a traceback."""

from __future__ import annotations

import functools
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task as invoke_task

from wharfinger.errors import Interrupted, WharfingerError

if TYPE_CHECKING:
    from wharfinger.console import Console
    from wharfinger.project import Place

_READER_GONE = 128 + signal.SIGPIPE

STACK = "name of the stack under stacks/ (default: invoke.yaml's)"
ENVIRONMENT = "environment of the stack: local, staging, production, …"
AS_JSON = "print JSON"
SERVER = "which of several servers (default: the first)"


def task(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make an Invoke task whose errors are shown with their mend and exit with their code.

    It takes nothing by position: Invoke would read the `--help` of `deploy --help` as an environment.

    A request to end (SIGTERM) and a lost terminal (SIGHUP) are what Ctrl-C is: what was begun is undone. `invoke
    --debug` lets the traceback through.
    """

    def decorate(body: Callable[..., Any]) -> Any:
        @functools.wraps(body)
        def guarded(context: Context, *args: Any, **kwargs: Any) -> Any:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            signal.signal(signal.SIGHUP, _hung_up)
            _lose_no_time()
            try:
                return body(context, *args, **kwargs)
            except WharfingerError as error:
                _refuse_in_debug()
                console().error(error)
                raise Exit(code=error.exit_code) from None
            except KeyboardInterrupt:
                _refuse_in_debug()
                console().error(Interrupted("interrupted"))
                raise Exit(code=Interrupted.exit_code) from None
            except BrokenPipeError:
                # Whoever read our output has gone, as `head` does. Nothing may be written when Python ends.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise Exit(code=_READER_GONE) from None
            except Exit:
                raise
            except Exception as error:
                _refuse_in_debug()
                console().error(_unforeseen(error))
                raise Exit(code=WharfingerError.exit_code) from None
            finally:
                gc.freeze()  # else Python looks through all that was imported once more before it ends: 40 ms

        return invoke_task(**{"positional": [], **options})(guarded)

    return decorate


def _lose_no_time() -> None:
    """Let Python spend no time on what a command has nothing of."""
    gc.disable()  # what is imported from here on stays: to look through it again and again takes 40 ms
    # Invoke forbids to keep what was compiled, so that each command would compile anew what it imports: 170 ms.
    sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)


def _hung_up(_signal: int, _frame: object) -> None:
    """Do as at Ctrl-C, but once only: kernel and shell both tell of the same lost terminal."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise KeyboardInterrupt


def _unforeseen(error: Exception) -> WharfingerError:
    """Return what to show of an error that nobody foresaw, such as a folder that may not be written."""
    where = getattr(error, "filename", None)
    what = f"{where}: {error.strerror}" if isinstance(error, OSError) and where else f"{type(error).__name__}: {error}"
    return WharfingerError(what, fix="the same command with `--debug` before the task's name shows where it happened")


def _refuse_in_debug() -> None:
    if logging.getLogger("invoke").isEnabledFor(logging.DEBUG):
        raise  # noqa: PLE0704 - called while an error is being handled


def console() -> Console:
    """Return the user's terminal."""
    from wharfinger.console import detect

    return detect(sys.stdout, sys.stderr, os.environ)


def place(context: Context, stack: str | None, environment: str) -> Place:
    """Return what `--stack` and `--env` name; raises UsageError and InvalidInput."""
    from wharfinger import project

    return project.find(Path.cwd(), stack=stack or default_stack(context), environment=environment)


def default_stack(context: Context) -> str | None:
    """Return the stack that the project's invoke.yaml names."""
    return context.config.get("wharfinger", {}).get("stack")  # type: ignore[no-any-return]


def words_after_dashes(context: Context) -> tuple[str, ...]:
    """Return the words that follow ` -- ` on the command line, as the shell gave them.

    Invoke joins them with spaces, so that one word with spaces in it would become several.
    """
    given = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    return tuple(given) if " ".join(given) == context.remainder else tuple(context.remainder.split())
