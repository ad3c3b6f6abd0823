"""`./run demo [FILE] [--json OUT]`."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from node.demo.bill import report
from node.demo.files import generate
from node.demo.plot import save
from node.demo.processes import DemoError
from node.demo.run import Demo, stopping

DEFAULT_SIZE, SEED = 256 << 20, 52


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="./run demo",
        description="Paid downloads and rented storage with real processes, cheques and contracts, reconciled.",
    )
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="what to share and store (default: 256 MiB made up)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="OUT", help="write the figures to this file, a picture of the races beside it"
    )
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
            generate(file, DEFAULT_SIZE, SEED)
        demo = Demo(file, folder, console)
        with stopping(demo):
            found = demo.run()
        report(console, found)
        picture = options.json.with_name(f"{options.json.stem}-race.png") if options.json else folder / "race.png"
        found["png"] = _draw(demo, picture, console)
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
            _clear(folder)
    return 0 if found["reconciled"] else 1


def _draw(demo: Demo, picture: Path, console: Console) -> str | None:
    """The picture's path; None where it cannot be drawn, which makes no figure wrong."""
    try:
        save(demo.races, picture)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return None
    console.print(f"the races as a picture: {picture}")
    return str(picture)


def _clear(folder: Path) -> None:
    """Only a picture in it outlives the demo."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix != ".png":
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()  # where the picture went elsewhere


sys.exit(main())
