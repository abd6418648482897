"""What is particular to S3, on SeaweedFS."""

import base64
import http.server
import io
import json
import logging
import subprocess
import sys
import threading
import time
import traceback
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, ReadTimeoutError
from servers import seaweedfs
from servers.fault_proxy import FaultProxy
from servers.process import free_ports

from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.backends.retry import Patience, Retry
from ltxvfs.backends.retrying import Retrying
from ltxvfs.backends.s3.settings import S3Settings
from ltxvfs.backends.s3.store import S3Store
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError, Conflict, Denied, ReplicaError, Unavailable

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
PART = 5 << 20


@pytest.fixture
def s3(places, monkeypatch):
    place = places["s3"]
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    return place


@contextmanager
def opened(url):
    store = S3Store.from_url(ReplicaURL.parse(url))
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def store(s3):
    with opened(s3.fresh()) as found:
        yield found


@pytest.fixture
def bare(s3):
    """Boto's own client, behind the store's back."""
    found = seaweedfs.client(int(s3.address.rpartition(":")[2]))
    yield found
    found.close()


def sdk(store):
    return store._client.get()


def on(store, event, handler):
    sdk(store).meta.events.register_first(event, handler)


def requests_of(store):
    """Collect the requests that are sent from now on."""
    sent = []
    on(store, "before-send.s3", lambda request, **_: sent.append(request))
    return sent


class Body(io.BytesIO):
    def stream(self, amt=None, decode_content=None):
        yield self.read()


def answers(store, operation, *replies):
    """Answer the next requests of an operation in the server's place; None lets one through."""
    left = list(replies)

    def answer(request, **_):
        reply = left.pop(0) if left else None
        if isinstance(reply, Exception):
            raise reply
        if reply is None:
            return None
        status, body = reply
        return AWSResponse(request.url, status, {"content-length": str(len(body))}, Body(body))

    on(store, f"before-send.s3.{operation}", answer)
    return left


def loses_answer(store, operation):
    """Let the next request of an operation be applied, and its answer be lost."""
    left = [1]

    def lose(**_):
        if left:
            left.pop()
            raise ReadTimeoutError(endpoint_url="x")

    on(store, f"after-call.s3.{operation}", lose)


def error(code, status=400):
    return status, f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()


def ltx(size=200):
    header = b"LTX1" + bytes(28) + int(MOMENT.timestamp() * 1000).to_bytes(8, "big")
    return header.ljust(size, b"\0")


def test_an_object_lies_and_looks_as_litestream_makes_it(store, bare):
    sent = requests_of(store)
    ReplicaClient(store).write_ltx_file(9, 1, 26, ltx())
    key = store.settings.root + "0009/0000000000000001-000000000000001a.ltx"
    found = bare.head_object(Bucket=seaweedfs.BUCKET, Key=key)
    assert found["Metadata"] == {"litestream-timestamp": "2026-01-02T03:04:05.678Z"}
    # SeaweedFS guesses a type of its own from the name.
    assert sent[0].headers["Content-Type"] == b"application/octet-stream"


@pytest.mark.parametrize(
    ("metadata", "moment"),
    [
        ({"litestream-timestamp": "2026-01-02T03:04:05.678Z"}, MOMENT),
        ({"litestream-timestamp": "2026-01-02T03:04:05.678000999Z"}, MOMENT),
        ({"litestream-timestamp": "2026-01-02T04:04:05.678+01:00"}, MOMENT),
        ({"litestream-timestamp": "soon"}, None),
        ({}, None),
    ],
)
def test_a_moment_is_that_of_the_metadata_else_of_the_upload(store, bare, metadata, moment):
    key = store.settings.root + "k"
    bare.put_object(Bucket=seaweedfs.BUCKET, Key=key, Body=b"x", Metadata=metadata)
    found = store.moment("k")
    assert found.utcoffset() == timedelta(0)
    assert found == moment or (moment is None and abs(found - datetime.now(UTC)).seconds < 60)


