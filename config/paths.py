"""Where a node keeps its things: one folder, by the XDG rules unless `BTTNODE_HOME` or `--home` says otherwise."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

HOME_VARIABLE = "BTTNODE_HOME"


@dataclass(frozen=True, slots=True)
class Paths:
    """The files of one node, all below `home`."""

    home: Path

    @property
    def config(self) -> Path:
        return self.home / "config.toml"

    @property
    def keystore(self) -> Path:
        return self.home / "keystore.json"

    @property
    def database(self) -> Path:
        return self.home / "node.db"

    @property
    def highwater(self) -> Path:
        """Beside the key, not in the database: it must not be restored together with it."""
        return self.home / "highwater"

    @property
    def api(self) -> Path:
        """Where the running node listens: JSON with `url`, written at start, removed at stop."""
        return self.home / "api.json"

    @property
    def token(self) -> Path:
        """The secret of the local HTTP API, mode 0600."""
        return self.home / "api-token"

    @property
    def real_money(self) -> Path:
        """Names of the main networks that the user has allowed, one a line (`bttnode up --real-money`)."""
        return self.home / "real-money"

    @property
    def volumes(self) -> Path:
        """The folders that hold shards for others."""
        return self.home / "volumes.json"

    @property
    def renting(self) -> Path:
        """Shards on their way to hosts, and those that a restore has fetched."""
        return self.home / "renting"

    @property
    def downloads(self) -> Path:
        return self.home / "downloads"


def find_home(option: Path | None = None) -> Paths:
    """`--home`, else `$BTTNODE_HOME`, else the user's data folder (such as ~/.local/share/bttnode)."""
    chosen = option or os.environ.get(HOME_VARIABLE) or platformdirs.user_data_dir("bttnode")
    # A variable set in a unit file or .env still has its ~; a shell would have replaced it.
    return Paths(Path(os.path.expanduser(chosen)).absolute())
