"""Committed artifacts: what `contracts/compile` made of `contracts/src`.

The files are package data, so this works from a checkout, an installed wheel and a zip alike, without solc or Node.js.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, cast

from eth_typing import ABI


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract.

    `bytecode` is the creation code, to which the encoded constructor arguments are appended. `deployed_bytecode` is the
    runtime code with zeros in place of immutable values. `sources` maps each source file to its SHA-256 in hex.
    """

    name: str
    abi: ABI
    bytecode: bytes = field(repr=False)
    deployed_bytecode: bytes = field(repr=False)
    sources: dict[str, str] = field(repr=False)
    compiler: dict[str, Any] = field(repr=False)


@cache
def load(name: str) -> Artifact:
    """The artifact of a contract, such as `load("ChequeVault")`. Raises `FileNotFoundError` for an unknown name."""
    raw = json.loads((files("contracts") / "artifacts" / f"{name}.json").read_text(encoding="utf-8"))
    return Artifact(
        name=raw["contract"],
        abi=cast("ABI", raw["abi"]),
        bytecode=bytes.fromhex(raw["bytecode"].removeprefix("0x")),
        deployed_bytecode=bytes.fromhex(raw["deployedBytecode"].removeprefix("0x")),
        sources=raw["sources"],
        compiler=raw["compiler"],
    )
