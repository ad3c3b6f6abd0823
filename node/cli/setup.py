"""Commands around the node itself: init, up, down, status, doctor."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from rich.table import Table

from config.errors import ConfigError
from config.networks import NAMES, Network, devnet_of, load_network
from config.settings import RailSettings, load_settings, sample
from node.cli.client import INCOMPLETE, CliError
from node.cli.context import PRICE, Shell, catches, password
from wallet import keystore
from wallet.amount import format_amount, format_price, format_size
from wallet.chains.base import ChainError
from wallet.keys import new_mnemonic


@click.command()
@click.option("--network", "networks", multiple=True, help=f"Rail (may be repeated): {', '.join(NAMES)}.")
@click.option(
    "--deployment",
    "deployments",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="What `bttnode devnet` wrote: makes a local rail known (may be repeated).",
)
@click.option("--listen", multiple=True, metavar="HOST:PORT", help="Address for peers (may be repeated).")
@click.option("--api-port", type=int, help="Port of the local API.")
@click.option("--upload-limit", metavar="SIZE", help='Upload capacity per second, such as "20 MB"; auto: measured.')
@click.option("--reserve-price", type=PRICE, help='The least we sell for, such as "5 BTT/GiB".')
@click.option("--words", type=click.Choice(["12", "24"]), default="12", show_default=True, help="Mnemonic length.")
@click.option("--import-mnemonic", is_flag=True, help="Use a mnemonic you have (asked on the terminal or stdin).")
@click.option("--password-file", type=click.Path(path_type=Path, exists=True), help="File with the key's password.")
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Any setting, as TOML.")
@click.pass_obj
@catches
def init(
    shell: Shell,
    networks: tuple[str, ...],
    deployments: tuple[Path, ...],
    listen: tuple[str, ...],
    api_port: int | None,
    upload_limit: str | None,
    reserve_price: int | None,
    words: str,
    import_mnemonic: bool,
    password_file: Path | None,
    settings: tuple[str, ...],
) -> None:
    """Make a key and a config.toml. Nothing that exists is overwritten."""
    rails = _rails(networks, deployments)
    text = sample(_overrides(rails, listen, api_port, upload_limit, reserve_price, settings))
    paths = shell.paths
    if paths.config.exists():
        raise CliError(f"{paths.config} is here already", "edit it, or choose another folder with --home")
    if paths.keystore.exists():
        raise CliError(f"{paths.keystore} is here already", "move it away first if you mean a new key")
    mnemonic = (
        click.prompt("Mnemonic", hide_input=True, err=True)
        if import_mnemonic
        else new_mnemonic(secrets.token_bytes(16 if words == "12" else 32))
    )
    secret = keystore.Secret(mnemonic=mnemonic)
    secret.key()
    chosen = password("Password for the key", confirm=True, file=password_file)
    paths.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The key comes last: nobody would ever see its words if a later step failed.
    try:
        paths.config.write_text(text, encoding="utf-8")
        load_settings(paths.config)
        address = keystore.create(paths.keystore, secret, chosen)
    except BaseException:
        paths.config.unlink(missing_ok=True)
        raise

    def show() -> None:
        shell.console.print(f"node folder   {paths.home}")
        shell.console.print(f"address       {address.evm}  (TRON {address.tron})")
        for name in rails:
            shell.console.print(f"rail          {load_network(name).label}")
        if not import_mnemonic:
            shell.console.print("\nWrite these words down; they are the only way to get your money back:\n")
            shell.console.print(f"  {secret.mnemonic}\n", style="bold")
        shell.console.print("next: bttnode up")

    result = {"home": str(paths.home), "address": address.evm, "tron": address.tron, "rails": list(rails)}
    if not import_mnemonic and shell.as_json:
        result["mnemonic"] = mnemonic
    shell.show(result, show)


_STORAGE = ("storage_market", "host_registry")
"""Contracts that deployments from before rented storage do not have."""


def _rails(networks: tuple[str, ...], deployments: tuple[Path, ...]) -> dict[str, dict[str, str]]:
    """Rail → its settings as TOML, in the order in which they were named; without any, the default rail."""
    rails: dict[str, dict[str, str]] = {load_network(name).name: {} for name in networks}
    for path in deployments:
        found = _deployment(path)
        network = devnet_of(found["chain"])
        if network is None:
            raise CliError(f"{path}: no local rail is called {found['chain']}", "use the devnet's own chain id")
        rail = rails.setdefault(network.name, {})
        rail["endpoints"] = json.dumps([found["url"]])
        rail["token"] = json.dumps(found["token"])
        for contract in ("vault", *_STORAGE):
            if found[contract]:
                rail[contract] = json.dumps(found[contract])
        if found["wbtt"]:
            rail["tokens"] = f'[{{symbol = "WBTT", decimals = 18, contract = "{found["wbtt"]}", wraps_native = true}}]'
    return rails or {"devnet-bttc": {}}


def _overrides(
    rails: dict[str, dict[str, str]],
    listen: tuple[str, ...],
    api_port: int | None,
    upload_limit: str | None,
    reserve_price: int | None,
    settings: tuple[str, ...],
) -> dict[str, dict[str, str]]:
    result: dict[str, dict[str, str]] = {f"rail.{name}": values for name, values in rails.items()}
    if listen:
        result.setdefault("node", {})["listen"] = json.dumps(list(listen))
    if upload_limit is not None:
        result.setdefault("node", {})["upload_limit"] = json.dumps(upload_limit)
    if reserve_price is not None:
        result.setdefault("speed", {})["reserve_price"] = json.dumps(format_price(reserve_price))
    if api_port is not None:
        result.setdefault("api", {})["port"] = str(api_port)
    for setting in settings:
        name, found_value, value = setting.partition("=")
        section, dot, key = name.strip().rpartition(".")
        if not found_value or not dot:
            raise CliError(f"--set {setting}: write it as section.key=value", 'such as speed.max_price="5/GiB"')
        result.setdefault(section, {})[key] = value.strip()
    return result


def _deployment(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text())
        return {key: str(found[key]) for key in ("url", "chain", "token", "vault")} | {
            key: str(found.get(key, "")) for key in ("wbtt", *_STORAGE)
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CliError(f"{path} is not a deployment file", "use the file that `bttnode devnet` wrote") from None


@click.command()
@click.option("--password-file", type=click.Path(path_type=Path, exists=True), help="File with the key's password.")
@click.option("--real-money", is_flag=True, help="Needed once for main networks; remembered in the node's folder.")
@click.pass_obj
@catches
def up(shell: Shell, password_file: Path | None, real_money: bool) -> None:
    """Run the node in the foreground. Ctrl-C or SIGTERM stops it cleanly."""
    settings = load_settings(shell.paths.config)
    keystore.address_of(shell.paths.keystore)
    if real_money:
        from node.rails import allow_real_money

        for network in allow_real_money(settings, shell.paths):
            click.echo(f"bttnode: {network.label}. {network.note}", err=True)
    secret = keystore.open_keystore(shell.paths.keystore, password("Password", file=password_file))
    from node.app import serve  # the heavy imports (libtorrent, SQLAlchemy) only where a node really runs

    def ready(api: str, port: int) -> None:
        address = secret.key().address
        line = {"ready": True, "api": api, "port": port, "address": address.evm, "pid": os.getpid()}
        shell.show(
            line,
            lambda: shell.console.print(
                f"bttnode is up: peers on port {port}, API at {api}, address {address.evm}\nCtrl-C stops it"
            ),
        )
        sys.stdout.flush()

    serve(settings, shell.paths, secret.key(), ready, secret=secret.storage_secret())


@click.command()
@click.pass_obj
@catches
def down(shell: Shell) -> None:
    """Stop the running node."""
    shell.client.post("/v1/shutdown")
    shell.show({"stopping": True}, lambda: shell.console.print("stopping"))


@click.command()
@click.pass_obj
@catches
def status(shell: Shell) -> None:
    """The node and its torrents."""
    found = shell.client.get("/v1/status")

    def show() -> None:
        free = found["deposit_free"]
        deposit = "not known" if free is None else format_amount(int(free))
        sells = format_price(int(found["reserve_price"])) if found["sells"] else "off"
        shell.console.print(f"address   {found['address']} on {', '.join(found['rails'])}")
        shell.console.print(f"peers     port {found['listen_port']}")
        shell.console.print(f"selling   {sells}   free deposit {deposit}")
        if found["chain_fault"]:
            shell.console.print(f"chain     {found['chain_fault']}", style="yellow")
        for line in found["faults"][-3:]:
            shell.console.print(f"fault     {line}", style="red")
        table = Table("id", "name", "state", "done", "size", "down/s", "up/s", "peers", "spent", box=None)
        for t in found["torrents"]:
            table.add_row(
                t["id"][:8],
                t["name"],
                t["state"] + (f": {t['error']}" if t["error"] else ""),
                f"{t['progress'] * 100:.1f}%",
                format_size(t["total_bytes"]),
                format_size(t["download_rate"]),
                format_size(t["upload_rate"]),
                str(t["peers"]),
                format_amount(int(t["spent"])),
            )
        if found["torrents"]:
            shell.console.print(table)
        else:
            shell.console.print("no torrents: bttnode add FILE.torrent")

    shell.show(found, show)


@click.command()
@click.pass_obj
@catches
def doctor(shell: Shell) -> None:
    """Check the installation, the folder and the network, and say what to do."""
    checks: list[tuple[str, bool, str]] = []
    paths = shell.paths

    def check(name: str, ok: bool, text: str) -> None:
        checks.append((name, ok, text))

    try:
        from node.engine import _native  # the check is whether this works

        check("engine", True, f"libtorrent {_native.LIBTORRENT_VERSION}")
    except ImportError as error:
        check("engine", False, f"the native engine does not load ({error}): ./run setup")
    check("config", paths.config.exists(), str(paths.config) if paths.config.exists() else "run `bttnode init`")
    if paths.config.exists():
        settings = load_settings(paths.config)
        for name, rail in settings.rail.items():
            network = load_network(name)
            vault = rail.vault or network.vault
            check("rail", bool(vault), f"{network.label}: vault {vault or 'not configured: cheques cannot settle'}")
            for ok, text in _storage(network, rail):
                check("storage", ok, f"{network.label}: {text}")
        for address in settings.node.listen:
            check("port", *_port_is_free(shell, address))
    if paths.keystore.exists():
        mode = paths.keystore.stat().st_mode & 0o777
        check("key file", mode == 0o600, f"mode {mode:o}" + ("" if mode == 0o600 else ": chmod 600 it"))
    else:
        check("key file", False, "run `bttnode init`")
    free = shutil.disk_usage(paths.home if paths.home.exists() else Path.home()).free
    check("disk", free > 1 << 30, f"{format_size(free)} free")
    try:
        found = shell.client.get("/v1/status")
        check("node", True, f"running, {len(found['torrents'])} torrents")
        check("chain", found["chain_fault"] is None, found["chain_fault"] or "answers")
    except CliError as error:
        check("node", True, f"not running ({error.hint or error})")

    def show() -> None:
        for name, ok, text in checks:
            shell.console.print(f"{'ok' if ok else 'FAIL':4} {name:10} {text}", style=None if ok else "red")

    shell.show([{"check": name, "ok": ok, "text": text} for name, ok, text in checks], show)
    if not all(ok for _, ok, _ in checks):
        raise CliError("some checks failed", "see above", INCOMPLETE)


def _storage(network: Network, chosen: RailSettings) -> Iterable[tuple[bool, str]]:
    """What `doctor` says of a rail's storage contracts: (right, text)."""
    from node.rails import open_rail  # web3 takes a second to import
    from node.services.storagecheck import StorageContracts
    from node.services.storagecheck import check as check_storage

    async def ask() -> Sequence[str]:
        try:
            return await check_storage(StorageContracts(rail.name, rail.market, rail.registry))
        finally:
            await rail.chain.close()

    try:
        rail = open_rail(network, chosen, [network.name])  # only to ask: no money is moved
        if rail.market is None and rail.registry is None:
            return [(True, "no storage market is known: nothing is stored or hosted there")]
        faults = asyncio.run(ask())
    except (ConfigError, ChainError) as error:
        return [(False, f"cannot be asked: {error}")]
    return [(False, fault) for fault in faults] or [(True, "the market and the registry are ours")]


def _port_is_free(shell: Shell, address: str) -> tuple[bool, str]:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        shell.client.get("/v1/status")
    except CliError:
        pass
    else:
        return True, f"{address} in use by the running node"
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
        except (OSError, ValueError) as error:
            return False, f"{address}: {error}: choose another in [node] listen"
    return True, f"{address} is free"


COMMANDS = (init, up, down, status, doctor)
