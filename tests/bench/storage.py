"""Files into shards: the pipeline against its slowest part alone, memory, restore, and proofs from a large shard.

The pipeline seals, codes, hashes and writes; the parts (AES-GCM over the source, ISA-L over the sealed bytes, Python's
SHA-256 over all shards) run alone on the same bytes, one thread each, in memory that is always the same. Files lie in
memory (/dev/shm) where the system has that, so that no disk is measured. Restoring decodes with as many data shards
lost as the code allows. Proofs come from a shard of 32 GiB: sparse, so its bytes are zeros and its tree is known by
level, but every read is real.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from node.packing.pack import Keys, pack
from node.packing.scan import scan
from node.packing.unpack import unpack
from node.storage.erasure import FRAGMENT, Code
from node.storage.manifest import Manifest
from node.storage.merkle import BLOCK, TreeLayout, verify
from tests.bench import hosting
from tests.bench.harness import Result, Row, Side, in_turns, median_ratio, peak_mib

CODES = ((3, 6), (10, 30))
SOURCE = 240 * FRAGMENT
"""Bytes: whole stripes of either code."""
PAIRS = 5
LARGE = 32 << 30
PROOFS = 2000
KEYS = Keys(bytes(range(32)), bytes(range(32)))
MEMORY_SOURCE = 384 << 20


def run(tell: Callable[[str], None], pairs: int = 0) -> Result:
    rows: list[Row] = []
    ratios: list[float] = []
    with _memory_folder() as folder:
        source = folder / "source"
        source.write_bytes(random.Random(1).randbytes(SOURCE))
        data = memoryview(bytearray(source.read_bytes()))
        for k, n in CODES:
            tell(f"{k} of {n}")
            rows += _pipeline(folder, source, data, k, n, tell, ratios, pairs or PAIRS)
        del data
        rows += [_memory(folder, k, n) for k, n in CODES]
        rows += _proofs(folder)
    tell("a host with 10,000 contracts")
    rows += hosting.rows()
    return Result(
        "storage",
        rows,
        min(ratios),
        "pipeline / slowest part alone: at least 0.8; memory at most 256 MiB; a warm proof at most 10 ms",
        (f"source {SOURCE >> 20} MiB; figures in MB/s are of source bytes, also for parts and for restoring",),
    )


def _pipeline(
    folder: Path,
    source: Path,
    data: memoryview,
    k: int,
    n: int,
    tell: Callable[[str], None],
    ratios: list[float],
    pairs: int,
) -> list[Row]:
    def speed(work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        return SOURCE / (time.perf_counter() - started) / 1e6

    kept = folder / f"kept {k} of {n}"
    kept.mkdir()
    manifest = pack(scan(source), kept, k=k, n=n, keys=KEYS, created=0)
    # Only parity where there is enough of it: every stripe has to be decoded.
    last = {number: kept / manifest.shards[number].root.hex() for number in range(n - k, n)}

    def whole() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as staging:
            return speed(lambda: pack(scan(source), Path(staging), k=k, n=n, keys=KEYS, created=0))

    def restore() -> float:
        try:
            return speed(lambda: unpack(manifest, last, folder / "restored", wrapping=KEYS.wrapping))
        finally:
            (folder / "restored").unlink()

    cipher, code, stripe = AESGCM(KEYS.key), Code(k, n), k * FRAGMENT
    fragments = dict(enumerate(code.encode(data[:stripe])))
    parity = {number: fragments[number] for number in range(k, n)}

    def seal() -> None:
        for number, at in enumerate(range(0, SOURCE, FRAGMENT)):
            cipher.encrypt(number.to_bytes(12), data[at : at + FRAGMENT], b"")

    def encode() -> None:
        for at in range(0, SOURCE, stripe):
            parts = (data[start : start + FRAGMENT] for start in range(at, at + stripe, FRAGMENT))
            code.make(dict(enumerate(parts)), parity)

    def digest() -> None:
        for _ in range(SOURCE // stripe):
            for fragment in fragments.values():
                sha256(fragment).digest()

    sides: list[Side] = [whole, partial(speed, seal), partial(speed, encode), partial(speed, digest), restore]
    pipeline, sealing, coding, hashing, restoring = in_turns(sides, pairs, tell)
    slowest = min((sealing, coding, hashing), key=lambda values: sorted(values)[len(values) // 2])
    ratios.append(median_ratio(pipeline, slowest))
    shutil.rmtree(kept)
    label = f"{k}/{n}"
    return [
        Row(f"{label} pipeline", "MB/s", pipeline),
        Row(f"{label} AES-256-GCM alone", "MB/s", sealing),
        Row(f"{label} ISA-L alone", "MB/s", coding),
        Row(f"{label} SHA-256 of all shards alone", "MB/s", hashing),
        Row(f"{label} pipeline / slowest alone", "ratio", [ratios[-1]]),
        Row(f"{label} restore, all data shards lost that may be", "MB/s", restoring),
    ]


def _memory(folder: Path, k: int, n: int) -> Row:
    """Peak memory of a process that packs a file, with the interpreter and its modules."""
    source, staging = folder / "sparse", folder / "staging"
    with source.open("wb") as file:
        file.truncate(MEMORY_SOURCE)
    staging.mkdir()
    arguments = [sys.executable, "-m", "tests.bench.storage", str(source), str(staging), str(k), str(n)]
    found = json.loads(subprocess.run(arguments, check=True, capture_output=True, timeout=600).stdout)
    shutil.rmtree(staging)
    source.unlink()
    return Row(f"{k}/{n} peak memory of packing", "MiB", [found["peak"]])


def _proofs(folder: Path) -> list[Row]:
    """Reads and hashes of one proof, warm, from a sparse shard whose tree is known by level."""
    layout = TreeLayout(LARGE)
    levels = [sha256(bytes(BLOCK)).digest()]
    while len(levels) <= layout.depth:
        levels.append(sha256(levels[-1] * 2).digest())
    with (folder / "large").open("w+b") as shard, (folder / "large.tree").open("w+b") as tree:
        shard.truncate(LARGE)
        for level, node in enumerate(levels):
            span = layout.layer(level)
            tree.seek(span.offset)
            for at in range(0, span.length, FRAGMENT):
                tree.write(node * (min(FRAGMENT, span.length - at) // 32))
        tree.flush()
        indices = [random.Random(2).randrange(layout.blocks) for _ in range(PROOFS)]
        times, proofs = [], []
        for index in indices:
            started = time.perf_counter()
            block = os.pread(shard.fileno(), layout.block(index).length, layout.block(index).offset)
            nodes = [os.pread(tree.fileno(), span.length, span.offset) for span in layout.reads(index)]
            proofs.append((index, block, layout.path(index, nodes)))
            times.append((time.perf_counter() - started) * 1000)
    started = time.perf_counter()
    held = sum(verify(levels[-1], layout.blocks, *proof) for proof in proofs)
    spent = time.perf_counter() - started
    if held != PROOFS:
        raise RuntimeError(f"{PROOFS - held} of {PROOFS} proofs do not hold")
    times.sort()
    return [
        Row("a proof from 32 GiB, warm", "ms", [times[len(times) // 2]]),
        Row("a proof from 32 GiB, warm, the slowest of 2000", "ms", [times[-1]]),
        Row("proofs verified on one core", "/s", [PROOFS / spent]),
    ]


@contextmanager
def _memory_folder() -> Iterator[Path]:
    shared = Path("/dev/shm")  # noqa: S108  # for speed; the folder made in it is private
    base = shared if shutil.disk_usage(shared).free > 4 << 30 else None
    with tempfile.TemporaryDirectory(prefix="bttnode-bench-", dir=base) as name:
        yield Path(name)


def _measured(source: str, staging: str, k: str, n: str) -> None:
    manifest: Manifest = pack(scan(Path(source)), Path(staging), k=int(k), n=int(n), keys=KEYS, created=0)
    print(json.dumps({"peak": peak_mib(), "shards": len(manifest.shards)}))


if __name__ == "__main__":
    _measured(*sys.argv[1:])