def test_every_request_is_one_round_trip(store):
    sent = requests_of(store)
    store.write("k", b"x" * 100_000, if_absent=True, modified=MOMENT)
    assert store.read("k", 5, 10) == b"x" * 10
    store.moment("k")
    list(store.list(""))
    store.delete(["k"])
    version = store.write_record("r", b"1", None)
    store.write_record("r", b"2", version)
    assert [request.method for request in sent] == ["PUT", "GET", "HEAD", "GET", "POST"] + [
        "PUT"
    ] * 2
    assert [r.url for r in sent if "Expect" in r.headers] == []


def test_a_connection_is_used_again(s3):
    with FaultProxy(s3.address) as proxy, opened(s3.through(proxy.address).fresh()) as store:
        for number in range(10):
            store.write(f"k{number}", b"x")
            store.read(f"k{number}")
        assert proxy.connections == 1


@pytest.mark.parametrize(
    ("size", "parts"), [(PART - 1, 1), (PART, 1), (PART + 1, 2), (2 * PART, 2), (2 * PART + 7, 3)]
)
@pytest.mark.parametrize("as_file", [False, True])
def test_what_is_larger_than_a_part_goes_in_parts(store, bare, size, parts, as_file):
    data = (b"%07d," % 1234567 + bytes(range(256)))[:263] * (size // 263 + 1)
    data = data[:size]
    source = io.BytesIO(b"skipped" + data) if as_file else data
    if as_file:
        source.seek(7)
    entry = store.write("k", source, modified=MOMENT)
    assert (entry.size, entry.modified) == (size, MOMENT)
    found = bare.head_object(Bucket=seaweedfs.BUCKET, Key=store.settings.root + "k")
    suffix = f"-{parts}" if parts > 1 else ""
    assert found["ETag"].strip('"')[32:] == suffix
    assert found["Metadata"] == {"litestream-timestamp": "2026-01-02T03:04:05.678Z"}
    assert store.read("k") == data
    assert store.moment("k") == MOMENT


class Endless(io.RawIOBase):
    """A file of zeros, of a size."""

    def __init__(self, size, fails_at=None):
        self.size = size
        self.at = 0
        self.fails_at = fails_at

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self.at

    def seek(self, offset, whence=io.SEEK_SET):
        self.at = self.size + offset if whence == io.SEEK_END else offset
        return self.at

    def read(self, size=-1):
        if self.fails_at is not None and self.at >= self.fails_at:
            raise OSError("the disk fails")
        size = min(size, self.size - self.at)
        self.at += size
        return bytes(size)


def test_a_large_upload_needs_the_memory_of_its_parts_only(s3):
    with opened(s3.fresh() + "&concurrency=2") as store:
        store.list("")
        sdk(store)
        tracemalloc.start()
        try:
            store.write("k", Endless(60 << 20))
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 4 * PART
        assert [entry.size for entry in store.list("")] == [60 << 20]


def uploads(bare, store):
    found = bare.list_multipart_uploads(Bucket=seaweedfs.BUCKET).get("Uploads", [])
    return [each for each in found if each["Key"].startswith(store.settings.root)]


def test_a_source_that_fails_leaves_nothing(store, bare):
    with pytest.raises(OSError, match="the disk fails"):
        store.write("k", Endless(30 << 20, fails_at=15 << 20))
    assert uploads(bare, store) == []
    assert list(store.list("")) == []


@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
def test_an_upload_that_is_refused_leaves_nothing(store, bare, operation):
    answers(store, operation, error("AccessDenied", 403))
    with pytest.raises(Denied, match="AccessDenied"):
        store.write("k", bytes(2 * PART))
    assert uploads(bare, store) == []
    assert list(store.list("")) == []


def test_a_lost_conditional_upload_leaves_no_parts(store, bare):
    store.write("k", b"first")
    with pytest.raises(Conflict):
        store.write("k", bytes(2 * PART), if_absent=True)
    assert uploads(bare, store) == []
    assert store.read("k") == b"first"


def test_a_part_that_fails_in_passing_is_sent_again_alone(store):
    store._retry = Retry(pause=lambda _: False)
    answers(store, "UploadPart", error("SlowDown", 503), error("InternalError", 500))
    sent = requests_of(store)
    store.write("k", bytes(3 * PART))
    assert len([request for request in sent if "partNumber" in request.url]) == 5
    assert store.read("k") == bytes(3 * PART)


def test_parts_left_behind_are_told_of(store, caplog):
    answers(store, "UploadPart", error("AccessDenied", 403))
    answers(store, "AbortMultipartUpload", error("AccessDenied", 403))
    with pytest.raises(Denied), caplog.at_level(logging.WARNING, "ltxvfs"):
        store.write("k", bytes(2 * PART))
    assert "lifecycle rule" in caplog.text


@pytest.mark.parametrize("size", [100, 2 * PART])
def test_a_lost_answer_to_a_conditional_write_is_no_conflict(store, bare, size):
    operation = "PutObject" if size < PART else "CompleteMultipartUpload"
    loses_answer(store, operation)
    retrying = Retrying(store, retry=Retry(Patience(), pause=lambda _: False))
    data = bytes(range(100)) * (size // 100)
    entry = retrying.write("k", data, if_absent=True, modified=MOMENT)
    assert (entry.size, entry.modified) == (len(data), MOMENT)
    assert store.read("k") == data
    assert uploads(bare, store) == []
    with pytest.raises(Conflict):
        retrying.write("k", data, if_absent=True)


def test_many_keys_are_deleted_in_batches(store):
    for key in ("k0000", "k1500", "k2499", "left"):
        store.write(key, b"x")
    sent = requests_of(store)
    store.delete(f"k{number:04}" for number in range(2500))
    assert [request.method for request in sent] == ["POST"] * 3
    assert all("Content-MD5" in request.headers for request in sent)
    assert [entry.key for entry in store.list("")] == ["left"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [("AccessDenied", Denied), ("InternalError", Unavailable), ("Odd", ReplicaError)],
)
def test_a_key_that_cannot_be_deleted_is_an_error_of_its_kind(store, code, kind):
    body = f"<DeleteResult><Error><Key>k2</Key><Code>{code}</Code></Error></DeleteResult>"
    answers(store, "DeleteObjects", (200, body.encode()))
    with pytest.raises(kind, match=f"k2.*{code}") as caught:
        store.delete(["k1", "k2"])
    assert type(caught.value) is kind


def test_a_key_that_was_gone_is_no_error(store):
    body = b"<DeleteResult><Error><Key>k2</Key><Code>NoSuchKey</Code></Error></DeleteResult>"
    left = answers(store, "DeleteObjects", (200, body))
    store.delete(["k1", "k2"])
    assert left == []


def test_listings_of_more_than_a_page(store):
    keys = [f"0000/{number:016x}" for number in range(1050)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.write(key, b""), keys))
    sent = requests_of(store)
    assert [entry.key for entry in store.list("0000/")] == keys
    assert len(sent) == 2
    assert [entry.key for entry in store.list("0000/", keys[1040])] == keys[1041:]
    assert len(sent) == 3


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error("SlowDown", 503), Unavailable),
        (error("RequestTimeout", 400), Unavailable),
        (error("Odd", 429), Unavailable),
        ((502, b"<html>"), Unavailable),
        (error("InternalError", 500), Unavailable),
        (error("ConditionalRequestConflict", 409), Unavailable),
        (error("PreconditionFailed", 412), Conflict),
        (error("AccessDenied", 403), Denied),
        (error("ExpiredToken", 400), Denied),
        (error("RequestTimeTooSkewed", 403), Denied),
        (error("NoSuchBucket", 404), ConfigError),
        (error("PermanentRedirect", 301), ConfigError),
        (error("NotImplemented", 501), ConfigError),
        (error("Odd", 400), ReplicaError),
    ],
)
def test_each_answer_is_an_error_of_ours(store, reply, kind):
    answers(store, "PutObject", reply)
    with pytest.raises(kind) as caught:
        store.write("the/key", b"x")
    assert type(caught.value) is kind
    assert "the/key" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("PutObject", lambda store: store.write("k", b"x")),
        ("PutObject", lambda store: store.write_record("k", b"x", None)),
        ("CreateMultipartUpload", lambda store: store.write("k", bytes(PART + 1))),
        ("ListObjectsV2", lambda store: list(store.list(""))),
        ("HeadObject", lambda store: store.moment("k")),
        ("GetObject", lambda store: store.read("k")),
    ],
)
def test_a_page_of_something_else_is_no_answer(store, operation, call):
    answers(store, operation, (200, b"<html><body>Log in first</body></html>"))
    with pytest.raises(Unavailable, match="is there a proxy between"):
        call(store)


