"""`./run demo [FILE] [--json OUT]`."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from node.demo.bill import report
from node.demo.processes import DemoError
from node.demo.run import Demo, stopping

DEFAULT_SIZE = 256 << 20
CHUNK = 1 << 20


def _generate(path: Path, size: int) -> None:
    """Bytes that do not compress and are the same in every run."""
    source = random.Random(52)  # noqa: S311 - test data, not a secret
    with path.open("wb") as file:
        for offset in range(0, size, CHUNK):
            file.write(source.randbytes(min(CHUNK, size - offset)))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="./run demo", description="A paid download with real processes, cheques and contracts, reconciled."
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="what to share (default: 256 MiB made up)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to this file")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs, databases and copies")
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    if options.file is not None and not options.file.is_file():
        print(f"demo: {options.file}: no such file (a single file is expected)", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="bttnode-demo-"))
    try:
        file = options.file
        if file is None:
            file = folder / "demo.bin"
            _generate(file, DEFAULT_SIZE)
        demo = Demo(file, folder, console)
        with stopping(demo):
            found = demo.run()
        report(console, found)
        if options.json:
            options.json.write_text(json.dumps(found, indent=2) + "\n")
    except DemoError as error:
        options.keep = True
        print(f"demo: {error} (logs in {folder})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    finally:
        if options.keep:
            console.print(f"kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if found["reconciled"] else 1


sys.exit(main())
