"""Commands that need no running node, and what is printed of a stranger's words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from config.settings import load_settings
from node.cli.client import Client
from node.cli.context import PASSWORD_VARIABLE
from node.cli.main import main
from wallet import keystore

SECRET = "correct horse"
CONTRACT = "0x" + "11" * 20


def run(*arguments: str, password: str | None = SECRET) -> Result:
    return CliRunner(env={PASSWORD_VARIABLE: password}).invoke(main, list(arguments), prog_name="bttnode")


@pytest.fixture(autouse=True)
def cheap_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore.create, "__kwdefaults__", {"scrypt_n": 2**4})


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def test_init_makes_a_key_and_settings_that_load(tmp_path: Path) -> None:
    home = tmp_path / "home [bold] with /odd signs"
    result = run("--home", str(home), "--json", "init", "--api-port", "0", "--set", 'speed.max_price="5/GiB"')
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert keystore.address_of(home / "keystore.json").evm == found["address"]
    assert keystore.open_keystore(home / "keystore.json", SECRET).mnemonic == found["mnemonic"]
    settings = load_settings(home / "config.toml")
    assert settings.api.port == 0
    assert settings.speed.max_price > 0
    assert (home / "keystore.json").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--network", "foo"), "unknown rail 'foo'"),
        (("--api-port", "99999"), "api.port"),
        (("--set", "api.port=99999"), "api.port"),
        (("--set", "nonsense"), "section.key=value"),
        (("--set", 'speed.max_price="cheap"'), "speed.max_price"),
    ],
)
def test_init_that_fails_leaves_nothing_behind(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    refused(run("--home", str(tmp_path / "home"), "init", *arguments), words)
    assert list((tmp_path / "home").glob("*")) == []


def test_init_that_cannot_write_its_key_can_be_tried_again(tmp_path: Path) -> None:
    refused(run("--home", str(tmp_path), "init", password=""), "password is empty")
    assert list(tmp_path.iterdir()) == []
    assert run("--home", str(tmp_path), "init").exit_code == 0


@pytest.mark.parametrize("existing", ["config.toml", "keystore.json"])
def test_init_overwrites_nothing(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("mine")
    refused(run("--home", str(tmp_path), "init"), existing, "is here already")
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "mine"


def test_a_password_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(b"\xff\xfe")
    refused(run("--home", str(tmp_path), "init", "--password-file", str(tmp_path / "password")), "UTF-8")


@pytest.mark.parametrize("storage", [{}, {"storage_market": CONTRACT, "host_registry": CONTRACT}])
def test_init_takes_the_contracts_out_of_a_deployment(tmp_path: Path, storage: dict[str, str]) -> None:
    found = {"url": "http://127.0.0.1:1", "chain": "eip155:199", "token": CONTRACT, "vault": CONTRACT, **storage}
    (tmp_path / "deployment.json").write_text(json.dumps(found))
    result = run("--home", str(tmp_path / "home"), "init", "--deployment", str(tmp_path / "deployment.json"))
    assert result.exit_code == 0, result.output
    rail = load_settings(tmp_path / "home" / "config.toml").rail["devnet-bttc"]
    assert (rail.token, rail.vault) == (CONTRACT, CONTRACT)
    assert (rail.storage_market, rail.host_registry) == (2 * (CONTRACT,) if storage else ("", ""))


@pytest.mark.parametrize("content", ["", "[]", "{}", "\x00", '{"url": "u", "token": "t"}'])
def test_a_file_that_is_no_deployment_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "deployment").write_text(content)
    deployment = str(tmp_path / "deployment")
    refused(run("--home", str(tmp_path / "home"), "init", "--deployment", deployment), "not a deployment file")


@pytest.mark.parametrize("peer", ["1.2.3.4", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:²", ":5", "1.2.3.4:" + "9" * 5000])
def test_what_is_no_peer_address_is_refused(tmp_path: Path, peer: str) -> None:
    refused(run("--home", str(tmp_path), "add", "magnet:?xt=", "--peer", peer), "not a peer address")


def test_create_overwrites_nothing_and_names_what_is_missing(tmp_path: Path) -> None:
    refused(run("create", str(tmp_path / "nothing")), "nothing")
    (tmp_path / "data").write_bytes(b"x" * 1000)
    (tmp_path / "data.torrent").write_text("mine")
    refused(run("create", str(tmp_path / "data")), "is here already")
    assert (tmp_path / "data.torrent").read_text() == "mine"


HOSTILE = "[/bold] :smile: \x1b[2J\x07 \u202egpj"


def torrent(name: str) -> dict[str, Any]:
    numbers = dict.fromkeys(("total_bytes", "download_rate", "upload_rate", "peers", "progress"), 0)
    return {"id": "ab" * 20, "name": name, "state": "error", "error": name, "spent": "0", **numbers}


def test_names_of_strangers_are_printed_as_they_are_and_command_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own: dict[str, Any] = {"address": "0x0", "rails": ["devnet-bttc"], "listen_port": 1, "sells": False}
    strange = {"chain_fault": HOSTILE, "faults": [HOSTILE], "torrents": [torrent(HOSTILE)]}
    status = {**own, **strange, "reserve_price": "0", "deposit_free": None}
    monkeypatch.setattr(Client, "get", lambda self, path: status)
    monkeypatch.setenv("COLUMNS", "300")
    result = run("--home", str(tmp_path), "status")
    assert result.exit_code == 0, result.exception
    assert "[/bold] :smile: " in result.stdout
    assert result.stdout.replace("\n", "").isprintable()
    assert json.loads(run("--home", str(tmp_path), "--json", "status").stdout) == status


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory"),
        (b"", "holds no text"),
        (b"\xff\xfe", "holds no text"),
        (b"{" * 1025, "more than 1024 bytes"),
        (b"{}", "no node is running"),
    ],
)
def test_what_cannot_be_a_btfs_cheque_is_not_sent_to_the_node(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "cheque.json"
    if content is not None:
        file.write_bytes(content)
    result = run("--home", str(tmp_path), "btfs", "receive", str(file))
    assert result.exit_code == (3 if words == "no node is running" else 1)
    assert (words in result.stderr, result.stderr.count("\n")) == (True, 1)


def test_a_btfs_cheque_is_never_issued_unasked_nor_over_a_file(tmp_path: Path) -> None:
    issue = ("--home", str(tmp_path), "btfs", "issue", "0x" + "11" * 20, "0x" + "22" * 20, "5")
    refused(run(*issue), "nobody can be asked")
    file = tmp_path / "cheque.json"
    file.write_text("precious")
    refused(run(*issue, "-o", str(file), "--yes"), "exists already")
    assert file.read_text() == "precious"