def test_an_absent_bucket_is_the_users_to_make(s3):
    url = s3.fresh().replace(seaweedfs.BUCKET, "absent")
    with opened(url) as store, pytest.raises(ConfigError, match="create the bucket"):
        list(store.list(""))


def test_nobody_listening_is_unavailable():
    (port,) = free_ports(1)
    environ = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        with opened(seaweedfs.url(port, "p")) as store, pytest.raises(Unavailable):
            store.read("k")


def test_a_silent_server_is_unavailable_within_the_timeout(s3):
    with FaultProxy(s3.address) as proxy:
        settings = S3Settings.from_url(ReplicaURL.parse(s3.through(proxy.address).fresh()))
        with closing(S3Store(settings, timeout_s=0.3)) as store:
            store.write("k", b"x")
            proxy.silent = True
            begun = time.monotonic()
            with pytest.raises(Unavailable):
                store.read("k")
            assert time.monotonic() - begun < 5


@pytest.fixture
def nobody(s3, monkeypatch, tmp_path):
    """An environment without any credentials."""
    for name in s3.environment:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def test_no_credentials_are_asked_for(s3, nobody):
    with opened(s3.fresh()) as store, pytest.raises(Denied, match="set AWS_ACCESS_KEY_ID"):
        store.write("k", b"x")


