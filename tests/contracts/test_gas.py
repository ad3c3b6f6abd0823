"""The published gas figures are the measured ones, and cashing in bulk stays cheap."""

from __future__ import annotations

from tests.contracts import gas

AIM = 20_000
"""Gas per cheque of `cashMany` with 100 cheques, once the payers are known."""


def test_gas_page_says_what_is_measured_and_bulk_cashing_is_within_its_aim() -> None:
    measured = gas.page()
    assert gas.PAGE.read_text() == measured, "run: python -m tests.contracts.gas"
    [row] = [line for line in measured.splitlines() if line.startswith("| 100 |")]
    figures = [int(cell.replace(",", "")) for cell in row.strip("| ").split("|")[1:]]
    assert dict(zip([s.title for s in gas.SCENARIOS], figures, strict=True))["later"] < AIM
