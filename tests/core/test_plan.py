from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltxvfs.core.errors import RestoreError, TxNotAvailable
from ltxvfs.core.plan import plan_restore
from ltxvfs.core.types import LEVEL_SNAPSHOT, TXID, FileInfo

START = datetime(2026, 1, 1, tzinfo=UTC)


def moment(txid):
    """The moment of a transaction: one a second."""
    return START + timedelta(seconds=int(txid))


def info(level, first, last):
    return FileInfo(level, TXID(first), TXID(last), 100, moment(last))


def spans(plan):
    return [(file.level, int(file.min_txid), int(file.max_txid)) for file in plan]


def split(draw, last):
    """Cut 1..last into contiguous spans."""
    cuts = sorted(draw(st.sets(st.integers(1, last), max_size=last)) | {last})
    starts = [1, *(cut + 1 for cut in cuts[:-1])]
    return list(zip(starts, cuts, strict=True))


@st.composite
def replicas(draw):
    """Files as compaction leaves them: each level covers a prefix, L0 everything."""
    last = draw(st.integers(1, 24))
    files = [info(0, n, n) for n in range(1, last + 1)]
    for level in range(1, draw(st.integers(0, 4)) + 1):
        kept = split(draw, draw(st.integers(1, last)))
        files += [info(level, *span) for span in kept]
    files += [info(LEVEL_SNAPSHOT, 1, n) for n in draw(st.sets(st.integers(1, last), max_size=3))]
    return last, draw(st.permutations(files))


@given(replicas(), st.data())
def test_every_transaction_is_reached_by_a_contiguous_chain(replica, data):
    last, files = replica
    txid = data.draw(st.none() | st.integers(1, last).map(TXID))
    plan = plan_restore(files, txid=txid)
    assert plan[0].min_txid == 1
    assert plan[-1].max_txid == (last if txid is None else txid)
    for older, newer in pairwise(plan):
        assert newer.min_txid <= older.max_txid + 1
        assert newer.max_txid > older.max_txid


@given(replicas(), st.data())
def test_a_moment_gives_the_last_state_strictly_before_it(replica, data):
    last, files = replica
    wanted = data.draw(st.integers(2, last + 3))
    plan = plan_restore(files, timestamp=moment(wanted))
    assert plan[-1].max_txid == min(wanted - 1, last)


@given(replicas(), st.data())
def test_a_missing_transaction_is_named(replica, data):
    last, files = replica
    lost = data.draw(st.integers(1, last))
    kept = [file for file in files if not file.min_txid <= lost <= file.max_txid]
    if lost == last:
        with pytest.raises(TxNotAvailable):
            plan_restore(kept, txid=TXID(last))
        return
    with pytest.raises(RestoreError, match=f"{TXID(lost)} is missing"):
        plan_restore(kept)
    with pytest.raises(RestoreError, match=f"{TXID(lost)} is missing"):
        plan_restore(kept, txid=TXID(last))
    with pytest.raises(RestoreError, match=f"{TXID(lost)} is missing"):
        plan_restore(kept, timestamp=moment(last + 1))


def test_the_farthest_file_wins_then_the_widest_then_the_highest_level():
    files = [info(9, 1, 3), info(0, 4, 4), info(1, 3, 6), info(2, 2, 6), info(3, 2, 6)]
    assert spans(plan_restore(files)) == [(9, 1, 3), (3, 2, 6)]


def test_without_a_snapshot_any_level_may_begin_the_chain():
    assert spans(plan_restore([info(2, 1, 5), info(0, 6, 6)])) == [(2, 1, 5), (0, 6, 6)]


def test_a_straddling_file_follows():
    assert spans(plan_restore([info(1, 1, 5), info(0, 1, 1), info(2, 3, 9)])) == [
        (1, 1, 5),
        (2, 3, 9),
    ]


def test_a_transaction_inside_a_compacted_file_names_its_neighbours():
    files = [info(1, 1, 5), info(1, 6, 9)]
    with pytest.raises(TxNotAvailable, match=f"restore {TXID(5)} or {TXID(9)}"):
        plan_restore(files, txid=TXID(7))


def test_a_moment_inside_a_compacted_file_stops_before_it():
    files = [info(1, 1, 5), info(1, 6, 9), info(0, 8, 8), info(0, 9, 9)]
    assert spans(plan_restore(files, timestamp=moment(9))) == [(1, 1, 5)]


def test_a_moment_before_the_first_state_names_the_oldest():
    with pytest.raises(TxNotAvailable, match="oldest state is of 2026-01-01T00:00:05"):
        plan_restore([info(1, 1, 5)], timestamp=moment(5))


@pytest.mark.parametrize("txid", [0, 6])
def test_a_transaction_outside_the_replica_names_the_newest(txid):
    with pytest.raises(TxNotAvailable, match=f"newest is {TXID(5)}"):
        plan_restore([info(1, 1, 5)], txid=TXID(txid))


@pytest.mark.parametrize("target", [{}, {"txid": TXID(1)}, {"timestamp": START}])
def test_an_empty_replica_makes_one_doubt_its_url(target):
    with pytest.raises(TxNotAvailable, match="holds no files"):
        plan_restore([], **target)


def test_files_without_a_first_transaction_are_no_database():
    with pytest.raises(RestoreError, match=f"{TXID(1)} is missing"):
        plan_restore([info(0, 5, 5)])
    with pytest.raises(TxNotAvailable, match="no file begins at transaction 1"):
        plan_restore([info(0, 5, 5)], timestamp=moment(1))


def test_two_targets_are_refused():
    with pytest.raises(ValueError, match="not both"):
        plan_restore([info(1, 1, 5)], txid=TXID(5), timestamp=START)
