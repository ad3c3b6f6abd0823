"""The node's settings: `config.toml`, typed and checked.

Every key has a default, so an empty file is a valid one. `sample()` writes them all out with their explanations, from
the same field descriptions, so that the sample cannot drift from the code. Values are not coerced: `dht = "yes"` is a
mistake, not true.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from config.errors import ConfigError, one_line
from config.networks import Network, TokenProfile, load_network
from config.values import Amounts, Budget, Capacity, Contract, IpAddress, Listen, Price, Size, StoragePrice, Urls
from wallet.amount import Token, parse_amount

MAX_FILE = 1 << 20
"""Bytes of a `config.toml`."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _field(default: Any, written: str, description: str, **constraints: Any) -> Any:
    """A field with its default as a user would write it in the file."""
    return Field(default=default, description=description, json_schema_extra={"written": written}, **constraints)


class NodeSettings(_Section):
    """The BitTorrent side."""

    listen: Listen = _field(
        ("0.0.0.0:6881", "[::]:6881"), '["0.0.0.0:6881", "[::]:6881"]', "Addresses and port for peers; port 0: any."
    )
    outgoing: str = _field("", '""', "Local address for outgoing connections; empty: the system chooses.")
    downloads: str = _field("", '""', "Folder for downloads; empty: `downloads` in the node's folder.")
    upload_limit: Capacity = _field(
        0, '"0"', 'Upload capacity per second, such as "20 MB"; "auto": measured; 0: unlimited, and no auction.'
    )
    upload_slots: int = _field(
        8, "8", "Peers that are served at one time without paying; payers come on top. 1 to 1000.", ge=1, le=1000
    )
    download_limit: Size = _field(0, '"0"', 'Download limit per second, such as "20 MB"; 0: unlimited.')
    max_connections: int = _field(200, "200", "Peers at one time, 2 to 100000.", ge=2, le=100_000)
    dht: bool = _field(True, "true", "Find peers without a tracker (BEP 5).")
    local_discovery: bool = _field(True, "true", "Find peers on the local network (BEP 14).")
    port_mapping: bool = _field(True, "true", "Ask the router to forward the port (UPnP, NAT-PMP).")
    utp: bool = _field(True, "true", "Use uTP beside TCP (BEP 29).")
    pex: bool = _field(True, "true", "Exchange peers with peers (BEP 11).")
    encryption: bool = _field(True, "true", "Offer protocol encryption.")
    one_connection_per_ip: bool = _field(True, "true", "Several peers behind one address are usually one peer.")


