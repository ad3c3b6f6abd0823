"""Network profiles: what a rail is made of. `load_network` reads the TOML files beside this module."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.errors import ConfigError, one_line

NAMES = ("devnet-bttc", "donau", "bttc")


class Network(BaseModel):
    """One network. Addresses are text here; empty where a contract is not deployed or not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["dev", "test", "main"]
    caip2: str
    chain_id: int = Field(ge=1)
    endpoints: tuple[str, ...] = ()
    native: str
    native_decimals: int = Field(ge=0, le=36)
    token: str = ""
    token_symbol: str = "BTT"  # noqa: S105 - a currency, not a credential
    token_decimals: int = Field(default=18, ge=0, le=36)
    vault: str = ""
    finality: int = Field(ge=0)
    """Blocks on top of a transaction before it counts as final."""
    explorer: str = ""
    note: str = ""


def load_network(name: str) -> Network:
    """Raises `ConfigError` for a name that is not in `NAMES`."""
    if name not in NAMES:
        raise ConfigError(f"unknown rail '{name}': choose one of {', '.join(NAMES)}")
    text = resources.files(__package__).joinpath(f"{name}.toml").read_text()
    try:
        return Network.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise ConfigError(f"network {name}: {one_line(error)}") from None
