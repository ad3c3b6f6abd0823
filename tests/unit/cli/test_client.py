"""The command line's side of the API: whatever answers, the user sees one line and keeps the token."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.paths import Paths
from node.cli.client import FAILED, NOT_RUNNING, Client, CliError, fail, printable, torrent_path

TOKEN = "a-token-of-more-than-thirty-two-characters"


@contextmanager
def answering(folder: Path, answer: bytes) -> Iterator[tuple[Client, list[bytes]]]:
    """A program that says `answer` to whoever connects, on the port where a node's folder says the node is."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        (folder / "api.json").write_text(json.dumps({"url": f"http://127.0.0.1:{server.getsockname()[1]}"}))
        (folder / "api-token").write_text(TOKEN + "\n")
        try:
            yield Client(Paths(folder)), heard
        finally:
            with socket.socket() as wake:
                wake.connect_ex(server.getsockname())
            thread.join(10)


def http(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        http("200 OK", b"<html>hello</html>"),
        http("200 OK", b"\xff\xfe"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
    ids=["no http", "no json", "no text", "cut short", "many headers"],
)
def test_another_program_on_the_port_is_told_apart(tmp_path: Path, answer: bytes) -> None:
    with answering(tmp_path, answer) as (client, _), pytest.raises(CliError, match="is no node"):
        client.get("/v1/status")


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b'{"other": 1}', b"\xff"])
def test_a_refusal_in_another_form_is_told_with_its_code(tmp_path: Path, body: bytes) -> None:
    with answering(tmp_path, http("503 Busy", body)) as (client, _), pytest.raises(CliError, match="503"):
        client.get("/v1/status")


def test_a_refusal_carries_the_nodes_words(tmp_path: Path) -> None:
    body = json.dumps({"error": "the vault is empty", "hint": "deposit first"}).encode()
    with answering(tmp_path, http("400 Bad", body)) as (client, _), pytest.raises(CliError) as found:
        client.get("/v1/status")
    assert (str(found.value), found.value.hint, found.value.code) == ("the vault is empty", "deposit first", FAILED)


def test_the_token_is_never_handed_to_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "proxy").mkdir()
    with (
        answering(tmp_path / "proxy", http("200 OK", b"{}")) as (proxy, overheard),
        answering(tmp_path, http("200 OK", b'{"mine": true}')) as (client, heard),
    ):
        address = json.loads(proxy.paths.api.read_text())["url"]
        for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(variable, address)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert client.get("/v1/status") == {"mine": True}
        assert TOKEN.encode() in heard[0]
        assert overheard == []


@pytest.mark.parametrize("text", [None, "", "[]", "7", '{"url": 7}', '{"url": "file:///etc/passwd"}', '{"uri": ""}'])
def test_without_a_usable_address_no_node_is_running(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "api.json").write_text(text)
    (tmp_path / "api-token").write_text(TOKEN)
    with pytest.raises(CliError, match="no node is running") as found:
        Client(Paths(tmp_path)).get("/v1/status")
    assert found.value.code == NOT_RUNNING


@given(st.text(min_size=1))
def test_any_name_of_a_torrent_stays_one_part_of_the_path(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return  # no argument of a program can be that
    path = torrent_path(name, "pause")
    assert path.isascii()
    assert path.isprintable()
    assert not set(path) & set(" ?#")
    parts = path.split("/")
    assert len(parts) == 5
    assert unquote(parts[3]) == name


@given(st.text())
def test_no_text_of_a_stranger_can_command_the_terminal(text: str) -> None:
    assert all(character.isprintable() or character == "\n" for character in printable(text))
    assert len(printable(text)) == len(text)


def test_a_failure_is_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fail(CliError("torrent \x1b[2J\nnamed \u202egpj.exe", "a hint", 4))
    assert ended.value.code == 4
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.strip().isprintable()
