import contextlib
import http.server
import io
import logging
import os
import threading
import time
import traceback

import httpx
import pytest
from servers import apache
from servers.fault_proxy import FaultProxy

from ltxvfs.backends.url import ReplicaURL
from ltxvfs.backends.webdav import lock as webdav_lock
from ltxvfs.backends.webdav.listing import parse_listing
from ltxvfs.backends.webdav.store import WebDAVStore
from ltxvfs.core.errors import (
    ConfigError,
    Conflict,
    Denied,
    NotFound,
    ReplicaError,
    Unavailable,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with apache.server(tmp_path_factory.mktemp("apache")) as found, found.start():
        yield found


@pytest.fixture
def path(request):
    return f"/{abs(hash(request.node.nodeid))}"


@pytest.fixture
def open_url():
    """Open bare stores, where nothing is tried twice, and close them."""
    with contextlib.ExitStack() as opened:

        def open_url(url):
            store = WebDAVStore.from_url(ReplicaURL.parse(url))
            return opened.enter_context(contextlib.closing(store))

        yield open_url


@pytest.fixture
def store(server, path, open_url):
    return open_url(server.url(path))


@pytest.fixture
def folder(server, path):
    return server.root / path[1:]


# What is on the server


@pytest.mark.parametrize(
    "key", ["a b", "*?[x]", "~", "%2F", "100%", "<&>\"'", "#;x=y", "n" * 200, ".hidden/x"]
)
def test_odd_names_come_back_as_they_went(store, folder, key):
    store.write(key, b"x")
    assert (folder / key).read_bytes() == b"x"
    assert [entry.key for entry in store.list("")] == [key]
    assert store.read(key) == b"x"
    store.delete([key])
    assert list(store.list("")) == []


def test_what_a_crash_left_behind_is_not_listed(store, folder):
    store.write("ltx/0/a", b"x")
    (folder / ".ltxvfs.tmp/a.1.2.tmp").write_bytes(b"half")
    (folder / "ltx/0/b.tmp").write_bytes(b"half, of Litestream")
    assert [entry.key for entry in store.list("")] == ["ltx/0/a"]


def test_a_finished_write_leaves_no_temporary_file(store, folder):
    store.write("a", b"x")
    with pytest.raises(Conflict):
        store.write("a", b"y", if_absent=True)
    # Apache keeps a folder of its own there.
    assert {found.name for found in (folder / ".ltxvfs.tmp").iterdir()} <= {".DAV"}


def test_deleting_a_folders_name_deletes_nothing(store):
    store.write("a/b", b"x")
    store.delete(["a"])
    assert store.read("a/b") == b"x"


def test_a_folder_that_somebody_deleted_is_made_again(store, folder):
    store.write("ltx/0/a", b"x")
    os.rename(folder, folder.with_name(f"{folder.name}-gone"))
    with contextlib.suppress(ReplicaError):
        store.write("ltx/0/b", b"x")
    store.write("ltx/0/b", b"x")
    assert [entry.key for entry in store.list("")] == ["ltx/0/b"]


def test_a_large_file_is_sent_from_its_position(store):
    data = os.urandom(1 << 20) * 13
    source = io.BytesIO(b"skipped" + data)
    source.seek(7)
    assert store.write("big", source).size == len(data)
    assert store.read("big") == data
    assert store.read("big", 5_000_000, 3_000_000) == data[5_000_000:8_000_000]


# Locks


def lock(server, path, timeout_s):
    """Take the lock of a replica's creators, as a process that then dies."""
    owner = webdav_lock._LOCK
    headers = {"Timeout": f"Second-{timeout_s}", "Depth": "0"}
    with httpx.Client(auth=(apache.USER, apache.PASSWORD)) as client:
        address = f"http://127.0.0.1:{server.port}{path}/.ltxvfs.tmp/lock.tmp"
        answer = client.request("LOCK", address, headers=headers, content=owner)
        assert answer.status_code in (200, 201)


def test_a_dead_writers_lock_is_waited_for_until_it_ends(server, store, path):
    store.write("a", b"x")
    lock(server, path, 2)
    begin = time.monotonic()
    store.write("b", b"x", if_absent=True)
    assert 0.5 < time.monotonic() - begin < webdav_lock.LOCK_TIMEOUT_S


def test_who_has_lost_already_does_not_wait_for_a_lock(server, store, path):
    store.write("a", b"x")
    lock(server, path, 60)
    with pytest.raises(Conflict):
        store.write("a", b"y", if_absent=True)


def test_a_lock_that_does_not_end_is_named(server, store, path, monkeypatch):
    monkeypatch.setattr(webdav_lock, "_PATIENCE_S", 0.1)
    store.write("a", b"x")
    lock(server, path, 60)
    with pytest.raises(Unavailable, match=r"lock\.tmp"):
        store.write("b", b"y", if_absent=True)
    assert [entry.key for entry in store.list("")] == ["a"]


# Who is who


@pytest.mark.parametrize("password", ["hunter2-wrong", ""])
def test_a_stranger_is_refused(server, path, open_url, password):
    store = open_url(server.url(path, password=password))
    with pytest.raises(Denied, match="401"):
        store.write("a", b"x")


def test_an_account_from_the_environment(server, path, open_url, monkeypatch):
    monkeypatch.setenv("LITESTREAM_WEBDAV_USERNAME", apache.USER)
    monkeypatch.setenv("LITESTREAM_WEBDAV_PASSWORD", apache.PASSWORD)
    store = open_url(f"webdav://127.0.0.1:{server.port}{path}")
    store.write("a", b"x")
    assert store.read("a") == b"x"


def test_a_password_that_never_travels(tmp_path, open_url):
    with apache.server(tmp_path, auth="Digest") as server, server.start():
        store = open_url(f"{server.url('/r')}?auth=digest")
        # The first request is answered with a challenge, and its body is sent again.
        store.write("big", io.BytesIO(bytes(3 << 20)), if_absent=True)
        assert store.read("big") == bytes(3 << 20)
        with pytest.raises(Denied):
            open_url(server.url("/r")).read("big")


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory):
    with apache.server(tmp_path_factory.mktemp("tls"), tls=True) as found, found.start():
        yield found


