"""The roles of the image."""

from __future__ import annotations

import logging
import os
import sys
import urllib.error
import urllib.request

USAGE = "usage: python -m zenkar serve | migrate [--check | --list] | check-health"


def main(words: list[str]) -> int:
    """Play a role; return its exit code."""
    level = os.environ.get("LOG_LEVEL", "info").upper()
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    match words:
        case ["serve"]:
            from zenkar import serving

            return serving.serve(os.environ["DATABASE_URL"], int(os.environ.get("PORT", "3000")))
        case ["migrate", *rest] if set(rest) <= {"--check", "--list"} and len(rest) < 2:
            from zenkar import migrating

            return migrating.run(os.environ["DATABASE_URL"], *rest)
        case ["check-health"]:
            return check_health(int(os.environ.get("PORT", "3000")))
    print(USAGE, file=sys.stderr)
    return 64


def check_health(port: int) -> int:
    """Return 0 if the backend on this machine says that it is healthy."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2) as answer:
            return 0 if answer.status == 200 else 1
    except (OSError, urllib.error.URLError):
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
