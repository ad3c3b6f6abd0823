"""`./run bench [NAME ...] [--json OUT]`: without a name, lists what there is."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from tests.bench.harness import Result

BENCHMARKS = {
    "engine": "our engine against the PyPI libtorrent wheel, same seeder, 1 GiB",
    "paid-vs-unpaid": "a paid download against an unpaid one, 1 GiB",
    "cheques": "cheques per second: signed, durable, verified, durable",
    "priority": "shares of two payers and two free peers on a capped seeder, against the auction",
    "storage": "files into shards and back, and proofs, against the slowest part alone",
    "ordinary": "Transmission, aria2 and our node on a seeder with Speed on and with Speed off, 256 MiB",
    "peers": "200 peers on one seeder: CPU and memory where all pay and where none does, and the price round's time",
    "chain": "both devnets: transactions and calls per second, gas and energy per cheque",
}


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _figure(value: float) -> str:
    """Four digits that count, but all of a whole number's."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"


def show(result: Result) -> None:
    report = result.report()
    print(f"{report['name']}: {report['headline']:g}  (goal: {report['goal']})")
    for row in report["rows"]:
        median, least, most = (_figure(row[key]) for key in ("median", "min", "max"))
        print(f"  {row['label']:48} {median:>12} {row['unit']:8} [{least} – {most}]")
    for note in report["notes"]:
        print(f"  {note}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run bench")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the report (a list where several ran)")
    parser.add_argument("--pairs", type=int, default=0, help="counted runs of each side (default: the benchmark's own)")
    options = parser.parse_args()
    if not options.names:
        for name, text in BENCHMARKS.items():
            print(f"  {name:18} {text}")
        return 0
    reports = []
    for name in options.names:
        if name not in BENCHMARKS:
            print(f"bench: no benchmark '{name}': choose from {', '.join(BENCHMARKS)}", file=sys.stderr)
            return 2
        tell(f"{name}: {BENCHMARKS[name]}")
        module = importlib.import_module(f"tests.bench.{name.replace('-', '_')}")
        result: Result = module.run(tell, options.pairs)
        show(result)
        reports.append(result.report())
    if options.json:
        options.json.write_text(json.dumps(reports[0] if len(reports) == 1 else reports, indent=2) + "\n")
    return 0


sys.exit(main())
