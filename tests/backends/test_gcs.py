import http.server
import io
import json
import logging
import threading
import traceback
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import AnonymousCredentials
from google.oauth2.service_account import Credentials
from servers import gcs as server
from servers.fault_proxy import FaultProxy

from ltxvfs.backends.gcs import store as gcs
from ltxvfs.backends.gcs.store import GoogleStore
from ltxvfs.backends.registry import open_store
from ltxvfs.backends.testing import MOMENT
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError, Denied, NotFound, ReplicaError, Unavailable

pytestmark = pytest.mark.parametrize("place", ["gcs"], indirect=True)


@pytest.fixture
def url(place):
    return ReplicaURL.parse(place.fresh())


@pytest.fixture
def store(url):
    """Give the bare store: nothing is tried twice."""
    store = GoogleStore.from_url(url)
    yield store
    store.close()


@pytest.fixture
def behind(place, url):
    """Give the SDK's own view of the store's objects: from a key to a blob."""
    with server.client(place.address) as client:
        bucket = client.bucket(server.BUCKET)
        yield lambda key: bucket.get_blob(url.prefix + key) or bucket.blob(url.prefix + key)


@pytest.fixture
def requests(caplog):
    """Give a function that counts the requests since its last call."""
    caplog.set_level(logging.DEBUG, "urllib3.connectionpool")

    def count():
        lines = [r.getMessage() for r in caplog.records if "HTTP/1.1" in r.getMessage()]
        caplog.clear()
        return len(lines)

    return count


def test_objects_are_as_litestream_writes_them(store, behind):
    store.write("ltx/0/a", b"x", modified=MOMENT)
    blob = behind("ltx/0/a")
    assert blob.metadata == {"litestream-timestamp": "2026-01-02T03:04:05.678Z"}
    assert blob.content_type == "application/octet-stream"


def test_a_large_object_has_its_metadata_too(store, behind):
    data = bytes(range(256)) * (160 << 10)
    source = io.BytesIO(b"skipped" + data)
    source.seek(7)
    entry = store.write("ltx/9/a", source, modified=MOMENT)
    assert (entry.size, entry.modified) == (len(data), MOMENT)
    assert store.read("ltx/9/a") == data
    assert list(store.list("ltx/9/")) == [entry]
    assert behind("ltx/9/a").content_type == "application/octet-stream"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02T03:04:05.678912345Z", datetime(2026, 1, 2, 3, 4, 5, 678_912, tzinfo=UTC)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("yesterday", None),
        (None, None),
    ],
)
def test_the_moment_is_litestreams_or_the_uploads(store, behind, text, moment):
    blob = behind("k")
    blob.metadata = {"litestream-timestamp": text} if text else None
    blob.upload_from_string(b"x")
    expected = moment or blob.time_created
    assert store.moment("k") == expected
    assert [entry.modified for entry in store.list("")] == [expected]


def test_a_listing_goes_over_pages(store, monkeypatch, requests):
    monkeypatch.setattr(gcs, "PAGE_SIZE", 10)
    keys = [f"l/{n:03d}" for n in range(35)]
    for key in keys:
        store.write(key, b"")
    requests()
    assert [entry.key for entry in store.list("l/")] == keys
    assert requests() == 4
    # It starts where it is asked to, not at the folder's beginning.
    assert [entry.key for entry in store.list("l/", "l/022")] == keys[23:]
    assert requests() == 2


def test_a_listing_shows_no_foreign_names_that_are_no_keys(store, behind):
    for name in ("ltx/", "ltx/0/", "ltx//b", "ltx/c.tmp"):
        behind(name).upload_from_string(b"")
    store.write("ltx/0/a", b"x")
    assert [entry.key for entry in store.list("")] == ["ltx/0/a"]


@pytest.mark.parametrize("key", ["a b+c", "ä/日本 x%20?#", "~!@$&*()=:,;'\"", "x" * 900, "%2F/."])
def test_a_key_may_hold_any_character(store, key):
    key = key.removesuffix("/.")
    store.write(key, b"data")
    assert store.read(key, 1, 2) == b"at"
    assert store.moment(key)
    assert [entry.key for entry in store.list("")] == [key]
    store.delete([key])
    assert list(store.list("")) == []


def test_each_verb_is_one_request(store, requests):
    store.write("k", b"0123456789")
    assert requests() == 1
    for start, size in [(0, None), (2, 3), (4, None), (0, 0), (10, 1), (99, None)]:
        store.read("k", start, size)
        assert requests() == 1
    store.moment("k")
    assert requests() == 1
    version = store.write_record("record.json", b"{}", None)
    assert requests() == 1
    assert store.read_record("record.json").version == version
    assert requests() == 1


def test_a_range_beyond_the_end_costs_no_later_request_its_connection(store):
    store.write("k", b"0123456789")
    for _ in range(100):
        assert store.read("k", 10, 5) == b""
        assert store.read("k", 0, 5) == b"01234"


def test_records_are_never_cached(store, behind):
    store.write_record("record.json", b"{}", None)
    blob = behind("record.json")
    assert (blob.cache_control, blob.content_type) == ("no-store", "application/json")


def test_many_deletes_are_one_call(store):
    keys = [f"ltx/0/{n}" for n in range(40)]
    for key in keys:
        store.write(key, b"x")
    store.delete([*keys[1:], "ltx/0/absent"])
    assert [entry.key for entry in store.list("")] == keys[:1]


