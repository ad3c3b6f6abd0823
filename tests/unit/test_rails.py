"""Rails out of settings: what is missing is named with the way to get it, and real money is never a default."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.paths import Paths
from config.settings import parse_settings
from node.rails import allow_real_money, open_rails, transfer_limits
from wallet.chains.evm import EvmChain
from wallet.chains.tron import TronChain

VAULT = "0x" + "11" * 20
BOTH = f"""
[rail.nile]
token = "TAFjULxiVgT4qWk6UZwjqwZXTSaGaqnVp4"
vault = "{VAULT}"
tokens = [{{symbol = "USDT", decimals = 6, contract = "TAFjULxiVgT4qWk6UZwjqwZXTSaGaqnVp4"}}]
[rail.donau]
vault = "{VAULT}"
"""


def test_rails_come_in_their_order_each_with_the_adapter_of_its_chain(tmp_path: Path) -> None:
    nile, donau = open_rails(parse_settings(BOTH), Paths(tmp_path))
    assert (nile.name, donau.name) == ("nile", "donau")
    assert isinstance(nile.chain, TronChain)
    assert isinstance(donau.chain, EvmChain)
    assert [asset.token.symbol for asset in nile.assets] == ["TRX", "BTT", "USDT"]
    assert [(asset.token.symbol, asset.wraps_native) for asset in donau.assets] == [("BTT", False), ("WBTT", True)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[rail.nile]", "bttnode contracts deploy --network nile"),
        ("[rail.devnet-tron]", "bttnode init --deployment FILE"),
        (f'[rail.nile]\nvault = "{VAULT}"', "no token contract is known on nile"),
        (f'[rail.devnet-tron]\nvault = "{VAULT}"\ntoken = "{VAULT}"', "no endpoint is known for devnet-tron"),
        (
            f'[rail.donau]\nvault = "{VAULT}"\ntokens = [{{symbol = "btt", decimals = 18, contract = "{VAULT}"}}]',
            "two tokens are called 'btt'",
        ),
    ],
)
def test_what_is_missing_or_ambiguous_is_named_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as found:
        open_rails(parse_settings(text), Paths(tmp_path))
    assert words in str(found.value)
    assert "\n" not in str(found.value)


def test_real_money_is_allowed_once_for_the_networks_that_are_configured_then(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    bttc = parse_settings(f'[rail.bttc]\nvault = "{VAULT}"')
    tron = parse_settings(f'[rail.tron]\nvault = "{VAULT}"')
    for settings in (bttc, tron):
        with pytest.raises(ConfigError, match="REAL MONEY"):
            open_rails(settings, paths)
    assert [network.name for network in allow_real_money(bttc, paths)] == ["bttc"]
    assert open_rails(bttc, paths)
    with pytest.raises(ConfigError, match=r"tron \(REAL MONEY\)"):
        open_rails(tron, paths)
    allow_real_money(tron, paths)
    assert open_rails(bttc, paths)
    assert open_rails(tron, paths)


def test_btfs_is_where_its_factory_is_known_and_only_there(tmp_path: Path) -> None:
    nile, donau = open_rails(parse_settings(BOTH), Paths(tmp_path))
    assert (nile.btfs, donau.btfs is None) == (None, False)
    settings = f'[rail.devnet-bttc]\nvault = "{VAULT}"\ntoken = "{VAULT}"\nendpoints = ["http://localhost"]'
    [plain] = open_rails(parse_settings(settings), Paths(tmp_path))
    assert plain.btfs is None
    [devnet] = open_rails(parse_settings(f'{settings}\nbtfs_factory = "{VAULT}"'), Paths(tmp_path))
    assert devnet.btfs is not None
    wrong = BOTH.replace("[rail.donau]", f'btfs_factory = "{VAULT}"\n[rail.donau]')
    with pytest.raises(ConfigError, match="BTFS's vaults are on BTTC, not on nile"):
        open_rails(parse_settings(wrong), Paths(tmp_path))


def test_storage_is_where_its_contracts_are_known(tmp_path: Path) -> None:
    nile, donau = open_rails(parse_settings(BOTH), Paths(tmp_path))
    assert (nile.market, nile.registry, donau.market, donau.registry) == (None, None, None, None)
    other = "0x" + "22" * 20
    named = BOTH.replace(
        "[rail.donau]", f'storage_market = "{VAULT}"\nhost_registry = "{other}"\nstorage_since = 7\n[rail.donau]'
    )
    nile, donau = open_rails(parse_settings(named), Paths(tmp_path))
    assert nile.market is not None
    assert nile.registry is not None
    assert (nile.market.address.evm, nile.registry.address.evm) == (VAULT, other)
    assert nile.market.market.chain_id == nile.rail.chain_id
    assert (nile.storage_since, donau.storage_since, donau.market) == (7, 0, None)


def test_limits_are_read_in_the_units_of_each_token(tmp_path: Path) -> None:
    settings = parse_settings(BOTH + '[wallet]\nper_transfer = ["1.5 USDT", "2 BTT"]\nper_day = ["3 TRX"]')
    limits = transfer_limits(settings, open_rails(settings, Paths(tmp_path)))
    assert limits.per_transfer == {"USDT": 1_500_000, "BTT": 2 * 10**18}
    assert limits.per_day == {"TRX": 3_000_000}
    for wrong, words in (('["1 XYZ"]', "no rail has 'XYZ'"), ('["0.0000001 TRX"]', "has 7 decimals")):
        settings = parse_settings(BOTH + f"[wallet]\nper_day = {wrong}")
        with pytest.raises(ConfigError, match=words):
            transfer_limits(settings, open_rails(settings, Paths(tmp_path)))
