"""Network profiles: what a rail is made of. `load_network` reads the TOML files beside this module."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from config.errors import ConfigError, one_line
from wallet.address import Address
from wallet.amount import Token

NAMES = ("devnet-bttc", "devnet-tron", "donau", "nile", "bttc", "tron")
KINDS = {"dev": "play money", "test": "test network", "main": "REAL MONEY"}
"""What a user is told everywhere, so that nobody mistakes one for another."""


class TokenProfile(BaseModel):
    """A token of the network beside the settlement token: of a contract, or a TRC-10 by its number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbol: str
    decimals: int = Field(ge=0, le=36)
    contract: str = ""
    trc10: int = Field(default=0, ge=0)
    wraps_native: bool = False

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if bool(self.contract) == bool(self.trc10):
            raise ValueError(f"{self.symbol}: give either a contract or a TRC-10 number")
        Token(self.symbol, self.decimals)
        if self.contract:
            Address.parse(self.contract)
        return self


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
    token_wraps_native: bool = False
    """The settlement token is the native coin in a contract, one to one (WBTT): it can be wrapped and unwrapped."""
    tokens: tuple[TokenProfile, ...] = ()
    vault: str = ""
    storage_market: str = ""
    host_registry: str = ""
    storage_since: int = Field(default=0, ge=0)
    """The block in which the first of the two was made: their log is read from there on."""
    btfs_factory: str = ""
    """The contract that knows BTFS's vaults; empty where there are none."""
    finality: int = Field(default=0, ge=0)
    """Blocks on top of a transaction before it counts as final. TRON's nodes say themselves what is solidified."""
    fee_rate: str = ""
    """What one native coin is worth in settlement tokens; empty where both are the same, or it is not known."""
    explorer: str = ""
    note: str = ""

    @property
    def is_tron(self) -> bool:
        return self.caip2.startswith("tron:")

    @property
    def label(self) -> str:
        """Name and what its money is."""
        return f"{self.name} ({KINDS[self.kind]})"

    def link(self, transaction: str) -> str:
        """A transaction's page at the explorer, empty where there is none. `transaction` in hex without prefix."""
        if not self.explorer:
            return ""
        return f"{self.explorer}/#/transaction/{transaction}" if self.is_tron else f"{self.explorer}/tx/0x{transaction}"


@cache
def load_network(name: str) -> Network:
    """Raises `ConfigError` for a name that is not in `NAMES`."""
    if name not in NAMES:
        raise ConfigError(f"unknown rail '{name}': choose one of {', '.join(NAMES)}")
    text = resources.files(__package__).joinpath(f"{name}.toml").read_text()
    try:
        return Network.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise ConfigError(f"network {name}: {one_line(error)}") from None


def devnet_of(chain: str) -> Network | None:
    """The local network whose CAIP-2 name this is: what a devnet's deployment file says of itself."""
    return next((n for n in map(load_network, NAMES) if n.kind == "dev" and n.caip2 == chain), None)
