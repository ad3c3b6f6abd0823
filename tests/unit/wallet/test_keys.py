"""Keys, signatures and mnemonics against other implementations."""

from __future__ import annotations

import copy
import pickle

import pytest
from eth_account import Account
from eth_account.hdaccount import seed_from_mnemonic
from eth_keys.datatypes import PrivateKey as EthKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.wallet.strategies import digests, private_keys
from tests.unit.wallet.support import complaint
from wallet.errors import BadSignatureError, KeyFormatError
from wallet.keys import (
    CURVE_ORDER,
    EVM_PATH,
    HALF_ORDER,
    TRON_PATH,
    PrivateKey,
    compact_signature,
    derive,
    expand_signature,
    keccak256,
    new_mnemonic,
    normalise_mnemonic,
    recover,
    seed,
)

JUNK = "test test test test test test test test test test test junk"
ABANDON = "abandon " * 11 + "about"
KEY = PrivateKey(b"\x46" * 32)
DIGEST = keccak256(b"a message")

# --- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    [bytes(32), CURVE_ORDER.to_bytes(32, "big"), b"\xff" * 32, b"", b"\x01" * 31, b"\x01" * 33],
    ids=["zero", "order", "above", "empty", "short", "long"],
)
def test_a_number_that_is_no_private_key_is_refused(secret: bytes) -> None:
    with pytest.raises(KeyFormatError):
        PrivateKey(secret)


@pytest.mark.parametrize("text", ["", "0x", "46" * 31, "46" * 33, "zz" * 32, "0x" + "4g" * 32])
def test_text_that_is_no_private_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(KeyFormatError) as raised:
        PrivateKey.from_hex(text)
    assert "46" not in str(raised.value)
    assert "4g" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_hex_is_read_with_and_without_prefix() -> None:
    assert PrivateKey.from_hex("0x" + "46" * 32).address == PrivateKey.from_hex("46" * 32).address == KEY.address


@given(private_keys)
@settings(max_examples=30)
def test_public_key_and_address_agree_with_eth_keys(key: PrivateKey) -> None:
    other = EthKey(key.secret).public_key
    assert key.public_key == b"\x04" + other.to_bytes()
    assert key.address.raw == other.to_canonical_address()


def test_the_secret_shows_nowhere() -> None:
    secret = KEY.secret
    for text in (repr(KEY), str(KEY), f"{KEY}", f"{[KEY]}"):
        assert secret.hex() not in text
        assert repr(secret)[2:-1] not in text
        assert str(int.from_bytes(secret, "big")) not in text
    with pytest.raises(TypeError):
        pickle.dumps(KEY)
    with pytest.raises(TypeError):
        copy.copy(KEY)


# --- signatures -----------------------------------------------------------------------------------------------------


@given(private_keys, digests)
@settings(max_examples=50)
def test_a_signature_names_its_signer_and_is_canonical(key: PrivateKey, digest: bytes) -> None:
    signature = key.sign_digest(digest)
    assert recover(digest, signature) == key.address
    assert len(signature) == 65
    assert signature[64] in (27, 28)
    assert int.from_bytes(signature[32:64], "big") <= HALF_ORDER
    assert key.sign_digest(digest) == signature


@given(private_keys, digests)
@settings(max_examples=20, deadline=None)  # the oracle's first call imports a lot
def test_signatures_are_those_of_eth_account(key: PrivateKey, digest: bytes) -> None:
    assert key.sign_digest(digest) == bytes(Account.unsafe_sign_hash(digest, key.secret).signature)


