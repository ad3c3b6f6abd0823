"""Where a node keeps its things: one folder, chosen by option, variable or XDG, in that order."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from config.paths import Paths, find_home


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BTTNODE_HOME", raising=False)


def test_the_folder_comes_from_the_option_then_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BTTNODE_HOME", str(tmp_path / "variable"))
    assert find_home().home == tmp_path / "variable"
    assert find_home(tmp_path / "option").home == tmp_path / "option"


def test_without_both_it_is_the_xdg_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert find_home().home == tmp_path / "bttnode"


def test_an_empty_variable_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("BTTNODE_HOME", "")
    assert find_home().home == tmp_path / "bttnode"


def test_a_relative_folder_and_a_tilde_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert find_home(Path("node")).home == tmp_path / "node"
    monkeypatch.setenv("BTTNODE_HOME", "~/node")
    assert find_home().home == tmp_path / "me" / "node"


def test_everything_is_inside_the_folder_under_a_name_of_its_own(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    names = [name for name, value in vars(Paths).items() if isinstance(value, property)]
    files = [getattr(paths, name) for name in names]
    assert names
    assert all(file.parent == tmp_path for file in files)
    assert len(set(files)) == len(files)
    assert [field.name for field in dataclasses.fields(Paths)] == ["home"]
