"""What the Compose services of both tiers have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wharfinger.model.release import Target
from wharfinger.model.stack import Stack
from wharfinger.rendering.yaml import Node

START_INTERVAL_SINCE: Final = (25, 0)
"""The engine that first knows a health check's `start_interval`; an older one refuses the file."""


def labels_of(stack: Stack, environment_name: str, service: str) -> dict[str, Node]:
    """Return the labels by which the containers of an environment are found."""
    return {
        "org.wharfinger.stack": stack.name,
        "org.wharfinger.environment": environment_name,
        "org.wharfinger.service": service,
    }


def data_name(target: Target, service: str) -> str:
    """Return what the container of a data service is called, and its volume."""
    return f"{target.name}-{service}"


def without_empty(keys: Mapping[str, Node]) -> dict[str, Node]:
    """Return the keys that say something: neither null, false nor empty."""
    return {key: value for key, value in keys.items() if value not in (None, False, (), [], {})}
