"""What importing the wallet costs, counted in modules rather than in time."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"web3", "eth_account", "eth_abi", "eth_utils", "pydantic", "aiohttp", "asyncio", "sqlalchemy"}


@pytest.mark.parametrize(
    "module", ["amount", "address", "keys", "digests", "cheque", "ledger", "limits", "errors", "keystore"]
)
def test_the_wallets_core_imports_without_web3_and_eth_account(module: str) -> None:
    code = f"import sys, wallet.{module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not HEAVY & set(found.stdout.split())
