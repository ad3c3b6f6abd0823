"""What people see of a race, in a terminal, in a log and as a picture."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from node.demo.chart import HEIGHT, LEVELS, WIDTH, Watch, area, drawing, plain_line, step_for
from node.demo.plot import save
from node.demo.processes import DemoError
from node.demo.race import Race
from tests.unit.demo.test_race import CAPACITY, SIZE, lane, race


def shown(found: Race, *, ascii_only: bool = False) -> str:
    console = Console(file=io.StringIO(), width=120)
    with console.capture() as capture:
        console.print(drawing(found, ascii_only=ascii_only))
    return capture.get()


def test_columns_are_as_high_as_their_values() -> None:
    assert area([0, 1, 2, 4, 8], 8, 2) == ["    █", " ▂▄██"]
    assert area([], 8, 2) == ["", ""]


@given(st.lists(st.floats(0, 1e9)), st.floats(1, 1e9), st.integers(1, 8))
def test_a_chart_keeps_its_size_whatever_the_values(values: list[float], top: float, height: int) -> None:
    rows = area(values, top, height)
    assert [len(row) for row in rows] == [len(values)] * height
    assert set("".join(rows)) <= set(LEVELS)


@given(st.floats(0, 1e6))
def test_a_race_of_any_length_fits_in_the_chart(seconds: float) -> None:
    assert seconds / step_for(seconds, WIDTH) <= WIDTH


def test_the_drawing_says_who_pays_what_and_who_is_done() -> None:
    found = race(5.0, None)
    found.payer.spent = 1_234_567_890_123_456_789
    text = shown(found)
    for words in ("payer", "done in 5.0 s", "paid 1.23 BTT", "free", "pays nothing", "50 %, 0.8 MB/s"):
        assert words in text
    assert len(text.splitlines()) == 2 * (HEIGHT + 1)


def test_a_terminal_without_blocks_gets_ascii() -> None:
    assert shown(race(5.0, 8.0), ascii_only=True).isascii()


def test_a_log_gets_each_second_once() -> None:
    console = Console(file=(out := io.StringIO()), width=200)
    whole = race(2.5, 4.0)
    growing = Race("devnet-bttc", lane("payer", 2.5, pays=True), lane("free", 4.0), SIZE, 8_000_000)
    with Watch(console) as watch:
        for tenth in range(1, 12):
            for now, then in zip(growing.lanes, whole.lanes, strict=True):
                now.samples = then.samples[: tenth + 1]
                now.seconds = then.seconds if tenth > 10 else None
            watch.show(growing)
            watch.show(growing)
    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4"]
    assert "3.2 MB/s" in lines[0]
    assert "2.0 MB/s" in lines[0]


def test_a_line_scales_both_bars_to_the_seeders_line() -> None:
    line = plain_line(race(8.0, 16.0), 0, 1)
    assert (line.count(LEVELS[-1]), "1.0 MB/s" in line, "0.5 MB/s" in line) == (12 + 6, True, True)
    assert "done" in plain_line(race(4.0, 8.0), 6, 1)


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    save([race(5.0, 8.0), race(6.0, 8.0)], tmp_path / "race.png")
    assert (tmp_path / "race.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_place_that_takes_no_picture_is_an_error_of_one_line(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(DemoError, match=r"missing/race\.png: No such file"):
        save([race(5.0, 8.0)], tmp_path / "missing" / "race.png")


def test_the_test_race_is_on_a_line_too_small_for_two() -> None:
    assert 2 * SIZE / CAPACITY == 8.0
