"""The Compose files of an environment: one for each release's app tier, and those of its data tier."""

from __future__ import annotations

from wharfinger.rendering.app_tier import MIGRATE, render_app_tier
from wharfinger.rendering.data_tier import render_data_tier

__all__ = ["MIGRATE", "render_app_tier", "render_data_tier"]
