"""Verify: every file of a replica read in full, its chains, and its newest state."""

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

from ltxvfs.assembly import Progress, in_order
from ltxvfs.backends.age.keys import AgeKeys
from ltxvfs.backends.registry import open_replica
from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import FormatError, NotFound, RestoreError
from ltxvfs.core.names import file_name
from ltxvfs.core.types import LEVEL_SNAPSHOT, TXID, FileInfo
from ltxvfs.planning import list_files, names
from ltxvfs.restoration import restore
from ltxvfs.source import check_file


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding, in one line; ``level`` and ``name`` say where, if it is about one file."""

    what: str
    level: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was read and what was found; ``size`` is in bytes, ``txid`` the newest state."""

    files: int
    size: int
    txid: TXID
    problems: tuple[Problem, ...]
    duration_s: float

    @property
    def ok(self) -> bool:
        """Tell whether nothing was found."""
        return not self.problems


def verify(
    url: str | os.PathLike[str] | ReplicaURL,
    *,
    parallelism: int = 8,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    age: AgeKeys | None = None,
) -> VerifyReport:
    """Check a whole replica; what is wrong with it stands in the report.

    Every file is decoded and its checksum computed, each level must be contiguous, and the
    newest state is restored into ``folder`` (default: the system's for temporary files, which
    needs room for the database) and must pass SQLite's integrity check. ``age``
    holds the keys of an encrypted replica (default: those in the environment). Raises
    ``ConfigError`` or ``ReplicaError`` if the replica cannot be read at all.
    """
    started_s = time.monotonic()
    with (
        open_replica(url, age) as client,
        ThreadPoolExecutor(parallelism, "ltxvfs-verify") as pool,
    ):
        files = list_files(client, pool)
        problems = list(_chain_problems(files))
        if problems:
            # Files that were deleted during the listing look like gaps: only what stays counts.
            again = set(_chain_problems(list_files(client, pool)))
            problems = [problem for problem in problems if problem in again]
        lost: list[FileInfo] = []
        problems.extend(_file_problems(client, files, pool, lost, progress))
        problems.extend(_lost_problems(client, lost, pool))
    problems.extend(_restore_problems(url, parallelism, folder, age))
    return VerifyReport(
        len(files),
        sum(info.size for info in files),
        max((info.max_txid for info in files), default=TXID(0)),
        tuple(problems),
        time.monotonic() - started_s,
    )


def _chain_problems(files: Iterable[FileInfo]) -> Iterator[Problem]:
    """Find gaps and overlaps inside levels; each snapshot stands alone."""
    for level, group in groupby(sorted(files), key=lambda info: info.level):
        infos = list(group)
        if level == LEVEL_SNAPSHOT:
            yield from (_about(i, "a snapshot must begin at 1") for i in infos if i.min_txid != 1)
            continue
        for older, newer in pairwise(infos):
            expected = TXID(older.max_txid + 1)
            if newer.min_txid > expected:
                yield _about(newer, f"transactions from {expected} on are missing before it")
            elif newer.min_txid < expected:
                yield _about(newer, f"overlaps {file_name(older.min_txid, older.max_txid)}")


def _file_problems(
    client: ReplicaClient,
    files: list[FileInfo],
    pool: ThreadPoolExecutor,
    lost: list[FileInfo],
    progress: Progress | None = None,
) -> Iterator[Problem]:
    """Check every file; those that are not found are added to ``lost``."""
    total = sum(info.size for info in files)
    done = 0
    checking = (pool.submit(_check, client, info, lost) for info in files)
    with closing(in_order(checking)) as results:
        for info, found in zip(files, results, strict=True):
            if found is not None:
                yield found
            done += info.size
            if progress is not None:
                progress(done, total)


def _lost_problems(
    client: ReplicaClient, lost: list[FileInfo], pool: ThreadPoolExecutor
) -> Iterator[Problem]:
    """Look again for files that were not found: compaction and retention delete all the time."""
    if lost:
        once_lost, still = set(names(lost)), list[FileInfo]()
        again = list_files(client, pool)
        listed = [info for info, name in zip(again, names(again), strict=True) if name in once_lost]
        yield from _file_problems(client, listed, pool, still)
        yield from (_about(info, "is listed, but is not there") for info in still)


def _check(client: ReplicaClient, info: FileInfo, lost: list[FileInfo]) -> Problem | None:
    try:
        check_file(client, info)
    except NotFound:
        lost.append(info)
    except FormatError as error:
        return _about(info, str(error))
    return None


def _restore_problems(
    url: str | os.PathLike[str] | ReplicaURL,
    parallelism: int,
    folder: str | os.PathLike[str] | None,
    age: AgeKeys | None,
) -> Iterator[Problem]:
    with tempfile.TemporaryDirectory(prefix="ltxvfs-verify-", dir=folder) as place:
        try:
            restore(
                url,
                Path(place, "newest.db"),
                parallelism=parallelism,
                integrity_check="full",
                age=age,
            )
        except (RestoreError, FormatError) as error:
            yield Problem(f"the newest state cannot be restored: {error}")


def _about(info: FileInfo, what: str) -> Problem:
    return Problem(what, info.level, file_name(info.min_txid, info.max_txid))
