"""The build of one image: the command, its progress, and what is said when it fails."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from wharfinger.commands import buildx
from wharfinger.commands.buildx import BuildLog, SecretSource
from wharfinger.console import Progress, Step
from wharfinger.errors import BuildFailed, CommandFailed, InvalidInput, NotReady
from wharfinger.hosts import Host
from wharfinger.model.build import BuildSpec
from wharfinger.secrets import MASK, Secret

CA_CERTIFICATES: Final = "ca-certificates"
_CA_BUNDLE: Final = "/etc/ssl/certs/ca-certificates.crt"
_TIMEOUT: Final = 3600.0
_GIT: Final = 30.0


def build(
    name: str,
    spec: BuildSpec,
    *,
    stack_folder: Path,
    tag: str,
    labels: Mapping[str, str],
    host: Host,
    step: Step,
    environ: Mapping[str, str],
    no_cache: bool = False,
) -> None:
    """Build an image into the engine under `tag`; raises BuildFailed with the last lines of what failed."""
    context = stack_folder / spec.context
    argv = buildx.build(
        str(context),
        tag=tag,
        dockerfile=str(context / spec.dockerfile),
        target=spec.target,
        platform=spec.platform,
        args=spec.args,
        labels=labels,
        secrets=_sources(spec, stack_folder, environ),
        no_cache=no_cache,
    )
    secrets = {secret.env: Secret(environ[secret.env]) for secret in spec.secrets if secret.env is not None}
    log = BuildLog()
    with step.progress(name, total=None, unit="steps") as bar:
        try:
            follow = partial(_follow, log, name=name, bar=bar, step=step)
            host.run(argv, timeout=_TIMEOUT, env=secrets, on_line=follow)
        except CommandFailed as error:
            raise _failure(name, log, error, _values(spec, stack_folder, environ)) from None
        finally:
            step.note("")


def check_secrets(specs: Mapping[str, BuildSpec], stack_folder: Path, environ: Mapping[str, str]) -> None:
    """Raise InvalidInput that names every build secret whose variable or file is not there."""
    problems = []
    for name, spec in specs.items():
        for secret in spec.secrets:
            where = f"build.{name}.secrets.{secret.id}"
            if secret.env and not environ.get(secret.env):
                problems.append(f"{where}: {secret.env} is not set")
            if secret.file and not (stack_folder / secret.file).is_file():
                problems.append(f"{where}: there is no file {stack_folder / secret.file}")
    if problems:
        raise InvalidInput(
            "build secrets are missing",
            details=problems,
            fix="provide them where Wharfinger runs, then run it again",
        )


def revision(folder: Path, host: Host) -> str | None:
    """Return the git commit that a folder is at, `-dirty` where its files differ; None outside git."""
    git = ("git", "-C", str(folder))
    try:
        commit = host.run((*git, "rev-parse", "--verify", "HEAD"), timeout=_GIT).stdout.strip()
        changes = host.run((*git, "status", "--porcelain", "--", "."), timeout=_GIT).stdout.strip()
    except (CommandFailed, NotReady):
        return None
    return f"{commit}-dirty" if changes else commit


def ca_certificates(environ: Mapping[str, str]) -> tuple[SecretSource, ...]:
    """Return this machine's CA certificates as a build secret; none where it has no bundle of them.

    Behind a proxy that inspects TLS, pip or npm in a build fail without them. They are no secret; mounted as one they
    stay out of every layer, and a Dockerfile need not ask for them.
    """
    bundle = environ.get("SSL_CERT_FILE") or _CA_BUNDLE
    return (SecretSource(CA_CERTIFICATES, file=os.path.realpath(bundle)),) if Path(bundle).is_file() else ()


def _sources(spec: BuildSpec, stack_folder: Path, environ: Mapping[str, str]) -> list[SecretSource]:
    sources = [
        SecretSource(each.id, env=each.env, file=None if each.file is None else str(stack_folder / each.file))
        for each in spec.secrets
    ]
    if all(each.id != CA_CERTIFICATES for each in sources):
        sources += ca_certificates(environ)
    return sources


def _follow(log: BuildLog, line: str, *, name: str, bar: Progress, step: Step) -> None:
    log.feed(line)
    bar.update(log.completed, log.total or None)
    if log.current:
        step.note(f"{name}: {log.current}")


def _failure(name: str, log: BuildLog, error: CommandFailed, secrets: list[str]) -> BuildFailed:
    """Return what a person needs to know; a secret that the build has printed is masked."""

    def masked(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, MASK)
        return text

    where = f" at {log.failed}" if log.failed else ""
    lines = [*log.tail(), *([log.error] if log.error else [])] or list(error.details)
    return BuildFailed(
        masked(f"image {name} does not build{where}"),
        details=[masked(line) for line in lines],
        fix="correct the Dockerfile or what it copies, then try `invoke build` again",
    )


def _values(spec: BuildSpec, stack_folder: Path, environ: Mapping[str, str]) -> list[str]:
    values = [environ[each.env] for each in spec.secrets if each.env is not None]
    for each in spec.secrets:
        if each.file is not None:
            values += (stack_folder / each.file).read_text(encoding="utf-8", errors="replace").splitlines()
    return sorted((value for value in map(str.strip, values) if value), key=len, reverse=True)
