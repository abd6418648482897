"""Somebody else's package brings a store: built and installed on the fly, then used like ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "attic-store"
version = "1.0"

[project.entry-points."ltxvfs.backends"]
attic = "attic_store:AtticStore.from_url"

[tool.setuptools]
py-modules = ["attic_store"]
"""

MODULE = '''
"""A store in one SQLite file: attic:///path/of/file."""

import sqlite3
from datetime import UTC, datetime

from ltxvfs.backends.store import Entry, Record, check_key, check_prefix, check_record
from ltxvfs.core.errors import Conflict, NotFound
from ltxvfs.core.names import FOLDERS


class AtticStore:
    layout = FOLDERS
    listed_moments = True
    swaps = True

    def __init__(self, path):
        self.path = path
        self._sql("CREATE TABLE IF NOT EXISTS o(key TEXT PRIMARY KEY, data BLOB, moment TEXT)")
        self._sql("CREATE TABLE IF NOT EXISTS r(key TEXT PRIMARY KEY, data BLOB, version INTEGER)")

    @classmethod
    def from_url(cls, url):
        url.refuse_options()
        return cls(url.path)

    def _sql(self, text, *args):
        con = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        try:
            return con.execute(text, args).fetchall()
        finally:
            con.close()

    def list(self, prefix, after=""):
        check_prefix(prefix)
        for key, size, moment in self._sql("SELECT key, length(data), moment FROM o ORDER BY key"):
            if key.startswith(prefix) and key > after:
                yield Entry(key, size, datetime.fromisoformat(moment))

    def _one(self, table, key):
        check_key(key)
        rows = self._sql(f"SELECT * FROM {table} WHERE key = ?", key)
        if not rows:
            raise NotFound(f"{key} is not in the attic")
        return rows[0]

    def read(self, key, start=0, size=None):
        return self._one("o", key)[1][start : None if size is None else start + size]

    def moment(self, key):
        return datetime.fromisoformat(self._one("o", key)[2])

    def write(self, key, source, *, if_absent=False, modified=None):
        data = source if isinstance(source, bytes) else source.read()
        moment = modified or datetime.now(UTC)
        how = "INSERT" if if_absent else "REPLACE"
        try:
            self._sql(f"{how} INTO o VALUES (?, ?, ?)", check_key(key), data, moment.isoformat())
        except sqlite3.IntegrityError:
            raise Conflict(f"{key} is already in the attic") from None
        return Entry(key, len(data), moment)

    def delete(self, keys):
        for key in keys:
            self._sql("DELETE FROM o WHERE key = ?", check_key(key))

    def read_record(self, key):
        _, data, version = self._one("r", key)
        return Record(data, str(version))

    def write_record(self, key, data, version):
        check_record(data)
        if version is None:
            insert = "INSERT OR IGNORE INTO r VALUES (?, ?, 1) RETURNING version"
            change = insert, check_key(key), data
        else:
            change = (
                "UPDATE r SET data = ?, version = version + 1 WHERE key = ? AND version = ? "
                "RETURNING version",
                data,
                check_key(key),
                int(version),
            )
        rows = self._sql(*change)
        if not rows:
            raise Conflict(f"{key} was changed by another writer")
        return str(rows[0][0])

    def watch(self, prefix):
        check_prefix(prefix)
        return None

    def close(self):
        pass
'''

TEST = """
import pytest

from ltxvfs.backends.registry import open_store
from ltxvfs.backends.testing import StoreTests


class TestAttic(StoreTests):
    @pytest.fixture
    def store(self, tmp_path):
        return open_store(f"attic://{tmp_path}/attic.db")
"""

APP = """
import sys

import apsw
import ltxvfs

database, replica, copy = sys.argv[1:]
ltxvfs.register(replica=replica)
con = apsw.Connection(database, vfs="litestream")
con.execute("CREATE TABLE t(x)")
con.execute("INSERT INTO t VALUES ('kept')")
ltxvfs.wait(con)
con.close()
ltxvfs.restore(replica, copy)
print(apsw.Connection(copy).execute("SELECT x FROM t").fetchall())
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder of packages with the other one installed into it."""
    folder = tmp_path_factory.mktemp("attic")
    source = folder / "source"
    source.mkdir()
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "attic_store.py").write_text(MODULE)
    (source / "test_attic.py").write_text(TEST)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    target = folder / "site"
    subprocess.run(
        [*pip, "--no-build-isolation", "--no-deps", "--no-index", "--target", target, source],
        check=True,
    )
    return target


def run(site: Path, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(site)},
        cwd=site,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_passes_the_suite_that_ships_for_it(site):
    tests = site.parent / "source" / "test_attic.py"
    shown = run(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, tests)
    assert " passed" in shown


def test_it_is_used_like_one_of_ours(site, tmp_path):
    url = f"attic://{tmp_path}/attic.db"
    app = tmp_path / "app.py"
    app.write_text(APP)
    assert run(site, app, tmp_path / "app.db", url, tmp_path / "copy.db") == "[('kept',)]\n"
