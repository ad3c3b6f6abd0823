"""The node's settings: `config.toml`, typed and checked.

Every key has a default, so an empty file is a valid one. `sample()` writes them all out with their explanations, from
the same field descriptions, so that the sample cannot drift from the code.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from config.errors import ConfigError, one_line
from wallet.amount import BTT, parse_amount, parse_price, parse_size


def _size(value: object) -> object:
    return parse_size(value) if isinstance(value, str) else value


def _price(value: object) -> object:
    return parse_price(value) if isinstance(value, str) else value


def _budget(value: object) -> object:
    if isinstance(value, str):
        return None if value.strip() == "" else parse_amount(value, BTT)
    return value


Size = Annotated[int, BeforeValidator(_size), Field(ge=0, lt=2**63)]
Price = Annotated[int, BeforeValidator(_price), Field(ge=0, lt=2**256)]
Budget = Annotated[int | None, BeforeValidator(_budget)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _field(default: Any, written: str, description: str) -> Any:
    """A field with its default as a user would write it in the file."""
    return Field(default=default, description=description, json_schema_extra={"written": written})


class NodeSettings(_Section):
    """The BitTorrent side."""

    listen: tuple[str, ...] = _field(
        ("0.0.0.0:6881", "[::]:6881"), '["0.0.0.0:6881", "[::]:6881"]', "Addresses and port for peers."
    )
    outgoing: str = _field("", '""', "Local address for outgoing connections; empty: the system chooses.")
    downloads: str = _field("", '""', "Folder for downloads; empty: `downloads` in the node's folder.")
    upload_limit: Size = _field(0, '"0"', 'Upload capacity per second, such as "20 MB"; 0: unlimited.')
    download_limit: Size = _field(0, '"0"', "Download limit per second; 0: unlimited.")
    max_connections: int = Field(
        default=200, ge=2, le=100_000, description="Peers at one time.", json_schema_extra={"written": "200"}
    )
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
    quantum: Size = _field(2**20, '"1 MiB"', "Buyers pay whenever this much is verified.")
    newcomer_credit: Size = _field(2**20, '"1 MiB"', "Unpaid data a new payer may hold; the most one can steal.")
    credit_cap: Size = _field(256 * 2**20, '"256 MiB"', "Unpaid data any payer may hold, whatever it has paid.")
    stall_timeout: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Seconds a payer at its credit limit may keep us waiting before it gets free service.",
        json_schema_extra={"written": "10"},
    )
    buy: bool = _field(True, "true", "Pay other sellers for priority, within the limits below.")
    max_price: Price = _field(0, '"0"', "The most we pay where a torrent says nothing else; 0: never pay.")
    per_torrent: Budget = _field(None, '""', "The most for one torrent; empty: no such limit.")
    per_day: Budget = _field(None, '""', "The most per UTC day; empty: no such limit.")
    total: Budget = _field(None, '""', "The most in all; empty: no such limit.")


class NetworkSettings(_Section):
    """Where cheques settle."""

    profile: str = _field("devnet-bttc", '"devnet-bttc"', "The rail: devnet-bttc, donau or bttc.")
    endpoints: tuple[str, ...] = _field((), "[]", "RPC endpoints instead of the profile's, tried in order.")
    token: str = _field("", '""', "Token contract instead of the profile's.")
    vault: str = _field("", '""', "Vault contract instead of the profile's.")
    timeout: float = Field(
        default=10.0, gt=0, le=300, description="Seconds per request.", json_schema_extra={"written": "10"}
    )
    max_fee: str = _field("", '""', "Refuse transactions whose fee is higher than this; empty: no bound.")
    real_money: bool = _field(False, "false", "A main network starts only when this is true.")


class ApiSettings(_Section):
    """The local HTTP API that the command line uses."""

    host: str = _field("127.0.0.1", '"127.0.0.1"', "Address; anything but loopback exposes your wallet.")
    port: int = Field(
        default=7117, ge=0, le=65535, description="Port; 0: any free one.", json_schema_extra={"written": "7117"}
    )


class SettlementSettings(_Section):
    """Cashing what payers owe."""

    auto: bool = _field(True, "true", "Cash cheques by itself when the fee is small beside the payout.")
    fee_permille: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Cash when the fee is at most this many thousandths of the payout.",
        json_schema_extra={"written": "10"},
    )


class LogSettings(_Section):
    """What the node writes about itself."""

    level: str = Field(
        default="info",
        pattern="^(debug|info|warning|error)$",
        description="debug, info, warning or error.",
        json_schema_extra={"written": '"info"'},
    )


class Settings(_Section):
    """All of `config.toml`."""

    node: NodeSettings = NodeSettings()
    speed: SpeedSettings = SpeedSettings()
    network: NetworkSettings = NetworkSettings()
    api: ApiSettings = ApiSettings()
    settlement: SettlementSettings = SettlementSettings()
    log: LogSettings = LogSettings()


def load_settings(path: Path) -> Settings:
    """Read `config.toml`. Raises `ConfigError` with the file, the key and what is expected."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file: run `bttnode init` first") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    try:
        return Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {one_line(error)}") from None


def sample(overrides: dict[str, dict[str, str]] | None = None) -> str:
    """A `config.toml` with every setting, its explanation and its default. `overrides`: section → key → TOML value."""
    overrides = overrides or {}
    lines = ["# Settings of this bttnode. Every line shows the default unless you chose otherwise at `init`."]
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            continue
        lines += ["", f"# {(model.__doc__ or '').strip()}", f"[{section}]"]
        for key, option in model.model_fields.items():
            extra = option.json_schema_extra
            written = extra["written"] if isinstance(extra, dict) else ""
            lines += [f"# {option.description}", f"{key} = {overrides.get(section, {}).get(key, written)}"]
    return "\n".join(lines) + "\n"
