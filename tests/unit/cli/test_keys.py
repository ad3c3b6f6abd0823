"""Keys through the command line: made once, imported from standard input only, and real money only when it is meant."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

WORDS = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
ADDRESS = "0x9858EfFD232B4033E47d90003D41EC34EcaEda94"
"""Account 0 of these words at m/44'/60'/0'/0/0, as every EVM wallet shows it."""
KEY = "0x" + "46" * 32
KEY_ADDRESS = "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"


def bttnode(home: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node.cli", "--home", str(home), "--json", *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"BTTNODE_PASSWORD": "secret-password", "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
    )


@pytest.mark.parametrize(
    ("arguments", "given", "address"), [((), WORDS, ADDRESS), (("--private-key",), KEY, KEY_ADDRESS)]
)
def test_a_key_that_exists_is_imported_from_standard_input(
    tmp_path: Path, arguments: tuple[str, ...], given: str, address: str
) -> None:
    done = bttnode(tmp_path, "wallet", "import", *arguments, given=f"{given}\n")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["address"] == address
    assert json.loads(bttnode(tmp_path, "wallet", "address").stdout)["evm"] == address
    again = bttnode(tmp_path, "wallet", "import", *arguments, given=f"{given}\n")
    assert again.returncode == 1
    assert "is here already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ((), WORDS.replace("about", "abandon")),
        ((), "abandon about"),
        (("--private-key",), KEY[:-2]),
        (("--private-key",), "0x" + "00" * 32),
        (("--private-key",), WORDS),
        ((), ""),
    ],
)
def test_a_key_that_is_none_is_refused_without_repeating_it(
    tmp_path: Path, arguments: tuple[str, ...], given: str
) -> None:
    done = bttnode(tmp_path, "wallet", "import", *arguments, given=f"{given}\n")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert not given or given not in done.stderr
    assert not (tmp_path / "keystore.json").exists()


def test_a_new_key_shows_its_words_once_and_they_restore_it(tmp_path: Path) -> None:
    made = json.loads(bttnode(tmp_path / "a", "wallet", "new", "--words", "24").stdout)
    assert len(made["mnemonic"].split()) == 24
    restored = bttnode(tmp_path / "b", "wallet", "import", given=made["mnemonic"] + "\n")
    assert json.loads(restored.stdout)["address"] == made["address"]
    assert json.loads(bttnode(tmp_path / "a", "wallet", "backup").stdout)["mnemonic"] == made["mnemonic"]


def test_a_main_network_starts_only_after_real_money_was_allowed_once(tmp_path: Path) -> None:
    bttnode(tmp_path, "init", "--network", "bttc", "--set", 'rail.bttc.vault="0x' + "11" * 20 + '"')
    refused = bttnode(tmp_path, "up")
    assert refused.returncode == 1
    assert "bttc (REAL MONEY)" in refused.stderr
    assert "--real-money" in refused.stderr
    assert not (tmp_path / "real-money").exists()
