"""What a call costs on TRON, found by letting one server try it.

energy     what the TVM takes, at the network's price. A fee limit binds staked energy as well as burnt, so the limit
           is the whole of it, and only the check of funds takes the sender's stake into account.
bandwidth  every byte has its price, unless the stake or the day's free allowance covers all of them. It is counted
           from the very bytes that will be sent.
account    a plain transfer to an address that nobody has used yet pays for the new account, instead of bandwidth.
"""

from __future__ import annotations

from dataclasses import dataclass

from wallet.address import Address
from wallet.amount import Token, format_amount
from wallet.chains import abi
from wallet.chains.base import Call, ChainError, Fee, InsufficientFundsError, RevertedError
from wallet.chains.tron_endpoints import Message, TronServer, message, messages, number, octets, text
from wallet.chains.tron_raw import MAX_SUN, bandwidth

ENERGY_MARGIN_PERCENT = 25
"""Energy above the estimate: state, and the price of a popular contract, may change between estimate and inclusion."""

_REVERT = "REVERT"
_NO_CONTRACT = "contract is not exist"  # java-tron's grammar


class NoContractError(ChainError):
    """There is no contract at the address that is called."""


@dataclass(frozen=True, slots=True)
class Prices:
    """In sun: a unit of energy, a byte, an account that the receiver of a transfer needs; and the highest fee limit."""

    energy: int
    byte: int
    account: int
    highest: int


async def read_prices(server: TronServer) -> Prices:
    answer = message(await server.post("wallet/getchainparameters"))
    told = {text(entry["key"]): entry.get("value") for entry in messages(answer["chainParameter"])}
    prices = Prices(
        energy=number(told["getEnergyFee"]),
        byte=number(told["getTransactionFee"]),
        account=number(told["getCreateAccountFee"]) + number(told["getCreateNewAccountFeeInSystemContract"]),
        highest=number(told.get("getMaxFeeLimit")) or MAX_SUN,
    )
    if prices.energy == 0:
        raise ValueError("energy has no price")
    return prices


async def estimate_fee(server: TronServer, call: Call, sender: Address, prices: Prices, native: Token) -> Fee:
    """Raises `RevertedError` or `InsufficientFundsError` where the call would fail."""
    energy, extra = 0, 0
    if call.data:
        energy, _ = await run_constant(server, call, sender)
    else:
        await _try_transfer(server, call, sender)
        extra = 0 if await server.account(call.to) else prices.account
    limit = energy + energy * ENERGY_MARGIN_PERCENT // 100
    if limit * prices.energy > prices.highest:
        limit = prices.highest // prices.energy
        if limit < energy:
            raise RevertedError(f"it takes {energy} units of energy, more than the network allows one transaction")
    resources = message(await server.post("wallet/getaccountresource", address=sender.tron_hex))
    if not extra:
        extra = _bandwidth_cost(resources, bandwidth(call, sender, limit * prices.energy), prices.byte)
    staked = max(0, number(resources.get("EnergyLimit")) - number(resources.get("EnergyUsed")))
    due = max(0, limit - staked) * prices.energy + extra + (0 if call.trc10 else call.value)
    account = await server.account(sender)
    if call.trc10 and (held := trc10_balance(account, call.trc10)) < call.value:
        raise InsufficientFundsError(
            f"{sender.tron} holds {held} units of TRC-10 {call.trc10}, {call.value} are needed"
        )
    funds = number(account.get("balance"))
    if funds < due:
        raise InsufficientFundsError(
            f"{sender.tron} holds {format_amount(funds, native)}; amount and fee take up to "
            f"{format_amount(due, native)}"
        )
    return Fee(limit, prices.energy, extra)


def trc10_balance(account: Message, asset: int) -> int:
    """Units of a TRC-10 in the answer to `getaccount`."""
    return sum(number(entry["value"]) for entry in messages(account.get("assetV2")) if text(entry["key"]) == str(asset))


async def run_constant(server: TronServer, call: Call, sender: Address) -> tuple[int, bytes]:
    """Energy and output of a contract call that is run on the head's state and forgotten.

    The energy includes what the network adds for popular contracts. Raises what the chain's refusal means.
    """
    answer = message(
        await server.post(
            "wallet/triggerconstantcontract",
            owner_address=sender.tron_hex,
            **({} if call.creates else {"contract_address": call.to.tron_hex}),
            data=call.data.hex(),
            call_value=0 if call.trc10 else call.value,
            call_token_value=call.value if call.trc10 else 0,
            token_id=call.trc10,
        )
    )
    result = message(answer["result"])
    words = server.words(result.get("message"))
    if result.get("result") is not True:
        if _NO_CONTRACT in words:
            raise NoContractError(f"there is no contract at {call.to.tron}")
        raise server.refusal(result)
    outputs = answer.get("constant_result", [])
    if not isinstance(outputs, list):
        raise TypeError("results are no list")
    output = octets(outputs[0]) if outputs else b""
    if words or _failed(answer):
        if output or _REVERT in words:
            raise abi.refusal(output)
        raise RevertedError(f"the contract refuses: {words or 'it gave no reason'}")
    return number(answer.get("energy_used")), output


async def _try_transfer(server: TronServer, call: Call, sender: Address) -> None:
    """Let the network check a plain transfer, as it does before it makes one. Raises what its refusal means."""
    parts: dict[str, object] = {"owner_address": sender.tron_hex, "to_address": call.to.tron_hex, "amount": call.value}
    if call.trc10:
        await server.post("wallet/transferasset", **parts, asset_name=str(call.trc10).encode().hex())
    else:
        await server.post("wallet/createtransaction", **parts)


def _failed(answer: Message) -> bool:
    """Whether a constant call did not come to its end."""
    results = messages(message(answer.get("transaction", {})).get("ret"))
    return any(result.get("ret") == "FAILED" for result in results)


def _bandwidth_cost(resources: Message, size: int, price: int) -> int:
    pairs = (("NetLimit", "NetUsed"), ("freeNetLimit", "freeNetUsed"))
    covered = any(number(resources.get(top)) - number(resources.get(used)) >= size for top, used in pairs)
    return 0 if covered else size * price