@given(private_keys, digests, st.integers(0, 65 * 8 - 1))
@settings(max_examples=100)
def test_no_flipped_bit_leaves_a_signature_of_the_same_signer(key: PrivateKey, digest: bytes, bit: int) -> None:
    signature = bytearray(key.sign_digest(digest))
    signature[bit // 8] ^= 1 << bit % 8
    try:
        signer = recover(digest, bytes(signature))
    except BadSignatureError:
        return
    assert signer != key.address


@given(private_keys, digests)
@settings(max_examples=30)
def test_the_malleable_twin_of_a_signature_is_refused(key: PrivateKey, digest: bytes) -> None:
    signature = key.sign_digest(digest)
    high = CURVE_ORDER - int.from_bytes(signature[32:64], "big")
    twin = signature[:32] + high.to_bytes(32, "big") + bytes((55 - signature[64],))
    with pytest.raises(BadSignatureError, match="lower half"):
        recover(digest, twin)


_R, _S = KEY.sign_digest(DIGEST)[:32], KEY.sign_digest(DIGEST)[32:64]


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        _R + _S,
        _R + _S + b"\x1b\x00",
        *(_R + _S + bytes((v,)) for v in (0, 1, 26, 29, 30, 255)),
        bytes(32) + _S + b"\x1b",
        _R + bytes(32) + b"\x1b",
        b"\xff" * 32 + _S + b"\x1b",
        CURVE_ORDER.to_bytes(32, "big") + _S + b"\x1b",
        _R + CURVE_ORDER.to_bytes(32, "big") + b"\x1b",
        (5).to_bytes(32, "big") + _S + b"\x1b",  # no point of the curve has this x
        bytes(65),
    ],
)
def test_a_malformed_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(BadSignatureError):
        recover(DIGEST, signature)


@pytest.mark.parametrize("v", [29, 30])
def test_recovery_ids_for_points_beyond_the_order_are_refused(v: int) -> None:
    """For half of these r the curve has a point at r + order, which v 29 and 30 would name; no contract takes them."""
    for r in range(1, 21):
        with pytest.raises(BadSignatureError, match=f"v is {v}"):
            recover(DIGEST, r.to_bytes(32, "big") + _S + bytes((v,)))


@given(st.binary(min_size=60, max_size=70))
def test_arbitrary_bytes_either_recover_or_are_a_bad_signature(signature: bytes) -> None:
    assert complaint(BadSignatureError, lambda: recover(DIGEST, signature)).isprintable()


