"""Which release of one environment another may take over, and what that changes there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from wharfinger import dotenv
from wharfinger.errors import InvalidInput, UsageError, WharfingerError
from wharfinger.facts import Observed
from wharfinger.hosts import File
from wharfinger.model.release import Layout, Release
from wharfinger.model.stack import Stack
from wharfinger.planning import Plan
from wharfinger.planning.changes import not_serving
from wharfinger.planning.wanted import Wanted

_SHOWN = 12
_DAY, _HOUR = 86400.0, 3600.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A release that another environment is to take over, as it runs where it was verified."""

    stack: Stack
    """The stack file of then."""
    release: Release
    images: Mapping[str, str]
    """Every image that it runs, by its name in the stack file; by digest where it has one."""

    @property
    def where(self) -> str:
        """The environment in which it was verified."""
        return self.release.environment


def choose(observed: Observed, environment: str, named: str | None) -> Release:
    """Return the verified release that serves in an environment; raises where there is none, or another was named."""
    if observed.cut_off:
        raise WharfingerError(
            f"{environment}: {observed.cut_off[-1]}", fix=f"invoke recover --env {environment}, then promote again"
        )
    current = observed.release(observed.current)
    if current is None:
        raise UsageError(f"nothing is deployed in {environment}", fix=f"invoke deploy --env {environment}")
    if named is not None and named != current.id:
        raise UsageError(
            f"{environment} runs release {current.id}, not {named}; only what runs there can be promoted",
            fix=f"--release {current.id}, or invoke rollback --env {environment} --to {named}",
        )
    if current.succeeded is None:
        raise WharfingerError(
            f"{environment}'s release {current.id} was never verified", fix=f"invoke deploy --env {environment}"
        )
    return current


def refuse_old(release: Release, age: float, within: float) -> None:
    """Raise WharfingerError where a release was verified more than `within` seconds ago; `age` is how many."""
    if age > within:
        raise WharfingerError(
            f"{release.environment}'s release {release.id} was verified {_span(age)} ago; "
            f"`deploy.promote_within` allows {_span(within)}",
            fix=f"invoke deploy --env {release.environment} --no-cache builds and verifies it anew, "
            "or give deploy.promote_within more time",
        )


def refuse_idle(release: Release, stack: Stack, observed: Observed, expected: Mapping[str, int]) -> None:
    """Raise WharfingerError where not all of a release serves: what does not run proves nothing."""
    idle = not_serving(release, observed, expected, data=stack.data, with_site=stack.site is not None)
    if idle:
        raise WharfingerError(
            f"{release.environment}'s release {release.id} does not serve as it should",
            details=idle,
            fix=f"invoke deploy --env {release.environment}",
        )


def refuse_moved(release: Release, stack: Stack, observed: Observed, known: Mapping[str, str | None]) -> None:
    """Raise WharfingerError where containers run other images than the release's record names.

    `known` says what each image reference means to the engine now, as an image's id.
    """
    found = []
    for container in observed.tiers.get(release.id, ()):
        name = stack.services[container.service].image
        wanted = release.images.get(name, name)
        now = known.get(wanted)
        if container.image != wanted:
            found.append(f"{container.name} runs {container.image}, not {wanted}")
        elif now is not None and now != container.image_id:
            found.append(f"{container.name} runs {short(container.image_id)}; {wanted} means {short(now)} by now")
    if found:
        raise WharfingerError(
            f"{release.environment}'s containers run something else than its release {release.id} names",
            details=found,
            fix=f"invoke deploy --env {release.environment} --no-cache verifies what the names mean now",
        )


def by_digest(reference: str, names: tuple[str, ...]) -> str:
    """Return the one of an image's `names` that says a reference by digest; the reference itself where none does."""
    if "@" in reference:
        return reference
    head, _, last = reference.rpartition("/")
    repository = f"{head}/{last.partition(':')[0]}" if head else last.partition(":")[0]
    short_form = repository.removeprefix("docker.io/").removeprefix("library/")
    return next(
        (name for name in names if name.partition("@")[0] in (repository, short_form) and "@" in name), reference
    )


