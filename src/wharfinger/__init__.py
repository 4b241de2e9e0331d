"""Wharfinger deploys Docker stacks to a server or two, with a way back at every step."""

__version__ = "0.1.0"