@pytest.mark.parametrize("length", [0, 31, 33])
def test_only_a_whole_digest_is_signed_or_checked(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        KEY.sign_digest(bytes(length))
    with pytest.raises(ValueError, match="32 bytes"):
        recover(bytes(length), KEY.sign_digest(DIGEST))


def test_keccak_is_the_original_one() -> None:
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


# --- mnemonics ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mnemonic", "path", "address"),
    [
        (JUNK, EVM_PATH.format(index=0), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
        (JUNK, EVM_PATH.format(index=1), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
        (ABANDON, EVM_PATH.format(index=0), "0x9858EfFD232B4033E47d90003D41EC34EcaEda94"),
        (ABANDON, TRON_PATH.format(index=0), "TUEZSdKsoDHQMeZwihtdoBiN46zxhGWYdH"),
    ],
)
def test_known_mnemonics_give_known_accounts(mnemonic: str, path: str, address: str) -> None:
    found = derive(mnemonic, path=path).address
    assert address in (found.evm, found.tron)


def test_the_first_evm_account_is_the_default() -> None:
    assert derive(JUNK).address == derive(JUNK, path=EVM_PATH.format(index=0)).address


@given(st.integers(0, 2**31 - 1), st.sampled_from([EVM_PATH, TRON_PATH]), st.text(max_size=10))
@settings(max_examples=8, deadline=None)  # PBKDF2 twice each
def test_derivation_agrees_with_eth_account(index: int, path: str, passphrase: str) -> None:
    Account.enable_unaudited_hdwallet_features()
    path = path.format(index=index)
    try:
        passphrase.encode()
    except UnicodeEncodeError:
        with pytest.raises(KeyFormatError):
            derive(JUNK, passphrase, path)
        return
    assert derive(JUNK, passphrase, path).address.evm == Account.from_mnemonic(JUNK, passphrase, path).address


def test_the_seed_is_that_of_bip_39() -> None:
    assert seed(ABANDON, "TREZOR").hex() == (
        "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e53495531f09a6987599d18264c1e1c92f2cf141"
        "630c7a3c4ab7c81b2f001698e7463b04"
    )
    assert seed(JUNK) == seed_from_mnemonic(JUNK, "")


@pytest.mark.parametrize(("size", "words"), [(16, 12), (20, 15), (24, 18), (28, 21), (32, 24)])
def test_entropy_becomes_a_mnemonic_that_is_valid(size: int, words: int) -> None:
    mnemonic = new_mnemonic(bytes(range(size)))
    assert len(mnemonic.split()) == words
    assert normalise_mnemonic(mnemonic) == mnemonic


def test_zero_entropy_is_the_known_mnemonic() -> None:
    assert new_mnemonic(bytes(16)) == ABANDON


@pytest.mark.parametrize("size", [0, 15, 17, 33])
def test_entropy_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(KeyFormatError):
        new_mnemonic(bytes(size))


def test_spaces_lines_and_case_of_a_typed_mnemonic_do_not_matter() -> None:
    typed = "  Test test\ntest TEST test test\ttest test test test\u3000test  junk \n"
    assert normalise_mnemonic(typed) == JUNK
    assert derive(typed).address == derive(JUNK).address


@pytest.mark.parametrize(
    ("mnemonic", "complaint"),
    [
        ("", "not 0"),
        (JUNK + " junk", "not 13"),
        (JUNK.replace("junk", "test"), "checksum"),
        ("junk" + JUNK.removesuffix("junk").removeprefix("test") + "test", "checksum"),
        (JUNK.replace("junk", "jumk"), "word 12"),
        (JUNK.replace("test", "tset", 1), "word 1 "),
        (JUNK.replace("junk", "\udcff"), "word 12"),
    ],
)
def test_a_mistyped_mnemonic_is_refused_and_none_of_its_words_repeated(mnemonic: str, complaint: str) -> None:
    with pytest.raises(KeyFormatError, match=complaint) as raised:
        derive(mnemonic)
    assert not {"test", "junk", "jumk", "tset"} & set(str(raised.value).split())


@pytest.mark.parametrize(
    "path",
    ["", "m", "m/", "44'/60'", "m/44'/60'/0'/0/-1", "m/44'/60'/0'/0/x", "m/2147483648", "m/44''/0", "m/0/" * 9, "m/١"],
)
def test_a_bad_derivation_path_is_refused(path: str) -> None:
    with pytest.raises(KeyFormatError, match="derivation path"):
        derive(JUNK, path=path)


# --- compact signatures -----------------------------------------------------------------------------------------------


def test_compact_form_is_that_of_eip_2098() -> None:
    # Both examples of the EIP.
    r = bytes.fromhex("68a020a209d3d56c46f38cc50a33f704f4a9a10a59377f8dd762ac66910e9b90")
    s = bytes.fromhex("7e865ad05c4035ab5792787d4a0297a43617ae897930a6fe4d822b8faea52064")
    assert compact_signature(r + s + b"\x1b") == (r, s)
    r = bytes.fromhex("9328da16089fcba9bececa81663203989f2df5fe1faa6291a45381c81bd17f76")
    s = bytes.fromhex("139c6d6b623b42da56557e5e734a43dc83345ddfadec52cbe24d0cc64f550793")
    vs = bytes.fromhex("939c6d6b623b42da56557e5e734a43dc83345ddfadec52cbe24d0cc64f550793")
    assert compact_signature(r + s + b"\x1c") == (r, vs)


@given(private_keys, digests)
def test_compact_form_loses_nothing(key: PrivateKey, digest: bytes) -> None:
    signature = key.sign_digest(digest)
    assert expand_signature(*compact_signature(signature)) == signature


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(65), bytes(32) + b"\x80" + bytes(31) + b"\x1b", bytes(66)])
def test_what_is_not_canonical_has_no_compact_form(signature: bytes) -> None:
    with pytest.raises(BadSignatureError):
        compact_signature(signature)
