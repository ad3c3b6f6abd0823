"""`python -m node.devnet`: a devnet as a process of its own. Prints one JSON line when it is ready."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.devnet.errors import DevnetError

if TYPE_CHECKING:
    from node.devnet.rail import RailServer


_OPTIONAL = {"eth": "py-evm", "google": "protobuf"}
"""Packages of the `devnet` extra, by what they are imported as."""
_PORTS = {"bttc": 8545, "tron": 9090}


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return number


def _chain_id(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise argparse.ArgumentTypeError("a chain id is a number, such as 199 or 0x6274746e") from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m node.devnet",
        description="A local chain with test BTT and our contracts, behind Ethereum JSON-RPC over HTTP or, with "
        "--rail tron, behind java-tron's HTTP API. Prints one JSON line with url, chain, chain_id, token, contracts "
        "and deployer when ready; SIGTERM or Ctrl-C stops it.",
    )
    parser.add_argument("--rail", choices=tuple(_PORTS), default="bttc", help="whose rules (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="keep the chain in this folder (default: in memory)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, help="port to listen on, 0 for a free one (default: 8545 for bttc, 9090 for tron)"
    )
    parser.add_argument(
        "--chain-id",
        type=_chain_id,
        help="chain id (default: 199, BTTC's, or 0x6274746e for tron: the last four bytes of its genesis block's id)",
    )
    parser.add_argument(
        "--notice-period",
        type=int,
        default=86_400,
        help="seconds before a deposit may leave the vault (default: a day)",
    )
    parser.add_argument(
        "--answer-period",
        type=int,
        default=3_600,
        help="seconds a storage host has to answer a challenge on the chain (default: an hour)",
    )
    parser.add_argument(
        "--block-time",
        type=float,
        default=1.0,
        help="seconds between the empty blocks that confirm a transaction, 0 for none (default: %(default)s)",
    )
    arguments = parser.parse_args()
    if arguments.port is None:
        arguments.port = _PORTS[arguments.rail]
    return arguments


def _server(arguments: argparse.Namespace) -> RailServer[Any]:
    """Imports a rail, and with it py-evm, only where --help is not all that is wanted."""
    options = {key: value for key, value in vars(arguments).items() if key != "rail" and value is not None}
    if arguments.rail == "tron":
        from node.devnet.tron.server import TronDevnetServer, TronDevnetSettings

        return TronDevnetServer(TronDevnetSettings(**options))
    from node.devnet.server import DevnetServer, DevnetSettings

    return DevnetServer(DevnetSettings(**options))


async def _serve(arguments: argparse.Namespace) -> None:
    server = _server(arguments)
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
        missing = (error.name or "").split(".")[0]
        if missing not in _OPTIONAL:
            raise
        sys.exit(f"devnet: {_OPTIONAL[missing]} is not installed: pip install 'bttnode[devnet]'")


if __name__ == "__main__":
    main()
