"""The races as a PNG: one panel each, rates over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from node.demo.processes import DemoError
from node.demo.race import Lane, Race
from wallet.amount import format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEP, MEAN = 0.25, 1.0
"""Seconds between two points of a curve, and what each averages over."""
PANEL = (8.0, 3.2)
"""Inches."""
DPI = 120
COLOURS = {True: "#1b7f3b", False: "#c2680a"}
MEGA = 1e6


def save(races: Sequence[Race], path: Path) -> None:
    """Write the PNG. Raises `DemoError` without matplotlib (the extra `plots`), or where the file cannot be written."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # takes long to load, and is an extra
        from matplotlib.figure import Figure
    except ImportError:
        raise DemoError("no PNG without matplotlib: pip install 'bttnode[plots]'") from None

    width, height = PANEL
    figure = Figure(figsize=(width, height * len(races)), layout="constrained")
    FigureCanvasAgg(figure)  # a canvas of our own: no window system, no state shared with anybody
    panels = figure.subplots(len(races), 1, squeeze=False)[:, 0]
    last = max(lane.samples[-1][0] for race in races for lane in race.lanes)
    for axes, race in zip(panels, races, strict=True):
        _panel(axes, race)
        axes.set_xlim(0, last * 1.02)
    panels[-1].set_xlabel("seconds")
    try:
        figure.savefig(path, format="png", dpi=DPI)
    except OSError as error:
        raise DemoError(f"{path}: {error.strerror}") from None


def _panel(axes: Axes, race: Race) -> None:
    top = race.capacity / MEGA
    axes.axhline(top, color="#888888", linewidth=1, linestyle="--")
    axes.annotate("the seeder's line", (0, top), (4, 3), textcoords="offset points", fontsize=8, color="#666666")
    for lane in race.lanes:
        _curve(axes, lane, top)
    axes.set_ylim(0, top * 1.3)
    axes.set_ylabel("MB/s")
    axes.set_title(f"{race.rail}, {format_size(race.size)}: {race.verdict}", fontsize=10, loc="left")
    axes.legend(loc="upper right", fontsize=8, frameon=False, ncols=2)
    axes.spines[["top", "right"]].set_visible(False)


def _curve(axes: Axes, lane: Lane, top: float) -> None:
    colour = COLOURS[lane.pays]
    rates = lane.rates(STEP, MEAN)
    times = [min((number + 1) * STEP, lane.samples[-1][0]) for number in range(len(rates))]
    label = f"{lane.name} ({'pays' if lane.pays else 'pays nothing'})"
    values = [rate / MEGA for rate in rates]
    axes.plot(times, values, color=colour, linewidth=2, label=label)
    axes.fill_between(times, values, color=colour, alpha=0.12, linewidth=0)
    if lane.seconds is not None:
        axes.axvline(lane.seconds, ymax=1 / 1.3, color=colour, linewidth=1, linestyle=":")
        place = (lane.seconds, top * 0.5)
        shown = f"done\n{lane.seconds:.1f} s"
        axes.annotate(
            shown, place, (-4, 0), textcoords="offset points", fontsize=8, color=colour, ha="right", va="center"
        )
