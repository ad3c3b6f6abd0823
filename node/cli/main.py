"""The root of the command line: global options and the list of commands."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from config.paths import find_home
from node import __version__
from node.cli import bills, btfs, chain, contracts, escrow, host, hosts, recovery, setup, storage, torrents, wallet
from node.cli.context import Shell, Terminal


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--home", type=click.Path(path_type=Path), help="Folder of the node (default: $BTTNODE_HOME or XDG).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.version_option(__version__, prog_name="bttnode")
@click.pass_context
def main(context: click.Context, home: Path | None, as_json: bool) -> None:
    """A BitTorrent node that sells and buys upload priority and storage for BTT.

    \b
    First steps:
      bttnode init                    make a key and a config.toml
      bttnode up                      run the node (Ctrl-C stops it)
      bttnode add ubuntu.torrent      download, or seed what you have
      bttnode get FILE.torrent --max-price 3000/GiB --budget 10000
      bttnode store PATH              keep a file or folder on other people's disks
      bttnode host why                what is missing before this node can rent out disk
    """
    context.obj = Shell(find_home(home), as_json, Terminal())


PARTS = (setup, torrents, storage, recovery, hosts, host, escrow, bills, wallet, btfs, chain, contracts)
for command in (command for part in PARTS for command in part.COMMANDS):
    main.add_command(command)


def run() -> None:
    """Entry point of the console script."""
    # `--json` is understood after the command as well as before it: scripts put it at the end.
    arguments = sys.argv[1:]
    if "--json" in arguments and "demo" not in arguments:
        arguments = ["--json", *(argument for argument in arguments if argument != "--json")]
    try:
        main(args=arguments, prog_name="bttnode")
    except BrokenPipeError:
        sys.exit(0)