def test_a_certificate_that_is_trusted(tls_server, path, open_url, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_server.certificate))
    store = open_url(tls_server.url(path))
    store.write("a", b"x")
    store.write("a", b"y")
    assert store.read("a") == b"y"


def test_a_certificate_that_is_not_trusted(tls_server, path, open_url):
    with pytest.raises(Denied, match="SSL_CERT_FILE"):
        open_url(tls_server.url(path)).read("a")


def test_a_certificate_is_taken_unseen_only_on_request_and_it_is_said_once(
    tls_server, path, open_url, caplog
):
    for _ in range(2):
        open_url(f"{tls_server.url(path)}?skip-verify=true").write("a", b"x")
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert f"127.0.0.1:{tls_server.port}" in warning


# Loss


def test_a_server_that_went_away_and_came_back(tmp_path, open_url):
    with apache.server(tmp_path) as server:
        store = open_url(server.url("/r"))
        with server.start():
            store.write("a", b"x")
        with pytest.raises(Unavailable, match=f"127.0.0.1:{server.port}"):
            store.read("a")
        with server.start():
            assert store.read("a") == b"x"


@pytest.mark.parametrize("verb", ["read", "write"])
def test_a_connection_lost_in_the_middle(server, path, open_url, verb):
    data = os.urandom(1 << 20) * 24
    address = f"127.0.0.1:{server.port}"
    with FaultProxy(address) as proxy:
        store = open_url(server.url(path).replace(address, proxy.address))
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


# Odd servers


@pytest.fixture
def odd_server():
    """A server that gives whole objects whatever is asked for, and moved what is below /old."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/old/"):
                self.send_response(301)
                self.send_header("Location", "https://new.example.com" + self.path)
            else:
                self.send_response(200)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"0123456789")

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"webdav://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_may_ignore_ranges(odd_server, open_url):
    store = open_url(odd_server)
    assert store.read("k", 3, 4) == b"3456"
    assert store.read("k", 8, 5) == b"89"
    assert store.read("k", 4, 0) == b""


def test_a_server_that_has_moved_is_told_of(odd_server, open_url):
    with pytest.raises(ReplicaError, match="redirects") as caught:
        open_url(f"{odd_server}/old").read("k")
    assert not isinstance(caught.value, (NotFound, Unavailable))


# Listings as text


def listing(*responses):
    head = '<?xml version="1.0"?><x:multistatus xmlns:x="DAV:">'
    return f"{head}{''.join(responses)}</x:multistatus>".encode()


def test_a_listing_in_another_dialect():
    text = listing(
        "<x:response><x:href>https://h:81/a/%C3%A4%20b</x:href><x:propstat><x:prop>"
        "<x:getcontentlength>12</x:getcontentlength><x:resourcetype/>"
        "</x:prop><x:status>HTTP/1.1 200 OK</x:status></x:propstat></x:response>",
        "<x:response>\n<x:href>\n/a/b/\n</x:href><x:propstat><x:prop><x:resourcetype>"
        "<x:collection/></x:resourcetype></x:prop></x:propstat></x:response>",
    )
    file, folder = parse_listing(text)
    assert (file.path, file.is_folder, file.size) == ("/a/ä b", False, 12)
    assert (folder.path, folder.is_folder, folder.size) == ("/a/b/", True, None)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>not XML",
        listing("<x:response/>"),
        listing("<x:response><x:href>/a</x:href>") + b"Internal Server Error",
        listing(
            "<x:response><x:href>/a</x:href><x:getcontentlength>many</x:getcontentlength>"
            "</x:response>"
        ),
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
        + listing("<x:response><x:href>&e;</x:href></x:response>")[21:],
    ],
)
def test_a_broken_or_wicked_listing_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - expat words it
        parse_listing(text)


# URLs and secrets


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("webdav:///folder", "needs a host"),
        ("webdav://h/f?skip-verify=true", "skip-verify is for webdavs"),
        ("webdavs://h/f?skipVerify=perhaps", "skip-verify must be true or false"),
        ("webdavs://h/f?verify=false", "knows no option 'verify'"),
        ("webdav://h/f?auth=ntlm", "auth must be basic or digest"),
        ("webdav://:secret@h/f", "needs a username"),
    ],
)
def test_a_url_that_makes_no_sense_says_why(url, said):
    with pytest.raises(ConfigError, match=said):
        WebDAVStore.from_url(ReplicaURL.parse(url))


@pytest.mark.parametrize("trouble", ["none", "password", "network"])
def test_secrets_stay_secret(server, path, open_url, caplog, trouble):
    caplog.set_level(logging.DEBUG)
    secret = "hunter2-wrong" if trouble == "password" else apache.PASSWORD
    url = server.url(path, password=secret)
    if trouble == "network":
        url = url.replace(f":{server.port}", ":1")
    store = open_url(url)
    said = [repr(store), repr(store._client), repr(ReplicaURL.parse(url))]
    with pytest.raises(ReplicaError) as caught:
        store.read("nothing")
    said += traceback.format_exception(caught.value)
    said += [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    encoded = httpx.BasicAuth(apache.USER, secret)._auth_header.split()[1]
    assert len(said) > 5
    for words in said:
        assert secret not in words
        assert encoded not in words
