"""What a connection can ask: ``PRAGMA litestream_*`` and the SQL functions."""

import json
import time
from datetime import UTC, datetime

import apsw
import pytest
from replicated import Replicated

import ltxvfs
from ltxvfs.core.errors import BarrierTimeout, ConfigError


def test_pragmas_and_functions_tell_the_same(app: Replicated) -> None:
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    txid = ltxvfs.wait(con, 10)
    assert con.pragma("litestream_txid") == str(txid)
    assert con.execute("SELECT litestream_txid()").get == str(txid)
    told = con.pragma("litestream_time")
    assert con.execute("SELECT litestream_time()").get == told
    age = datetime.now(UTC) - datetime.fromisoformat(told)
    assert 0 <= age.total_seconds() + 0.001 < 10
    assert con.pragma("litestream_lag") == "0.000"
    assert con.execute("SELECT litestream_lag()").get == 0.0
    status = json.loads(con.pragma("litestream_status"))
    assert json.loads(con.execute("SELECT litestream_status()").get) == status
    assert status["path"] == str(app.path)
    assert status["replica"] == app.url
    assert status["txid"] == status["replica_txid"] == str(txid)
    assert status["pages"] == 2
    assert status["page_size"] == 4096
    assert status["uploader"] is True
    assert status["error"] is None
    uploads = status["requests"]["write"]
    assert uploads["tries"] >= 1
    assert uploads["failed"] == 0
    assert status["bytes_uploaded"] >= 2 * 100


def test_before_the_first_commit_there_is_nothing_to_tell(app: Replicated) -> None:
    con = app.connect()
    assert con.pragma("litestream_txid") == "0" * 16
    assert con.pragma("litestream_time") is None
    assert con.pragma("litestream_lag") == "0.000"
    assert ltxvfs.wait(con, 10) == 0


def test_lag_is_the_age_of_what_only_this_machine_has(app: Replicated) -> None:
    con = app.connect()
    con.execute("CREATE TABLE t(x)")
    ltxvfs.wait(con, 10)
    app.replica.rename(app.replica.with_name("away"))
    app.replica.touch()  # a file where the folder was
    con.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(BarrierTimeout):
        ltxvfs.wait(con, 0.5)
    first = float(con.pragma("litestream_lag"))
    time.sleep(0.1)
    assert float(con.pragma("litestream_lag")) >= first + 0.1
    assert ltxvfs.last_error(con) is not None
    app.replica.unlink()
    app.replica.with_name("away").rename(app.replica)
    ltxvfs.wait(con, 20)
    assert con.pragma("litestream_lag") == "0.000"
    assert ltxvfs.last_error(con) is None


def test_pragmas_that_do_not_exist_or_cannot_be_set_say_so(app: Replicated) -> None:
    con = app.connect()
    with pytest.raises(apsw.SQLError, match="there is no PRAGMA litestream_hello"):
        con.execute("PRAGMA litestream_hello")
    assert isinstance(ltxvfs.last_error(), ConfigError)
    with pytest.raises(apsw.SQLError, match="read-only"):
        con.execute("PRAGMA litestream_txid = 7")
    with pytest.raises(apsw.SQLError, match="number of seconds"):
        con.execute("PRAGMA litestream_sync = soon")
    con.execute("PRAGMA LiteStream_TXID")


def test_waiting_on_what_is_not_replicated_is_an_error() -> None:
    with pytest.raises(ConfigError, match="nothing here is replicated"):
        ltxvfs.wait(apsw.Connection(":memory:"))


def test_functions_are_not_offered_for_a_temporary_main_database(app: Replicated) -> None:
    app.connect()
    con = apsw.Connection(":memory:", vfs="litestream")
    with pytest.raises(apsw.SQLError, match="no such function"):
        con.execute("SELECT litestream_lag()")
