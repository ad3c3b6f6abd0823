"""Rails out of settings: which chains a node settles on, with their contracts, tokens and adapters."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction

from config.errors import ConfigError
from config.networks import Network, TokenProfile, load_network
from config.paths import Paths
from config.settings import RailSettings, Settings, read_amounts
from wallet.address import Address
from wallet.amount import Token, parse_amount
from wallet.btfs.chain import BtfsVaults
from wallet.chains.assets import Asset, AssetKind
from wallet.chains.base import ChainAdapter
from wallet.chains.evm import EvmChain, EvmSettings
from wallet.chains.tron import TronChain, TronSettings
from wallet.cheque import Rail
from wallet.spending import Holdings, TransferLimits
from wallet.storage.chain import HostRegistry, StorageMarket


@dataclass(frozen=True, slots=True)
class OpenRail:
    """One rail, ready to be used. `fee_rate`: token units that one whole native coin is worth; None: not known.

    `market`, `registry`: the contracts of rented storage, whose log begins at block `storage_since`; None where none is
    known. `btfs`: the vaults of BTFS on this chain; None where no factory is known.
    """

    network: Network
    chain: ChainAdapter
    assets: tuple[Asset, ...]
    fee_rate: int | None
    btfs: BtfsVaults | None = None
    market: StorageMarket | None = None
    registry: HostRegistry | None = None
    storage_since: int = 0

    @property
    def name(self) -> str:
        return self.network.name

    @property
    def rail(self) -> Rail:
        return self.chain.rail

    @property
    def fee_rate_per_unit(self) -> Fraction | None:
        """Token units that one native unit is worth; None: not known."""
        return None if self.fee_rate is None else Fraction(self.fee_rate, 10**self.chain.native.decimals)

    def holdings(self, owner: Address) -> Holdings:
        return Holdings(owner, self.assets, self.rail.vault, self.rail.token)


def open_rails(settings: Settings, paths: Paths) -> list[OpenRail]:
    """All configured rails, the preferred one first; nothing is connected yet.

    Raises `ConfigError` where a contract or an endpoint is missing, or real money was not allowed.
    """
    allowed = allowed_real_money(paths)
    return [open_rail(load_network(name), chosen, allowed) for name, chosen in settings.rail.items()]


def open_rail(network: Network, chosen: RailSettings, allowed: Collection[str]) -> OpenRail:
    """One rail. Raises as `open_rails`."""
    check_real_money(network, allowed)
    vault = _contract(network, "vault", chosen.vault or network.vault)
    token = _contract(network, "token", chosen.token or network.token)
    rail = _rail(network, vault)
    _, fee_rate = read_amounts(network, chosen)
    chain = adapter(network, chosen, vault, token)
    btfs = _btfs(network, chosen, chain, token)
    market, registry = (chosen.storage_market or network.storage_market, chosen.host_registry or network.host_registry)
    return OpenRail(
        network,
        chain,
        _assets(network, chosen, rail, token),
        fee_rate,
        btfs,
        StorageMarket(chain, Address.parse(market)) if market else None,
        HostRegistry(chain, Address.parse(registry)) if registry else None,
        chosen.storage_since or network.storage_since,
    )


def _btfs(network: Network, chosen: RailSettings, chain: ChainAdapter, token: Address) -> BtfsVaults | None:
    factory = chosen.btfs_factory or network.btfs_factory
    if not factory:
        return None
    if not isinstance(chain, EvmChain):
        raise ConfigError(f"rail.{network.name}.btfs_factory: BTFS's vaults are on BTTC, not on {network.name}")
    return BtfsVaults(chain, Address.parse(factory), token)


def check_real_money(network: Network, allowed: Collection[str], how: str = "start it once with `up`") -> None:
    """Raises `ConfigError` for a main network that the user has not allowed; `how` goes before the option."""
    if network.kind == "main" and network.name not in allowed:
        raise ConfigError(f"{network.label}: {how} --real-money if you mean it; `bttnode devnet up` is for trying out")


def transfer_limits(settings: Settings, rails: Collection[OpenRail]) -> TransferLimits:
    """[wallet]'s limits in units. Raises `ConfigError` for a token that no rail has."""
    tokens = {asset.token.symbol: asset.token for rail in rails for asset in rail.assets}

    def units(key: str, texts: Collection[str]) -> dict[str, int]:
        amounts = {}
        for text in texts:
            symbol = text.strip().lstrip("0123456789.,_ ")
            if symbol not in tokens:
                raise ConfigError(f"wallet.{key}: no rail has '{symbol}': choose one of {', '.join(tokens)}")
            try:
                amounts[symbol] = parse_amount(text, tokens[symbol])
            except ValueError as error:
                raise ConfigError(f"wallet.{key}: {error}") from None
        return amounts

    return TransferLimits(
        units("per_transfer", settings.wallet.per_transfer), units("per_day", settings.wallet.per_day)
    )