def taken_over(verified: Stack, here: Stack) -> Stack:
    """Return the stack to bring to another environment: as it was verified, in the environments of the checkout.

    Raises InvalidInput where the two do not fit each other.
    """
    environments = here.model_dump(by_alias=True)["environments"]
    try:
        # Unset stays unset: an environment's rules are laid over a variable by the keys that they give.
        given = verified.model_dump(by_alias=True, exclude_unset=True)
        fitting = Stack.model_validate({**given, "environments": environments})
        return fitting.model_copy(update={"environments": here.environments})  # with what no file holds
    except ValidationError as error:
        raise InvalidInput(
            "`environments` of stack.yaml does not fit the release that is to be promoted",
            details=[entry["msg"].removeprefix("Value error, ") for entry in error.errors(include_input=False)],
            fix="deploy what stack.yaml says now to the environment that it is promoted from",
        ) from None


def sections_that_differ(verified: Stack, here: Stack) -> tuple[str, ...]:
    """Return the sections of a stack file, `environments` aside, that changed since a release was verified."""
    names = (name for name in Stack.model_fields if name != "environments")
    return tuple(name for name in names if getattr(verified, name) != getattr(here, name))


def as_promotion(
    plan: Plan, candidate: Candidate, wanted: Wanted, observed: Observed, layout: Layout, migrations: tuple[str, ...]
) -> Plan:
    """Return a deploy's plan as that of a promotion: with what it changes, each thing on a line of its own."""
    if not plan.steps:
        return dataclasses.replace(plan, action="promote")
    lines = (*_images(wanted.release, observed), *_names(wanted, observed, layout), *migrations)
    why = (f"what {candidate.where} verified as release {candidate.release.id}", *_besides(plan.reasons))
    return dataclasses.replace(plan, action="promote", reasons=why, details=lines)


def _besides(reasons: tuple[str, ...]) -> Iterator[str]:
    """Yield the reasons that the lines of a promotion do not tell again."""
    told = ("image ", "values changed", "nothing is deployed")
    return (reason for reason in reasons if not reason.startswith(told))


def _images(release: Release, observed: Observed) -> Iterator[str]:
    current = observed.release(observed.current)
    before = current.images if current is not None else {}
    for name, image in release.images.items():
        old = before.get(name)
        if old == image:
            yield f"image {name}: {short(image)}, unchanged"
        else:
            revision = _revision(current) if current is not None and old is not None else ""
            yield f"image {name}: {short(old) + revision if old else 'none'} -> {short(image)}{_revision(release)}"


def _revision(release: Release) -> str:
    """Return a release's Git commit as a person knows it."""
    commit, dash, dirty = release.revision.partition("-")
    return f" ({commit[:_SHOWN]}{dash}{dirty})" if commit else ""


def _names(wanted: Wanted, observed: Observed, layout: Layout) -> Iterator[str]:
    """Yield which variables come, go and change; their names only."""
    files = {layout.current / ".env": wanted.files.get(".env"), layout.data / ".env": wanted.data_files.get(".env")}
    before: dict[str, str | None] = {}
    after: dict[str, str | None] = {}
    for path, file in files.items():
        before |= _variables(observed.files.get(path) or b"")
        after |= _variables((file or File(b"")).content)
    for sign, found in {
        "new": [name for name in after if name not in before],
        "gone": [name for name in before if name not in after],
        "changed": [name for name in after if name in before and before[name] != after[name]],
    }.items():
        if found:
            yield f"variables, {sign}: {', '.join(sorted(found))}"


def _variables(content: bytes) -> dict[str, str | None]:
    return {name: value for name, value in dotenv.parse(content.decode()).items() if not name.startswith("WHARFINGER_")}


def short(image: str) -> str:
    """Return the beginning of a digest or an image id, by which people know it; a tag as it is."""
    _, found, digest = image.rpartition("sha256:")
    return digest[:_SHOWN] if found else image


def _span(seconds: float) -> str:
    days, hours = seconds / _DAY, seconds / _HOUR
    if days >= 2:  # noqa: PLR2004 - below, hours say more
        return f"{days:.0f} days"
    return f"{hours:.0f} hours" if hours >= 1 else f"{seconds / 60:.0f} minutes"
