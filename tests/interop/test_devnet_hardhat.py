"""Unmodified Hardhat 2 with its ethers plugin, on the devnet as a configured network."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.interop.devnet import told
from tests.interop.node import HARDHAT


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    # It keeps files of its own, and has more to say to people at a terminal than to CI.
    home = str(tmp_path_factory.mktemp("hardhat"))
    homes = {f"XDG_{kind}_HOME": home for kind in ("CONFIG", "DATA", "CACHE", "STATE")}
    return asyncio.run(told("node", HARDHAT, "run", "--no-compile", "hardhat.cjs", CI="true", **homes))


def test_hardhat_takes_the_devnet_as_a_network(seen: dict[str, Any]) -> None:
    assert seen["network"] == ["bttc", "0xc7"]


def test_hardhat_deploys_and_uses_a_contract_with_legacy_transactions(seen: dict[str, Any]) -> None:
    assert seen["symbol"] == "ANO"
    assert seen["minted"] == [1, 0, "5"]
    assert seen["queried"] == 1


def test_hardhat_gets_custom_errors(seen: dict[str, Any]) -> None:
    assert (seen["reason"], seen["refused"]) == ("NothingThere", "ERC20InsufficientBalance")


def test_hardhat_moves_the_chain_by_hand(seen: dict[str, Any]) -> None:
    assert seen["nonce"] == 9
    assert seen["reverted"] == [True, 0]
