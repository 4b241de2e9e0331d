"""The api: pages, JSON, uploads and the live feed."""
