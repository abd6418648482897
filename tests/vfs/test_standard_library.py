"""The VFS in the standard library's ``sqlite3``, where that can load extensions: Debian's can."""

import os
import sqlite3
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

import ltxvfs
from ltxvfs.core.errors import ConfigError

DEBIAN = "/usr/bin/python3"


def ran(script: str, *arguments: object) -> str:
    """Run a script in Debian's Python, with this environment's packages; give what it printed."""
    # addsitedir() heeds .pth files, so it finds the package as this interpreter does.
    head = f"import site, sys; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [DEBIAN, "-c", head + textwrap.dedent(script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": tests},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _missing() -> str | None:
    if os.environ.get("LTXVFS_SANITIZED"):
        return "the sanitizers' build is elsewhere"
    if not os.access(DEBIAN, os.X_OK):
        return "no Python of the system"
    version = sys.version_info[:2]
    query = (
        f"import sys, sqlite3; print(sys.version_info[:2] == {version},"
        " hasattr(sqlite3.Connection, 'enable_load_extension'))"
    )
    done = subprocess.run([DEBIAN, "-c", query], capture_output=True, text=True, check=False)
    if done.stdout.split() != ["True", "True"]:
        return "the system's Python is of another version, or cannot load extensions"
    return None


needs_debian = pytest.mark.skipif(bool(_missing()), reason=_missing() or "")


@needs_debian
def test_the_standard_module_replicates(tmp_path: Path) -> None:
    script = """
        import json, sqlite3
        from pathlib import Path
        import ltxvfs
        folder = Path(sys.argv[1])
        ltxvfs.register((folder / "replica").as_uri(), module=sqlite3, sync_interval=0.05)
        ltxvfs.register((folder / "replica").as_uri(), module=sqlite3)  # again is no harm
        con = sqlite3.connect(f"file:{folder}/app.db?vfs=litestream", uri=True)
        con.execute("CREATE TABLE t(x)")
        con.executemany("INSERT INTO t VALUES (?)", [(i,) for i in range(1000)])
        con.commit()
        txid = ltxvfs.wait(con, 10)
        assert con.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert con.execute("SELECT litestream_txid()").fetchone() == (str(txid),)
        status = json.loads(con.execute("PRAGMA litestream_status").fetchone()[0])
        assert status["error"] is None, status
        con.execute("DELETE FROM t WHERE x % 3 = 0")
        con.commit()
        con.execute("VACUUM")
        con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ltxvfs.wait(con, 10)
        ltxvfs.restore((folder / "replica").as_uri(), folder / "copy.db")
        assert (folder / "copy.db").read_bytes() == con.serialize()
        plain = sqlite3.connect(folder / "plain.db")
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        con.close()
        print("done")
    """
    assert ran(script, tmp_path) == "done\n"


@needs_debian
def test_the_standard_module_is_told_why_an_open_fails(tmp_path: Path) -> None:
    script = """
        import sqlite3
        import ltxvfs
        ltxvfs.register(module=sqlite3)
        try:
            sqlite3.connect(f"file:{sys.argv[1]}/app.db?vfs=litestream", uri=True)
        except sqlite3.Error as error:
            assert "no replica is configured" in str(error), error
        assert isinstance(ltxvfs.last_error(), ltxvfs.core.errors.ConfigError)
        if sqlite3.sqlite_version_info < (3, 51, 3):
            try:
                ltxvfs.register(module=sqlite3, strict=True)
            except ltxvfs.core.errors.ConfigError as error:
                assert "can corrupt" in str(error), error
                print("refused")
        else:
            print("refused")
    """
    assert ran(script, tmp_path) == "refused\n"
    assert list(tmp_path.iterdir()) == []


@needs_debian
def test_one_database_through_two_libraries_is_refused(tmp_path: Path) -> None:
    script = """
        import sqlite3
        from pathlib import Path
        import apsw, ltxvfs
        folder = Path(sys.argv[1])
        ltxvfs.register((folder / "replica").as_uri() + "/{name}", module=sqlite3)
        ltxvfs.register((folder / "replica").as_uri() + "/{name}")
        first = sqlite3.connect(f"file:{folder}/app.db?vfs=litestream", uri=True)
        first.execute("CREATE TABLE t(x)")
        try:
            apsw.Connection(f"{folder}/app.db", vfs="litestream")
        except apsw.CantOpenError as error:
            assert "another SQLite library" in str(error), error
            print("refused")
        other = apsw.Connection(f"{folder}/other.db", vfs="litestream")
        other.execute("CREATE TABLE t(x)")
        print(ltxvfs.wait(other, 10) > 0, ltxvfs.wait(first, 10) > 0)
        first.close()
        second = apsw.Connection(f"{folder}/app.db", vfs="litestream")
        second.execute("INSERT INTO t VALUES (1)")
        print(ltxvfs.wait(second, 10) > 0)
    """
    assert ran(script, tmp_path) == "refused\nTrue True\nTrue\n"


@needs_debian
def test_sqlalchemy(tmp_path: Path) -> None:
    done = subprocess.run([DEBIAN, "-c", "import sqlalchemy"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("the system's Python has no SQLAlchemy")
    script = """
        import sqlite3
        from pathlib import Path
        import ltxvfs
        import sqlalchemy as sa
        folder = Path(sys.argv[1])
        ltxvfs.register((folder / "replica").as_uri(), module=sqlite3, sync_interval=0.05)
        url = f"sqlite+pysqlite:///file:{folder}/app.db?vfs=litestream&uri=true"
        engine = sa.create_engine(url)
        table = sa.Table("t", sa.MetaData(), sa.Column("x", sa.Integer, primary_key=True))
        table.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(table.insert(), [{"x": i} for i in range(500)])
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA litestream_sync = 10")
            assert connection.execute(sa.select(sa.func.litestream_lag())).scalar() == 0
        engine.dispose()
        ltxvfs.restore((folder / "replica").as_uri(), folder / "copy.db")
        copy = sqlite3.connect(folder / "copy.db")
        print(copy.execute("SELECT count(*) FROM t").fetchone()[0])
    """
    assert ran(script, tmp_path) == "500\n"


@pytest.mark.skipif(
    hasattr(sqlite3.Connection, "enable_load_extension"), reason="this sqlite3 loads extensions"
)
def test_a_module_that_cannot_load_extensions_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match="built without extension loading: open the") as caught:
        ltxvfs.register(module=sqlite3)
    assert "\n" not in str(caught.value)
