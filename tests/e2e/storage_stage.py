"""Hosts and renters as real processes, for tests of storage from end to end."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.e2e.stage import POLL, Stage, StageNode, host_for

BTT = 10**18
LEAD = 120
"""Seconds from an offer to its start, on networks for development."""
STEP_DEADLINE = 3.0
"""Seconds after which the chain's clock moves on again."""
Settings = Mapping[str, dict[str, str]]


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def renter(
    made: Stage, worker: str, name: str = "renter", number: int = 79, settings: Settings | None = None
) -> StageNode:
    """A node with money; it runs."""
    node = made.node(name, host_for(worker, number), **(settings or {}))
    made.fund(node)
    node.start()
    return node


def storage_host(
    made: Stage,
    number: int,
    worker: str,
    *,
    storage: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    quota: int = 1 << 30,
) -> StageNode:
    """A host with a volume (`home/disk`), in the registry, ready for offers. `storage`: more of that section;
    `settings`: other sections."""
    at = host_for(worker, 80 + number)
    listen = f"{at}:{free_port(at)}"
    section = {"host": "true", "listen": json.dumps([listen]), **(storage or {})}
    node = made.node(f"host{number}", at, **(settings or {}), storage=section)
    made.fund(node)
    node.start()
    node.call("POST", "/v1/host/deposit", {"amount": str(1000 * BTT)})
    node.call("POST", "/v1/host/announce", {"url": f"http://{listen}"})
    volume = node.home / "disk"
    volume.mkdir()
    node.call("POST", "/v1/host/volumes", {"path": str(volume), "quota": quota})
    node.wait("/v1/host", lambda lines: "volume" not in json.dumps(lines[0]["why"]), "it sees its volume")
    return node


def storage_hosts(made: Stage, count: int, worker: str, **options: Any) -> Sequence[StageNode]:
    """Several, made together: each waits for its own receipts."""
    with ThreadPoolExecutor() as together:
        return list(together.map(lambda number: storage_host(made, number, worker, **options), range(count)))


def store(node: StageNode, path: Path, **body: Any) -> str:
    """What `bttnode store` asks for; returns the object's id."""
    return str(node.call("POST", "/v1/storage", {"path": str(path), **body})["id"])


def wait_kept(node: StageNode, stored: str, good: int, deadline: float = 100) -> Any:
    """Until this many shards are with hosts that showed them."""
    return node.wait(
        f"/v1/storage/{stored}",
        lambda each: each["stage"] == "kept" and each["good"] == good,
        f"{good} shards are kept",
        deadline,
    )


def wait_active(made: Stage, node: StageNode, stored: str, deadline: float = 60) -> Any:
    """Past the start of the contracts; until all of them run."""
    made.warp(LEAD + 30)
    return node.wait(
        f"/v1/storage/{stored}",
        lambda each: all(rental["state"] not in ("offered", "signed", "uploading") for rental in each["contracts"]),
        "its contracts have begun",
        deadline,
    )


def warp_until(
    made: Stage, node: StageNode, path: str, condition: Callable[[Any], bool], what: str, *, step: int, steps: int = 40
) -> Any:
    """Move the chain's clock on, `step` seconds at a time, until the condition holds: for what happens at a moment
    that only the node knows, such as an audit. Between two steps everybody has the time for a round or two."""
    for _ in range(steps):
        made.warp(step)
        until = time.monotonic() + STEP_DEADLINE
        while time.monotonic() < until:
            found = node.get(path)
            if condition(found):
                return found
            time.sleep(POLL)
    raise AssertionError(f"{node.name}: {what}: not within {steps} steps of {step} s; last: {found}")
