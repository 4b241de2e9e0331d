"""Steps as a live region of a terminal: finished ones scroll up for good, the rest is redrawn below them."""

from __future__ import annotations

from typing import Final, TextIO

from rich.console import Console as RichConsole
from rich.live import Live
from rich.text import Text

from wharfinger.console.steps import Progress, Step, StepList
from wharfinger.console.text import cell_len, duration, fit, size

_SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_BAR: Final = 24
_LABEL: Final = 20
_SHORTEST_BAR: Final = 5
_MARKS: Final = {
    "done": ("✓", "green", ""),
    "failed": ("✗", "bold red", "failed after "),
    "interrupted": ("✗", "yellow", "interrupted after "),
}


class LiveView:
    """Redraws what runs and what is to come ten times a second, cut to the terminal's width of then."""

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        # What is shown may come from outside (titles, log lines): no markup, no emoji codes, no highlighting.
        self._rich = RichConsole(
            file=stream, force_terminal=True, no_color=not colour, markup=False, emoji=False, highlight=False
        )
        self._steps: StepList | None = None
        self._live = Live(
            console=self._rich,
            get_renderable=self._frame,
            refresh_per_second=10,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def start(self, steps: StepList) -> None:
        """Begin to draw `steps`."""
        self._steps = steps
        self._live.start(refresh=True)

    def finished(self, step: Step) -> None:
        """Put the step's last line above the region, where it stays."""
        if step.state == "skipped":
            line = Text(f"- {step.title}  {step.remark}", style="dim")
        else:
            mark, style, how = _MARKS[step.state]
            line = Text.assemble((mark, style), f" {step.title}", (f"  {how}{duration(step.seconds)}", "dim"))
        self._rich.print(line, soft_wrap=True)

    def above(self, text: str) -> None:
        """Put lines above the region; colours that we gave them stay."""
        self._rich.print(Text.from_ansi(text), soft_wrap=True)

    def stop(self) -> None:
        """Take the region away and show the cursor again."""
        self._live.stop()

    def _frame(self) -> Text:
        width = self._rich.width - 1  # a full last column makes some terminals wrap
        lines: list[Text] = []
        for step in self._steps.in_state("running") if self._steps else ():
            lines.append(_running(step, width))
            lines += [_bar(bar, width) for bar in step.bars]
        for step in self._steps.in_state("pending") if self._steps else ():
            lines.append(Text(fit(f"· {step.title}", width), style="dim"))
        room = max(1, self._rich.height - 1)
        if len(lines) > room:
            lines = [*lines[: room - 1], Text(f"… {len(lines) - room + 1} more", style="dim")]
        return Text("\n", no_wrap=True, end="").join(lines)


def _running(step: Step, width: int) -> Text:
    spinner = _SPINNER[int(step.seconds * 10) % len(_SPINNER)]
    took = f"  {duration(step.seconds)}"
    title = fit(step.title, max(8, width - 2 - cell_len(took)))
    left = width - 2 - cell_len(title) - cell_len(took) - 2
    remark = f"  {fit(step.remark, left)}" if step.remark and left > _SHORTEST_BAR else ""
    return Text.assemble((spinner, "cyan"), f" {title}", (remark, "cyan"), (took, "dim"))


def _bar(bar: Progress, width: int) -> Text:
    label = fit(bar.label, min(_LABEL, max(4, width // 3)))
    number = size if bar.unit == "bytes" else str
    done = bar.fraction
    if done is None or bar.total is None:
        return Text(fit(f"    {label}  {number(bar.completed) if bar.completed else ''}", width))
    amount = f"  {done:>4.0%}  {number(bar.completed)} of {number(bar.total)}"
    cells = min(_BAR, width - 6 - cell_len(label) - cell_len(amount))
    if cells < _SHORTEST_BAR:
        return Text(fit(f"    {label}{amount}", width))
    filled = round(cells * done)
    return Text.assemble(
        f"    {label}  ", ("━" * filled, "green"), ("─" * (cells - filled), "dim"), (amount, "default")
    )
