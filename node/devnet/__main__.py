"""`python -m node.devnet`: a devnet as a process of its own. Prints one JSON line when it is ready."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from node.devnet.errors import DevnetError


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return number


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m node.devnet",
        description="A local chain with test BTT and the cheque vault, behind Ethereum JSON-RPC over HTTP. "
        "Prints one JSON line with url, chain_id, token, vault and deployer when ready; SIGTERM or Ctrl-C stops it.",
    )
    parser.add_argument("--data-dir", type=Path, help="keep the chain in this folder (default: in memory)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8545, help="port to listen on, 0 for a free one (default: %(default)s)"
    )
    parser.add_argument("--chain-id", type=int, default=199, help="chain id (default: %(default)s, BTTC's)")
    parser.add_argument(
        "--notice-period",
        type=int,
        default=86_400,
        help="seconds before a deposit may leave the vault (default: a day)",
    )
    parser.add_argument(
        "--block-time",
        type=float,
        default=1.0,
        help="seconds between the empty blocks that confirm a transaction, 0 for none (default: %(default)s)",
    )
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    from node.devnet.server import DevnetServer, DevnetSettings  # py-evm, only where --help is not all that is wanted

    server = DevnetServer(DevnetSettings(**vars(arguments)))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    deployment = await server.start()
    try:
        print(deployment.to_json(), flush=True)
        await stop.wait()
    finally:
        await server.close()


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    arguments = _arguments()
    try:
        asyncio.run(_serve(arguments))
    except DevnetError as error:
        sys.exit(f"devnet: {error}")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "eth":
            raise
        sys.exit("devnet: py-evm is not installed: pip install 'bttnode[devnet]'")


if __name__ == "__main__":
    main()
