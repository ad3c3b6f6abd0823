"""Netting's promises between whole sessions: cheques for the difference only, and no more risk than credit."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from node.speed.messages import Net
from node.speed.netting import PATIENCE
from tests.unit.speed.duo import WORTH, Duo
from wallet.amount import MIB

BLOCKS = MIB // (16 * 1024)
moves = st.lists(
    st.tuples(
        st.sampled_from(["serve", "serve", "deliver", "deliver", "commit", "wait"]),
        st.integers(0, 1),
        st.integers(1, 40),
    ),
    max_size=60,
)


def play(duo: Duo, script: list[tuple[str, int, int]]) -> None:
    for what, who, amount in script:
        if what == "serve":
            duo.serve(who, amount)
        elif what == "wait":
            duo.wait(amount / 100)
        else:
            for _ in range(amount):
                (duo.deliver if what == "deliver" else duo.commit)(who)
        safe(duo)


def safe(duo: Duo) -> None:
    for side in duo.sides:
        position = side.position
        assert position.exposure <= WORTH
        assert position.issued <= position.owed
        assert side.mutual.cancelled <= min(position.payable, position.receivable)


def swap(duo: Duo, mebibytes: int, *, back: int | None = None) -> None:
    """Each serves the other block by block, until both have had so much."""
    wanted = [mebibytes * BLOCKS, (mebibytes if back is None else back) * BLOCKS]
    for _ in range(100 * max(wanted)):
        for who in (0, 1):
            if wanted[who]:
                before = duo.sides[who].sent
                duo.serve(who, 1)
                wanted[who] -= duo.sides[who].sent > before
        duo.carry()
        safe(duo)
        duo.wait(0.01)
        duo.carry()
        if not any(wanted):
            return
    raise AssertionError(f"stalled with {wanted} blocks to go")


@settings(max_examples=150, deadline=None)
@given(moves)
def test_whatever_the_order_nobody_risks_more_than_the_window_and_in_the_end_the_difference_is_paid(
    script: list[tuple[str, int, int]],
) -> None:
    duo = Duo()
    play(duo, script)
    duo.finish()
    one, other = duo.sides
    assert one.position.exposure == other.position.exposure == 0
    assert one.position.issued - other.position.issued == one.position.owed - other.position.owed
    assert one.buyer_account.settled
    assert other.buyer_account.settled
    assert not one.notices + other.notices


@settings(max_examples=100, deadline=None)
@given(moves)
def test_netting_never_signs_more_than_plain_payment(script: list[tuple[str, int, int]]) -> None:
    duo, plain = Duo(), Duo(nets=(False, False))
    for each in (duo, plain):
        play(each, script)
        each.finish()
    for one, without in zip(duo.sides, plain.sides, strict=True):
        assert one.position.issued <= without.position.issued
        assert one.cheques <= without.cheques


def test_equal_trade_far_beyond_the_window_needs_no_cheque_at_all() -> None:
    duo = Duo()
    swap(duo, 8)
    duo.finish()
    assert [side.position.owed for side in duo.sides] == [8 * WORTH] * 2
    assert [side.cheques for side in duo.sides] == [0, 0]


def test_unequal_trade_costs_cheques_for_the_difference_alone() -> None:
    duo = Duo()
    swap(duo, 8, back=2)
    duo.finish()
    one, other = duo.sides
    assert (one.position.owed, other.position.owed) == (2 * WORTH, 8 * WORTH)
    assert (one.position.issued, other.position.issued) == (0, 6 * WORTH)


def test_an_older_peer_that_knows_no_pledges_is_paid_in_full() -> None:
    duo = Duo(nets=(True, False))
    swap(duo, 4)
    duo.finish()
    assert [side.position.issued for side in duo.sides] == [4 * WORTH] * 2


def test_who_pledges_and_never_pays_gains_no_more_than_the_window() -> None:
    duo = Duo(pays=(True, False))
    swap(duo, 3)
    victim, thief = duo.sides
    for _ in range(100):  # it takes on, gives nothing more, and is asked for nothing
        duo.serve(0, BLOCKS)
        duo.carry()
        duo.wait(0.2)
        safe(duo)
    victim.buyer.finish()
    for _ in range(10):
        duo.settle()
        duo.wait(PATIENCE)
        safe(duo)
    assert victim.position.exposure <= WORTH
    assert thief.sent == 3 * MIB


def test_a_pledge_taken_back_is_paid_no_further_than_the_window_goes() -> None:
    duo = Duo(pays=(True, False))
    swap(duo, 8)
    victim, thief = duo.sides
    thief.nets = False
    for number in range(100, 110):
        victim.inbox.append(Net("eip155:199", 0, number, 2**62))
        duo.carry()
        victim.buyer.finish()
        duo.settle()
        duo.wait(PATIENCE)
        safe(duo)
    assert 0 < victim.position.issued <= WORTH
    duo.serve(0, 1)
    assert victim.position.exposure <= WORTH


def test_a_new_connection_forgives_nothing_of_what_cancels_and_pays_nothing_of_it() -> None:
    duo = Duo()
    swap(duo, 2)
    duo.finish()
    for _ in range(5):
        duo.reconnect()
        duo.finish()
    for side in duo.sides:
        assert side.seller_account.forgiven == 0
        assert side.cheques == 0
        assert side.position.receivable == side.position.payable == 2 * WORTH
        assert side.buyer_account.settled


@settings(max_examples=50, deadline=None)
@given(st.lists(moves, min_size=2, max_size=4))
def test_after_broken_connections_the_difference_is_paid_to_the_unit_and_little_is_forgiven(
    scripts: list[list[tuple[str, int, int]]],
) -> None:
    duo = Duo()
    for script in scripts:
        play(duo, script)
        duo.reconnect()
        safe(duo)
    duo.finish()
    for one, other in (duo.sides, duo.sides[::-1]):
        assert one.seller_account.forgiven <= WORTH + one.seller_account.accepted // 64
        assert one.position.exposure <= WORTH
        assert one.position.issued <= one.position.owed <= other.seller_account.earned
    one, other = duo.sides
    if one.notices or other.notices:
        return  # so much was lost that one side sells no more, and says so
    assert one.buyer_account.settled
    assert other.buyer_account.settled
    assert one.position.issued - other.position.issued == one.position.owed - other.position.owed
