import errno
import os
import stat
from datetime import UTC, datetime, timedelta

import pytest

from ltxvfs.backends.file import FileStore
from ltxvfs.backends.registry import open_store
from ltxvfs.backends.testing import MOMENT, StoreTests
from ltxvfs.core.errors import ConfigError, Denied, Unavailable


class TestFileStore(StoreTests):
    @pytest.fixture
    def store(self, tmp_path):
        return FileStore(tmp_path / "deep" / "root")


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_moment_is_the_modification_time(tmp_path):
    FileStore(tmp_path).write("ltx/0/a", b"x", modified=MOMENT)
    path = tmp_path / "ltx/0/a"
    assert path.stat().st_mtime_ns == 1767323045_678_000_000
    assert files(tmp_path) == ["ltx/0/a"]


def test_a_moment_keeps_its_microseconds(tmp_path):
    store = FileStore(tmp_path)
    for micros in (0, 1, 123_456, 999_999):
        moment = datetime(2099, 12, 31, 23, 59, 59, micros, tzinfo=UTC)
        store.write("k", b"x", modified=moment)
        assert next(store.list("")).modified == moment


def test_unfinished_files_are_never_listed(tmp_path):
    (tmp_path / "a.ltx.tmp").write_bytes(b"Litestream's")
    (tmp_path / ".a.ltx.12.ab.tmp").write_bytes(b"ours")
    (tmp_path / "a.ltx").write_bytes(b"done")
    assert [entry.key for entry in FileStore(tmp_path).list("")] == ["a.ltx"]


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    class Broken:
        def read(self, size=-1):
            raise OSError(errno.EIO, "the disk is gone")

    store = FileStore(tmp_path)
    with pytest.raises(Unavailable, match="the disk is gone"):
        store.write("a/k", Broken())
    assert files(tmp_path) == []


def test_the_moment_is_set_before_the_name(tmp_path, monkeypatch):
    seen = []

    def replace(temp, path):
        seen.append(os.stat(temp).st_mtime)
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(Unavailable, match="no space"):
        FileStore(tmp_path).write("k", b"x", modified=MOMENT)
    assert seen == [MOMENT.timestamp()]
    assert files(tmp_path) == []


def test_file_and_folders_are_synced_before_a_write_returns(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync

    def record(fd):
        mode = os.fstat(fd).st_mode
        synced.append("folder" if stat.S_ISDIR(mode) else "file")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", record)
    FileStore(tmp_path).write("a/b/k", b"x")
    assert synced == ["folder", "folder", "file", "folder"]


def test_a_replica_is_for_its_owner_only(tmp_path):
    FileStore(tmp_path / "replica").write("ltx/0/k", b"x")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"replica": 0o700, "ltx": 0o700, "0": 0o700, "k": 0o600}


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_real_file_is_written_from_its_position(buffering, tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "source").write_bytes(data)
    with open(tmp_path / "source", "rb", buffering) as source:
        assert source.read(3) == data[:3]
        FileStore(tmp_path / "root").write("k", source)
    assert (tmp_path / "root/k").read_bytes() == data[3:]


@pytest.fixture
def nobody():
    """Be somebody without rights for the length of a test, also where tests run as root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)


def test_a_folder_without_permission_is_denied(tmp_path, request):
    store = FileStore(tmp_path)
    store.write("k", b"x")
    tmp_path.chmod(0o500)
    request.getfixturevalue("nobody")
    with pytest.raises(Denied, match="permission denied"):
        store.write("k2", b"x")


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///srv/app", "/srv/app"),
        ("file://localhost/srv/app", "/srv/app"),
        ("FILE:///srv/app/", "/srv/app"),
        ("file:///srv/with%20space/%C3%BC", "/srv/with space/ü"),
        ("file:///srv/with space/ü", "/srv/with space/ü"),
        ("file:///srv/100%25#1", "/srv/100%#1"),
        ("/srv/bare%20path?x#y", "/srv/bare%20path?x#y"),
    ],
)
def test_urls_and_bare_paths(url, folder):
    assert str(open_store(url).inner.root) == folder


def test_a_relative_path_is_fixed_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = open_store("replica")
    monkeypatch.chdir("/")
    assert store.inner.root == tmp_path / "replica"


@pytest.mark.parametrize(
    "url", ["file://", "file://srv/app", "file:///srv?mode=rw", "", "file:/x\0"]
)
def test_a_bad_url_is_refused(url):
    with pytest.raises(ConfigError):
        open_store(url)


def test_listing_is_lazy(tmp_path):
    store = FileStore(tmp_path)
    for n in range(20):
        store.write(f"k{n:02}", b"x", modified=MOMENT + timedelta(n))
    listing = store.list("")
    assert next(listing).key == "k00"
    store.delete(["k01"])
    assert next(listing).key == "k02"
