"""Maintenance: a site that answers 503 to everybody but those who may pass."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Final

HEADER: Final = "X-Wharfinger-Pass"
"""The header that lets a request pass, for verifying a deploy; the edge never sends it on."""
_NAME: Final = "wharfinger_maintenance_default"


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Who passes while a site is under maintenance."""

    token: str = field(repr=False)
    """What the header must say; hexadecimal."""
    allow: tuple[str, ...] = ()
    """Addresses and networks of visitors, such as `192.0.2.7/32`."""

    @property
    def value(self) -> str:
        """What the edge is told: `on TOKEN NETWORK/BITS …`, networks in hexadecimal."""
        networks = (ipaddress.ip_network(text) for text in self.allow)
        coded = [f"{network.network_address.packed.hex()}/{network.prefixlen}" for network in networks]
        return " ".join(["on", self.token, *coded])

    @property
    def default(self) -> str:
        """The file `sites/NAME.maintenance`, from which an edge that starts anew knows."""
        return f'set ${_NAME} "{self.value}";\n'

    @classmethod
    def parse(cls, default: str) -> Maintenance | None:
        """Return what a file `sites/NAME.maintenance` says, or None for anything else."""
        words = default.partition('"')[2].partition('"')[0].split()
        if len(words) < 2 or words[0] != "on":  # noqa: PLR2004 - `on` and a token
            return None
        try:
            return cls(words[1], tuple(_network(coded) for coded in words[2:]))
        except ValueError:
            return None


def network(text: str) -> str:
    """Return an address or a network in its one form, with its bits; raises ValueError."""
    return str(ipaddress.ip_network(text, strict=False))


def _network(coded: str) -> str:
    packed, _, bits = coded.partition("/")
    return str(ipaddress.ip_network((bytes.fromhex(packed), int(bits))))
