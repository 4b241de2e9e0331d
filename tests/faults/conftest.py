"""Faults happen to the same deployments as integration tests make."""

from __future__ import annotations

from tests.integration.conftest import (
    docker_compose_file,
    docker_compose_project_name,
    make_deployment,
    registry,
    registry_port,
    stock,
)

__all__ = [
    "docker_compose_file",
    "docker_compose_project_name",
    "make_deployment",
    "registry",
    "registry_port",
    "stock",
]
