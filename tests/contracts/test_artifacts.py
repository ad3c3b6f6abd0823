"""The committed artifacts are what the committed sources compile to."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from contracts.loader import load

CONTRACTS = Path(__file__).parents[2] / "contracts"
NO_PACKAGES = 75  # exit status of contracts/compile where its packages cannot be fetched
NAMES = sorted(path.stem for path in (CONTRACTS / "src").glob("*.sol"))


def test_every_source_has_an_artifact_and_every_artifact_a_source() -> None:
    assert sorted(path.stem for path in (CONTRACTS / "artifacts").glob("*.json")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_artifact_was_made_from_the_committed_sources(name: str) -> None:
    ours = {source: digest for source, digest in load(name).sources.items() if source.startswith("src/")}
    assert f"src/{name}.sol" in ours
    for source, digest in ours.items():
        assert hashlib.sha256((CONTRACTS / source).read_bytes()).hexdigest() == digest, f"{source}: run ./run contracts"


@pytest.mark.parametrize("name", NAMES)
def test_artifact_holds_code_for_old_virtual_machines_only(name: str) -> None:
    artifact = load(name)
    assert artifact.compiler["settings"]["evmVersion"] == "berlin"
    assert 0 < len(artifact.deployed_bytecode) <= 24_576  # EIP-170
    assert len(artifact.bytecode) > len(artifact.deployed_bytecode)


def test_unknown_contract_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        load("NoSuchContract")


def test_compiling_again_gives_the_same_artifacts(tmp_path: Path) -> None:
    compared = "the sources were compared by SHA-256, but not compiled again"
    if shutil.which("npm") is None:
        pytest.skip(f"npm is not installed: {compared}")
    done = subprocess.run([CONTRACTS / "compile", tmp_path], capture_output=True, text=True, timeout=110)
    if done.returncode == NO_PACKAGES:
        pytest.skip(f"npm cannot fetch solc: {compared}")
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        committed = json.loads((CONTRACTS / "artifacts" / f"{name}.json").read_text())
        assert json.loads((tmp_path / f"{name}.json").read_text()) == committed
