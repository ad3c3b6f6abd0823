"""Methods that move a local chain by hand, under the names of Ganache (`evm_`), Hardhat and Anvil.

Absent on purpose: impersonation. What stands in a block here is a signed transaction, kept as its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from node.devnet import evm_json as j
from node.devnet.chain import Chain
from node.devnet.evm_method import Method


def _mine_at(chain: Chain, timestamp: int | None) -> str:
    if timestamp is not None:
        chain.set_next_timestamp(timestamp)
    chain.mine()
    return j.quantity(0)


def _mine(chain: Chain, blocks: int, interval: int | None) -> bool:
    chain.mine(blocks, interval)
    return True


def _set_next_timestamp(chain: Chain, timestamp: int) -> str:
    chain.set_next_timestamp(timestamp)
    return j.quantity(timestamp)


def _set_automine(chain: Chain, on: bool) -> bool:
    chain.automine = on
    return True


def _done(change: Callable[..., None]) -> Callable[..., bool]:
    """`change`, answered with true."""

    def run(chain: Chain, *arguments: object) -> bool:
        change(chain, *arguments)
        return True

    return run


_EVERYWHERE: Mapping[str, Method] = {
    "mine": Method(_mine, (), ((j.quantity_in, 1), (j.seconds_in, None))),
    "setBalance": Method(_done(Chain.set_balance), (j.address_in, j.quantity_in)),
    "setNonce": Method(_done(Chain.set_nonce), (j.address_in, j.quantity_in)),
    "setCode": Method(_done(Chain.set_code), (j.address_in, j.data_in)),
    "setStorageAt": Method(_done(Chain.set_storage), (j.address_in, j.quantity_in, j.quantity_in)),
    "dropTransaction": Method(lambda chain, transaction: chain.drop(transaction), (j.hash_in,)),
    "getAutomine": Method(lambda chain: chain.automine),
}
"""What Hardhat and Anvil call alike but for the prefix."""

DEVELOPMENT: Mapping[str, Method] = {
    "evm_mine": Method(_mine_at, (), ((j.seconds_in, None),)),
    "evm_increaseTime": Method(lambda chain, seconds: chain.increase_time(seconds), (j.seconds_in,)),
    "evm_setNextBlockTimestamp": Method(_set_next_timestamp, (j.seconds_in,)),
    "evm_setAutomine": Method(_set_automine, (j.flag_in,)),
    "evm_snapshot": Method(lambda chain: j.quantity(chain.snapshot())),
    "evm_revert": Method(lambda chain, snapshot: chain.revert(snapshot), (j.quantity_in,)),
    **{f"{tool}_{name}": method for tool in ("hardhat", "anvil") for name, method in _EVERYWHERE.items()},
}
