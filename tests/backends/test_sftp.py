import contextlib
import io
import logging
import os
import stat
import subprocess
import sys
import threading
import traceback
from urllib.parse import quote

import pytest
from servers import rclone, sshd
from servers.fault_proxy import FaultProxy

from ltxvfs.backends.sftp.store import SFTPStore
from ltxvfs.backends.testing import MOMENT, StoreTests
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError, Conflict, Denied, NotFound, Unavailable

PASSPHRASE = "open-sesame-7351"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    found = sshd.server(tmp_path_factory.mktemp("sshd"))
    with found.start():
        yield found


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "replica"


@pytest.fixture
def open_url():
    """Open bare stores, where nothing is tried twice, and close them."""
    with contextlib.ExitStack() as opened:

        def open_url(url):
            return opened.enter_context(contextlib.closing(SFTPStore.from_url(parsed(url))))

        yield open_url


@pytest.fixture
def store(server, folder, open_url):
    return open_url(server.url(str(folder)))


def parsed(url):
    return ReplicaURL.parse(url)


# What is on the server


@pytest.mark.parametrize("size", [1, 300_000, 1 << 20, 9 << 20])
def test_files_and_folders_are_the_owners_only_and_bear_the_moment_in_seconds(store, folder, size):
    store.write("ltx/0/a", io.BytesIO(bytes(size)), modified=MOMENT)
    found = (folder / "ltx/0/a").stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_mtime == int(MOMENT.timestamp())
    assert stat.S_IMODE((folder / "ltx").stat().st_mode) == 0o700
    (entry,) = store.list("")
    assert entry.modified == MOMENT.replace(microsecond=0)


def test_what_a_crash_left_behind_is_not_listed(store, folder):
    store.write("ltx/0/a", b"x")
    (folder / "ltx/0/.b.123.abc.tmp").write_bytes(b"half")
    assert [entry.key for entry in store.list("")] == ["ltx/0/a"]


def test_links_are_followed_and_what_is_no_file_is_left_out(store, folder):
    store.write("a", b"x")
    store.write("b/c", b"xyz")
    (folder / "link").symlink_to("a")
    (folder / "folder").symlink_to("b")
    (folder / "broken").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    listed = {entry.key: entry.size for entry in store.list("")}
    assert listed == {"a": 1, "b/c": 3, "link": 1, "folder/c": 3}


@pytest.mark.parametrize(
    "key", ["-rf", "a\\b", "line\nbreak", "*?[x]", "~", "%2F", "\udcff raw", "n" * 200, ".hidden/x"]
)
def test_odd_names_come_back_as_they_went(store, folder, key):
    store.write(key, b"x")
    assert [entry.key for entry in store.list("")] == [key]
    assert store.read(key) == b"x"
    store.delete([key])
    assert list(store.list("")) == []


def test_a_path_below_the_logins_own_folder(server, open_url, tmp_path):
    name = f"ltxvfs-test-{os.getpid()}"
    home = os.path.expanduser("~")
    store = open_url(server.url(f"/~/{name}"))
    store.write("deep/er/a", b"x")
    try:
        assert [entry.key for entry in store.list("")] == ["deep/er/a"]
        assert os.path.exists(f"{home}/{name}/deep/er/a")
    finally:
        subprocess.run(["rm", "-r", f"{home}/{name}"], check=True)


# Large objects


def test_a_large_file_is_sent_in_pieces_from_its_position(store):
    data = os.urandom(1 << 20) * 13
    source = io.BytesIO(b"skipped" + data)
    source.seek(7)
    assert store.write("big", source).size == len(data)
    assert store.read("big") == data
    assert store.read("big", 5_000_000, 3_000_000) == data[5_000_000:8_000_000]


def test_a_large_file_can_lose_as_well(store):
    store.write("big", b"first")
    with pytest.raises(Conflict):
        store.write("big", io.BytesIO(bytes(9 << 20)), if_absent=True)
    assert store.read("big") == b"first"


def test_a_source_that_fails_leaves_nothing_behind(store, folder):
    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() >= 8 << 20:
                raise OSError("the disk is gone")
            return super().read(size)

    with pytest.raises(OSError, match="the disk is gone"):
        store.write("ltx/9/a", Failing(bytes(20 << 20)))
    store.close()  # waits for what tidies up
    assert list((folder / "ltx/9").iterdir()) == []


# Who is who