def allowed_real_money(paths: Paths) -> frozenset[str]:
    """Main networks that the user has allowed in this node's folder."""
    try:
        return frozenset(paths.real_money.read_text(encoding="utf-8").split())
    except FileNotFoundError:
        return frozenset()


def allow_real_money(settings: Settings, paths: Paths) -> list[Network]:
    """Remember that the user means it, for the main networks that are configured now; returns those."""
    networks = [network for network in map(load_network, settings.rail) if network.kind == "main"]
    names = allowed_real_money(paths) | {network.name for network in networks}
    paths.real_money.write_text("".join(f"{name}\n" for name in sorted(names)), encoding="utf-8")
    return networks


def _contract(network: Network, what: str, text: str) -> Address:
    if not text:
        hint = (
            "`bttnode init --deployment FILE` makes your devnet's known"
            if network.kind == "dev"
            else f"`bttnode contracts deploy --network {network.name}` makes one, or set [rail.{network.name}] {what}"
        )
        raise ConfigError(f"no {what} contract is known on {network.name}: {hint}")
    return Address.parse(text)


def _rail(network: Network, vault: Address) -> Rail:
    return Rail(network.caip2, network.chain_id, vault, Token(network.token_symbol, network.token_decimals))


def adapter(network: Network, chosen: RailSettings, vault: Address, token: Address) -> ChainAdapter:
    """The network's chain behind the port. Raises `ConfigError` where no endpoint is known."""
    rail = _rail(network, vault)
    endpoints = chosen.endpoints or network.endpoints
    if not endpoints:
        raise ConfigError(f"no endpoint is known for {network.name}: set [rail.{network.name}] endpoints")
    max_fee, _ = read_amounts(network, chosen)
    native = Token(network.native, network.native_decimals)
    if network.is_tron:
        return TronChain(
            TronSettings(
                rail=rail,
                native=native,
                token=token,
                endpoints=endpoints,
                api_key=chosen.api_key,
                timeout=chosen.timeout,
                max_fee=max_fee,
            )
        )
    return EvmChain(
        EvmSettings(
            rail=rail,
            native=native,
            token=token,
            endpoints=endpoints,
            finality=network.finality,
            timeout=chosen.timeout,
            max_fee=max_fee,
        )
    )


def _assets(network: Network, chosen: RailSettings, rail: Rail, token: Address) -> tuple[Asset, ...]:
    """The native coin first, then what cheques are worth. Raises `ConfigError` for two of one name."""
    assets = [
        Asset(AssetKind.NATIVE, Token(network.native, network.native_decimals)),
        Asset(AssetKind.TOKEN, rail.token, token, wraps_native=network.token_wraps_native),
        *map(_asset, (*network.tokens, *chosen.tokens)),
    ]
    names = [asset.token.symbol.lower() for asset in assets]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"rail.{network.name}.tokens: two tokens are called '{name}': name one differently")
    return tuple(assets)


def _asset(profile: TokenProfile) -> Asset:
    token = Token(profile.symbol, profile.decimals)
    if profile.trc10:
        return Asset(AssetKind.TRC10, token, number=profile.trc10)
    return Asset(AssetKind.TOKEN, token, Address.parse(profile.contract), wraps_native=profile.wraps_native)
