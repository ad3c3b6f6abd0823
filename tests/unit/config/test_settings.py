"""Settings: the sample is the truth, mistakes are named, and nothing is guessed."""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.errors import ConfigError
from config.networks import load_network
from config.settings import MAX_FILE, Settings, load_settings, parse_settings, read_amounts, sample

ADDRESS = "0x23181F21DEa5936e24163FFABa4Ea3B316B57f3C"


def _keys(settings: dict[str, Any]) -> set[tuple[str, str]]:
    """Section and key of every setting; rails are sections of their own."""
    rails = {f"rail.{name}": rail for name, rail in settings["rail"].items()}
    sections = {name: section for name, section in settings.items() if name != "rail"} | rails
    return {(name, key) for name, section in sections.items() for key in section}


def uncommented(text: str) -> str:
    return re.sub(r"(?m)^#(?=\S)", "", text)


def test_the_sample_is_the_defaults() -> None:
    assert parse_settings(sample()) == Settings()


def test_what_the_sample_shows_as_defaults_are_the_defaults_and_are_complete() -> None:
    text = uncommented(sample())
    assert parse_settings(text) == Settings()
    assert _keys(tomllib.loads(text)) == _keys(Settings().model_dump())


def test_the_sample_explains_every_setting() -> None:
    lines = sample().splitlines()
    settings = [number for number, line in enumerate(lines) if re.match(r"#\w+ = ", line)]
    assert len(settings) == len(_keys(Settings().model_dump()))
    assert all(re.match(r"# .{12,}\.$", lines[number - 1]) for number in settings)


