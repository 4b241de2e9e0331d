"""Stacks for tests, built as the stack file would be."""

from __future__ import annotations

import copy
from pathlib import PurePosixPath
from typing import Any, Final

from wharfinger.model.release import Layout, Target
from wharfinger.model.stack import Stack

RELEASE: Final = "20261120143000"
IMAGES: Final = {"app": f"127.0.0.1:5000/sevra-atlas/app@sha256:{'ab' * 32}"}
LAYOUT: Final = Layout(PurePosixPath("/srv/wharfinger"), Target("sevra-atlas", "local"))

_SEVRA: Final[dict[str, Any]] = {
    "name": "sevra-atlas",
    "build": {"app": {"context": "."}},
    "services": {
        "api": {
            "image": "app",
            "command": ["python", "-m", "sevra_atlas", "api"],
            "port": 3000,
            "healthcheck": {"test": ["python", "-m", "sevra_atlas", "check", "3000"], "interval": "5s"},
            "environment": {"LOG_FORMAT": "json", "PRICE": "5$ or ${MORE}"},
            "mounts": [{"source": "uploads", "target": "/app/uploads"}],
            "user": "10001:10001",
            "read_only": True,
            "tmpfs": ["/tmp:size=64m"],
            "mem_limit": "256m",
            "cpus": 0.5,
        },
        "worker": {
            "image": "app",
            "command": ["python", "-m", "sevra_atlas", "worker"],
            "port": 3001,
            "mounts": [{"source": "uploads", "target": "/app/uploads", "read_only": True}],
            "stop_grace_period": "1m",
        },
        "reporter": {"image": "registry.example.com/acme/reporter:4", "pids_limit": 64},
    },
    "migrate": {"image": "app", "command": ["python", "-m", "sevra_atlas", "migrate"]},
    "data": {
        "postgres": {"engine": "postgres", "settings": {"max_connections": "50"}},
        "redis_cache": {"engine": "redis", "mode": "cache"},
        "redis_queue": {"engine": "redis", "mode": "queue", "port": 6380},
    },
    "volumes": {"uploads": {}},
    "site": {"routes": [{"path": "/", "service": "api"}]},
    "env": {
        "DATABASE_URL": {"meaning": "The database.", "secret": True},
        "POSTGRES_USER": {"meaning": "Its owner.", "services": ["postgres"]},
        "POSTGRES_PASSWORD": {
            "meaning": "Its password.",
            "secret": True,
            "services": ["postgres", "migrate"],
        },
        "POSTGRES_DB": {"meaning": "Its name.", "services": ["postgres"]},
        "QUEUE_URL": {"meaning": "The queue.", "services": ["api", "worker"]},
    },
    "environments": {
        "local": {"server": "local", "domain": "localhost"},
        "staging": {
            "server": "deploy@vps1.example.com",
            "domain": "staging.example.com",
            "scale": {"api": 2},
        },
    },
}


def sevra(**changes: Any) -> Stack:
    """Return a stack much like sevra-atlas, with whole sections replaced, or left out where None."""
    sections = {**copy.deepcopy(_SEVRA), **changes}
    if "env" not in changes:  # variables go with the services that get them
        takers = {*sections["services"], *(sections["data"] or ()), "migrate"}
        sections["env"] = {name: v for name, v in sections["env"].items() if takers.issuperset(v.get("services", ()))}
    return Stack.model_validate({name: section for name, section in sections.items() if section is not None})
