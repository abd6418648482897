"""Which files of a replica make a database at a transaction or a moment: pure decisions.

The choice is Litestream's, so that both restore the same state from the same files: the newest
snapshot that fits, then again and again the file that follows and reaches farthest.
"""

from collections.abc import Iterable
from datetime import datetime

from ltxvfs.core.errors import RestoreError, TxNotAvailable
from ltxvfs.core.names import file_name
from ltxvfs.core.types import LEVEL_SNAPSHOT, TXID, FileInfo


def plan_restore(
    files: Iterable[FileInfo],
    *,
    txid: TXID | None = None,
    timestamp: datetime | None = None,
) -> tuple[FileInfo, ...]:
    """Choose the files that, applied in order, give the wanted state.

    The newest state by default; the state at exactly ``txid``; or the last state that is older
    than ``timestamp`` (strictly, as Litestream has it). The first file chosen is a full image,
    each other begins at or below the TXID after its forerunner's last. ``files`` may come in
    any order. Raises ``TxNotAvailable`` if the state is not there, ``RestoreError`` for a gap.
    """
    if txid is not None and timestamp is not None:
        raise ValueError("give a transaction or a moment, not both")
    known = sorted(files)
    if not known:
        raise TxNotAvailable("the replica holds no files: is its URL right?")
    fits = [
        info
        for info in known
        if (txid is None or info.max_txid <= txid)
        and (timestamp is None or info.created_at < timestamp)
    ]
    chain = _chain(fits)
    reached = chain[-1].max_txid if chain else TXID(0)
    if txid is not None and (reached != txid or not chain):
        raise _unreachable(known, reached, txid)
    _refuse_gap(known, fits, reached)
    if not chain:
        raise TxNotAvailable(_nothing(known, timestamp))
    return tuple(chain)


def _chain(fits: list[FileInfo]) -> list[FileInfo]:
    snapshots = [info for info in fits if info.level == LEVEL_SNAPSHOT and info.min_txid == 1]
    chain = [max(snapshots, key=lambda info: info.max_txid)] if snapshots else []
    rest = sorted(
        (info for info in fits if info.level != LEVEL_SNAPSHOT), key=lambda info: info.min_txid
    )
    reached = int(chain[-1].max_txid) if chain else 0
    best: FileInfo | None = None
    for info in rest:
        # What begins past the next TXID can only follow the best of what came before it.
        if info.min_txid > reached + 1:
            if best is None:
                break
            chain.append(best)
            reached, best = int(best.max_txid), None
            if info.min_txid > reached + 1:
                break
        if info.max_txid > reached and (best is None or _rank(info) > _rank(best)):
            best = info
    if best is not None:
        chain.append(best)
    return chain


def _rank(info: FileInfo) -> tuple[int, int, int, float]:
    """Rank files that may follow: farthest reach, then widest, highest level, oldest."""
    return info.max_txid, -info.min_txid, info.level, -info.created_at.timestamp()


def _covers(info: FileInfo, txid: int) -> bool:
    return info.min_txid <= txid <= info.max_txid


def _refuse_gap(known: list[FileInfo], fits: list[FileInfo], reached: TXID) -> None:
    """Raise if a wanted later file exists but no file at all leads to it.

    A file that leads to it and does not fit is no gap: time travel into the middle of a
    compacted file stops before that file.
    """
    missing = TXID(reached + 1)
    later = [info for info in fits if info.min_txid > missing]
    if later and not any(_covers(info, missing) for info in known):
        found = min(later, key=lambda info: info.min_txid)
        raise RestoreError(
            f"transaction {missing} is missing: the replica goes on with "
            f"{file_name(found.min_txid, found.max_txid)} at level {found.level}"
        )


def _unreachable(known: list[FileInfo], reached: TXID, txid: TXID) -> RestoreError:
    missing = TXID(reached + 1)
    holder = next((info for info in known if _covers(info, missing)), None)
    newest = max(info.max_txid for info in known)
    if txid > newest or txid == 0:
        return TxNotAvailable(f"transaction {txid} is not in the replica: its newest is {newest}")
    if holder is None:
        return RestoreError(f"transaction {missing} is missing: {txid} cannot be reached")
    before = f"{reached} or " if reached else ""
    return TxNotAvailable(
        f"transaction {txid} lies inside {file_name(holder.min_txid, holder.max_txid)} "
        f"(compacted): restore {before}{holder.max_txid} instead"
    )


def _nothing(known: list[FileInfo], timestamp: datetime | None) -> str:
    images = [info.created_at for info in known if info.min_txid == 1]
    if timestamp is None or not images:
        return "the replica holds no database: no file begins at transaction 1"
    oldest = min(images).isoformat(timespec="milliseconds")
    return f"nothing is older than {timestamp.isoformat()}: the oldest state is of {oldest}"
