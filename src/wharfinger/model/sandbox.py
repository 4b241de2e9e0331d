"""The sandbox's names on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT: Final = "sandbox"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One sandbox of a project; the default one has the well-known ports, others take free ones."""

    project: Path
    name: str = DEFAULT

    @property
    def folder(self) -> Path:
        """Where its key, ssh_config and known_hosts lie."""
        base = self.project / "build" / "sandbox"
        return base if self.name == DEFAULT else base / self.name

    @property
    def compose_project(self) -> str:
        """Its Compose project."""
        return "wharfinger-sandbox" if self.name == DEFAULT else f"wharfinger-sandbox-{self.name}"

    @property
    def ssh_config(self) -> Path:
        """What `ssh -F` takes."""
        return self.folder / "ssh_config"

    @property
    def values(self) -> Path:
        """What its servers' environments get unless they have it: the S3 server's address, bucket and keys."""
        return self.folder / "values.env"

    def container(self, service: str) -> str:
        """The name of a service's container."""
        return f"{self.compose_project}-{service}-1"
