"""The `.env.ENVIRONMENT` files of a stack: checked, begun, completed and explained."""

from __future__ import annotations

import secrets
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from wharfinger import dotenv, env_text, project, stackfile
from wharfinger.connecting import layout_of
from wharfinger.console import Console
from wharfinger.dotenv import Assignment
from wharfinger.errors import InvalidInput, WharfingerError
from wharfinger.hosts.files import write_atomically
from wharfinger.hosts.local import LocalHost
from wharfinger.project import Place
from wharfinger.settings import InvalidSettings, Settings, resolve

PRIVATE: Final = 0o600
_OTHERS: Final = 0o077
_FROM_ENVIRON: Final = "the process environment"


def load(place: Place, environ: Mapping[str, str], *, from_environ: bool = False) -> Settings:
    """Return the settings of an environment from its file, or from `environ` alone.

    On a server of the sandbox, what the file leaves out and the sandbox has is taken from there.
    Of `environ` only the contract's names are taken; for a file it is what bare names and references to
    variables outside the file fall back on. Raises InvalidInput with every problem, and never with a value.
    """
    contract, environment = place.stack.env, place.environment_name
    if from_environ:
        given = {name: environ[name] for name in contract if name in environ}
        return resolve(contract, environment, given, source=_FROM_ENVIRON)
    found, problems = dotenv.read(_text(place), environ=environ)
    values, also = _completed(place, found), [*_permission_problems(place), *problems]
    return resolve(contract, environment, values, source=source(place), also=also)


def _completed(place: Place, found: Sequence[Assignment]) -> list[Assignment]:
    """Return a file's assignments, and for what it leaves out those that the server's sandbox has for the contract.

    They are in no file of the stack's: the next sandbox has others.
    """
    given = {one.name for one in found if one.value or one.dangling}
    offered = {
        name: value for name, value in place.sandbox_values().items() if name in place.stack.env and name not in given
    }
    kept = [one for one in found if one.name not in offered]
    return [*kept, *(Assignment(name, value) for name, value in offered.items())]


def source(place: Place) -> str:
    """Return how messages name the environment's file: its path within the project."""
    return str(place.env_file.relative_to(place.project))


def check(place: Place, console: Console, environ: Mapping[str, str], *, from_environ: bool, as_json: bool) -> None:
    """Say that all values are as the contract asks; raises InvalidInput with every problem together.

    As JSON the problems, or else the variables, go to stdout. No value is shown, secret or not.
    """
    told = {"stack": place.stack.name, "environment": place.environment_name}
    told["source"] = _FROM_ENVIRON if from_environ else source(place)
    try:
        settings = load(place, environ, from_environ=from_environ)
    except InvalidSettings as error:
        if as_json:
            problems = [
                {"name": one.name, "line": one.line, "column": one.column, "problem": one.text}
                for one in error.problems
            ]
            console.json(told | {"ok": False, "problems": problems, "variables": []})
        raise
    if as_json:
        variables = [
            {"name": name, "form": place.stack.env[name].form, "secret": place.stack.env.is_secret(name)}
            for name in settings.values
        ]
        console.json(told | {"ok": True, "problems": [], "variables": variables})
    else:
        console.say(f"{told['source']}: {len(settings.values)} variables, all as the contract asks")


def generate(place: Place, console: Console, *, dry: bool = False) -> tuple[str, ...]:
    """Fill the missing generated secrets into the environment's file, beginning it where there is none.

    Those that this machine's deployment runs with are taken from there: its databases know no others. All else in
    the file stays byte for byte; its mode becomes 0600. Says the names of both, and returns those that were made.
    """
    file, named = place.env_file, source(place)
    begun = not file.exists()
    text = "" if begun else _text(place)
    made = env_text.generate(
        place.stack.env,
        place.environment_name,
        text,
        stack=place.stack.name,
        random=secrets.token_bytes,
        source=named,
        known=_deployed(place),
    )
    open_to_others = not begun and bool(_permission_problems(place))
    if not dry and (made.text != text or open_to_others):
        write_atomically(file, made.text.encode(), PRIVATE)
    would = "would " if dry else ""
    if begun:
        console.say(f"{would}begin {named} (mode 0600)")
    elif open_to_others:
        console.say(f"{would}take {named} away from other users of this machine (mode 0600)")
    if made.taken:
        console.say(f"{would}take {', '.join(made.taken)} from what is deployed here")
    if made.names:
        console.say(f"{would}generate {', '.join(made.names)} in {named}")
    elif not begun and not made.taken:
        console.say(f"{named}: no generated secret is missing")
    return made.names


def _deployed(place: Place) -> dict[str, str]:
    """Return the values that this machine's deployment of an environment runs with; none where it is elsewhere."""
    if not place.environment.is_local:
        return {}
    host, layout = LocalHost(), layout_of(place)
    found: dict[str, str] = {}
    for path in (layout.current / ".env", layout.data / ".env"):  # a data volume keeps what it was begun with
        found |= dotenv.parse((host.read(path) or b"").decode())
    return found


def write_example(folder: Path, console: Console, *, check: bool, dry: bool = False) -> None:
    """Write env.example of a project from the contracts of all its stacks.

    With `check` nothing is written, and WharfingerError is raised when the file differs.
    """
    stacks = [stackfile.load(path) for path in project.stack_files(folder).values()]
    text = env_text.example({stack.name: stack.env for stack in stacks})
    file = folder / "env.example"
    same = file.exists() and file.read_bytes() == text.encode()
    if check and not same:
        raise WharfingerError("env.example differs from the contracts", fix="invoke env.example")
    if not same and not dry:
        write_atomically(file, text.encode(), 0o644)
    console.say("env.example is up to date" if same else f"{'would write' if dry else 'wrote'} env.example")


def _text(place: Place) -> str:
    """Return the file as it is, line ends untouched; raises InvalidInput."""
    try:
        return place.env_file.read_bytes().decode()
    except FileNotFoundError:
        raise InvalidInput(
            f"{source(place)} does not exist",
            fix=f"invoke env.generate --env {place.environment_name} --stack {place.folder.name}",
        ) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InvalidInput(f"{source(place)}:{line}: not UTF-8", fix="save the file as UTF-8") from None
    except OSError as error:
        raise InvalidInput(f"{source(place)} cannot be read: {error.strerror}") from None


def _permission_problems(place: Place) -> list[dotenv.Problem]:
    mode = stat.S_IMODE(place.env_file.stat().st_mode)
    if not mode & _OTHERS:
        return []
    return [dotenv.Problem(f"other users of this machine may use it (mode {mode:04o}); chmod 600 {source(place)}")]
