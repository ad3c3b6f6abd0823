"""What a scenario found: a table, a verdict per promise, JSON with one headline figure, and plots."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cycler import cycler
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

T = TypeVar("T")
Tell = Callable[[str], None]
Cell = str | int | float
WORKERS = 2


STYLE: Mapping[str, Any] = {
    # Okabe and Ito, "Color Universal Design" (2008): told apart by readers with any kind of colour vision. Lines differ
    # in marks or dashes too, for prints in grey.
    "axes.prop_cycle": cycler(color=["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]),
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 13,
    "axes.labelsize": 11,
    "legend.fontsize": 10,
    "legend.framealpha": 0.9,
    "grid.alpha": 0.3,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
}


@dataclass(frozen=True, slots=True)
class Promise:
    """What the market has to keep: `figure` is at most, or else at least, `bound`. `text` says what the figure is."""

    text: str
    figure: float
    bound: float
    at_most: bool

    @property
    def met(self) -> bool:
        """NaN meets nothing."""
        return self.figure <= self.bound if self.at_most else self.figure >= self.bound

    def show(self) -> str:
        """'MET     text: 2.31 (at least 1.7)'."""
        side = "at most" if self.at_most else "at least"
        return f"{'MET' if self.met else 'MISSED':6}  {self.text}: {_text(self.figure)} ({side} {self.bound:g})"


def at_most(text: str, figure: float, bound: float) -> Promise:
    """A promise that is broken by more than `bound`."""
    return Promise(text, figure, bound, at_most=True)


def at_least(text: str, figure: float, bound: float) -> Promise:
    """A promise that is broken by less than `bound`."""
    return Promise(text, figure, bound, at_most=False)


@dataclass(frozen=True, slots=True)
class Report:
    """`rows` have one cell per column. The figure of the first promise is the headline."""

    name: str
    question: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    promises: Sequence[Promise]
    seeds: int
    notes: Sequence[str] = ()
    plots: Mapping[str, Callable[[Axes], None]] = field(default_factory=dict)
    """File name without ending → draws into the axes: title, units and legend included."""

    @property
    def met(self) -> bool:
        """Every promise is kept."""
        return all(promise.met for promise in self.promises)

    def as_json(self) -> dict[str, Any]:
        """Plain data. Floats are rounded to four digits after the point."""
        return {
            "name": self.name,
            "question": self.question,
            "headline": round(self.promises[0].figure, 4),
            "met": self.met,
            "promises": [
                {
                    "text": promise.text,
                    "figure": round(promise.figure, 4),
                    "at_most" if promise.at_most else "at_least": promise.bound,
                    "met": promise.met,
                }
                for promise in self.promises
            ],
            "seeds": self.seeds,
            "rows": [
                {column: _plain(cell) for column, cell in zip(self.columns, row, strict=True)} for row in self.rows
            ],
            "notes": list(self.notes),
        }

    def show(self) -> str:
        """The table and the verdicts, for a terminal."""
        table = [list(self.columns), *([_text(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[index]) for row in table) for index in range(len(self.columns))]
        lines = [
            "  " + "  ".join(cell.ljust(width) if not index else cell.rjust(width) for index, (cell, width) in row)
            for row in (list(enumerate(zip(cells, widths, strict=True))) for cells in table)
        ]
        notes = [f"  {note}" for note in self.notes]
        return "\n".join([self.question, *lines, *notes, *(promise.show() for promise in self.promises)])

    def write(self, out: Path | None, folder: Path | None) -> None:
        """JSON to `out`; one PNG per plot into `folder`, or beside `out`."""
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(self.as_json(), indent=2) + "\n", encoding="utf-8")
        folder = folder or (out.parent if out is not None else None)
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        for name, draw in self.plots.items():
            with style.context(dict(STYLE)):
                figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
                draw(figure.subplots())
                figure.savefig(folder / f"{name}.png")


def in_parallel(work: Callable[[int], T], seeds: Iterable[int], tell: Tell) -> list[T]:
    """`work(seed)` for each seed, in order. `work` is a function of a module, so that a process can find it."""
    found: list[T] = []
    with ProcessPoolExecutor(min(WORKERS, os.cpu_count() or 1)) as pool:
        for seed, result in zip(list(seeds), pool.map(work, list(seeds)), strict=True):
            found.append(result)
            tell(f"  seed {seed} done")
    return found


def _plain(cell: Cell) -> Cell:
    return round(cell, 4) if isinstance(cell, float) else cell


def _text(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.4g}"