def test_the_sample_takes_what_was_chosen_at_init() -> None:
    text = sample({"speed": {"max_price": '"3 BTT/GiB"'}, "node": {"listen": '["127.0.0.1:0"]'}})
    found = parse_settings(text)
    assert found.node.listen == ("127.0.0.1:0",)
    assert found.speed.max_price == 3 * 10**18 // 1024 + (3 * 10**18 % 1024 > 0)
    assert found.model_dump(exclude_unset=True).keys() == {
        "node",
        "speed",
        "storage",
        "rail",
        "wallet",
        "api",
        "settlement",
        "log",
    }


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("speed", "sel", "true", "speed.sel: no such setting"),
        ("sped", "sell", "true", "sped.sell: no such setting"),
        ("log", "level", "debug", "log.level: not a TOML value: put text in quotes"),
        ("log", "level", '"debug"\n[api]\nport = 1', "log.level: not a TOML value"),
        ("speed", "sell", "true\nbuy = false", "speed.sell: not a TOML value"),
        ("node", "upload_limit", '"fast"', "node.upload_limit: 'fast' is not a size"),
        ("node", "upload_limit", "[" * 5000, "node.upload_limit: not a TOML value"),
    ],
)
def test_a_wrong_choice_at_init_writes_no_sample(section: str, key: str, value: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as found:
        sample({section: {key: value}})
    assert "\n" not in str(found.value)


def test_an_empty_file_is_a_valid_one(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    assert load_settings(tmp_path / "config.toml") == Settings()


MISTAKES = [
    ("x = 1", "x: no such setting"),
    ("node = 1", "node: write it as a table"),
    ("[speed]\nsel = true", "speed.sel: no such setting"),
    ('[speed]\n"a\\nb" = true', "speed.'a\\nb': no such setting"),
    ("[speed]\nsel = 1\nby = 2", "(and 1 more)"),
    ('[node]\nupload_limit = "fast"', "node.upload_limit: 'fast' is not a size"),
    ("[node]\nupload_limit = -1", "node.upload_limit: Input should be greater than or equal to 0"),
    ("[node]\nupload_limit = 2.0", "node.upload_limit: write a whole number"),
    ("[node]\nupload_limit = true", "node.upload_limit: write a whole number"),
    ('[node]\nmax_connections = "5"', "node.max_connections: write a whole number"),
    ('[node]\ndht = "yes"', "node.dht: write true or false"),
    ("[node]\ndht = 1", "node.dht: write true or false"),
    ("[node]\noutgoing = 5", "node.outgoing: write it in quotes"),
    ('[node]\nlisten = "0.0.0.0:6881"', "node.listen: write a list, in brackets"),
    ("[node]\nlisten = [6881]", "node.listen.0: write it in quotes"),
    ('[node]\nlisten = ["0.0.0.0:1", "::1:6881"]', "node.listen.1: write it as HOST:PORT"),
    ('[node]\nlisten = ["0.0.0.0:65536"]', "node.listen.0: write it as HOST:PORT"),
    ('[speed]\nreserve_price = "1 EUR/GiB"', "speed.reserve_price: 'EUR' is not the token"),
    ('[speed]\nreserve_price = "-1"', "speed.reserve_price: '-1' is not a price"),
    ("[speed]\nmax_price = 5", 'speed.max_price: write it in quotes with its unit, such as "2000 BTT/GiB"'),
    ("[speed]\nmax_price = 1.5", "speed.max_price: write it in quotes"),
    ("[speed]\nper_day = 100", 'speed.per_day: write it in quotes with its unit, such as "100 BTT"'),
    ("[speed]\ntotal = false", "speed.total: write it in quotes"),
    ('[speed]\nper_day = "1e3 BTT"', "speed.per_day: '1e3 BTT' is not an amount"),
    ("[speed]\nquantum = 0", "speed.quantum: Input should be greater than or equal to 1"),
    ('[speed]\nnewcomer_credit = "2 MiB"\ncredit_cap = "1 MiB"', "speed: newcomer_credit is larger than credit_cap"),
    ("[speed]\nstall_timeout = nan", "speed.stall_timeout: Input should be a finite number"),
    ("[rail.doge]", "rail: unknown rail 'doge': choose one of devnet-bttc"),
    ("[rail]", "rail: Dictionary should have at least 1 item"),
    ("[rail.bttc]\n[rail.devnet-bttc]", "rail: bttc and devnet-bttc are the same chain"),
    ("[network]", "network: no such setting"),
    (f'[rail.bttc]\ntoken = "{ADDRESS[:-1]}"', "rail.bttc.token: "),
    (f'[rail.bttc]\nvault = "{ADDRESS.swapcase().replace("0X", "0x")}"', "rail.bttc.vault: "),
    ('[rail.bttc]\nmax_fee = "much"', "rail: bttc: max_fee: 'much' is not an amount"),
    ('[rail.nile]\nmax_fee = "1 BTT"', "rail: nile: max_fee: 'BTT' is not the token expected here: write TRX"),
    ('[rail.nile]\nfee_rate = "1 TRX"', "rail: nile: fee_rate: 'TRX' is not the token expected here: write BTT"),
    ("[rail.bttc]\nmax_fee = 5", "rail.bttc.max_fee: write it in quotes"),
    ('[api]\nhost = ""', "api.host: String should have at least 1 character"),
    ("[api]\nport = 70000", "api.port: Input should be less than or equal to 65535"),
    ("[settlement]\nfee_permille = 0", "settlement.fee_permille: "),
    ('[log]\nlevel = "loud"', "log.level: Input should be 'debug', 'info', 'warning' or 'error'"),
    ("[", "not valid TOML"),
    ("a = " + "[" * 200_000, "not valid TOML: nested too deeply"),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES)
def test_a_mistake_is_one_line_with_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError) as found:
        load_settings(tmp_path / "config.toml")
    message = str(found.value)
    assert message.startswith(f"{tmp_path / 'config.toml'}: ")
    assert words in message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('[node]\nupload_limit = "20 MB/s"', ("node", "upload_limit", 20_000_000)),
        ("[node]\nupload_limit = 1024", ("node", "upload_limit", 1024)),
        ('[node]\nupload_limit = "auto"', ("node", "upload_limit", None)),
        ('[node]\nlisten = ["[fe80::1%eth0]:0", "node:1"]', ("node", "listen", ("[fe80::1%eth0]:0", "node:1"))),
        ('[speed]\nreserve_price = "5 BTT/GiB"', ("speed", "reserve_price", -(-5 * 10**18 // 1024))),
        ("[speed]\nreserve_price = 0", ("speed", "reserve_price", 0)),
        ('[speed]\nper_day = "1.5 BTT"', ("speed", "per_day", 15 * 10**17)),
        ('[speed]\nper_day = "0"', ("speed", "per_day", 0)),
        ('[speed]\nper_day = " "', ("speed", "per_day", None)),
    ],
)  # fmt: skip
def test_units_are_read_exactly(line: str, value: tuple[str, str, object]) -> None:
    section, key, wanted = value
    assert getattr(getattr(parse_settings(line), section), key) == wanted


def test_an_api_key_in_an_endpoint_stays_out_of_errors_and_reprs() -> None:
    with pytest.raises(ConfigError, match=r"rail\.bttc\.endpoints\.0: an endpoint is not a URL") as found:
        parse_settings('[rail.bttc]\nendpoints = ["htp://host/SECRET"]')
    assert "SECRET" not in str(found.value)
    right = parse_settings('[rail.bttc]\nendpoints = ["https://host/SECRET"]')
    assert right.rail["bttc"].endpoints == ("https://host/SECRET",)
    assert "SECRET" not in repr(right)


def test_the_sample_has_one_section_for_each_rail_and_keeps_their_order() -> None:
    text = sample({"rail.nile": {"max_fee": '"5 TRX"'}, "rail.donau": {}})
    found = parse_settings(text)
    assert list(found.rail) == ["nile", "donau"]
    assert found.rail["nile"].max_fee == "5 TRX"
    assert read_amounts(load_network("nile"), found.rail["nile"]) == (5_000_000, None)


def test_settings_do_not_change_while_the_node_runs() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().speed.sell = False


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bttnode init"):
        load_settings(tmp_path / "config.toml")


@pytest.mark.parametrize(
    ("data", "words"), [(b"\xff\xfe", "not UTF-8 text"), (b"#" * (MAX_FILE + 1), "longer than 1048576 bytes")]
)
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "config.toml").write_bytes(data)
    with pytest.raises(ConfigError, match=words):
        load_settings(tmp_path / "config.toml")


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="directory"):
        load_settings(tmp_path)


KEYS = sorted(_keys(Settings().model_dump()))
VALUES = st.one_of(
    st.sampled_from(["true", "-1", "nan", '"5 BTT/GiB"', '"1 MiB"', "[]", "{}", "1979-05-27", '["x"]', '""']),
    st.integers().map(str),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
)


@given(st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=4))
def test_any_file_is_settings_or_a_config_error(lines: list[tuple[tuple[str, str], str]]) -> None:
    with suppress(ConfigError):
        parse_settings("\n".join(f"{name}.{key} = {value}" for (name, key), value in lines))
