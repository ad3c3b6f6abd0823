"""One small harness for all benchmarks: sides in turns after a warm-up, medians, one headline figure.

Sides run in turns (A B A B …), so that a machine that slows down slows both; what is compared is the median of the
ratios pair by pair.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure over its runs."""

    label: str
    unit: str
    values: Sequence[float]

    def summary(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "unit": self.unit,
            "median": round(statistics.median(self.values), 4),
            "min": round(min(self.values), 4),
            "max": round(max(self.values), 4),
            "runs": len(self.values),
        }


@dataclass(frozen=True, slots=True)
class Result:
    """What a benchmark found. `headline` is the one figure asked for, `goal` says what it should be."""

    name: str
    rows: Sequence[Row]
    headline: float
    goal: str
    notes: Sequence[str] = field(default_factory=tuple)

    def report(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "machine": machine(),
            "versions": versions(),
            "rows": [row.summary() for row in self.rows],
            "headline": round(self.headline, 4),
            "goal": self.goal,
            "notes": list(self.notes),
        }


Side = Callable[[], float]


def in_turns(sides: Sequence[Side], pairs: int, tell: Callable[[str], None], warm_up: int = 1) -> list[list[float]]:
    """Run every side once per round; the first `warm_up` rounds do not count. Returns one list per side."""
    results: list[list[float]] = [[] for _ in sides]
    for turn in range(-warm_up, pairs):
        for index, side in enumerate(sides):
            value = side()
            if turn >= 0:
                results[index].append(value)
        shown = ", ".join(f"{values[-1]:.4g}" for values in results if values)
        tell(f"  {'warm-up' if turn < 0 else f'run {turn + 1}/{pairs}: {shown}'}")
    return results


def median_ratio(first: Sequence[float], second: Sequence[float]) -> float:
    """Median of first/second, pair by pair."""
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


def forget_peak() -> None:
    """From now on `peak_mib` counts anew."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def peak_mib() -> float:
    """The most memory that this process has had. Not getrusage: its maximum holds what the parent had at the fork."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) / 1024


def machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "system": platform.platform(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def versions() -> dict[str, str]:
    from node.engine import _native  # only benchmarks that need it should pay for loading it

    found = {"python": sys.version.split()[0], "libtorrent (ours)": _native.LIBTORRENT_VERSION}
    for package in ("coincurve", "sqlalchemy", "web3", "libtorrent"):
        found[package] = version(package)
    return found


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
