"""Uploads in chunks, against Google's protocol with the faults that no emulator makes."""

import base64
import http.server
import io
import json
import logging
import re
import socket
import threading
import time
import traceback
from urllib.parse import parse_qs, urlsplit

import google_crc32c
import pytest
from google.auth.credentials import AnonymousCredentials

from ltxvfs.backends.gcs.store import GoogleStore
from ltxvfs.backends.gcs.upload import CHUNK_SIZE
from ltxvfs.core.errors import Conflict, Denied, Unavailable

SIZE = 2 * CHUNK_SIZE + 12345
DATA = bytes(range(256)) * (SIZE // 256 + 1)
GRAIN = 256 << 10


class Google(http.server.ThreadingHTTPServer):
    """One bucket that takes resumable uploads; ``faults`` are taken by chunks in turn.

    A fault is how many bytes of a chunk are stored, and the status to answer with: None closes
    the connection instead.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects = {}
        self.uploads = {}
        self.faults = []
        self.ranges = []
        self.pause_s = 0.0  # between two pieces of a body


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        resource = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        query = parse_qs(urlsplit(self.path).query)
        upload = f"secret{len(self.server.uploads)}"
        condition = query.get("ifGenerationMatch", [None])[0]
        self.server.uploads[upload] = [resource["name"], condition, b""]
        self.answer(200, Location=f"http://{self.headers['Host']}/session?upload_id={upload}")

    def do_PUT(self):
        body = self.body(int(self.headers.get("Content-Length", 0)))
        name = parse_qs(urlsplit(self.path).query)["upload_id"][0]
        if name not in self.server.uploads:
            return self.answer(410)
        upload = self.server.uploads[name]
        self.server.ranges.append(self.headers["Content-Range"])
        start, total = re.fullmatch(
            r"bytes (\d+|\*)(?:-\d+)?/(\d+)", self.server.ranges[-1]
        ).groups()
        fault = None
        if start != "*":
            assert int(start) <= len(upload[2])
            fault = self.server.faults.pop(0) if self.server.faults else None
            stored = len(body) if fault is None else fault[0]
            upload[2] = upload[2][: int(start)] + body[:stored]
        if fault is not None and len(upload[2]) < int(total):
            return self.fail(fault[1])
        if len(upload[2]) < int(total):
            stored = {"Range": f"bytes=0-{len(upload[2]) - 1}"} if upload[2] else {}
            return self.answer(308, **stored)
        return self.complete(upload, fault)

    def body(self, size):
        pieces = []
        while sum(map(len, pieces)) < size:
            pieces.append(self.rfile.read1(128 << 10))
            time.sleep(self.server.pause_s)
        return b"".join(pieces)

    def complete(self, upload, fault):
        key, condition, data = upload
        if condition == "0" and self.server.objects.get(key, data) is not data:
            return self.answer(412)
        if "X-Goog-Hash" in self.headers:
            digest = base64.b64encode(google_crc32c.Checksum(data).digest()).decode()
            assert self.headers["X-Goog-Hash"] == f"crc32c={digest}"
        self.server.objects[key] = data
        if fault is not None:
            return self.fail(fault[1])
        return self.answer(200, json.dumps({"size": str(len(data))}).encode())

    def fail(self, status):
        if status is None:
            self.close_connection = True
        else:
            self.answer(status)

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def google(monkeypatch):
    with Google() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def store(google):
    store = GoogleStore("bucket", "", AnonymousCredentials())
    yield store
    store.close()


class Watched(io.BytesIO):
    largest = 0

    def read(self, size=-1):
        data = super().read(size)
        self.largest = max(self.largest, len(data))
        return data


def test_a_large_object_is_sent_in_chunks_and_held_one_at_a_time(google, store):
    source = Watched(b"skipped" + DATA[:SIZE])
    source.seek(7)
    assert store.write("k", source).size == SIZE
    assert google.objects == {"k": DATA[:SIZE]}
    assert google.ranges == [
        f"bytes 0-{CHUNK_SIZE - 1}/{SIZE}",
        f"bytes {CHUNK_SIZE}-{2 * CHUNK_SIZE - 1}/{SIZE}",
        f"bytes {2 * CHUNK_SIZE}-{SIZE - 1}/{SIZE}",
    ]
    assert source.largest == CHUNK_SIZE


@pytest.mark.parametrize("status", [None, 503, 429])
@pytest.mark.parametrize("stored", [0, GRAIN, CHUNK_SIZE])
@pytest.mark.parametrize("chunk", [0, 1])
def test_it_goes_on_where_a_chunk_failed(google, store, status, stored, chunk):
    google.faults = [None] * chunk + [(stored, status)]
    store.write("k", io.BytesIO(DATA[:SIZE]))
    assert google.objects == {"k": DATA[:SIZE]}
    # What is stored is not sent again.
    assert google.ranges[chunk + 1] == f"bytes */{SIZE}"
    assert google.ranges[chunk + 2].startswith(f"bytes {chunk * CHUNK_SIZE + stored}-")


@pytest.mark.parametrize("status", [None, 503])
def test_a_lost_last_answer_is_no_conflict_with_oneself(google, store, status):
    google.faults = [None, None, (CHUNK_SIZE, status)]
    store.write("k", io.BytesIO(DATA[:SIZE]), if_absent=True)
    assert google.objects == {"k": DATA[:SIZE]}


def test_the_condition_is_checked_when_the_object_is_whole(google, store):
    class Slow(io.BytesIO):
        def read(self, size=-1):
            # Another writer comes first while the upload is under way.
            google.objects["k"] = b"other"
            return super().read(size)

    with pytest.raises(Conflict):
        store.write("k", Slow(DATA[:SIZE]), if_absent=True)
    assert google.objects == {"k": b"other"}
    store.write("k", io.BytesIO(DATA[:SIZE]))
    assert google.objects == {"k": DATA[:SIZE]}


def test_a_slow_line_may_take_longer_than_a_wait(google, monkeypatch):
    google.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 << 10)
    google.pause_s = 0.01
    store = GoogleStore("bucket", "", AnonymousCredentials(), timeout_s=0.5)
    began = time.monotonic()
    store.write("k", io.BytesIO(DATA[:SIZE]))
    assert time.monotonic() - began > 1
    assert len(google.ranges) == 3  # nothing was sent twice
    store.close()


def test_a_lost_upload_has_to_start_again(google, store):
    class Forgetting(io.BytesIO):
        def read(self, size=-1):
            google.uploads.clear()
            return super().read(size)

    with pytest.raises(Unavailable, match="start again"):
        store.write("k", Forgetting(DATA[:SIZE]))
    assert google.objects == {}


def test_a_refusal_is_not_repeated(google, store):
    google.faults = [(0, 403)]
    with pytest.raises(Denied):
        store.write("k", io.BytesIO(DATA[:SIZE]))
    assert len(google.ranges) == 1


def test_the_uploads_url_is_as_secret_as_credentials(google, store, caplog):
    caplog.set_level(logging.DEBUG)
    google.faults = [(0, 403)]
    with pytest.raises(Denied) as caught:
        store.write("k", io.BytesIO(DATA[:SIZE]))
    shown = caplog.text + "".join(traceback.format_exception(caught.value))
    assert "upload_id=hidden" in caplog.text
    assert "secret0" not in shown
