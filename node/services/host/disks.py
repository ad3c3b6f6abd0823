"""What is wrong with a volume and what its owner can do about it: one line, the same for the log and for `host why`.

A disk that goes away says nothing. So all volumes are looked at every few seconds, and every change for the worse is
told at once: the collateral of what lies there is at stake from the first audit that fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from node.ports.volumes import READABLE, VolumeInfo, Volumes, VolumeState
from node.services.rounds import Rounds, Wait, at_most
from wallet.amount import format_size

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
FULL = 1 << 20
"""Bytes of room below which a volume is called full: hardly any shard is smaller."""


def trouble(volume: VolumeInfo) -> str:
    """Why a volume takes nothing new, or serves nothing, and what helps; "" where it does as its owner wants."""
    name, reason = f"volume {volume.path}", volume.reason or volume.state.value
    match volume.state:
        case VolumeState.MISSING:
            return f"{name} serves nothing: {reason} It goes on by itself when it is there again"
        case VolumeState.SICK:
            return f"{name} is not trusted: {reason}; see to the disk, then `bttnode host volume check {volume.id}`"
        case VolumeState.READ_ONLY:
            return f"{name} takes no new shards: {reason}; what it holds is served, and more comes when it can be"
        case VolumeState.ONLINE if volume.room < FULL:
            return f"{name} is full: {_full(volume)}, or add another volume"
        case _:
            return ""


def _full(volume: VolumeInfo) -> str:
    taken = volume.used + volume.reserved
    if volume.quota - taken < FULL:
        used = f"{format_size(taken)} of its {format_size(volume.quota)} are taken"
        return f"{used}: `bttnode host volume resize {volume.id} --quota SIZE`"
    free = format_size(max(0, volume.on_disk - volume.unwritten))
    return f"its disk has {free} left, of which {format_size(volume.guard)} stay free: make room on it"


class DiskWatch:
    """One per node: `on_fault` hears of each new trouble, the log also of its end."""

    def __init__(self, volumes: Volumes, wait: Wait | None = None) -> None:
        self._volumes = volumes
        self._known: dict[str, VolumeInfo] = {}
        self.on_fault: Callable[[str], object] = lambda text: None
        self._rounds = Rounds("the look at the volumes", self.look, wait or at_most(LOOK_EVERY))

    async def run(self) -> None:
        """Until `close` or cancellation."""
        await self._rounds.run()

    async def close(self) -> None:
        """Idempotent."""
        await self._rounds.close()

    async def look(self) -> None:
        """Tell what has changed since the look before."""
        now = {volume.id: (volume, trouble(volume)) for volume in await self._volumes.volumes()}
        for name, (volume, text) in now.items():
            before = self._known.get(name)
            if text and (before is None or before.state is not volume.state or not trouble(before)):
                readable = volume.state in READABLE
                log.log(logging.WARNING if readable else logging.ERROR, "%s", text)
                if not readable:
                    self.on_fault(text)
            elif before is not None and trouble(before) and not text:
                log.info("volume %s is well again", volume.path)
        self._known = {name: volume for name, (volume, _) in now.items()}
