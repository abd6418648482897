"""The age of Debian opens what we write, and we what it writes: by hand, as in an emergency."""

import shutil
import subprocess

import pytest
from keys import ssh, x25519
from servers.process import unavailable

from ltxvfs.backends.age import AgeStore
from ltxvfs.backends.age_keys import AgeKeys
from ltxvfs.backends.file import FileStore

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
