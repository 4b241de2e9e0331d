"""The tasks of this checkout, for `invoke`; see src/wharfinger/tasks/."""

from wharfinger.tasks import namespace

__all__ = ["namespace"]
