"""Names of LTX files and their keys in a store, both ways."""

import re
from dataclasses import dataclass

from ltxvfs.core.types import TXID

# Lower-case only, as Litestream's own pattern: any other name is not an LTX file.
_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.ltx")


def file_name(min_txid: int, max_txid: int) -> str:
    """Give ``<min>-<max>.ltx``; names sort as (min, max) does."""
    return f"{min_txid:016x}-{max_txid:016x}.ltx"


def parse_file_name(name: str) -> tuple[TXID, TXID] | None:
    """Read ``<min>-<max>.ltx``; ``None`` for a name that is not an LTX file's."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return TXID.parse(match[1]), TXID.parse(match[2])


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a store keeps each level: a format string over ``level`` that ends in ``/``."""

    level_format: str

    def level_prefix(self, level: int) -> str:
        """Give the folder of a level, with its trailing slash."""
        return self.level_format.format(level=level)

    def key(self, level: int, min_txid: int, max_txid: int) -> str:
        """Give the key of one LTX file."""
        return self.level_prefix(level) + file_name(min_txid, max_txid)


FOLDERS = Layout("ltx/{level}/")
"""Litestream's layout on file systems and on most object stores."""

HEX_FOLDERS = Layout("{level:04x}/")
"""Litestream's layout on S3 and OSS."""
