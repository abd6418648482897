"""The values every floor speaks of: transaction ids, levels, pages, files of a replica."""

import re
from array import array
from dataclasses import dataclass
from datetime import datetime
from typing import Self, Union

Buffer = Union[bytes, bytearray, memoryview, "array[int]"]
"""Bytes that are taken without a copy."""

LEVEL_SNAPSHOT = 9
"""The level of full snapshots; 0 is raw transactions, 1 to 8 are compactions (LTX)."""

LEVELS = tuple(range(LEVEL_SNAPSHOT + 1))
"""Every level a replica may have, ascending."""

TXID_MAX = (1 << 64) - 1

_TXID_TEXT = re.compile(r"[0-9a-fA-F]{16}")
_LOCK_OFFSET = 0x40000000


class TXID(int):
    """A transaction id, 0 to 2**64 - 1; as text always sixteen lower-case hex digits."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read exactly sixteen hex digits; anything else is a ``ValueError``."""
        if not _TXID_TEXT.fullmatch(text):
            raise ValueError(f"{text!r} is no transaction id: give 16 hex digits")
        return cls(text, 16)

    def __str__(self) -> str:
        return format(int(self), "016x")

    def __repr__(self) -> str:
        return f"TXID({self})"


@dataclass(frozen=True, slots=True, order=True)
class FileInfo:
    """One LTX file of a replica; ordered by level, first and last transaction.

    ``size`` is in bytes; ``created_at`` is aware and in UTC, the moment of the file's last
    transaction as its store keeps it.
    """

    level: int
    min_txid: TXID
    max_txid: TXID
    size: int
    created_at: datetime


def lock_pgno(page_size: int) -> int:
    """Give the page that holds the lock bytes and never any data (SQLite file format, 1.4)."""
    return _LOCK_OFFSET // page_size + 1
