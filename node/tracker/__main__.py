"""`python -m node.tracker`: prints one JSON line when ready, stops on SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import sys

from node.tracker.server import TrackerServer


def _port(text: str) -> int:
    if not (text.isdecimal() and len(text) <= 5 and int(text) < 65536):
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _info_hash(text: str) -> bytes:
    """As trackers see it: a v2 info-hash is cut to 20 bytes (BEP 52)."""
    if not re.fullmatch("[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError("an info-hash has 40 hex digits, or 64 for version 2")
    return bytes.fromhex(text)[:20]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m node.tracker", description="A small tracker for private swarms.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=6969, help="0: any free port (default: %(default)s)")
    parser.add_argument(
        "--allow",
        type=_info_hash,
        action="append",
        metavar="INFO-HASH",
        help="serve only this torrent (may be repeated; default: any torrent)",
    )
    return parser.parse_args()


async def _serve(server: TrackerServer) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    await server.start()
    try:
        print(json.dumps({"ready": True, "url": server.url}), flush=True)
        await stopping.wait()
    finally:
        await server.close()


def main() -> None:
    options = _arguments()
    allowed = None if options.allow is None else frozenset(options.allow)
    try:
        asyncio.run(_serve(TrackerServer(options.host, options.port, allowed)))
    except OSError as error:
        sys.exit(f"tracker: {error.strerror or error}")


if __name__ == "__main__":
    main()
