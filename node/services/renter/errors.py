"""What a renter's user can be told has gone wrong. `str()` is one line, `hint` what to do."""

from __future__ import annotations


class RenterError(Exception):
    """Root of the faults below."""

    hint = "see `bttnode stored`"


class UnknownObjectError(RenterError):
    """No stored object, or several, go by this name."""

    hint = "`bttnode stored` lists them"


class RequestError(RenterError):
    """What was asked for makes no sense."""

    hint = "see `bttnode store --help`"


class RestoreError(RenterError):
    """Too few shards can be had now."""

    hint = "run the same command again later: what has been fetched is kept"


class HostError(RenterError):
    """A host's answer that does not follow the protocol, or is not what was agreed."""

    hint = "the node asks another host"