class SpeedSettings(_Section):
    """Selling and buying upload priority. Prices such as "2000 BTT/GiB", amounts such as "100 BTT"."""

    sell: bool = _field(True, "true", "Sell upload priority to peers that pay.")
    reserve_price: Price = _field(2000 * 10**18 // 1024, '"2000 BTT/GiB"', "The least we take.")
    quantum: Size = _field(2**20, '"1 MiB"', "Buyers pay whenever this much is verified.", ge=1)
    newcomer_credit: Size = _field(
        2**20, '"1 MiB"', "Unpaid data that new payers of one /24 or /48 may hold: the most they can steal.", ge=1
    )
    credit_cap: Size = _field(256 * 2**20, '"256 MiB"', "Unpaid data any payer may hold, whatever it has paid.")
    stall_timeout: float = _field(
        3.0,
        "3",
        "Seconds a payer at its credit limit may keep us waiting before it gets free service.",
        gt=0,
        le=3600,
        allow_inf_nan=False,
    )
    auction: Literal["uniform", "pay_as_bid", "proportional"] = _field(
        "uniform",
        '"uniform"',
        "What winners pay: the highest losing price, or their own bid.",
    )
    free_percent: int = _field(20, "20", "Percent of the upload limit that is never sold, 0 to 100.", ge=0, le=100)
    buy: bool = _field(True, "true", "Pay other sellers for priority, within the limits below.")
    strategy: Literal["highest", "whitepaper", "deadline", "cheapest", "off"] = _field(
        "highest", '"highest"', "How to bid within the limits: highest, whitepaper, deadline, cheapest or off."
    )
    max_price: Price = _field(0, '"0"', "The most we pay where a torrent says nothing else; 0: never pay.")
    per_torrent: Budget = _field(None, '""', "The most for one torrent; empty: no such limit.")
    per_day: Budget = _field(None, '""', "The most per UTC day; empty: no such limit.")
    total: Budget = _field(None, '""', "The most in all; empty: no such limit.")

    @model_validator(mode="after")
    def _newcomers_stay_below_the_cap(self) -> Self:
        if self.newcomer_credit > self.credit_cap:
            raise ValueError("newcomer_credit is larger than credit_cap: no payer may hold more than the cap")
        return self


class StorageSettings(_Section):
    """Renting out disk. Prices such as "10 BTT/GiB/day"; folders are added with `bttnode host volume add`."""

    host: bool = _field(False, "false", "Rent out disk; the market must hold a deposit of ours for collateral.")
    listen: Listen = _field(("0.0.0.0:6882",), '["0.0.0.0:6882"]', "Addresses and port for requests of other nodes.")
    price: StoragePrice = _field(10 * 10**18, '"10 BTT/GiB/day"', "What we ask for storage.")
    upload_price: Price = _field(0, '"0"', "What we ask for taking a shard in; part of a contract's price.")
    download_price: Price = _field(
        2000 * 10**18 // 1024, '"2000 BTT/GiB"', "What we ask for sending one, and for audits."
    )
    collateral_percent: int = _field(
        100, "100", "Collateral that we lock, in percent of what a contract brings, 0 to 10000.", ge=0, le=10_000
    )
    epoch: int = _field(86_400, "86400", "Seconds of an epoch: once in each a renter audits and pays.", ge=60, le=2**31)
    min_epochs: int = _field(1, "1", "The shortest term, 1 to 256 epochs.", ge=1, le=256)
    max_epochs: int = _field(90, "90", "The longest term, 1 to 256 epochs.", ge=1, le=256)
    max_collateral: Budget = _field(None, '""', "The most at stake in all contracts; empty: no such limit.")
    max_shard: Size = _field(2**40, '"1 TiB"', "The longest shard.", ge=1)
    per_renter: Size = _field(0, '"0"', "The most that one renter may keep here; 0: no such limit.")
    max_contracts: int = _field(10_000, "10000", "Contracts at one time.", ge=1, le=1_000_000)
    reachable_at: tuple[IpAddress, ...] = _field(
        (),
        "[]",
        "Where others reach the port for peers; empty: at the addresses of [node] listen.",
        max_length=4,
        strict=False,
    )
    spend_per_day: Budget = _field(None, '""', "The most that storing may lock per UTC day; empty: no such limit.")
    spend_total: Budget = _field(
        None, '""', "The most that storing may lock and spend in all, without what comes back; empty: no such limit."
    )
    max_bond: Budget = _field(100 * 10**18, '"100 BTT"', "What a challenge of a host that lost our shard may cost.")
    hand_over: bool = _field(
        True, "true", "Let hosts that ask for it go, once others have our shards; else they may pay us and leave."
    )

    @model_validator(mode="after")
    def _terms_fit(self) -> Self:
        if self.min_epochs > self.max_epochs:
            raise ValueError("min_epochs is above max_epochs: no term would be accepted")
        return self


class RailSettings(_Section):
    """Where cheques settle. Each [rail.NAME] is a network this node settles on, the preferred one first."""

    endpoints: Urls = _field((), "[]", "RPC endpoints instead of the network's own, tried in order.", repr=False)
    api_key: str = _field("", '""', "Sent to TRON endpoints as TRON-PRO-API-KEY; empty: none.", repr=False)
    token: Contract = _field("", '""', "Token contract; empty: the network's.")
    tokens: tuple[TokenProfile, ...] = _field(
        (),
        "[]",
        'More tokens: {symbol = "USDT", decimals = 6, contract = "T..."} or {..., trc10 = 1002000}.',
        strict=False,
    )
    vault: Contract = _field("", '""', "Vault contract; empty: the network's.")
    storage_market: Contract = _field("", '""', "Contract of rented storage; empty: the network's.")
    host_registry: Contract = _field("", '""', "Contract where hosts announce themselves; empty: the network's.")
    storage_since: int = _field(0, "0", "Block from which the storage contracts' log is read; 0: the network's.", ge=0)
    btfs_factory: Contract = _field("", '""', "Factory of BTFS's vaults (BTTC only); empty: the network's.")
    timeout: float = _field(10.0, "10", "Seconds per request.", gt=0, le=300, allow_inf_nan=False)
    max_fee: str = _field("", '""', 'Refuse transactions with a higher fee, such as "100 BTT"; empty: no bound.')
    fee_rate: str = _field("", '""', "What one coin of those that pay fees is worth in BTT; empty: the network's.")


class WalletSettings(_Section):
    """Limits on transfers out of the wallet, such as ["100 BTT", "50 TRX"]; cheques have those of [speed]."""

    per_transfer: Amounts = _field((), "[]", "The most that one transfer may move; tokens not named: no such limit.")
    per_day: Amounts = _field((), "[]", "The most that may leave in one UTC day; tokens not named: no such limit.")


class ApiSettings(_Section):
    """The local HTTP API that the command line uses."""

    host: str = _field("127.0.0.1", '"127.0.0.1"', "Address; anything but loopback exposes your wallet.", min_length=1)
    port: int = _field(7117, "7117", "Port; 0: any free one.", ge=0, le=65535)


class SettlementSettings(_Section):
    """Cashing what payers owe."""

    auto: bool = _field(True, "true", "Cash cheques by itself when the fee is small beside the payout.")
    fee_permille: int = _field(
        10, "10", "Cash when the fee is at most this many thousandths of the payout, 1 to 1000.", ge=1, le=1000
    )


class LogSettings(_Section):
    """What the node writes about itself."""

    level: Literal["debug", "info", "warning", "error"] = _field("info", '"info"', "debug, info, warning or error.")


class Settings(_Section):
    """All of `config.toml`."""

    node: NodeSettings = NodeSettings()
    speed: SpeedSettings = SpeedSettings()
    storage: StorageSettings = StorageSettings()
    rail: dict[str, RailSettings] = Field(default={"devnet-bttc": RailSettings()}, min_length=1, max_length=8)
    wallet: WalletSettings = WalletSettings()
    api: ApiSettings = ApiSettings()
    settlement: SettlementSettings = SettlementSettings()
    log: LogSettings = LogSettings()

    @field_validator("rail")
    @classmethod
    def _rails_are_networks(cls, rails: dict[str, RailSettings]) -> dict[str, RailSettings]:
        chains: dict[str, str] = {}
        for name, rail in rails.items():
            try:
                network = load_network(name)
                read_amounts(network, rail)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            except ConfigError as error:
                raise ValueError(str(error)) from None
            if other := chains.get(network.caip2):
                raise ValueError(f"{other} and {name} are the same chain: one rail for each chain")
            chains[network.caip2] = name
        return rails


def read_amounts(network: Network, rail: RailSettings) -> tuple[int | None, int | None]:
    """(highest fee in native units, what one whole native coin is worth in token units); None where nothing is said.

    Fees are paid in what the chain runs on, which is not everywhere the token of the cheques.
    """
    native, token = (
        Token(network.native, network.native_decimals),
        Token(network.token_symbol, network.token_decimals),
    )
    parsed: list[int | None] = []
    for name, text, unit in (("max_fee", rail.max_fee, native), ("fee_rate", rail.fee_rate or network.fee_rate, token)):
        try:
            parsed.append(parse_amount(text, unit) if text else None)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return parsed[0], parsed[1]


def load_settings(path: Path) -> Settings:
    """Read `config.toml`. Raises `ConfigError` with the file, the key and what is expected."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file: run `bttnode init` first") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise ConfigError(f"{path}: longer than {MAX_FILE} bytes: this is not a config.toml")
    try:
        return parse_settings(data.decode())
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_settings(text: str) -> Settings:
    """The text of a `config.toml`. Raises `ConfigError` with the key and what is expected."""
    try:
        return Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not valid TOML: {error}") from None
    except RecursionError:
        raise ConfigError("not valid TOML: nested too deeply") from None
    except ValidationError as error:
        raise ConfigError(one_line(error)) from None


def sample(overrides: dict[str, dict[str, str]] | None = None) -> str:
    """A `config.toml` with every setting, its explanation and its default; defaults are commented out.

    `overrides`: section → key → TOML value. Raises `ConfigError` for what is not a setting or not a value of it, so
    that what this returns can be loaded.
    """
    overrides = overrides or {}
    _check(overrides)
    lines = [
        "# Settings of this bttnode. A line with # and no space after it shows a default: remove the # to change it.",
        "# A default that a later version changes comes with that version, unless it is set here.",
    ]
    for section, model in _sections(overrides).items():
        lines += ["", f"# {(model.__doc__ or '').strip()}", f"[{section}]"]
        chosen = overrides.get(section, {})
        for key, option in model.model_fields.items():
            written = option.json_schema_extra["written"] if isinstance(option.json_schema_extra, dict) else ""
            lines += [f"# {option.description}", f"{key} = {chosen[key]}" if key in chosen else f"#{key} = {written}"]
    text = "\n".join(lines) + "\n"
    parse_settings(text)
    return text


def _sections(overrides: dict[str, dict[str, str]]) -> dict[str, type[BaseModel]]:
    """Section → model, in the order of the file; the rails are those that are chosen, or the default one."""
    rails = [name for name in overrides if name.startswith("rail.")] or [f"rail.{name}" for name in Settings().rail]
    sections: dict[str, type[BaseModel]] = {}
    for name, option in Settings.model_fields.items():
        model = option.annotation
        if name == "rail":
            sections |= dict.fromkeys(rails, RailSettings)
        elif isinstance(model, type) and issubclass(model, BaseModel):
            sections[name] = model
    return sections


def _check(overrides: dict[str, dict[str, str]]) -> None:
    sections = _sections(overrides)
    for section, values in overrides.items():
        for key, value in values.items():
            if section not in sections or key not in sections[section].model_fields:
                raise ConfigError(f"{section}.{key}: no such setting")
            try:
                # One value and nothing else: a line break in it could set other keys.
                alone = tomllib.loads(f"{key} = {value}").keys() == {key}
            except (tomllib.TOMLDecodeError, RecursionError):
                alone = False
            if not alone:
                raise ConfigError(f"{section}.{key}: not a TOML value: put text in quotes")
