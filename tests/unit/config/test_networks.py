"""Network profiles: each is whole and consistent, and none of the public ones is taken on trust."""

from __future__ import annotations

from importlib import resources

import pytest

from config.errors import ConfigError
from config.networks import NAMES, devnet_of, load_network
from wallet.address import Address
from wallet.amount import Token, parse_amount


def test_the_list_of_names_is_the_folder() -> None:
    files = {file.name for file in resources.files("config.networks").iterdir() if file.name.endswith(".toml")}
    assert files == {f"{name}.toml" for name in NAMES}


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match="unknown rail 'nonsense': choose one of devnet-bttc, devnet-tron, donau, nile, bttc, tron"
    ):
        load_network("nonsense")


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_is_consistent(name: str) -> None:
    network = load_network(name)
    assert network.name == name
    reference = f"tron:0x{network.chain_id:08x}" if network.is_tron else f"eip155:{network.chain_id}"
    assert network.caip2 == reference
    assert Token(network.native, network.native_decimals) == (Token("TRX", 6) if network.is_tron else Token("BTT", 18))
    assert Token(network.token_symbol, network.token_decimals).decimals == 18
    for address in filter(
        None,
        (
            network.token,
            network.vault,
            network.storage_market,
            network.host_registry,
            network.btfs_factory,
            *(token.contract for token in network.tokens),
        ),
    ):
        Address.parse(address)
    if network.fee_rate:
        assert parse_amount(network.fee_rate, Token(network.token_symbol, network.token_decimals)) > 0


@pytest.mark.parametrize("name", [name for name in NAMES if load_network(name).kind != "dev"])
def test_a_public_network_says_where_it_is_and_that_its_addresses_are_to_be_verified(name: str) -> None:
    network = load_network(name)
    assert all(url.startswith("https://") for url in (*network.endpoints, network.explorer))
    assert network.endpoints
    assert network.is_tron or network.finality >= 16  # TRON's nodes say what is solidified
    assert not (network.token or network.btfs_factory) or "verify them before use" in network.note
    assert network.name in network.label
    assert network.link("ab" * 32).endswith("ab" * 32)


def test_real_money_is_marked_as_such() -> None:
    assert {name: load_network(name).kind for name in NAMES} == {
        "devnet-bttc": "dev",
        "devnet-tron": "dev",
        "donau": "test",
        "nile": "test",
        "bttc": "main",
        "tron": "main",
    }
    assert all("REAL MONEY" in load_network(name).label for name in ("bttc", "tron"))


def test_a_devnet_is_known_by_what_its_chain_is_called() -> None:
    found = devnet_of("tron:0x6274746e")
    assert found is not None
    assert found.name == "devnet-tron"
    assert devnet_of("tron:0x2b6653dc") is None  # a main network is never taken for a devnet
