"""What settling costs under Berlin's rules: `python -m tests.contracts.gas` measures it and writes contracts/GAS.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.contracts.bench import NOBODY, Bench, Contract, key
from tests.contracts.btfs_bench import BtfsBench
from tests.contracts.storage.gas import section as storage_section
from wallet.keys import PrivateKey

PAGE = Path(__file__).parents[2] / "contracts" / "GAS.md"
SIZES = (1, 10, 100)
PRICE = 1_234_567_890_123_456_789
"""Growth of every cheque, with as many non-zero bytes as real amounts have: those are what call data costs."""

_PAYEE, _HOT = key(1), key(2)
_PAYERS = [key(100 + number) for number in range(max(SIZES))]
_HEAD = """# Gas

Measured, not estimated: `cashMany` with cheques of as many different payers to one payee, run by the devnet under
Berlin's rules (`python -m tests.contracts.gas` writes this page, a test keeps it true). Gas per cheque:

| cheques | {columns} |
|---:|{rules}
"""
_TAIL = """
*first*: the payer has never paid this payee, so 17,100 gas go to a new storage slot. *later*: every cheque after that.
*to the vault*: credited to the payee's balance in the vault instead of its wallet. *hot key*: signed by a key the payer
has authorised, whose use is counted. *locked*: drawn from money locked for the payee.

A single `cash` of a later cheque costs {single:,} gas, a deposit into an existing balance {deposit:,}.

## BTFS

A BTFS cheque is cashed alone, from the payer's own vault. Measured with our doubles of BTFS's contracts in the layers
that its factory deploys (clone, proxy, logic), under the same rules and with the same amounts:

| call | first | later |
|---|---:|---:|
{btfs}
"""


@dataclass(frozen=True)
class Scenario:
    """`prepare` runs before the measured cheques, which are number `turn` from each payer."""

    title: str
    turn: int
    to_wallet: bool = True
    signer: PrivateKey | None = None
    prepare: Callable[[Bench, PrivateKey], object] | None = None


SCENARIOS = (
    Scenario("first", 1),
    Scenario("later", 2),
    Scenario("later, to the vault", 2, to_wallet=False),
    Scenario(
        "later, hot key",
        2,
        signer=_HOT,
        prepare=lambda bench, payer: bench.vault.send(payer, "authorise", _HOT.address, 2**256 - 1),
    ),
    Scenario(
        "later, locked",
        2,
        prepare=lambda bench, payer: bench.vault.send(payer, "lock", _PAYEE.address, 5 * PRICE),
    ),
)


def _per_cheque(bench: Bench, scenario: Scenario, size: int) -> int:
    snapshot = bench.chain.snapshot()
    recipient = _PAYEE.address if scenario.to_wallet else NOBODY
    if scenario.prepare is not None:
        for payer in _PAYERS[:size]:
            scenario.prepare(bench, payer)
    for turn in range(1, scenario.turn + 1):
        cheques = [bench.cheque(payer, _PAYEE, turn * PRICE, scenario.signer) for payer in _PAYERS[:size]]
        receipt = bench.cash_many(_PAYEE, cheques, recipient)
    bench.chain.revert(snapshot)
    return receipt.gas // size


def btfs_gas() -> dict[str, tuple[int, int]]:
    """Method → gas of one BTFS cheque, the first of a payer and the next one."""
    bench = BtfsBench()
    payer = _PAYERS[0]
    vault = bench.deploy(payer)
    kinds: dict[str, Contract | None] = {"cashChequeBeneficiary": None, "multiTokenCashChequeBeneficiary": bench.usdd}
    found = {}
    for method, token in kinds.items():
        bench.fund(vault, 100 * PRICE, token)
        (token or bench.wbtt).send(_PAYEE, "mint", _PAYEE.address, PRICE)
        cheques = [bench.cheque(vault, payer, _PAYEE, turn * PRICE, token) for turn in (1, 2)]
        first, later = (bench.cash(_PAYEE, vault, signed, _PAYEE.address).gas for signed in cheques)
        found[method] = (first, later)
    return found


def page() -> str:
    """The text of GAS.md, measured now."""
    bench = Bench()
    for payer in _PAYERS:
        bench.fund(payer, 100 * PRICE)
    bench.fund(_PAYEE, PRICE)  # an account in the vault, and
    bench.token.send(_PAYEE, "mint", _PAYEE.address, PRICE)  # a token balance that are not empty
    rows = [f"| {size} | {' | '.join(f'{_per_cheque(bench, s, size):,}' for s in SCENARIOS)} |" for size in SIZES]

    bench.cash(_PAYEE, bench.cheque(_PAYERS[0], _PAYEE, PRICE), _PAYEE.address)
    single = bench.cash(_PAYEE, bench.cheque(_PAYERS[0], _PAYEE, 2 * PRICE), _PAYEE.address).gas
    bench.token.send(_PAYEE, "approve", bench.vault.address, 3 * PRICE)
    bench.vault.send(_PAYEE, "deposit", PRICE // 2)
    deposit = bench.vault.send(_PAYEE, "deposit", PRICE // 4).gas
    btfs = "\n".join(f"| `{method}` | {first:,} | {later:,} |" for method, (first, later) in btfs_gas().items())
    head = _HEAD.format(columns=" | ".join(s.title for s in SCENARIOS), rules="---:|" * len(SCENARIOS))
    tail = _TAIL.format(single=single, deposit=deposit, btfs=btfs)
    return head + "\n".join(rows) + "\n" + tail + storage_section()


if __name__ == "__main__":
    PAGE.write_text(page())