def test_a_bucket_that_is_not_there_is_the_users_to_make(place):
    store = GoogleStore.from_url(ReplicaURL.parse("gs://nowhere/path"))
    for call in (
        lambda: list(store.list("")),
        lambda: store.write("k", b"x"),
        lambda: store.write("k", bytes(gcs.WHOLE_SIZE_MAX + 1)),
        lambda: store.write_record("k", b"x", None),
    ):
        with pytest.raises(ConfigError, match="bucket nowhere does not exist"):
            call()
    with pytest.raises(NotFound):
        store.read("k")
    store.delete(["k"])
    store.close()


@pytest.fixture
def proxied(place, url, monkeypatch):
    """Give a bare store behind a proxy, and the proxy."""
    with FaultProxy(place.address) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{proxy.address}")
        store = GoogleStore(url.host, url.prefix, AnonymousCredentials(), timeout_s=2)
        store.write("k", b"0123456789")
        yield store, proxy
        store.close()


VERBS = {
    "list": lambda store: list(store.list("")),
    "read": lambda store: store.read("k"),
    "read a range": lambda store: store.read("k", 2, 50_000),
    "write": lambda store: store.write("k", b"x"),
    "write much": lambda store: store.write("k", bytes(gcs.WHOLE_SIZE_MAX + 1)),
    "delete": lambda store: store.delete(["k"]),
    "moment": lambda store: store.moment("k"),
    "read a record": lambda store: store.read_record("k"),
    "write a record": lambda store: store.write_record("record.json", b"x", None),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ReplicaError),
        (403, Denied),
        (408, Unavailable),
        (409, Unavailable),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_a_status_has_its_meaning(proxied, verb, status, error):
    store, proxy = proxied
    proxy.answer_next(status, b'{"error": {"message": "because"}}')
    with pytest.raises(ReplicaError) as caught:
        VERBS[verb](store)
    assert type(caught.value) is error
    assert f"Google says {status} because" in str(caught.value)


@pytest.mark.parametrize("verb", VERBS)
def test_a_broken_connection_may_be_tried_again(proxied, verb):
    store, proxy = proxied
    store.close()  # the next request needs a new connection
    proxy.refusals = 1
    with pytest.raises(Unavailable, match="no answer from Google"):
        VERBS[verb](store)
    VERBS[verb](store)


@pytest.mark.parametrize("verb", ["read", "write", "list"])
def test_silence_ends(proxied, verb):
    store, proxy = proxied
    proxy.silences = 1
    with pytest.raises(Unavailable, match=r"no answer from Google .*Timeout"):
        VERBS[verb](store)


@pytest.mark.parametrize("verb", ["list", "read", "read a range", "moment", "read a record"])
def test_an_answer_cut_anywhere_is_never_taken_for_whole(proxied, verb):
    store, proxy = proxied
    store.write("k", bytes(100_000))
    expected = VERBS[verb](store)
    for after in range(10, 1500, 23):
        proxy.cut_next(after, reset=False)
        try:
            found = VERBS[verb](store)
        except Unavailable:
            continue
        finally:
            proxy.clear()
        assert found == expected


def test_options_and_credentials_in_a_url_are_refused(place):
    for text, named in [
        ("gs://bucket/path?endpoint=hidden", "endpoint"),
        ("gs://bucket?project=hidden", "project"),
        ("gs://user:hidden@bucket/path", "gs://bucket/path"),
        ("gs:///path", "gs://bucket/path"),
        ("gs://bucket/%ff", "UTF-8"),
    ]:
        with pytest.raises(ConfigError, match=named) as caught:
            open_store(text)
        assert "hidden" not in str(caught.value)


def test_without_credentials_the_error_says_how_to_get_them(place, monkeypatch, tmp_path):
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    with pytest.raises(ConfigError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        open_store("gs://bucket/path")


@pytest.fixture
def tokens():
    """Give a server of access tokens: its ``status`` is what it answers with."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            body = {"access_token": "hidden-token", "expires_in": 3600}
            if server.status != 200:
                body = {"error": "invalid_grant", "error_description": "hidden-description"}
            self.send_response(server.status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.status = 200
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def account(tokens):
    """Give a service account's key file, as a dict."""
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "client_email": "replica@project.iam.gserviceaccount.com",
        "private_key": key.decode(),
        "token_uri": f"http://127.0.0.1:{tokens.server_port}/token",
    }


@pytest.mark.parametrize(
    ("status", "error"), [(200, None), (400, Denied), (401, Denied), (503, Unavailable)]
)
def test_secrets_are_in_no_log_and_no_error(url, account, tokens, status, error, caplog):
    caplog.set_level(logging.DEBUG)
    tokens.status = status
    credentials = Credentials.from_service_account_info(account, scopes=["scope"])
    store = GoogleStore(url.host, url.prefix, credentials)
    shown = repr(store)
    if error is None:
        store.write("k", b"x")
        assert store.read("k") == b"x"
    else:
        with pytest.raises(error) as caught:
            store.write("k", b"x")
        shown += "".join(traceback.format_exception(caught.value))
    shown += caplog.text
    assert "hidden" not in shown
    assert account["private_key"].split("\n")[1] not in shown
    store.close()


def test_the_key_file_of_a_service_account_is_found(account, place, monkeypatch, tmp_path):
    path = tmp_path / "key.json"
    path.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    open_store("gs://bucket/path").close()
    path.write_text("{}")
    with pytest.raises(ConfigError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        open_store("gs://bucket/path")
