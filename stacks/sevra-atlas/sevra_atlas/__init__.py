"""Sevra Atlas: the places of the Sevra valley, their stories and their photographs."""

__version__ = "1.0.0"
"""What /health and every page call this version, unless the deploy says otherwise in APP_VERSION."""
