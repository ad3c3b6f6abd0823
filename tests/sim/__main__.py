"""`./run sim [NAME] [--seeds N] [--json OUT] [--png FOLDER]`: without a name, lists what there is.

Exit code 0: every promise of the scenario is kept; 1: one is not; 2: wrong usage.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from tests.sim.report import Report

SCENARIOS = {
    "payer-vs-twin": "1,000 peers, scarce upload: a payer against its identical twin that does not pay",
    "price": "a seller's income against its reserve, and how fast the price finds its level",
    "free-riders": "what becomes of those who neither pay nor upload, and of the others",
    "truthful": "bidding the truth against bidding anything else",
    "sybil": "10 to 10,000 identities from one /24 that take credit and vanish",
    "scale": "100 to 10,000 peers: time and memory per peer",
    "shill": "a seller that bids against its own buyers",
}


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run sim")
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="runs (default: the scenario's own)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures, and the plots")
    parser.add_argument("--png", type=Path, metavar="FOLDER", help="write the plots there (default: beside OUT)")
    options = parser.parse_args()
    if options.name is None:
        for name, text in SCENARIOS.items():
            print(f"  {name:14} {text}")
        return 0
    if options.name not in SCENARIOS or options.seeds < 0:
        print(f"sim: choose one of {', '.join(SCENARIOS)}, and 1 seed or more", file=sys.stderr)
        return 2
    module = importlib.import_module(f"tests.sim.scenarios.{options.name.replace('-', '_')}")
    report: Report = module.run(options.seeds or module.SEEDS, tell)
    print(report.show())
    report.write(options.json, options.png)
    return 0 if report.met else 1


if __name__ == "__main__":  # worker processes import this module too
    sys.exit(main())
