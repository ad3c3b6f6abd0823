"""The race in the terminal, while it runs.

A terminal is redrawn in place, with an area chart for each leecher. Anything else (a pipe, a log) gets one line per
second. Both are scaled to the seeder's line, so that heights compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from node.demo.race import Lane, Race
from wallet.amount import format_amount, format_size

LEVELS, WALL, FLOOR, CORNER = " ▁▂▃▄▅▆▇█", "│", "─", "└"
ASCII_LEVELS, ASCII_WALL, ASCII_FLOOR, ASCII_CORNER = "  ..::##", "|", "-", "+"
HEIGHT, WIDTH, GUTTER = 4, 60, 22
MEAN = 1.0
"""Seconds that a column averages over: pieces and the market's rounds come in lumps."""
FINEST_STEP = 0.25
"""Seconds of one column; doubled until the race fits in `WIDTH`."""
BAR = 24
LEAST_PLAIN_STEP, PLAIN_LINES = 1, 40
"""Seconds between two lines without a terminal: one, or more where the race would fill the screen."""
STYLES = {True: "green", False: "yellow"}
CENT = 10**16
"""What the chart cuts amounts to, in units of BTT. The bill has every digit."""


def area(values: Sequence[float], top: float, height: int, levels: str = LEVELS) -> list[str]:
    """`values` as columns, `height` rows, the highest row first; `top` fills a column. What is above is cut."""
    most = len(levels) - 1
    filled = [round(min(1.0, max(0.0, value / top)) * height * most) for value in values]
    return [
        "".join(levels[min(most, max(0, count - row * most))] for count in filled) for row in reversed(range(height))
    ]


def bar(value: float, top: float, width: int, mark: str) -> str:
    return (mark * round(min(1.0, max(0.0, value / top)) * width)).ljust(width)


def step_for(seconds: float, width: int) -> float:
    """Seconds of a column so that `seconds` fit in `width` columns."""
    step = FINEST_STEP
    while seconds / step > width:
        step *= 2
    return step


def megabytes(rate: float) -> str:
    return f"{rate / 1e6:.1f} MB/s"


def title(race: Race) -> str:
    return f"{format_size(race.size)} made up; the seeder's line carries {megabytes(race.capacity)}"


def drawing(race: Race, *, ascii_only: bool = False) -> RenderableType:
    """The race so far, one chart below the other."""
    levels, wall, floor, corner = (
        (ASCII_LEVELS, ASCII_WALL, ASCII_FLOOR, ASCII_CORNER) if ascii_only else (LEVELS, WALL, FLOOR, CORNER)
    )
    elapsed = max(lane.samples[-1][0] for lane in race.lanes)
    step = step_for(elapsed, WIDTH)
    rows: list[Text] = []
    for lane in race.lanes:
        charted = area(lane.rates(step, MEAN), race.capacity, HEIGHT, levels)
        for label, line in zip(_labels(lane), charted, strict=True):
            rows.append(Text.assemble(f"{label:>{GUTTER}} {wall}", (line, STYLES[lane.pays])))
        rows.append(Text(f"{'':>{GUTTER}} {corner}{floor * WIDTH} {step * WIDTH:g} s", style="dim"))
    return Group(*rows)


def _labels(lane: Lane) -> tuple[str, str, str, str]:
    """The gutter beside one chart, `HEIGHT` lines."""
    last = lane.rates(1.0)[-1:] or [0.0]
    if lane.seconds is None:
        progress = f"{100 * lane.samples[-1][1] // lane.size} %, {megabytes(last[0])}"
    else:
        progress = f"done in {lane.seconds:.1f} s"
    money = f"paid {format_amount(lane.spent - lane.spent % CENT)}" if lane.pays else "pays nothing"
    return lane.name, progress, money, ""


class Watch(AbstractContextManager["Watch"]):
    """Shows a race on a console, as the console can."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._told = 0

    def __enter__(self) -> Watch:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *unused: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, race: Race) -> None:
        if self._live is not None:
            self._live.update(drawing(race, ascii_only=self._console.options.ascii_only), refresh=True)
            return
        step = max(LEAST_PLAIN_STEP, -(-2 * race.size // (race.capacity * PLAIN_LINES)))
        elapsed = max(lane.samples[-1][0] for lane in race.lanes)
        rest = race.over and max(len(lane.rates(step)) for lane in race.lanes)  # the last step may be a short one
        for number in range(self._told, max(int(elapsed / step), rest)):
            self._console.print(plain_line(race, number, step, ascii_only=self._console.options.ascii_only))
            self._told += 1


def plain_line(race: Race, number: int, step: int, *, ascii_only: bool = False) -> str:
    """What both got in one step of `step` seconds, beginning with the step 0."""
    parts = []
    for lane in race.lanes:
        rates = lane.rates(step)
        rate = rates[number] if number < len(rates) else 0.0
        mark = "#" if ascii_only else LEVELS[-1]
        shown = megabytes(rate) if number < len(rates) else "done" if lane.seconds is not None else ""
        parts.append(f"{lane.name} {shown:>10} {bar(rate, race.capacity, BAR, mark)}")
    return f"{(number + 1) * step:>4} s  {'  '.join(parts)}".rstrip()
