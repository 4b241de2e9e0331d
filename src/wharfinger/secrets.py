"""Values that must not be shown."""

from __future__ import annotations

from typing import Final

MASK: Final = "***"


class Secret:
    """A value that shows as `***` wherever it is printed, formatted, logged or serialised.

    Only `reveal()` gives the value; search for that word to find every place that may hold it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself, for the file or socket that must carry it."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return format(MASK, format_spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not serialised")
