"""Which files a restore reads, found out anew while the replica changes or its listing lags behind.

Compaction and retention delete files at any time, and what replaces them is there before. A store
may also list a file that it cannot give yet. Both look alike, a planned file that is not found; the
next listing tells them apart.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import TypeVar

from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.core.errors import NotFound, RestoreError
from ltxvfs.core.plan import plan_restore
from ltxvfs.core.types import LEVELS, TXID, FileInfo

Plan = tuple[FileInfo, ...]
R = TypeVar("R")

RESTS_S = (0.0, 0.1, 0.3, 1.0, 2.0)
"""Pauses before a plan is tried again though no listing gave a better one."""

_LISTINGS_MAX = 5
# A file of level 0 is deleted only when level 1 has its transactions, one of levels 1 to 8 only
# when a snapshot has them. So what was deleted before its level is listed is found later on.
_LISTING_ORDER = (LEVELS[:1], LEVELS[1:-1], LEVELS[-1:])


def list_files(client: ReplicaClient, pool: Executor) -> list[FileInfo]:
    """List every level of a replica, without missing what moves between levels meanwhile."""
    found: list[FileInfo] = []
    for levels in _LISTING_ORDER:
        for files in pool.map(lambda level: list(client.ltx_files(level)), levels):
            found += files
    return found


def names(infos: Iterable[FileInfo]) -> list[tuple[int, TXID, TXID]]:
    """Give what tells files apart: two listings may differ in what else they say of one."""
    return [(info.level, info.min_txid, info.max_txid) for info in infos]


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans one state of a replica: at ``txid``, before ``timestamp``, or the newest."""

    client: ReplicaClient
    pool: Executor
    txid: TXID | None = None
    timestamp: datetime | None = None
    pause: Callable[[float], None] = time.sleep

    def plan(self) -> Plan | None:
        """Plan from a new listing; ``None`` for a replica without any file.

        Raises ``RestoreError`` for a state that is not there.
        """
        for _ in range(_LISTINGS_MAX):
            files = list_files(self.client, self.pool)
            try:
                dated = self._dated(files)
            except NotFound as error:
                lost = error  # deleted since it was listed
                continue
            return plan_restore(dated, txid=self.txid, timestamp=self.timestamp) if dated else None
        raise RestoreError(f"the replica changes while it is listed: {lost}") from lost

    def carry_out(self, plan: Plan, work: Callable[[Plan], R]) -> R:
        """Give what ``work`` makes of a plan, or of a newer one if a file of it is not found.

        ``work`` is called again from the beginning. Raises ``RestoreError``, naming the file, when
        patience is at an end.
        """
        for rest_s in RESTS_S:
            try:
                return work(plan)
            except NotFound as error:
                lost = error
            newer = self._better_than(plan)
            if newer is None:
                self.pause(rest_s)
                newer = self._better_than(plan)
            plan = newer or plan
        try:
            return work(plan)
        except NotFound:
            self.plan()  # it says so itself if the state is gone
        raise RestoreError(f"the replica changes while it is read: {lost}") from lost

    def _better_than(self, plan: Plan) -> Plan | None:
        """Plan anew; nothing better are the same files, an older state, and a gap."""
        try:
            newer = self.plan()
        except RestoreError:
            return None
        if newer is None or newer[-1].max_txid < plan[-1].max_txid:
            return None
        return None if names(newer) == names(plan) else newer

    def _dated(self, files: list[FileInfo]) -> list[FileInfo]:
        """Give exact moments to the files on both sides of the wanted one, if listings lack them.

        Within a level moments grow with TXIDs, so a few requests a level tell which files are
        older. Those not asked for get the moment of the nearest that was: on the right side.
        """
        timestamp = self.timestamp
        if timestamp is None or self.client.store.listed_moments:
            return files
        by_level = groupby(sorted(files), key=lambda info: info.level)
        levels = [sorted(group, key=lambda info: info.max_txid) for _, group in by_level]
        halves = self.pool.map(lambda infos: self._divided(infos, timestamp), levels)
        return [info for infos in halves for info in infos]

    def _divided(self, infos: list[FileInfo], timestamp: datetime) -> list[FileInfo]:
        known: dict[FileInfo, datetime] = {}

        def moment(info: FileInfo) -> datetime:
            known[info] = self.client.moment(info)
            return known[info]

        cut = bisect_left(infos, timestamp, key=moment)
        before = [replace(info, created_at=known[infos[cut - 1]]) for info in infos[:cut]]
        behind = [replace(info, created_at=known[infos[cut]]) for info in infos[cut:]]
        return before + behind
