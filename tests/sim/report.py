"""What a scenario found: a table, a verdict in one line, JSON with one headline figure, and plots."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure

T = TypeVar("T")
Tell = Callable[[str], None]
Cell = str | int | float
WORKERS = 2


@dataclass(frozen=True, slots=True)
class Report:
    """`rows` have one cell per column. `goal` says what the headline should be, `met` whether it is."""

    name: str
    question: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    headline: float
    goal: str
    met: bool
    verdict: str
    seeds: int
    notes: Sequence[str] = ()
    plots: Mapping[str, Callable[[Axes], None]] = field(default_factory=dict)
    """File name without ending → draws into the axes: title, units and legend included."""

    def as_json(self) -> dict[str, Any]:
        """Plain data. Floats are rounded to four digits after the point."""
        return {
            "name": self.name,
            "question": self.question,
            "headline": round(self.headline, 4),
            "goal": self.goal,
            "met": self.met,
            "verdict": self.verdict,
            "seeds": self.seeds,
            "rows": [
                {column: _plain(cell) for column, cell in zip(self.columns, row, strict=True)} for row in self.rows
            ],
            "notes": list(self.notes),
        }

    def show(self) -> str:
        """The table and the verdict, for a terminal."""
        table = [list(self.columns), *([_text(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[index]) for row in table) for index in range(len(self.columns))]
        lines = [
            "  " + "  ".join(cell.ljust(width) if not index else cell.rjust(width) for index, (cell, width) in row)
            for row in (list(enumerate(zip(cells, widths, strict=True))) for cells in table)
        ]
        notes = [f"  {note}" for note in self.notes]
        verdict = f"{'MET' if self.met else 'MISSED'}: {self.verdict} (goal: {self.goal})"
        return "\n".join([self.question, *lines, *notes, verdict])

    def write(self, out: Path | None, folder: Path | None) -> None:
        """JSON to `out`, one PNG per plot into `folder`."""
        if out is not None:
            out.write_text(json.dumps(self.as_json(), indent=2) + "\n", encoding="utf-8")
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        for name, draw in self.plots.items():
            figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
            axes = figure.subplots()
            axes.grid(visible=True, alpha=0.3)
            draw(axes)
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
