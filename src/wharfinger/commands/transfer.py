"""What the engine says while it pushes or pulls an image."""

from __future__ import annotations

from typing import Any, Final

_MOVING: Final = ("Pushing", "Downloading")
_MOVED: Final = ("Pushed", "Download complete")


class TransferLog:
    """What the engine reports on the way; an error is one event among others, and raises nothing."""

    def __init__(self) -> None:
        self.digest = ""
        self.error = ""
        self._layers: dict[str, tuple[int, int]] = {}

    @property
    def moved(self) -> int:
        """Bytes that have been sent, or have come, so far."""
        return sum(moved for moved, _ in self._layers.values())

    @property
    def total(self) -> int:
        """Bytes to move, as far as known; layers that the other side has already do not count."""
        return sum(total for _, total in self._layers.values())

    def feed(self, event: dict[str, Any]) -> None:
        """Read one event."""
        if "errorDetail" in event or "error" in event:
            detail = event.get("errorDetail") or {}
            self.error = str(detail.get("message") or event.get("error") or "unknown error")
        self.digest = str((event.get("aux") or {}).get("Digest") or self.digest)
        layer, progress = event.get("id"), event.get("progressDetail") or {}
        if layer and event.get("status") in _MOVING:
            moved = int(progress.get("current") or 0)
            # The engine counts what it packs on the way: the last bytes may exceed the size it began with.
            self._layers[layer] = (moved, max(moved, int(progress.get("total") or 0)))
        elif layer and event.get("status") in _MOVED and layer in self._layers:
            self._layers[layer] = (self._layers[layer][1],) * 2
