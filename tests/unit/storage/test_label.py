"""Labels: whole again from as few hosts as promised, closed to everybody else, and bounded whatever comes."""

from __future__ import annotations

import zlib
from dataclasses import replace
from hashlib import sha256
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.bencode import encode
from node.storage.errors import LabelError
from node.storage.label import MAX_LABEL, MAX_NUMBER, MAX_PIECE, Label, cut, join, newest, open_piece, seal
from node.storage.manifest import FileEntry, Manifest, Shard, path_key
from node.storage.sealing import WRAPPED_BYTES, wrapping_key
from tests.unit.storage.samples import ADDRESSES, WORDS
from wallet.address import Address

WRAPPING, OTHER = wrapping_key(b"\x07" * 64), wrapping_key(b"\x08" * 64)
CONTRACT = b"\x01" * 32
SALT = bytes(32)
ADDRESS = Address(b"\x05" * 20)

LABELS = st.builds(
    Label,
    object=st.binary(min_size=8, max_size=8).map(bytes.hex),
    created=st.integers(0, 2**63 - 1),
    seconds=st.integers(0, 2**63 - 1),
    until=st.integers(0, 2**63 - 1),
    max_price=st.integers(0, 2**256 - 1),
    auditor=ADDRESSES,
    renew=st.booleans(),
    forgotten=st.booleans(),
    manifest=st.binary(max_size=3000),
)


def manifest(files: int = 3, k: int = 3, n: int = 6, *, random: bool = False) -> Manifest:
    """Of a folder of photographs, or (`random`) of files whose names cannot be packed."""
    source = Random(files)

    def path(number: int) -> tuple[str, ...]:
        if random:
            return (source.randbytes(100).hex(),)
        return ("2024", f"holiday-{number // 100:03}", f"IMG_{number:06}.JPG")

    paths = sorted(map(path, range(files)), key=path_key)
    return Manifest(
        "photos",
        tuple(FileEntry(path, source.randrange(5_000_000)) for path in paths),
        (),
        2**20,
        source.randbytes(WRAPPED_BYTES),
        k,
        n,
        tuple(Shard(source.randbytes(32)) for _ in range(n)),
        1_800_000_000,
    )


def label_of(kept: Manifest, **changes: object) -> Label:
    made = Label("ab" * 8, 1, 2, 3, 4, ADDRESS, True, False, kept.encode())
    return replace(made, **changes)  # type: ignore[arg-type] # fields of the label, by name


@given(LABELS)
def test_a_label_comes_back_as_it_was(label: Label) -> None:
    assert Label.decode(label.encode()) == label


@given(LABELS, WORDS, st.integers(0, MAX_NUMBER), WORDS, st.integers(0, 5))
def test_a_sealed_piece_opens_for_its_wallet_contract_and_number_only(
    label: Label, contract: bytes, number: int, salt: bytes, shard: int
) -> None:
    piece = cut(label, 3, 6, [shard])[shard]
    sealed = seal(piece, contract, number, WRAPPING, salt)
    assert open_piece(sealed, contract, number, WRAPPING) == piece
    assert join([piece]) == label
    changed = bytearray(sealed)
    changed[len(sealed) // 2] ^= 1
    for arguments in (
        (sealed, contract, number, OTHER),
        (sealed, bytes(byte ^ 1 for byte in contract), number, WRAPPING),
        (sealed, contract, number ^ 1, WRAPPING),
        (bytes(changed), contract, number, WRAPPING),
        (sealed[:-1], contract, number, WRAPPING),
    ):
        with pytest.raises(LabelError):
            open_piece(*arguments)


@given(st.binary(max_size=300), st.integers(-1, 2**64))
def test_bytes_that_are_no_label_are_refused_in_one_line(data: bytes, number: int) -> None:
    for read in (Label.decode, lambda raw: open_piece(raw, CONTRACT, number, WRAPPING)):
        with pytest.raises(LabelError) as error:
            read(data)
        assert "\n" not in str(error.value)


def test_the_manifest_of_ten_thousand_files_fits_on_every_host() -> None:
    label = label_of(manifest(10_000))
    pieces = cut(label, 3, 6, range(6))
    assert {piece.parts for piece in pieces.values()} == {1}
    sealed = seal(pieces[5], CONTRACT, 1, WRAPPING, SALT)
    assert len(sealed) < MAX_LABEL // 4
    assert join([open_piece(sealed, CONTRACT, 1, WRAPPING)]) == label


def test_a_larger_one_takes_as_many_hosts_as_it_has_parts_and_never_more_than_k() -> None:
    label = label_of(manifest(12_000, random=True))
    pieces = cut(label, 3, 6, range(6))
    parts = pieces[0].parts
    assert parts == 3
    sealed = [seal(piece, CONTRACT, 9, WRAPPING, SALT) for piece in pieces.values()]
    assert max(map(len, sealed)) <= MAX_LABEL
    assert join([pieces[number] for number in (1, 3, 5)]) == label
    with pytest.raises(LabelError, match="2 of the 3 pieces"):
        join([pieces[0], pieces[4]])
    with pytest.raises(LabelError, match=f"{2 * MAX_PIECE}"):
        cut(label, 2, 6, range(6))


def test_the_newest_label_that_is_whole_wins_and_an_old_one_cannot_pass_for_it() -> None:
    kept = manifest()
    old, new = label_of(kept), label_of(kept, renew=False)
    shown = [(4, cut(old, 3, 6, [0])[0]), (7, cut(new, 3, 6, [1])[1]), (4, cut(old, 3, 6, [2])[2])]
    found = newest(shown)
    assert (found.label, found.number, found.manifest) == (new, 7, kept)


def test_of_a_label_in_parts_the_newest_that_enough_hosts_show_is_taken() -> None:
    kept = manifest(12_000, random=True)
    old, new = label_of(kept), label_of(kept, renew=False)
    before, after = cut(old, 3, 6, range(6)), cut(new, 3, 6, range(6))
    shown = [(4, before[number]) for number in (0, 1, 2)] + [(7, after[number]) for number in (3, 4)]
    assert newest(shown).label == old
    assert newest([*shown, (7, after[5])]).label == new
    with pytest.raises(LabelError, match="pieces"):
        newest([(7, after[3]), (4, before[0])])
    with pytest.raises(LabelError, match="no host"):
        newest([])


def test_pieces_of_two_labels_are_never_mixed() -> None:
    kept = manifest()
    first, second = cut(label_of(kept), 3, 6, [0])[0], cut(label_of(kept, created=2), 3, 6, [1])[1]
    with pytest.raises(LabelError, match="one label"):
        join([first, second])
    with pytest.raises(LabelError, match="not the one"):
        join([replace(first, digest=bytes(32))])


def test_unpacking_is_bounded() -> None:
    """Only this wallet can seal such a piece; a fault of ours must not fill the memory all the same."""
    packed = zlib.compress(bytes(40 * 2**20))
    piece = replace(
        cut(label_of(manifest()), 1, 2, [0])[0],
        length=len(packed),
        data=packed.ljust(-(-len(packed) // 64) * 64, b"\0"),
        digest=sha256(b"").digest(),
    )
    with pytest.raises(LabelError, match="longer than any label"):
        join([piece])


def test_a_label_of_another_version_asks_for_an_update() -> None:
    with pytest.raises(LabelError, match="update"):
        Label.decode(encode({"v": 2}))
