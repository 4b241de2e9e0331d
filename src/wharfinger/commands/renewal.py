"""Commands to what renews the edge's certificates: certbot, in a Compose project beside the edge's."""

from __future__ import annotations

from typing import Final

SERVICE: Final = "certbot"


def container(project: str) -> str:
    """Return the name of its container."""
    return f"{project}-{SERVICE}-1"


def renew(project: str, certificate: str, *, force: bool = False) -> tuple[str, ...]:
    """Ask for a certificate that was ordered, now; prints what came of it as JSON."""
    words = ("--force",) if force else ()
    return ("docker", "exec", container(project), "python3", "/edge/renewal/renew.py", certificate, *words)
