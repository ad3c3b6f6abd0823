"""Settings: the sample is the truth, and mistakes are named."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.networks import NAMES, load_network
from config.paths import find_home
from config.settings import Settings, load_settings, sample


def test_the_sample_says_exactly_the_defaults() -> None:
    text = sample()
    assert Settings.model_validate(tomllib.loads(text)) == Settings()
    for section, field in Settings.model_fields.items():
        assert f"[{section}]" in text
        for key, option in field.annotation.model_fields.items():  # type: ignore[union-attr]  # every section is a model
            assert option.description, f"{section}.{key} has no explanation"


def test_an_empty_file_is_a_valid_one(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    assert load_settings(tmp_path / "config.toml") == Settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[speed]\nsel = true", "speed.sel"),
        ('[node]\nupload_limit = "fast"', "node.upload_limit"),
        ("[api]\nport = 70000", "api.port"),
        ("[settlement]\nfee_permille = 0", "settlement.fee_permille"),
        ('[speed]\nmax_price = "1 EUR/GiB"', "speed.max_price"),
        ("[", "TOML"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError) as found:
        load_settings(tmp_path / "config.toml")
    assert words in str(found.value)
    assert "config.toml" in str(found.value)
    assert "\n" not in str(found.value)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bttnode init"):
        load_settings(tmp_path / "config.toml")


def test_every_network_profile_loads_and_an_unknown_one_lists_them() -> None:
    assert [load_network(name).name for name in NAMES] == list(NAMES)
    with pytest.raises(ConfigError, match="devnet-bttc"):
        load_network("nonsense")


def test_the_folder_comes_from_the_option_then_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BTTNODE_HOME", str(tmp_path / "variable"))
    assert find_home().home == tmp_path / "variable"
    assert find_home(tmp_path / "option").home == tmp_path / "option"
