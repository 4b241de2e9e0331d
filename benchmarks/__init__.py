"""Constant traffic against a switch, and what others make of the same; `nox -s bench` runs it all."""
