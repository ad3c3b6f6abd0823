"""Network profiles: each is whole and consistent, and none of the public ones is taken on trust."""

from __future__ import annotations

from importlib import resources

import pytest

from config.errors import ConfigError
from config.networks import NAMES, load_network
from wallet.address import Address
from wallet.amount import Token


def test_the_list_of_names_is_the_folder() -> None:
    files = {file.name for file in resources.files("config.networks").iterdir() if file.name.endswith(".toml")}
    assert files == {f"{name}.toml" for name in NAMES}


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown rail 'nonsense': choose one of devnet-bttc, donau, bttc"):
        load_network("nonsense")


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_is_consistent(name: str) -> None:
    network = load_network(name)
    assert network.name == name
    assert network.caip2 == f"eip155:{network.chain_id}"
    assert Token(network.native, network.native_decimals).decimals == 18
    assert Token(network.token_symbol, network.token_decimals).decimals == 18
    for address in filter(None, (network.token, network.vault)):
        Address.parse(address)


@pytest.mark.parametrize("name", [name for name in NAMES if load_network(name).kind != "dev"])
def test_a_public_network_says_where_it_is_and_that_its_addresses_are_to_be_verified(name: str) -> None:
    network = load_network(name)
    assert all(url.startswith("https://") for url in (*network.endpoints, network.explorer))
    assert network.endpoints
    assert network.finality >= 16
    assert "verify them before use" in network.note


def test_real_money_is_marked_as_such() -> None:
    assert {name: load_network(name).kind for name in NAMES} == {"devnet-bttc": "dev", "donau": "test", "bttc": "main"}
