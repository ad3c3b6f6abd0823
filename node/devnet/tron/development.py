"""What only a devnet has: `POST /devnet/{method}` with JSON. Addresses come in either form, amounts may be digits.

faucet    address, native?, token?, asset?   sun, test BTT and TRC-10 units → the transactions' ids
mine      blocks?                            → the latest block's number
automine  on                                 whether a transaction is mined as it comes
time      seconds                            the chain's clock goes forward → milliseconds of the next block
snapshot                                     → its number
revert    snapshot                           back to a snapshot, which is used up → whether there was one
balance   address, amount                    makes it so, in sun
"""

from __future__ import annotations

from collections.abc import Mapping

from node.devnet.tron.chain import TronChain
from node.devnet.tron.faucet import NATIVE_GIFT, TOKEN_GIFT, TronFaucet
from node.devnet.tron.grid import any_address
from node.devnet.tron.protojson import BadJsonError, Json, shown
from node.devnet.tron.request import Handler, Request

_MOST_DIGITS = 40


def methods(faucet: TronFaucet) -> Mapping[str, Handler]:
    def fund(chain: TronChain, request: Request) -> Json:
        address = any_address(request.parameters.get("address"))
        amounts = (_amount(request, "native", NATIVE_GIFT), _amount(request, "token", TOKEN_GIFT))
        sent = faucet.fund(chain, address, *amounts, asset=_amount(request, "asset", 0))
        return {"transactions": [transaction.hex() for transaction in sent]}

    return {
        "faucet": fund,
        "mine": _mine,
        "automine": _automine,
        "time": _time,
        "snapshot": lambda chain, _request: {"snapshot": chain.snapshot()},
        "revert": lambda chain, request: {"reverted": chain.revert(request.number("snapshot"))},
        "balance": _balance,
    }


def _mine(chain: TronChain, request: Request) -> Json:
    chain.mine(request.number("blocks", 1))
    return {"block": chain.head.number}


def _automine(chain: TronChain, request: Request) -> Json:
    chain.automine = request.flag("on", True)
    return {"automine": chain.automine}


def _time(chain: TronChain, request: Request) -> Json:
    chain.increase_time(request.number("seconds"))
    return {"now": chain.now()}


def _balance(chain: TronChain, request: Request) -> Json:
    chain.set_balance(any_address(request.parameters.get("address")), request.number("amount"))
    return {"block": chain.head.number}


def _amount(request: Request, key: str, default: int) -> int:
    """Token amounts have 18 decimals: more than 64 bits."""
    value = request.parameters.get(key)
    if value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise BadJsonError(f"not an amount: {shown(value)}")
