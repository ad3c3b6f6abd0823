"""Netting's promises: the same positions, never more cheques, and nobody loses more than its credit window."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from wallet.netting import Netting, Pledge, Position

QUANTUM = 10
WINDOW = 60
moves = st.lists(
    st.tuples(st.sampled_from(["serve", "verify", "deliver", "break"]), st.integers(0, 1), st.integers(1, 25)),
    max_size=80,
)


@dataclass
class Peer:
    """One side, with the cheques it would have signed without netting beside it."""

    position: Position = field(default_factory=Position)
    netting: Netting = field(default_factory=Netting)
    inbox: deque[Pledge | int] = field(default_factory=deque)
    """Pledges, and cheques as their cumulative amount."""
    unverified: int = 0
    """Received, and counted by the seller, but no piece has passed yet."""
    cheques: int = 0
    plain_issued: int = 0
    plain_cheques: int = 0

    def set(self, **figures: int) -> None:
        self.position = replace(self.position, **figures)


class Pair:
    """Two peers that serve each other over a connection that may break and lose what is on its way."""

    def __init__(self) -> None:
        self.peers = (Peer(), Peer())

    def serve(self, seller: int, amount: int) -> None:
        one, other = self.peers[seller], self.peers[1 - seller]
        amount = min(amount, one.position.room(WINDOW))
        one.set(earned=one.position.earned + amount)
        other.unverified += amount

    def verify(self, buyer: int) -> None:
        one = self.peers[buyer]
        one.set(owed=one.position.owed + one.unverified)
        one.unverified = 0
        if one.position.owed - one.plain_issued >= QUANTUM:
            one.plain_issued, one.plain_cheques = one.position.owed, one.plain_cheques + 1
        self.turn(buyer)

    def turn(self, who: int, *, finishing: bool = False) -> None:
        one, other = self.peers[who], self.peers[1 - who]
        turn = one.netting.turn(one.position, quantum=QUANTUM, window=WINDOW, finishing=finishing)
        if turn.pledge is not None:
            other.inbox.append(turn.pledge)
        if turn.cumulative is not None:
            assert one.position.issued < turn.cumulative <= one.position.owed
            one.set(issued=turn.cumulative)
            one.cheques += 1
            other.inbox.append(turn.cumulative)
        assert one.position.exposure <= WINDOW

    def deliver(self, who: int, *, finishing: bool = False) -> None:
        one, other = self.peers[who], self.peers[1 - who]
        if not one.inbox:
            return
        message = one.inbox.popleft()
        if isinstance(message, Pledge):
            answer = one.netting.received(message, one.position)
            if answer is not None:
                other.inbox.append(answer)
        else:
            one.set(held=max(one.position.held, message))
        self.turn(who, finishing=finishing)

    def reconnect(self) -> None:
        """Messages are lost, pledges forgotten; the last cheque is sent again, as the receipts have it."""
        for one, other in (self.peers, self.peers[::-1]):
            one.netting, one.inbox = Netting(), deque([other.position.issued])

    def finish(self) -> None:
        for who in (0, 1):
            self.verify(who)
        for one in self.peers:
            if one.position.owed > one.plain_issued:
                one.plain_issued, one.plain_cheques = one.position.owed, one.plain_cheques + 1
        for who in (0, 1):
            self.turn(who, finishing=True)
        for _ in range(100):
            if not any(one.inbox for one in self.peers):
                return
            for who in (0, 1):
                self.deliver(who, finishing=True)
        raise AssertionError("the two never stop talking")

    def run(self, script: list[tuple[str, int, int]]) -> None:
        for what, who, amount in script:
            if what == "serve":
                self.serve(who, amount)
            elif what == "verify":
                self.verify(who)
            elif what == "deliver":
                self.deliver(who)
            else:
                self.reconnect()
            assert all(one.position.exposure <= WINDOW for one in self.peers)
        self.finish()


@settings(max_examples=300)
@given(moves)
def test_final_positions_are_those_without_netting_whatever_is_lost(script: list[tuple[str, int, int]]) -> None:
    pair = Pair()
    pair.run(script)
    one, other = pair.peers
    assert one.position.exposure == 0 == other.position.exposure
    assert one.position.issued - other.position.issued == one.plain_issued - other.plain_issued


@settings(max_examples=300)
@given(moves)
def test_no_side_ever_signs_more_cheques_than_without_netting(script: list[tuple[str, int, int]]) -> None:
    pair = Pair()
    pair.run(script)
    for one in pair.peers:
        assert one.cheques <= one.plain_cheques
        assert one.position.issued <= one.plain_issued


def test_equal_debts_need_no_cheque_and_unequal_ones_a_cheque_for_the_difference() -> None:
    pair = Pair()
    one, other = pair.peers
    one.set(owed=50, earned=50)
    other.set(owed=50, earned=50)
    pair.finish()
    assert (one.cheques, other.cheques) == (0, 0)
    one.set(owed=75)
    other.set(earned=75)
    pair.finish()
    assert (one.cheques, one.position.issued, other.cheques) == (1, 25, 0)


@given(
    st.builds(Position, *[st.integers(0, 100)] * 4),
    st.lists(st.builds(Pledge, st.integers(0, 200), st.integers(1, 9), st.integers(0, 9)), max_size=8),
    st.booleans(),
)
def test_whatever_the_peer_says_we_sign_no_more_than_we_owe_nor_risk_more_than_the_window(
    position: Position, lies: list[Pledge], urgent: bool
) -> None:
    netting = Netting()
    for lie in lies:
        answer = netting.received(lie, position)
        assert answer is None or answer.amount <= min(position.payable, position.receivable)
    turn = netting.turn(position, quantum=1, window=WINDOW, finishing=True, urgent=urgent)
    if turn.cumulative is not None:
        assert position.issued < turn.cumulative <= position.owed
        assert replace(position, issued=turn.cumulative).exposure <= WINDOW


def test_a_peer_that_does_not_know_netting_is_paid_in_full_when_it_is_urgent() -> None:
    netting, position = Netting(), Position(owed=50, earned=40)
    assert netting.turn(position, quantum=QUANTUM, window=WINDOW).waiting
    assert netting.turn(position, quantum=QUANTUM, window=WINDOW, urgent=True).cumulative == 50


def test_a_broken_pledge_is_healed_by_the_cheque_that_broke_it() -> None:
    netting, position = Netting(), Position(owed=50, earned=50)
    netting.turn(position, quantum=QUANTUM, window=WINDOW)
    netting.received(Pledge(50, 1, 1), position)
    assert netting.due(position) == 0
    assert netting.due(replace(position, held=20)) == 20
