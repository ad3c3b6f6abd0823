"""One account, 20 bytes, two spellings."""

from __future__ import annotations

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wallet.strategies import addresses
from tests.unit.wallet.support import complaint, load
from wallet.address import Address
from wallet.errors import AddressError
from wallet.keys import PrivateKey

VECTORS = load("addresses")
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["tron"])
def test_known_addresses_agree_in_every_form(case: dict[str, str]) -> None:
    address = Address.parse(case["tron"])
    assert address.tron == case["tron"]
    assert address.tron_hex == case["tronHex"]
    assert Address.parse(case["tronHex"]) == address
    if "evm" in case:
        assert address.evm == str(address) == case["evm"]
        assert Address.parse(case["evm"]) == address
    if "privateKey" in case:
        assert PrivateKey.from_hex(case["privateKey"]).address == address


@pytest.mark.parametrize("text", VECTORS["invalid"])
def test_known_bad_addresses_are_refused(text: str) -> None:
    with pytest.raises(AddressError):
        Address.parse(text)


@given(addresses)
def test_every_address_reads_back_from_every_form(address: Address) -> None:
    forms = [address.evm, address.evm.lower(), "0x" + address.evm[2:].upper(), address.tron, address.tron_hex]
    assert [Address.parse(f" {form}\n") for form in forms] == [address] * len(forms)
    assert bytes(address) == address.raw


@given(addresses)
def test_the_checksum_is_the_one_of_eip_55(address: Address) -> None:
    assert address.evm == to_checksum_address(address.raw)


@given(addresses, st.integers(2, 41))
def test_one_letter_in_the_wrong_case_is_noticed(address: Address, place: int) -> None:
    text = address.evm
    mistyped = text[:place] + text[place].swapcase() + text[place + 1 :]
    if mistyped in (text, text.lower(), "0x" + text[2:].upper()):
        return
    with pytest.raises(AddressError, match="mistyped"):
        Address.parse(mistyped)


@given(addresses, st.integers(1, 33), st.sampled_from(BASE58))
def test_one_mistyped_character_of_a_tron_address_is_noticed(address: Address, place: int, letter: str) -> None:
    text = address.tron
    mistyped = text[:place] + letter + text[place + 1 :]
    if mistyped == text:
        return
    with pytest.raises(AddressError):
        Address.parse(mistyped)


@given(st.text(max_size=80))
def test_any_other_text_is_refused_in_one_line(text: str) -> None:
    assert complaint(AddressError, lambda: Address.parse(text)).isprintable()


@pytest.mark.parametrize("secret", ["0x" + "4d" * 32, "4d" * 32, "abandon " * 11 + "about"])
def test_a_secret_pasted_where_an_address_belongs_is_not_repeated(secret: str) -> None:
    with pytest.raises(AddressError) as raised:
        Address.parse(secret)
    assert secret[:12] not in str(raised.value)


@given(st.lists(addresses, max_size=8))
def test_addresses_sort_by_their_bytes(found: list[Address]) -> None:
    assert [a.raw for a in sorted(found)] == sorted(a.raw for a in found)


@given(addresses)
def test_equal_addresses_are_one_key_of_a_table(address: Address) -> None:
    assert {address: 1}[Address(bytes(address))] == 1


@pytest.mark.parametrize("length", [0, 19, 21, 32])
def test_an_address_of_another_length_cannot_exist(length: int) -> None:
    with pytest.raises(AddressError):
        Address(bytes(length))
