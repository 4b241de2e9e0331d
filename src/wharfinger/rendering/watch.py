"""What `docker compose watch` needs beside a release's Compose file to rebuild services as their source changes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from wharfinger.model.build import BuildSpec
from wharfinger.model.stack import Stack
from wharfinger.rendering.services import without_empty
from wharfinger.rendering.yaml import Node, block

_HEADER: Final = (
    "# Made by `invoke up --watch`, for Compose's own watch; it goes on top of the release's compose.yaml.\n"
)
_IGNORED: Final = (".git", ".venv", "__pycache__", "node_modules", "tests")


def render_watch(stack: Stack, folder: Path) -> str:
    """Return the Compose file that says how each service is built from the stack's folder and what is watched."""
    services: dict[str, Node] = {
        name: _service(stack, service.image, folder / stack.build[service.image].context)
        for name, service in stack.services.items()
        if stack.image_is_built(service.image)
    }
    return f"{_HEADER}{block({'services': services})}\n"


def _service(stack: Stack, image: str, context: Path) -> Node:
    spec: BuildSpec = stack.build[image]
    platforms = [spec.platform] if spec.platform is not None else []
    build = {"context": str(context), "dockerfile": spec.dockerfile, "target": spec.target, "args": dict(spec.args)}
    return {
        "image": f"{stack.name}/{image}:watch",
        "build": without_empty({**build, "platforms": platforms}),
        "develop": {"watch": [{"path": str(context), "action": "rebuild", "ignore": list(_IGNORED)}]},
    }
