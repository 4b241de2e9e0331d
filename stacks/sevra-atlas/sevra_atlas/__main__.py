"""One entry for every role: `python -m sevra_atlas api|worker|migrate|seed|check-health`."""

from __future__ import annotations

import sys

USAGE = """usage: python -m sevra_atlas ROLE

  api                   serve the atlas on port 3000
  worker                do the jobs of the queue; health on port 3001
  migrate [REVISION]    bring the database up to the newest revision, or back down to REVISION;
                        safe to run twice at once
  migrate --check       exit 0 if the database is at the newest revision, and 1 if not; changes nothing
  seed [COUNT]          fill the gazetteer up to COUNT places (default: 10000), for load tests
  check-health [PORT]   exit 0 if /health on this machine answers 200 (default: 3000)"""

EX_USAGE = 64
EX_CONFIG = 78


def main(argv: list[str]) -> int:
    """Run the role that `argv` names and return its exit code; 64 for a bad command line, 78 for bad settings."""
    match argv:
        case ["check-health"]:
            return _check_health("3000")
        case ["check-health", port] if port.isdigit():
            return _check_health(port)
        case ["api" | "worker" | "migrate" as role]:
            return _run(role, "head")
        case ["migrate", revision]:
            return _run("migrate", revision)
        case ["seed"]:
            return _run("seed", "10000")
        case ["seed", count] if count.isdigit():
            return _run("seed", count)
    print(USAGE, file=sys.stderr)
    return EX_USAGE


def _check_health(port: str) -> int:
    """Import nothing of the application: this runs every few seconds for as long as the container lives."""
    from sevra_atlas.check_health import answers_healthy

    return 0 if answers_healthy(int(port)) else 1


def _run(role: str, argument: str) -> int:
    """Check the settings, then import only what the role needs, so that each starts as fast as it can."""
    import os

    from sevra_atlas.settings import SettingsError, load_settings

    try:
        settings = load_settings(os.environ, role)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG

    from sevra_atlas.logs import start_logging

    start_logging(settings.log_level)
    if role == "api":
        from sevra_atlas.web.api import run_api

        return run_api(settings)
    if role == "worker":
        from sevra_atlas.worker import run_worker

        return run_worker(settings)
    if role == "migrate":
        from sevra_atlas.migrating import check, migrate

        return check() if argument == "--check" else migrate(argument)
    from sevra_atlas.seeding import seed

    return seed(settings, int(argument))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
