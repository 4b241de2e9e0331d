"""What a person sees: steps, warnings and errors on stderr; data on stdout.

Nothing here reads the environment or the clock of its own accord: `detect` is told both.
"""

from wharfinger.console.output import Console, detect
from wharfinger.console.steps import Finding, Progress, Step, StepList, Unit

__all__ = ["Console", "Finding", "Progress", "Step", "StepList", "Unit", "detect"]
