"""The one Jinja environment: a user's `templates/` folder overrides ours file by file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from wharfinger import assets
from wharfinger.errors import InvalidInput

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def _environment(folders: tuple[Path, ...]) -> Environment:
    """Return what compiles the templates of these folders: once, though a deploy renders everything three times."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(  # noqa: S701 - what is made is Nginx and YAML, where HTML escapes would be wrong
        loader=FileSystemLoader(folders),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@dataclass(frozen=True)
class Templates:
    """Folders of templates, the first one that has a file wins."""

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, project: Path | None = None) -> Templates:
        """Return our templates, overridden file by file by those in the project's own `templates/`."""
        ours = assets.folder("templates")
        return cls((ours,) if project is None else (project / "templates", ours))

    def render(self, name: str, **values: object) -> str:
        """Return the text that template `name` makes of `values`, and of `template`, its name.

        Equal values give equal text. Raises InvalidInput naming file and line for a template that is missing,
        broken, or asks for a value that there is not.
        """
        from jinja2 import TemplateError, TemplateNotFound, TemplateSyntaxError

        try:
            return _environment(self.folders).get_template(name).render(values, template=f"templates/{name}")
        except TemplateNotFound as error:
            raise self._missing(str(error.name or name)) from None
        except TemplateSyntaxError as error:
            where = f"{error.filename or name}:{error.lineno}"
            raise self._broken(where, error.message or "a syntax error", name) from None
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            where = self._line_of(error.__traceback__) or name
            raise self._broken(where, str(error) or type(error).__name__, name) from error

    def _line_of(self, trace: TracebackType | None) -> str | None:
        """Return FILE:LINE of the innermost template that an error came through."""
        found = None
        while trace is not None:
            path = trace.tb_frame.f_code.co_filename
            if any(Path(path).is_relative_to(folder) for folder in self.folders):
                found = f"{path}:{trace.tb_lineno}"
            trace = trace.tb_next
        return found

    def _broken(self, where: str, problem: str, name: str) -> InvalidInput:
        users = self.folders[:-1]
        fix = f"correct {where}"
        if any(Path(where).is_relative_to(folder) for folder in users):
            fix += f", or remove the file to use the one that Wharfinger ships as {name}"
        return InvalidInput(f"{where}: {problem}", fix=fix)

    def _missing(self, name: str) -> InvalidInput:
        return InvalidInput(
            f"there is no template {name}",
            details=[f"looked in {folder}" for folder in self.folders],
            fix=f"put {name} into the project's templates/ folder, or correct what includes it",
        )
