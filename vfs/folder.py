"""The folder beside a database that holds what is not in the replica yet.

``<dir>/.<name>-litestream/ltx/0`` is Litestream's own and holds sealed LTX files; ``ltxvfs`` beside
``ltx`` holds the spools and the file that the processes share.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from ltxvfs.core.errors import CaptureError
from ltxvfs.core.names import file_name, parse_file_name
from ltxvfs.core.types import TXID


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths of one database's folder."""

    root: Path

    @classmethod
    def of(cls, database: Path) -> "Folder":
        """Give the folder of a database, where Litestream has it too."""
        return cls(database.with_name(f".{database.name}-litestream"))

    @property
    def level0(self) -> Path:
        return self.root / "ltx" / "0"

    @property
    def spools(self) -> Path:
        return self.root / "ltxvfs"

    def exists(self) -> bool:
        """Whether nobody has deleted it."""
        return self.level0.is_dir() and (self.spools / "shared").is_file()

    def create(self) -> None:
        """Create what is missing, as open to others as the folder of the database is."""
        mode = self.root.parent.stat().st_mode & 0o777
        try:
            for path in (self.root, self.root / "ltx", self.level0, self.spools):
                path.mkdir(mode=mode | 0o700, exist_ok=True)
        except OSError as error:
            raise CaptureError(
                f"{self.root} cannot be created ({error.strerror}): replication needs a folder "
                "beside the database"
            ) from error

    def sealed(self) -> list[TXID]:
        """TXIDs of the sealed files, ascending. Raises ``CaptureError`` when the folder is gone."""
        try:
            names = os.listdir(self.level0)
        except OSError as error:
            raise CaptureError(f"{self.level0} cannot be read: {error.strerror}") from error
        found = map(parse_file_name, names)
        return sorted(txids[1] for txids in found if txids is not None)

    def sealed_path(self, txid: int) -> Path:
        return self.level0 / file_name(txid, txid)
