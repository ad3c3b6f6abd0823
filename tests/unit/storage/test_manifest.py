"""The manifest's promises: it comes back as it was, in one form only, and no bytes make it dangerous or endless."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.bencode import decode, encode
from node.storage.errors import ManifestError, SealError
from node.storage.manifest import (
    MAX_BYTES,
    MAX_CONTRACTS,
    FileEntry,
    Manifest,
    Placed,
    Shard,
    export,
    is_public,
    path_key,
    read,
)
from node.storage.sealing import wrap_key, wrapping_key
from tests.unit.storage.samples import MARKET, contract

WRAPPING = wrapping_key(bytes(64))
KEY = bytes(range(32))

NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=8
).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=3).map(tuple), min_size=1, max_size=6, unique=True)


@st.composite
def trees(draw: st.DrawFn) -> tuple[tuple[FileEntry, ...], tuple[tuple[str, ...], ...]]:
    """Sorted files and empty folders, none below another."""
    paths: list[tuple[str, ...]] = []
    for path in sorted(draw(PATHS), key=path_key):
        if not paths or path[: len(paths[-1])] != paths[-1]:
            paths.append(path)
    sizes = [draw(st.none() | st.integers(0, 2**40)) for _ in paths]
    files = tuple(FileEntry(path, size) for path, size in zip(paths, sizes, strict=True) if size is not None)
    return files, tuple(path for path, size in zip(paths, sizes, strict=True) if size is None)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    files, folders = draw(trees())
    k = draw(st.integers(1, 4))
    key = draw(st.none() | st.just(wrap_key(WRAPPING, KEY)))
    length = sum(entry.size for entry in files)
    n = k + draw(st.integers(1, 4))
    blank = make(files=files, folders=folders, k=k, n=n, key=key, shards=() if not length and key is None else None)
    kept = draw(st.integers(0, 2))
    shards = tuple(
        replace(shard, contracts=tuple(placed(shard.root, blank.shard_length, number) for number in range(kept)))
        for shard in blank.shards
    )
    return replace(blank, shards=shards, name=draw(NAMES), created=draw(st.integers(0, 2**63 - 1)))


def placed(root: bytes, length: int, nonce: int = 0) -> Placed:
    return Placed(1029, MARKET.contract, contract(root, length, nonce=nonce))


def make(**change: Any) -> Manifest:
    values: dict[str, Any] = {
        "name": "Sommer",
        "files": (FileEntry(("größe.txt",), 5), FileEntry(("日本", "leer"), 0)),
        "folders": (("nichts",),),
        "segment": 2**20,
        "key": wrap_key(WRAPPING, KEY),
        "k": 3,
        "n": 6,
        "shards": None,
        "created": 1_800_000_000,
    } | change
    if values["shards"] is None:
        values["shards"] = tuple(Shard(bytes((number,)) * 32) for number in range(values["n"]))
    values["files"] = tuple(sorted(values["files"], key=lambda entry: path_key(entry.path)))
    return Manifest(**values)


@given(manifests())
def test_a_manifest_comes_back_as_it_was(manifest: Manifest) -> None:
    assert Manifest.decode(manifest.encode()) == manifest
    exported = export(manifest, KEY, WRAPPING)
    assert is_public(exported) == (manifest.key is None)
    assert read(exported, WRAPPING) == manifest


@given(st.binary(max_size=200) | manifests().map(Manifest.encode), st.data())
def test_hostile_bytes_raise_one_error_or_are_the_one_form(data: bytes, draw: st.DataObject) -> None:
    if data:
        at = draw.draw(st.integers(0, len(data) - 1))
        data = data[:at] + draw.draw(st.binary(max_size=3)) + data[at + 1 :]
    with suppress(ManifestError):
        assert Manifest.decode(data).encode() == data


@given(manifests(), st.data())
def test_values_of_any_type_in_any_place_raise_one_error(manifest: Manifest, draw: st.DataObject) -> None:
    body = decode(manifest.encode())
    wrong = st.integers() | st.binary(max_size=40) | st.lists(st.integers() | st.binary(max_size=4), max_size=3)
    body[draw.draw(st.sampled_from(sorted(body)))] = draw.draw(wrong)
    with suppress(ManifestError):
        Manifest.decode(encode(body))


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/etc", "a\\b", "a\0b", "a\nb", "\x7f", "x" * 256, "ü" * 128])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    for change in ({"name": name}, {"files": (FileEntry((), 1),), "folders": (("a", name),)}):
        with pytest.raises(ManifestError, match="name") as raised:
            make(**change)
        assert "\n" not in str(raised.value)
    body = decode(make().encode())
    body[b"files"] = [[1, "ok", name]]
    with pytest.raises(ManifestError, match="name"):
        Manifest.decode(encode(body))


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(ManifestError, match="rename the file"):
        path_key(("\udcff.txt",))
    body = decode(make().encode())
    body[b"name"] = b"\xff"
    with pytest.raises(ManifestError, match="UTF-8"):
        Manifest.decode(encode(body))


@pytest.mark.parametrize(
    ("files", "folders", "reason"),
    [
        ([("a",), ("a",)], [], "twice"),
        ([("b",), ("a",)], [], "sorted"),
        ([("a",), ("a", "b")], [], "something below"),
        ([("a",), ("a", "b", "c"), ("aa",)], [], "something below"),
        ([("a", "b")], [("a",)], "something below"),
        ([("a",)], [("a",)], "something below"),
        ([(), ("a",)], [], "something below"),
        ([], [("b",), ("a",)], "sorted"),
        ([], [], "neither"),
        ([("a",) * 65], [], "nested"),
    ],
)
def test_paths_that_meet_are_refused(files: list[tuple[str, ...]], folders: list[tuple[str, ...]], reason: str) -> None:
    with pytest.raises(ManifestError, match=reason):
        replace(make(), files=tuple(FileEntry(path, 1) for path in files), folders=tuple(folders))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"k": 6}, "code of 6 of 6"),
        ({"n": 256}, "code of 3 of 256"),
        ({"segment": 1}, "segments of 1"),
        ({"key": b"short"}, "40 bytes"),
        ({"created": -1}, "date"),
        ({"files": (FileEntry((), -1),)}, "size"),
        ({"files": (FileEntry((), 2**50),)}, "larger"),
        ({"shards": ()}, "0 shards in a code of 6"),
        ({"shards": (Shard(b""),) * 6}, "a root has 32"),
        ({"shards": (Shard(bytes(32), (placed(bytes(32), 64),) * (MAX_CONTRACTS + 1)),) * 6}, "17 contracts"),
        ({"shards": (Shard(bytes(32), (placed(b"\1" * 32, 64),)),) * 6}, "other bytes"),
        ({"shards": (Shard(bytes(32), (placed(bytes(32), 65),)),) * 6}, "other bytes"),
        ({"shards": (Shard(bytes(32), (replace(placed(bytes(32), 64), chain_id=-1),)),) * 6}, "chain id"),
    ],
)
def test_what_contradicts_is_refused(change: dict[str, Any], reason: str) -> None:
    base = {"files": (FileEntry((), 1),), "folders": ()}
    with pytest.raises(ManifestError, match=reason):
        make(**base | change)


def test_another_version_or_form_is_refused_with_a_hint() -> None:
    body = decode(make().encode())
    with pytest.raises(ManifestError, match=r"version 2: .* update it"):
        Manifest.decode(encode(body | {b"v": 2}))
    with pytest.raises(ManifestError, match="unknown"):
        Manifest.decode(encode(body | {b"more": 1}))
    with pytest.raises(ManifestError, match="missing"):
        Manifest.decode(encode({key: value for key, value in body.items() if key != b"k"}))
    with pytest.raises(ManifestError, match="longer than"):
        Manifest.decode(bytes(MAX_BYTES + 1))
    with pytest.raises(ManifestError, match="not a manifest file"):
        read(b"%PDF", WRAPPING)


def test_a_sealed_manifest_opens_only_whole_and_for_its_wallet() -> None:
    exported = export(make(), KEY, WRAPPING)
    assert "größe".encode() not in exported
    for wrong, key in (
        (exported, wrapping_key(b"\1" * 64)),
        (exported[:-1], WRAPPING),
        (exported[:40], WRAPPING),
        (exported[:-1] + bytes((exported[-1] ^ 1,)), WRAPPING),
    ):
        with pytest.raises(ManifestError, match="does not open") as raised:
            read(wrong, key)
        assert isinstance(raised.value.__cause__, SealError)


def test_a_public_manifest_needs_no_wallet() -> None:
    public = make(key=None)
    assert read(export(public, b"", b""), b"") == public


def test_the_id_stays_when_contracts_come_and_go() -> None:
    before = make()
    moved = replace(
        before,
        shards=tuple(Shard(shard.root, (placed(shard.root, before.shard_length),)) for shard in before.shards),
    )
    assert moved.id == before.id
    assert replace(before, name="Winter").id != before.id


def test_a_public_object_without_bytes_has_no_shards_and_a_sealed_one_has() -> None:
    nothing = make(files=(FileEntry((), 0),), folders=(), key=None, shards=())
    assert nothing.shard_length == 0
    assert make(files=(FileEntry((), 0),), folders=()).shard_length == 64


def test_files_follow_one_another_in_the_object() -> None:
    manifest = make(files=(FileEntry(("a",), 3), FileEntry(("b",), 0), FileEntry(("c",), 4)), folders=())
    assert [(entry.path, at) for entry, at in manifest.offsets()] == [(("a",), 0), (("b",), 3), (("c",), 3)]


def test_a_folder_of_ten_thousand_files_fits() -> None:
    files = tuple(
        FileEntry((f"folder {number // 100:03}", f"file {number:05}.txt"), number) for number in range(10_000)
    )
    manifest = make(files=files)
    assert Manifest.decode(manifest.encode()) == manifest
