"""What a payer's next cheque is worth to us.

Theory. A vault is no bank: the same free money may stand behind cheques to many payees, and the first to cash gets it.
Certain is only what is locked for us. Of the free money (balance less everything locked) we count what is not under
notice of withdrawal, even while the notice still runs, since cashing takes time too, and not claimed by cheques of
others that we know of. Our own cheques that are not cashed yet draw on the same sum: what remains is what credit may
rest on.

A payer whose cheque bounced has shown that its free money is not there when it is needed: each bounce we remember
halves what we count of it, and while the bounced cheque is unpaid nothing counts at all.

The answer is monotone: more balance or lock for us never lowers it; more locked for others, notice, claims, uncashed
cheques or bounces never raise it.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

from wallet.amount import BTT, Token, checked_amount, format_amount


@dataclass(frozen=True, slots=True)
class Funds:
    """What is known of a payer on one rail, in units. Raises `AmountError` outside uint256.

    `balance` includes what is locked or under notice (as `PayerState` of `wallet.chains.base` does). `claims`: uncashed
    cheques to others, as far as we know. `uncashed`: our cheques less what they have drawn. `bounces`: how many
    bounced, ever; `unpaid_bounce`: what a bounced cheque still fails to pay.
    """

    balance: int
    locked_for_us: int = 0
    locked_for_others: int = 0
    notice: int = 0
    claims: int = 0
    uncashed: int = 0
    bounces: int = 0
    unpaid_bounce: int = 0

    def __post_init__(self) -> None:
        for figure in astuple(self):
            checked_amount(figure)


@dataclass(frozen=True, slots=True)
class Coverage:
    """`reachable`: what all our cheques together could draw now. `left`: that, less the ones we hold; never negative.

    `reachable` is what `SellerAccount.coverage` expects. `reason` explains it in one line.
    """

    reachable: int
    left: int
    reason: str


def coverage(funds: Funds, token: Token = BTT) -> Coverage:
    """What the payer's vault is worth to us, by these figures."""
    if funds.unpaid_bounce:
        return Coverage(0, 0, f"nothing: a cheque bounced and {_text(funds.unpaid_bounce, token)} of it is unpaid")
    free = max(0, funds.balance - funds.locked_for_us - funds.locked_for_others)
    locked = min(funds.locked_for_us, max(0, funds.balance - funds.locked_for_others))
    counted = max(0, free - funds.notice - funds.claims) >> min(funds.bounces, 256)
    reachable = locked + counted
    left = max(0, reachable - funds.uncashed)
    return Coverage(reachable, left, _explain(funds, left, token))


@dataclass(frozen=True, slots=True)
class Standing:
    """A payer on one rail as the chain told it last. `funds` without our own cheques; `paid_out`: drawn by them so far.

    Cheques come more often than news from the chain, so what we hold is asked for with each question.
    """

    funds: Funds
    paid_out: int = 0
    token: Token = BTT

    @property
    def reachable(self) -> int:
        """Units that all our cheques together could draw now, beyond `paid_out`."""
        return coverage(self.funds, self.token).reachable

    def explain(self, held: int) -> str:
        """What another cheque is worth, and why, in one line. `held`: the cumulative amount of the cheque we hold."""
        return coverage(replace(self.funds, uncashed=max(0, held - self.paid_out)), self.token).reason


def _explain(funds: Funds, left: int, token: Token) -> str:
    parts = [
        f"{_text(amount, token)} {what}"
        for amount, what in (
            (funds.locked_for_others, "locked for others"),
            (funds.notice, "under notice"),
            (funds.claims, "claimed by others"),
            (funds.uncashed, "in cheques we hold"),
        )
        if amount
    ]
    less = f", less {', '.join(parts)}" if parts else ""
    locked = f" ({_text(funds.locked_for_us, token)} locked for us)" if funds.locked_for_us else ""
    times = "once" if funds.bounces == 1 else f"{funds.bounces} times"
    bounced = f"; free money discounted, cheques bounced {times}" if funds.bounces else ""
    return f"{_text(left, token)}: vault holds {_text(funds.balance, token)}{locked}{less}{bounced}"


def _text(amount: int, token: Token) -> str:
    return format_amount(amount, token)
