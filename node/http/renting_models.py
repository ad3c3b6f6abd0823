"""What the API takes and gives about storage that we rent."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from node.http.models import Folder, Model, Text, Units

Days = Annotated[int, Field(strict=True, ge=1, le=1825)]
Copies = Annotated[int, Field(strict=True, ge=1, le=255)]


class StoreBody(Model):
    """`k` of `n` shards restore it; `max_price`: units per GiB and day; `rail`: a name, where there are several."""

    path: Folder
    k: Copies = 10
    n: Copies = 30
    days: Days = 30
    max_price: Units | None = None
    public: Annotated[bool, Field(strict=True)] = False
    renew: Annotated[bool, Field(strict=True)] = True
    auditor: Text | None = None
    rail: Text | None = None


class HostPrice(Model):
    """One contract as it would be offered now. `rate`: units per GiB and day, all in; `epoch_length`: seconds."""

    url: str
    host: str
    epochs: int
    epoch_length: int
    price_per_epoch: Units
    escrow: Units
    collateral: Units
    rate: Units


class Estimate(Model):
    """`size`: plain bytes; `shards` of `shard_length` bytes are wanted; `escrow`: of all hosts together; `notes`: what
    would hold it up."""

    rail: str
    size: int
    shards: int
    shard_length: int
    escrow: Units
    hosts: list[HostPrice]
    notes: list[str]


class RenewBody(Model):
    days: Days | None = None
    on: Annotated[bool, Field(strict=True)] = True


class RestoreBody(Model):
    """Exactly one of `id` and `manifest` (base64 of an exported manifest)."""

    id: Text | None = None
    manifest: Text | None = None
    out: Folder


class Kept(Model):
    """One contract. `id`: as its host shows it; `missed`: epochs in a row without an answer; `until`, `leaves` (0: not
    before): Unix seconds; `relieve`: its host would like to go."""

    id: str
    shard: int
    host: str
    url: str
    state: str
    until: int
    missed: int
    leaves: int
    relieve: bool
    paid: Units
    escrow: Units


class Object(Model):
    """An object. `size`: plain bytes, None while it is packed; `good`: shards whose hosts showed them last time;
    `labelled`: hosts that keep the sealed manifest, too."""

    id: str
    name: str
    stage: str
    rail: str
    size: int | None
    k: int
    n: int
    good: int
    public: bool
    renew: bool
    until: int
    locked: Units
    paid: Units
    labelled: int
    note: str
    contracts: list[Kept]


class Objects(Model):
    objects: list[Object]


class ManifestFile(Model):
    """`manifest`: base64 of the file that restores the object anywhere, with the wallet's seed."""

    id: str
    manifest: str


class Verified(Model):
    """`evidence`: base64 of a bundle for `bttnode evidence check`; "" where there is none."""

    shard: int
    host: str
    verdict: str
    reason: str
    evidence: str


class Verdicts(Model):
    id: str
    verdicts: list[Verified]


class Contracts(Model):
    """`contracts`: `node.storage.messages.Appointment`s as JSON objects."""

    contracts: list[dict[str, Any]]


class Taken(Model):
    """How many contracts are audited now."""

    contracts: int


class RestoreStatus(Model):
    number: int
    out: str
    done: int
    finished: bool
    fault: str
    hint: str


class FoundAgain(Model):
    """`contracts`: in force, `silent` of them with hosts that do not answer; `shards`: that can be asked for; `new`: it
    was not known here."""

    id: str
    name: str
    size: int
    k: int
    n: int
    shards: int
    contracts: int
    silent: int
    new: bool


class NotFound(Model):
    """A contract of which no host tells what it is about. `until`: Unix seconds."""

    contract: str
    rail: str
    host: str
    until: int
    escrow: Units
    why: str


class RecoveryStatus(Model):
    """`doing`: in words; `done` of `total`: blocks, or contracts; `faults`: of whole rails, in one line each."""

    doing: str
    done: int
    total: int
    finished: bool
    objects: list[FoundAgain]
    lost: list[NotFound]
    faults: list[str]
