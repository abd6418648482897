"""The age of Debian opens what we write, and we what it writes: by hand, as in an emergency."""

import shutil
import subprocess

import litestream
import pytest
from keys import ssh, x25519
from servers.process import unavailable

import ltxvfs
from ltxvfs.backends.age.keys import AgeKeys
from ltxvfs.backends.age.store import AgeStore
from ltxvfs.backends.file import FileStore
from ltxvfs.verification import verify

CONTENT = bytes(range(256)) * 1000


@pytest.fixture(autouse=True)
def program():
    if shutil.which("age") is None:
        unavailable("age")


def age(*arguments):
    return subprocess.run(["age", *arguments], check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return {
        "X25519": x25519(),
        "another X25519": x25519(),
        "ssh-ed25519": ssh(folder, "ed25519"),
        "ssh-rsa": ssh(folder, "rsa", "-b", "2048"),
        "ssh-rsa as PEM": ssh(folder, "rsa", "-b", "3072", "-m", "PEM"),
    }


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 196608])
@pytest.mark.parametrize("one_stream", [False, True], ids=["bytes", "stream"])
def test_age_opens_what_we_wrote(tmp_path, pairs, size, one_stream):
    store = AgeStore(FileStore(tmp_path), pairs["X25519"].both)
    source = tmp_path / "source"
    source.write_bytes(CONTENT[:size])
    with source.open("rb") as file:
        store.write("ltx/0/x", file if one_stream else CONTENT[:size])
    key = tmp_path / "key"
    key.write_text(pairs["X25519"].identity)
    assert age("-d", "-i", key, tmp_path / "ltx/0/x") == CONTENT[:size]


def test_age_opens_it_with_each_of_many_keys(tmp_path, pairs):
    keys = AgeKeys([pair.recipient for pair in pairs.values()])
    AgeStore(FileStore(tmp_path), keys).write("x", CONTENT)
    for pair in pairs.values():
        key = tmp_path / "key"
        key.write_text(pair.identity)
        key.chmod(0o600)
        assert age("-d", "-i", key, tmp_path / "x") == CONTENT


@pytest.mark.parametrize("kind", ["X25519", "ssh-ed25519", "ssh-rsa", "ssh-rsa as PEM"])
@pytest.mark.parametrize("size", [0, 65536, 200_000])
def test_we_open_what_age_wrote(tmp_path, pairs, kind, size):
    source = tmp_path / "source"
    source.write_bytes(CONTENT[:size])
    recipients = [pairs["another X25519"].recipient, pairs[kind].recipient]
    options = [word for recipient in recipients for word in ("-r", recipient.strip())]
    (tmp_path / "store").mkdir()
    age(*options, "-o", tmp_path / "store" / "x", source)
    store = AgeStore(FileStore(tmp_path / "store"), AgeKeys(identities=[pairs[kind].identity]))
    assert store.read("x") == CONTENT[:size]
    assert store.read("x", 65000, 1000) == CONTENT[:size][65000:66000]
    assert [entry.size for entry in store.list("")] == [size]


@pytest.fixture
def plain(tmp_path):
    """A replica with files small and large; and what Litestream restores from it."""
    con = ltxvfs.connect(tmp_path / "app.db", replica=tmp_path / "plain", sync_interval=60)
    con.execute("CREATE TABLE t(x)")
    for size in (10, 6_000_000, 100, 200_000, 1000):
        con.execute("INSERT INTO t VALUES (randomblob(?))", [size])
        ltxvfs.wait(con)
    con.close()
    replica = tmp_path / "plain"
    litestream.restore(replica, tmp_path / "expected.db")
    return replica


@pytest.mark.parametrize("ours", [set(), {0}, {1, 3}], ids=["none", "the first", "some"])
def test_a_replica_that_age_encrypted_file_by_file_is_restored(tmp_path, pairs, plain, ours):
    """By hand, and by us in between: headers of several sizes in one listing."""
    pair = pairs["X25519"]
    store = AgeStore(FileStore(tmp_path / "encrypted"), pair.both)
    for number, path in enumerate(sorted((plain / "ltx/0").iterdir())):
        key = path.relative_to(plain).as_posix()
        store.write(key, path.read_bytes())
        if number not in ours:
            age("-r", pair.recipient, "-o", tmp_path / "encrypted" / key, path)
    result = ltxvfs.restore(tmp_path / "encrypted", tmp_path / "restored.db", age=pair.both)
    assert (tmp_path / "restored.db").read_bytes() == (tmp_path / "expected.db").read_bytes()
    assert len(result.files) == len(list((plain / "ltx/0").iterdir()))
    assert verify(tmp_path / "encrypted", age=pair.both).ok