def test_credentials_of_a_profile_will_do(s3, nobody, tmp_path, monkeypatch):
    (tmp_path / "credentials").write_text(
        f"[backup]\naws_access_key_id={seaweedfs.KEY}\naws_secret_access_key={seaweedfs.SECRET}\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "backup")
    with opened(s3.fresh()) as store:
        store.write("k", b"x")
    monkeypatch.setenv("AWS_PROFILE", "another")
    with opened(s3.fresh()) as store, pytest.raises(ConfigError):
        store.write("k", b"x")


def test_credentials_of_the_instances_role_will_do(s3, nobody, monkeypatch):
    role = {
        "Code": "Success",
        "AccessKeyId": seaweedfs.KEY,
        "SecretAccessKey": seaweedfs.SECRET,
        "Token": "",
        "Expiration": (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    asked = []

    def answer(path):
        asked.append(path)
        if path.endswith("/api/token"):
            return 200, {}, b"metadata-token"
        return 200, {}, b"role" if path.endswith("/") else json.dumps(role).encode()

    with serving(answer) as address:
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{address}")
        with opened(s3.fresh()) as store:
            store.write("k", b"x")
            assert store.read("k") == b"x"
    assert asked[-1] == "/latest/meta-data/iam/security-credentials/role"


@contextmanager
def serving(answer):
    """Answer HTTP requests with ``answer(path)``: a status, headers, a body."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_PUT = do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_the_region_is_asked_for_where_nothing_tells_it(s3, monkeypatch):
    def answer(path):
        return 403, {"x-amz-bucket-region": "eu-north-1"}, b""

    with serving(answer) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{address}")
        with opened("s3://bucket/app") as store:
            assert sdk(store).meta.region_name == "eu-north-1"
        with opened("s3://bucket/app?region=us-west-2") as store:
            assert sdk(store).meta.region_name == "us-west-2"


def test_a_session_token_is_signed_and_sent(s3, monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-session-token")
    with opened(s3.fresh()) as store:
        answers(store, "PutObject", error("AccessDenied", 403))
        sent = requests_of(store)
        with pytest.raises(Denied):
            store.write("k", b"x")
        (request,) = sent
    assert request.headers["X-Amz-Security-Token"] == b"a-session-token"
    assert b"x-amz-security-token" in request.headers["Authorization"]


SSE_KEY = base64.b64encode(b"k" * 32).decode()


@pytest.mark.parametrize("size", [100, PART + 1])
def test_the_customers_key_is_needed_to_read(s3, bare, size):
    with opened(f"{s3.fresh()}&sse-customer-key={quote(SSE_KEY)}") as store:
        store.write("k", b"s" * size, modified=MOMENT)
        assert store.read("k", 0, 7) == b"s" * 7
        assert len(store.read("k")) == size
        assert store.moment("k") == MOMENT
        with pytest.raises(ClientError):
            bare.get_object(Bucket=seaweedfs.BUCKET, Key=store.settings.root + "k")
        version = store.write_record("r", b"1", None)
        store.write_record("r", b"2", version)
        assert store.read_record("r").data == b"2"


def test_storage_class_and_kms_key_are_asked_for(s3):
    with opened(s3.fresh() + "&storage-class=STANDARD_IA&sse-kms-key-id=alias/k") as store:
        operations = ("PutObject", "CreateMultipartUpload")
        for operation in operations:
            answers(store, operation, error("AccessDenied", 403))
        sent = requests_of(store)
        for size in (1, PART + 1):
            with pytest.raises(Denied):
                store.write("k", bytes(size))
    names = ("storage-class", "server-side-encryption", "server-side-encryption-aws-kms-key-id")
    for request in sent:
        values = [request.headers[f"x-amz-{name}"] for name in names]
        assert [bytes(value, "ascii") if isinstance(value, str) else value for value in values] == [
            b"STANDARD_IA",
            b"aws:kms",
            b"alias/k",
        ]


def test_no_secret_is_in_logs_errors_and_tracebacks(s3, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-session-token")
    url = f"{s3.fresh()}&sse-customer-key={quote(SSE_KEY)}"
    shown = [repr(ReplicaURL.parse(url))]
    with opened(url) as store:
        shown += [repr(store), repr(store.settings), repr(store.__dict__)]
        for call in (lambda: store.write("k", b"x"), lambda: store.read("k"), lambda: store.swaps):
            with pytest.raises(Denied) as caught:
                call()
            assert caught.value.__cause__ is None
            assert caught.value.__suppress_context__
            shown += traceback.format_exception(caught.value)
    shown.append(caplog.text)
    assert "CanonicalRequest" in caplog.text
    for secret in ("wrong-secret", "a-session-token", SSE_KEY, repr(b"k" * 32)):
        assert not [text for text in shown if secret in text]


def test_a_server_that_heeds_conditions_swaps(store):
    sent = requests_of(store)
    assert store.swaps
    assert store.swaps
    assert [request.method for request in sent] == ["PUT", "PUT", "PUT", "POST"]
    assert list(store.list("")) == []


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
def test_a_server_that_ignores_conditions_does_not_swap(store, header):
    on(store, "before-call.s3", lambda params, **_: params["headers"].pop(header, None) and None)
    assert not store.swaps
    assert list(store.list("")) == []


def test_a_server_that_knows_no_conditions_does_not_swap_but_is_asked_before_a_creation(store):
    answers(store, "PutObject", None, error("NotImplemented", 501))
    assert not store.swaps
    assert list(store.list("")) == []
    sent = requests_of(store)
    store.write("k", b"first", if_absent=True)
    with pytest.raises(Conflict):
        store.write("k", b"second", if_absent=True)
    assert [request.method for request in sent] == ["HEAD", "PUT", "HEAD"]
    assert store.read("k") == b"first"


AWAY = """
import sys, time
import apsw
import ltxvfs

begun = time.monotonic()
ltxvfs.register(replica=sys.argv[1], exit_timeout=0.5)
con = apsw.Connection(sys.argv[2], vfs="litestream")
con.execute("CREATE TABLE t(x)")
print(con.execute("INSERT INTO t VALUES (1) RETURNING x").get, time.monotonic() - begun < 5)
con.close()
"""


def test_a_database_is_written_while_the_server_is_away(s3, tmp_path):
    (port,) = free_ports(1)
    url = seaweedfs.url(port, "p")
    command = [sys.executable, "-c", AWAY, url, str(tmp_path / "app.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == "1 True\n"


def test_amazon_is_known_to_swap(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with opened("s3://bucket/app?region=us-east-1") as store:
        assert store.swaps
