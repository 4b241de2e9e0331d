"""What a site falls back on when Nginx starts."""

from __future__ import annotations

from wharfinger.model.release import Live


def live_default(live: Live | None) -> str:
    """Return the file `sites/NAME.live`: where a site's traffic goes after the edge has started anew."""
    return f'set $wharfinger_default "{live or ""}";\n'
