"""What Compose is told to watch."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML
from tests.examples import sevra

from wharfinger.rendering.watch import render_watch


def test_services_that_are_built_are_watched_and_no_others() -> None:
    services = YAML(typ="safe").load(render_watch(sevra(), Path("/p/stacks/sevra-atlas")))["services"]

    assert set(services) == {"api", "worker"}
    assert services["api"]["image"] == "sevra-atlas/app:watch"
    assert services["api"]["build"] == {"context": "/p/stacks/sevra-atlas", "dockerfile": "Dockerfile"}
    (watched,) = services["api"]["develop"]["watch"]
    assert (watched["path"], watched["action"]) == ("/p/stacks/sevra-atlas", "rebuild")
