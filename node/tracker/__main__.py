"""`python -m node.tracker`: prints one JSON line when ready, stops on SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys

from node.tracker.server import TrackerServer


async def serve(host: str, port: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    server = TrackerServer(host, port)
    await server.start()
    print(json.dumps({"ready": True, "url": server.url}), flush=True)
    await stopping.wait()
    await server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m node.tracker", description="A small tracker for private swarms.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6969, help="0: any free port")
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.host, options.port))
    except OSError as error:
        sys.exit(f"tracker: {error.strerror or error}")


main()
