"""What a record means for the epochs of its contract, and what a list of hosts is made of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.market.support import ME, TERMS, YOU
from wallet.address import Address
from wallet.storage.directory import Directory
from wallet.storage.events import (
    Announced,
    ExitBegun,
    ExitCancelled,
    RegistryEvent,
    Staked,
    StakeWithdrawn,
    Status,
)
from wallet.storage.records import SEED_BLOCKS, ContractRecord, EpochState, epoch_states

AHEAD, RUNNING, PROVABLE, PROVING, OVER, PAID = EpochState
EPOCHS, LENGTH = TERMS.epochs, TERMS.epoch_length
RECORD = ContractRecord(Status.ACTIVE, EPOCHS)


def states(record: ContractRecord, epoch: float, head: int = 0) -> tuple[EpochState, ...]:
    """So many epochs after the start."""
    return epoch_states(TERMS, record, TERMS.start + int(epoch * LENGTH), head)


def test_an_epoch_can_be_proved_while_the_next_one_lasts() -> None:
    assert states(RECORD, -0.5) == (AHEAD, AHEAD, AHEAD, AHEAD)
    assert states(RECORD, 0) == (RUNNING, AHEAD, AHEAD, AHEAD)
    assert states(RECORD, 1) == (PROVABLE, RUNNING, AHEAD, AHEAD)
    assert states(RECORD, 2.999) == (OVER, PROVABLE, RUNNING, AHEAD)
    assert states(RECORD, 4) == (OVER, OVER, OVER, PROVABLE)
    assert states(RECORD, 5) == (OVER, OVER, OVER, OVER)


def test_a_proof_is_under_way_until_its_seed_is_lost_and_is_not_begun_twice() -> None:
    begun = ContractRecord(Status.ACTIVE, EPOCHS, begun=0, seed_block=100)
    assert states(begun, 1, head=99 + SEED_BLOCKS) == (PROVING, RUNNING, AHEAD, AHEAD)
    assert states(begun, 1, head=100 + SEED_BLOCKS) == (OVER, RUNNING, AHEAD, AHEAD)
    assert states(begun, 2, head=101) == (PROVING, PROVABLE, RUNNING, AHEAD)


def test_a_contract_that_is_left_early_has_fewer_epochs() -> None:
    left = ContractRecord(Status.ACTIVE, 2)
    assert states(left, 2) == (OVER, PROVABLE)


@given(st.integers(0, 2**EPOCHS - 1), st.integers(-2, 8), st.integers(0, 1000))
def test_what_is_paid_is_paid_at_any_time_and_at_most_one_epoch_is_provable(paid: int, epoch: int, head: int) -> None:
    record = ContractRecord(Status.ACTIVE, EPOCHS, paid=paid)
    found = states(record, epoch, head)
    assert [state is PAID for state in found] == [record.is_paid(number) for number in range(EPOCHS)]
    assert found.count(PAID) == record.paid_epochs
    assert found.count(PROVABLE) <= 1
    assert found.count(RUNNING) <= 1


# --- hosts ----------------------------------------------------------------------------------------------------------


def listed(*events: RegistryEvent) -> Directory:
    directory = Directory(most=2)
    for block, event in enumerate(events):
        directory.apply(event, block)
    return directory


ON = (Staked(ME, 5, 5), Announced(ME, YOU, "https://me", bytes(32)))


def test_the_latest_announcement_counts() -> None:
    (entry,) = listed(*ON, Announced(ME, ME, "https://new", b"\x01" * 32)).listed()
    assert (entry.endpoint, entry.signer, entry.stake, entry.announced) == ("https://new", ME, 5, 2)


def test_a_host_that_leaves_is_listed_no_more_and_may_come_back() -> None:
    assert listed(*ON, ExitBegun(ME, 99)).listed() == ()
    (entry,) = listed(*ON, ExitBegun(ME, 99), ExitCancelled(ME)).listed()
    assert entry.endpoint == "https://me"
    assert listed(*ON, ExitBegun(ME, 99), StakeWithdrawn(ME, YOU, 5)).get(ME) is None


def test_a_host_whose_words_are_no_line_is_not_listed() -> None:
    assert listed(*ON, Announced(ME, ME, "", bytes(32))).listed() == ()


def test_no_crowd_of_names_pushes_out_those_that_were_there() -> None:
    crowd = [Announced(Address(bytes([number]) * 20), ME, "https://x", bytes(32)) for number in range(9, 30)]
    directory = listed(*ON, *crowd)
    assert len(directory.listed()) == 2
    assert directory.get(ME) is not None
