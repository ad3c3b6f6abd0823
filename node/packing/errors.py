"""What can go wrong with the user's own files."""

from __future__ import annotations


class PackingError(Exception):
    """A fault on this machine. `str()` is one line, `hint` what the user can do."""

    hint = "nothing was stored or restored; try again after looking at it"


class UnstorableError(PackingError):
    """A path that cannot be stored as it is."""

    hint = "store another path, or move what is named out of it"


class ChangedError(PackingError):
    """A file changed while it was read."""

    hint = "store it again when no program writes to it"


class OccupiedError(PackingError):
    """There is something where the restored object would go."""

    hint = "choose another place with -o, or move what is there"


class FullError(PackingError):
    """The disk has too little room."""

    hint = "make room there: storing and repair then go on by themselves, a restore when it is run again"


class CancelledByUserError(PackingError):
    """`cancelled` said so."""

    hint = "run the same command again to start anew"