@pytest.fixture
def agent(tmp_path, server, monkeypatch):
    """An agent that holds the user's key."""
    socket = tmp_path / "agent"
    command = ["ssh-agent", "-D", "-a", str(socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", "-q", server.folder / "user"], check=True)
        yield
        process.terminate()


@pytest.mark.usefixtures("agent")
def test_without_a_key_the_agent_is_asked(server, folder, open_url):
    store = open_url(server.url(str(folder), **{"key-path": ""}))
    store.write("a", b"x")
    assert store.read("a") == b"x"


@pytest.fixture
def locked_key(server, tmp_path):
    key = sshd.make_key(tmp_path / "locked", PASSPHRASE)
    authorized = server.folder / "authorized_keys"
    before = authorized.read_text()
    authorized.write_text(before + key.with_suffix(".pub").read_text())
    yield str(key)
    authorized.write_text(before)


def test_a_key_with_a_passphrase(server, folder, locked_key, open_url, monkeypatch):
    monkeypatch.setenv("LITESTREAM_SFTP_KEY_PASSPHRASE", PASSPHRASE)
    store = open_url(server.url(str(folder), **{"key-path": locked_key}))
    assert list(store.list("")) == []


@pytest.mark.parametrize(
    ("passphrase", "said"), [("", "LITESTREAM_SFTP_KEY_PASSPHRASE"), ("no", "wrong passphrase")]
)
def test_a_key_that_cannot_be_opened(
    server, folder, locked_key, open_url, monkeypatch, passphrase, said
):
    monkeypatch.setenv("LITESTREAM_SFTP_KEY_PASSPHRASE", passphrase)
    store = open_url(server.url(str(folder), **{"key-path": locked_key}))
    with pytest.raises(ConfigError, match=said):
        list(store.list(""))


def test_a_stranger_is_refused(server, folder, open_url, tmp_path):
    stranger = sshd.make_key(tmp_path / "stranger")
    store = open_url(server.url(str(folder), **{"key-path": str(stranger)}))
    with pytest.raises(Denied, match="refuses the login"):
        list(store.list(""))


def test_the_wrong_host_key_is_refused(server, folder, open_url, tmp_path):
    other = sshd.make_key(tmp_path / "other").with_suffix(".pub").read_text()
    store = open_url(server.url(str(folder), **{"host-key": " ".join(other.split()[:2])}))
    with pytest.raises(Denied, match="host key"):
        store.write("a", b"x")
    assert not folder.exists()


def test_a_host_is_looked_up_in_known_hosts(server, folder, open_url, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
    store = open_url(server.url(str(folder), **{"host-key": "", "known-hosts": str(known)}))
    assert list(store.list("")) == []


@pytest.mark.parametrize("exists", [False, True])
def test_an_unknown_host_is_refused(server, folder, open_url, tmp_path, exists):
    known = tmp_path / "known_hosts"
    if exists:
        known.write_text(f"other.example.com {server.host_key}\n")
    store = open_url(server.url(str(folder), **{"host-key": "", "known-hosts": str(known)}))
    with pytest.raises(Denied, match=f"not the one in {known}"):
        list(store.list(""))


def test_a_host_is_taken_unseen_only_on_request_and_it_is_said_once(
    server, folder, open_url, caplog
):
    url = server.url(str(folder), **{"host-key": "", "skip-verify": "true"})
    for _ in range(2):
        assert list(open_url(url).list("")) == []
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert warning == f"the host key of 127.0.0.1 port {server.port} is not verified (skip-verify)"


# Loss


def test_a_server_that_went_away_and_came_back(tmp_path, open_url):
    server = sshd.server(tmp_path)
    store = open_url(server.url(str(tmp_path / "replica")))
    with server.start() as process:
        store.write("a", b"x")
        # A connection has a process of its own, which outlives the listening one.
        subprocess.run(["pkill", "-KILL", "-P", str(process.pid)], check=True)
    with pytest.raises(Unavailable, match=f"127.0.0.1:{server.port}"):
        store.read("a")
    with server.start():
        assert store.read("a") == b"x"


@pytest.mark.parametrize("verb", ["read", "write"])
def test_a_connection_lost_in_the_middle(server, folder, open_url, verb):
    data = os.urandom(1 << 20) * 24
    address = f"127.0.0.1:{server.port}"
    with FaultProxy(address) as proxy:
        store = open_url(server.url(str(folder)).replace(address, proxy.address))
        store.write("big", data)
        proxy.bandwidth = 8 << 20
        cut = threading.Timer(0.5, proxy.cut_now)
        cut.start()
        with pytest.raises(Unavailable):
            _ = store.read("big") if verb == "read" else store.write("new", io.BytesIO(data))
        cut.join()
        proxy.bandwidth = 0
        assert store.read("big") == data
        assert [entry.key for entry in store.list("")] == ["big"]
        store.close()


def test_one_connection_serves_all_threads(server, folder, open_url):
    address = f"127.0.0.1:{server.port}"
    with FaultProxy(address) as proxy:
        store = open_url(server.url(str(folder)).replace(address, proxy.address))
        threads = [
            threading.Thread(target=store.write, args=[f"ltx/0/{n}", bytes([n]) * 100_000])
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [store.read(f"ltx/0/{n}", 0, 1) for n in range(8)] == [bytes([n]) for n in range(8)]
        assert proxy.connections == 1
        store.close()


def test_a_child_of_a_fork_connects_itself(store):
    store.write("a", b"parent")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            store.write("b", store.read("a") + b" and child")
            store.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert store.read("b") == b"parent and child"


AT_EXIT = """
import atexit, sys
from ltxvfs.backends.sftp.store import SFTPStore
from ltxvfs.backends.url import ReplicaURL

store = SFTPStore.from_url(ReplicaURL.parse(sys.argv[1]))
store.write("a", b"x")
atexit.register(lambda: print(store.write("b", bytes(9 << 20)).size))
"""


def test_a_program_may_end_without_closing_and_write_while_it_ends(server, folder):
    command = [sys.executable, "-W", "error", "-c", AT_EXIT, server.url(str(folder))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (f"{9 << 20}\n", "")


# Another server, without hard links


@pytest.fixture(scope="module")
def rclone_place(tmp_path_factory):
    with rclone.sftp_place(tmp_path_factory.mktemp("rclone")) as place:
        yield place


class TestWithoutHardLinks(StoreTests):
    @pytest.fixture
    def store(self, rclone_place, open_url):
        return open_url(rclone_place.fresh())

    # There is no way to tell several writers apart, and the store says so.
    test_of_many_writers_with_if_absent_one_wins = None
    test_of_many_swaps_of_one_version_one_wins = None
    test_no_swap_is_lost = None

    def test_it_says_that_it_cannot_fence(self, store):
        assert not store.swaps


def test_with_hard_links_it_can_fence(store):
    assert store.swaps


# URLs and secrets


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sftp://host/folder", "user and a host"),
        ("sftp://user@/folder", "user and a host"),
        ("sftp://user@host", "needs a folder"),
        ("sftp://user@host/f?keypath=x", "knows no option 'keypath'"),
        ("sftp://user@host/f?key-path=x&keyPath=y", "key-path twice"),
        ("sftp://user@host/f?skip-verify=perhaps", "skip-verify must be true or false"),
        ("sftp://user@host/f?host-key=rubbish", "host-key must be a public key"),
        (
            "sftp://user@host/f?skipVerify=true&hostKey=" + quote("ssh-ed25519 AAAA"),
            "exclude each other",
        ),
    ],
)
def test_a_url_that_makes_no_sense_says_why(url, said):
    with pytest.raises(ConfigError, match=said):
        SFTPStore.from_url(parsed(url))


def test_a_missing_key_file_is_named(server, folder, open_url):
    store = open_url(server.url(str(folder), **{"key-path": "/no/such/key"}))
    with pytest.raises(ConfigError, match="/no/such/key"):
        store.read("a")


@pytest.mark.parametrize("password", ["right", "hunter2-wrong"])
def test_secrets_stay_secret(rclone_place, open_url, caplog, monkeypatch, password):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("LITESTREAM_SFTP_KEY_PASSPHRASE", PASSPHRASE)
    secret = rclone.PASSWORD if password == "right" else password
    url = rclone_place.fresh().replace(rclone.PASSWORD, secret)
    store = open_url(url)
    said = [repr(store), repr(parsed(url)), repr(store._line.login)]
    with pytest.raises(NotFound if password == "right" else Denied) as caught:
        store.read("nothing")
    said += traceback.format_exception(caught.value)
    said += [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    assert len(said) > 5
    for words in said:
        assert secret not in words
        assert PASSPHRASE not in words
