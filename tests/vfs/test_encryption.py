"""A replica that is encrypted from the app to the restored database."""

import json
import subprocess
import sys
import time
import traceback

import apsw
import pytest
from click.testing import CliRunner
from keys import x25519

import ltxvfs
from ltxvfs.backends.age.store import AgeStore
from ltxvfs.backends.file import FileStore
from ltxvfs.backends.memory import MemoryStore
from ltxvfs.cli import main
from ltxvfs.core.errors import ConfigError, Denied, Error
from ltxvfs.databases import databases
from ltxvfs.settings import Settings

ALICE, BOB = x25519(), x25519()
SECRET = "the quick brown fox"


@pytest.fixture
def replica(tmp_path):
    """A database with some history, and its encrypted replica."""
    ltxvfs.register(replica=tmp_path / "replica", sync_interval=0.01, age=ALICE.both)
    con = apsw.Connection(str(tmp_path / "app.db"), vfs="litestream")
    try:
        con.execute("CREATE TABLE t(x)")
        for _ in range(5):
            con.executemany("INSERT INTO t VALUES (?)", [(SECRET,)] * 100)
            ltxvfs.wait(con)
    finally:
        con.close()
    return tmp_path / "replica"


def rows(path):
    con = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return con.execute("SELECT count(*) FROM t WHERE x = ?", [SECRET]).get
    finally:
        con.close()


def test_only_the_identity_restores_it(replica, tmp_path):
    files = [path for path in replica.rglob("*") if path.suffix == ".ltx"]
    assert files
    assert all(path.read_bytes().startswith(b"age-encryption.org/v1\n") for path in files)
    lease = FileStore(replica).read_record("lock.json").data
    assert json.loads(lease), "other programs read it"
    ltxvfs.restore(replica, tmp_path / "new.db", age=ltxvfs.AgeKeys(identities=[ALICE.identity]))
    assert rows(tmp_path / "new.db") == 500
    with pytest.raises(Denied, match="encrypted for others"):
        ltxvfs.restore(replica, tmp_path / "none.db", age=BOB.both)
    with pytest.raises(Denied, match="give the age identity"):
        ltxvfs.restore(replica, tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_the_command_takes_files_of_identities(replica, tmp_path):
    for name, pair in {"alice": ALICE, "bob": BOB}.items():
        (tmp_path / name).write_text(pair.identity)
    output = str(tmp_path / "new.db")
    restore = ["restore", "-o", output, str(replica), "-age-identity"]
    denied = CliRunner().invoke(main, [*restore, str(tmp_path / "bob")])
    assert denied.exit_code == 1
    assert "give the age identity" in denied.output
    both = [str(tmp_path / "bob"), "-age-identity", str(tmp_path / "alice")]
    assert CliRunner().invoke(main, [*restore, *both]).exit_code == 0
    assert rows(output) == 500
    for verb in ("verify", "ltx"):
        keys = ["-age-identity", str(tmp_path / "alice")]
        assert CliRunner().invoke(main, [verb, *keys, str(replica)]).exit_code == 0


def test_keys_may_come_from_the_environment(replica, tmp_path, monkeypatch):
    (tmp_path / "alice").write_text(ALICE.identity)
    monkeypatch.setenv("LITESTREAM_AGE_IDENTITIES_FILE", str(tmp_path / "alice"))
    ltxvfs.restore(replica, tmp_path / "new.db")
    assert rows(tmp_path / "new.db") == 500


def test_the_sizes_listed_are_those_of_the_contents(replica, tmp_path):
    result = ltxvfs.restore(replica, tmp_path / "new.db", age=ALICE.both)
    for info in result.files:
        stored = replica / f"ltx/{info.level}/{info.min_txid}-{info.max_txid}.ltx"
        assert info.size == stored.stat().st_size - 1024 - 16 - 16


def test_what_are_no_keys_is_refused_at_once(tmp_path):
    with pytest.raises(ConfigError, match=r"ltxvfs\.AgeKeys"):
        ltxvfs.register(replica=tmp_path, age="age1...")
    ltxvfs.register(replica=tmp_path, age=ltxvfs.AgeKeys(["age1..."]))
    with pytest.raises(ConfigError, match="recipient 1 is damaged"):
        ltxvfs.connect(tmp_path / "app.db")


def test_a_plain_replica_needs_no_cryptography(tmp_path):
    code = (
        "import sys, ltxvfs.api, ltxvfs.restoration\n"
        "from ltxvfs.backends.registry import open_replica\n"
        f"open_replica({str(tmp_path)!r}).close()\n"
        "sys.exit('cryptography' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_writer_without_an_identity_starts_with_a_full_image(tmp_path, caplog):
    path, replica = tmp_path / "app.db", tmp_path / "replica"
    for start in range(3):
        ltxvfs.register(replica=replica, sync_interval=0.01, age=ltxvfs.AgeKeys([ALICE.recipient]))
        con = apsw.Connection(str(path), vfs="litestream")
        con.execute("CREATE TABLE IF NOT EXISTS t(x)")
        con.execute("INSERT INTO t VALUES (?)", [SECRET])
        txid = ltxvfs.wait(con)
        con.close()
        _await_retirement(path)
        ltxvfs.restore(replica, tmp_path / f"{start}.db", age=ALICE.both)
        assert rows(tmp_path / f"{start}.db") == start + 1
        assert len(list((replica / "ltx/0").iterdir())) == txid
    assert "cannot tell whose the replica's newest file is" in caplog.text


def _await_retirement(path):
    deadline = time.monotonic() + 10
    while databases().find(path) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_secrets_are_shown_nowhere(replica, tmp_path, caplog):
    (tmp_path / "bob").write_text(BOB.identity)
    bad = ALICE.identity[:-1] + ("Q" if ALICE.identity[-1] != "Q" else "P")
    reader = ltxvfs.AgeKeys(identities=[ALICE.identity])
    failures = [
        lambda: ltxvfs.restore(replica, tmp_path / "x.db", age=BOB.both),
        lambda: ltxvfs.restore(replica, tmp_path / "x.db", age=ltxvfs.AgeKeys(identities=[bad])),
        lambda: ltxvfs.restore(replica, tmp_path / "x.db", age=ltxvfs.AgeKeys([bad])),
        lambda: ltxvfs.AgeKeys(identities=bad),
        lambda: ltxvfs.register(replica=replica, age=[bad]),
        lambda: AgeStore(MemoryStore(), reader).write("k", b""),
    ]
    texts = [repr(Settings(age=ALICE.both)), repr(AgeStore(MemoryStore(), ALICE.both))]
    for fail in failures:
        with pytest.raises(Error) as caught:
            fail()
        texts += traceback.format_exception(caught.value)
    shown = "\n".join([*texts, caplog.text])
    for secret in (ALICE.identity, BOB.identity, bad):
        assert not {secret[at : at + 12] for at in range(16, len(secret) - 12)} & {
            shown[at : at + 12] for at in range(len(shown))
        }
