"""A replica that is not as it was left: compacted while nobody wrote, or another history."""

import logging
from pathlib import Path

import pytest
from faults.campaign import live_through, merge
from replicated import Replicated, live

import ltxvfs
from ltxvfs.backends.registry import open_replica
from ltxvfs.core.types import TXID


def written(app: Replicated, times: int) -> None:
    con = app.connect(sync_interval=60)
    con.execute("CREATE TABLE IF NOT EXISTS t(x)")
    for _ in range(times):
        con.execute("INSERT INTO t VALUES (randomblob(9000))")
        ltxvfs.wait(con, 10)
    con.close()
    app.await_retirement()


def test_the_chain_goes_on_behind_a_compacted_file(
    app: Replicated, caplog: pytest.LogCaptureFixture
) -> None:
    written(app, 3)
    with open_replica(app.url) as client:
        last = client.max_txid()
        merge(client, 1, 1, last)
    with caplog.at_level(logging.WARNING):
        written(app, 1)
    assert not caplog.records
    with open_replica(app.url) as client:
        (info,) = client.ltx_files(0)
    assert info.max_txid == last + 1
    assert info.size < 20_000, "a change, not a full image"
    assert app.restored(info.max_txid) == app.restored_by_litestream(info.max_txid)


def test_another_history_is_told_from_ours_after_its_compaction(
    app: Replicated, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(app, 3)
    (tmp_path / "other").mkdir()
    other = live_through(tmp_path / "other", seed=3)
    with open_replica(app.url) as client:
        last = client.max_txid()
        client.delete_all()
        for txid in range(1, last + 1):
            client.write_ltx_file(0, txid, txid, other.files[TXID(txid)])
        merge(client, 1, 1, last)
    written(app, 1)
    assert "another writer's" in caplog.text
    con = app.connect()
    ltxvfs.wait(con, 10)
    assert app.restored() == live(con)


def test_a_replica_that_went_back_to_another_history_gets_a_full_image(
    app: Replicated, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its end is just in front of the newest local file, which would follow on it by its TXID."""
    written(app, 3)
    (tmp_path / "other").mkdir()
    other = live_through(tmp_path / "other", seed=3)
    with open_replica(app.url) as client:
        last = client.max_txid()
        client.delete_all()
        for txid in range(1, last):
            client.write_ltx_file(0, txid, txid, other.files[TXID(txid)])
    written(app, 1)
    assert "went back" in caplog.text
    con = app.connect()
    ltxvfs.wait(con, 10)
    assert app.restored() == live(con)
