"""The key file: opens for its owner, for nobody else, and survives accidents."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.wallet.support import complaint
from wallet import keystore
from wallet.errors import KeyFormatError, KeystoreError, WrongPasswordError
from wallet.keys import EVM_PATH, TRON_PATH, derive, seed
from wallet.keystore import Secret, address_of, change_password, create, open_keystore

N = 2**4
"""scrypt's cost in these tests."""
MNEMONIC = "test test test test test test test test test test test junk"
KEY = bytes.fromhex("46" * 32)
PASSWORD = "correct horse"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "keystore.json"


@pytest.fixture
def made(path: Path) -> Path:
    create(path, Secret(private_key=KEY), PASSWORD, scrypt_n=N)
    return path


def forge(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the file on purpose: with a right checksum."""
    document = json.loads(path.read_text())
    del document["checksum"]
    change(document)
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    path.write_text(json.dumps({**document, "checksum": hashlib.sha256(canonical).hexdigest()}))


# --- opening --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [Secret(mnemonic=MNEMONIC), Secret(private_key=KEY)], ids=["mnemonic", "key"])
def test_what_was_stored_comes_back(path: Path, secret: Secret) -> None:
    address = create(path, secret, PASSWORD, scrypt_n=N)
    assert open_keystore(path, PASSWORD) == secret
    assert address == secret.key().address == address_of(path)


def test_one_mnemonic_gives_the_keys_of_both_rails(path: Path) -> None:
    create(path, Secret(mnemonic=f"  {MNEMONIC.upper()}\n"), PASSWORD, scrypt_n=N)
    secret = open_keystore(path, PASSWORD)
    assert secret.mnemonic == MNEMONIC
    for form in (EVM_PATH, TRON_PATH):
        wanted = form.format(index=3)
        assert secret.key(wanted).address == derive(MNEMONIC, path=wanted).address


@pytest.mark.parametrize("guess", ["", "Correct horse", PASSWORD + " ", "\x00"])
def test_a_wrong_password_is_told_as_such(made: Path, guess: str) -> None:
    with pytest.raises(WrongPasswordError):
        open_keystore(made, guess)


def test_a_password_opens_however_its_accents_are_typed(path: Path) -> None:
    create(path, Secret(private_key=KEY), "caf\u00e9", scrypt_n=N)
    assert open_keystore(path, "cafe\u0301").private_key == KEY


def test_the_default_cost_is_a_real_one(path: Path) -> None:
    create(path, Secret(private_key=KEY), PASSWORD)
    header = json.loads(path.read_text())["header"]
    assert 128 * header["n"] * header["r"] == 128 * 2**20
    assert open_keystore(path, PASSWORD).private_key == KEY


def test_two_files_of_one_secret_have_nothing_secret_in_common(tmp_path: Path) -> None:
    one, other = tmp_path / "1", tmp_path / "2"
    for file in (one, other):
        create(file, Secret(private_key=KEY), PASSWORD, scrypt_n=N)
    first, second = json.loads(one.read_text()), json.loads(other.read_text())
    assert first["header"]["salt"] != second["header"]["salt"]
    assert first["box"] != second["box"]


# --- damage and forgery ---------------------------------------------------------------------------------------------


def test_every_flipped_bit_is_damage_and_not_a_wrong_password(made: Path) -> None:
    whole = made.read_bytes()
    for place in range(len(whole)):
        made.write_bytes(whole[:place] + bytes((whole[place] ^ 1 << place % 8,)) + whole[place + 1 :])
        with pytest.raises(KeystoreError) as raised:
            open_keystore(made, PASSWORD)
        assert not isinstance(raised.value, WrongPasswordError), place


def test_every_truncated_file_is_damage(made: Path) -> None:
    whole = made.read_bytes().rstrip()
    for length in range(len(whole)):
        made.write_bytes(whole[:length])
        assert "damaged" in complaint(KeystoreError, lambda: open_keystore(made, PASSWORD)), length
        assert "damaged" in complaint(KeystoreError, lambda: address_of(made)), length


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 60_000,
        b"[" * 4_000,
        b"{}" + b" " * 70_000,
        b"null",
        b'"header"',
        b'{"header": [], "box": {}, "checksum": ""}',
        b'{"header": {"version": 1}, "box": {}, "checksum": ""}',
        b"\xff\xfe",
        b"9" * 4_000,
    ],
)
def test_a_file_that_is_something_else_is_refused_in_one_line(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    message = complaint(KeystoreError, lambda: open_keystore(path, PASSWORD))
    assert "damaged" in message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2**40),
        ("n", 2**24),
        ("n", 10**3000),
        ("n", 0),
        ("n", 1),
        ("n", -16),
        ("n", 15),
        ("r", 2**30),
        ("r", 0),
        ("r", -8),
        ("p", 2**30),
        ("p", 0),
    ],
)
def test_a_hostile_file_cannot_make_the_key_derivation_run(
    made: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    forge(made, lambda document: document["header"].update({name: value}))
    monkeypatch.delattr(keystore, "Scrypt")
    with pytest.raises(KeystoreError, match="unreasonable"):
        open_keystore(made, PASSWORD)


@pytest.mark.parametrize("value", ["16", 16.0, True, None, [16]])
def test_parameters_of_another_type_are_damage(made: Path, value: object) -> None:
    forge(made, lambda document: document["header"].update(n=value))
    with pytest.raises(KeystoreError, match="damaged"):
        open_keystore(made, PASSWORD)


def test_too_little_memory_is_told_as_such(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Starved:
        def __init__(self, **_: object) -> None: ...

        def derive(self, _: bytes) -> bytes:
            raise MemoryError

    monkeypatch.setattr(keystore, "Scrypt", Starved)
    with pytest.raises(KeystoreError, match="free memory"):
        open_keystore(made, PASSWORD)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["header"].update(address="0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
        lambda document: document["header"].update(n=2),
        lambda document: document["header"].update(r=1),
        lambda document: document["header"].update(salt="00" * 32),
        lambda document: document["box"].update(nonce="00" * 12),
        lambda document: document["box"].update(data="00" * 100),
        lambda document: document["box"].update(data=""),
    ],
    ids=["address", "n", "r", "salt", "nonce", "data", "no data"],
)
def test_a_forged_file_does_not_open(made: Path, change: Callable[[dict[str, Any]], object]) -> None:
    forge(made, change)
    with pytest.raises(WrongPasswordError):
        open_keystore(made, PASSWORD)


def test_a_file_of_a_later_version_asks_for_a_newer_program(made: Path) -> None:
    forge(made, lambda document: document["header"].update(version=2))
    with pytest.raises(KeystoreError, match="newer"):
        open_keystore(made, PASSWORD)


def test_unknown_fields_of_the_header_are_not_silently_dropped(made: Path) -> None:
    forge(made, lambda document: document["header"].update(note="mine"))
    with pytest.raises(KeystoreError, match="damaged"):
        address_of(made)


def test_a_missing_file_says_how_to_make_one(path: Path) -> None:
    with pytest.raises(KeystoreError, match="bttnode init"):
        open_keystore(path, PASSWORD)


def test_a_folder_in_the_files_place_is_one_line(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(KeystoreError, match="cannot read"):
        open_keystore(path, PASSWORD)


# --- writing --------------------------------------------------------------------------------------------------------


def test_the_file_is_for_its_owner_only_from_the_first_byte(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    fsync = os.fsync

    def look(descriptor: int) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            modes.append(stat.S_IMODE(status.st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    old = os.umask(0)
    try:
        create(path, Secret(private_key=KEY), PASSWORD, scrypt_n=N)
        change_password(path, PASSWORD, "another", scrypt_n=N)
    finally:
        os.umask(old)
    assert modes == [0o600, 0o600]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_key_is_never_overwritten(made: Path) -> None:
    before = made.read_bytes()
    with pytest.raises(KeystoreError, match="already"):
        create(made, Secret(mnemonic=MNEMONIC), PASSWORD, scrypt_n=N)
    assert made.read_bytes() == before
    assert os.listdir(made.parent) == [made.name]


def test_a_changed_password_opens_and_the_old_one_does_not(made: Path) -> None:
    change_password(made, PASSWORD, "another", scrypt_n=N)
    assert open_keystore(made, "another").private_key == KEY
    with pytest.raises(WrongPasswordError):
        open_keystore(made, PASSWORD)
    assert os.listdir(made.parent) == [made.name]


def test_a_password_is_changed_only_by_who_knows_it(made: Path) -> None:
    before = made.read_bytes()
    with pytest.raises(WrongPasswordError):
        change_password(made, "guess", "another", scrypt_n=N)
    assert made.read_bytes() == before


def test_a_changed_password_leaves_no_old_box_behind_a_link(made: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(made)
    change_password(link, PASSWORD, "another", scrypt_n=N)
    assert link.is_symlink()
    assert open_keystore(made, "another").private_key == KEY


@pytest.mark.parametrize("step", ["fsync", "replace", "write"])
def test_a_failing_disk_leaves_the_old_file_whole(made: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    before = made.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    match step:
        case "fsync":
            monkeypatch.setattr(os, "fsync", fail)
        case "replace":
            monkeypatch.setattr(Path, "replace", fail)
        case "write":
            monkeypatch.setattr(os, "open", fail)
    with pytest.raises(KeystoreError, match="No space left"):
        change_password(made, PASSWORD, "another", scrypt_n=N)
    monkeypatch.undo()
    assert made.read_bytes() == before
    assert os.listdir(made.parent) == [made.name]


def test_a_file_is_on_disk_before_it_gets_its_name_and_the_name_before_success(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def replaced(source: Path, target: Path) -> Path:
        steps.append("name")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    change_password(made, PASSWORD, "another", scrypt_n=N)
    assert steps == ["file", "name", "folder"]


def test_a_file_in_the_folders_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("")
    with pytest.raises(KeystoreError, match="cannot write"):
        create(tmp_path / "keys" / "keystore.json", Secret(private_key=KEY), PASSWORD, scrypt_n=N)


# --- secrets --------------------------------------------------------------------------------------------------------


def test_no_secret_shows_in_a_repr() -> None:
    for secret in (Secret(mnemonic=MNEMONIC), Secret(private_key=KEY)):
        assert "junk" not in repr(secret)
        assert "F" * 8 not in repr(secret)
        assert "46" not in repr(secret)


def test_the_file_holds_nothing_readable(path: Path) -> None:
    create(path, Secret(mnemonic=MNEMONIC), PASSWORD, scrypt_n=N)
    text = path.read_text()
    assert "junk" not in text
    assert b"junk".hex() not in text
    assert derive(MNEMONIC).secret.hex() not in text


@pytest.mark.parametrize("password", ["", "p\udcffss"])
def test_an_unusable_password_is_refused_and_not_repeated(path: Path, password: str) -> None:
    message = complaint(KeystoreError, lambda: create(path, Secret(private_key=KEY), password, scrypt_n=N))
    assert "password" in message
    assert "\udcff" not in message
    assert "ss:" not in message
    assert not path.exists()


def test_a_mistyped_mnemonic_is_not_stored(path: Path) -> None:
    with pytest.raises(KeyFormatError):
        create(path, Secret(mnemonic=MNEMONIC.replace("junk", "test")), PASSWORD, scrypt_n=N)
    assert not path.exists()


def test_a_secret_is_a_mnemonic_or_a_key_but_not_both_or_neither() -> None:
    with pytest.raises(KeystoreError):
        Secret()
    with pytest.raises(KeystoreError):
        Secret(MNEMONIC, KEY)


def test_stored_objects_hang_on_the_seed_and_not_on_a_chains_key() -> None:
    secret = Secret(mnemonic=MNEMONIC)
    assert secret.storage_secret() == seed(MNEMONIC)
    assert len(secret.storage_secret()) == 64
    assert Secret(private_key=KEY).storage_secret() == KEY
