"""The files of what renews the edge's certificates."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from wharfinger import assets, dotenv
from wharfinger.model.tls import Wish

CERTBOT_IMAGE: Final = "certbot/certbot:v4.0.0"


def renewal_files(edge_project: str) -> dict[str, bytes]:
    """Return what lies in `renewal/` of the edge's folder, whatever certificates there are."""
    folder = assets.folder("compose")
    program = (folder / "renew.py").read_bytes()
    variables = {
        "EDGE_NETWORK": edge_project,
        "RENEWAL_PROJECT": f"{edge_project}-renewal",
        "RENEWAL_IMAGE": CERTBOT_IMAGE,
        # Compose replaces a container whose variables changed, not one whose mounted program did.
        "RENEWAL_PROGRAM": hashlib.sha256(program).hexdigest()[:16],
    }
    return {
        ".env": dotenv.dump(variables).encode(),
        "compose.yaml": (folder / "renewal.yaml").read_bytes(),
        "renew.py": program,
    }


def order_of(wish: Wish) -> bytes:
    """Return the order of a certificate, as `renew.py` reads it."""
    acme = wish.tls.acme
    assert acme is not None  # noqa: S101 - callers order no others
    order = {
        "domains": list(wish.domains),
        "directory": acme.directory,
        "email": acme.email,
        "ca": acme.ca is not None,
    }
    return json.dumps(order, indent=2).encode() + b"\n"
