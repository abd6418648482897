"""The proxy does to a connection what it is told to, and nothing else."""

import http.client
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from servers.fault_proxy import FaultProxy

BODY = bytes(range(256)) * 4000


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_args: object) -> None:
        """A connection that is cut is what the tests ask for."""


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    Handler.seen.clear()
    with Server(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=[0.01])
        serving.start()
        with FaultProxy(f"127.0.0.1:{server.server_port}") as proxy:
            yield proxy
        server.shutdown()
        serving.join()


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(proxy.address, timeout=5)
    yield connection
    connection.close()


def get(client: http.client.HTTPConnection) -> tuple[int, bytes]:
    client.request("GET", "/x")
    answer = client.getresponse()
    return answer.status, answer.read()


def test_it_forwards_and_keeps_connections(
    proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    assert get(client) == get(client) == (200, BODY)
    assert proxy.connections == 1


def test_latency_is_added_once_each_way(
    proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    get(client)
    proxy.latency_s = 0.1
    began = time.monotonic()
    assert get(client) == (200, BODY)
    assert 0.2 <= time.monotonic() - began < 0.5


def test_bandwidth_is_bounded(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    proxy.bandwidth = len(BODY) * 5
    began = time.monotonic()
    assert get(client) == (200, BODY)
    assert 0.15 <= time.monotonic() - began < 1


def test_it_answers_once_in_the_servers_place(
    proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    proxy.answer_next(503, b"slow down")
    assert get(client) == (503, b"slow down")
    assert Handler.seen == []
    assert get(client) == (200, BODY)


def test_an_answer_may_be_shorter_than_it_says(
    proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    proxy.answer_next(200, b"short", length=1000)
    with pytest.raises(http.client.IncompleteRead):
        get(client)


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("after", [0, 10, 300_000])
def test_it_cuts_one_answer(
    proxy: FaultProxy, client: http.client.HTTPConnection, after: int, reset: bool
) -> None:
    proxy.cut_next(after, reset=reset)
    with pytest.raises((OSError, http.client.HTTPException)):
        get(client)
    assert Handler.seen == ["/x"]
    client.close()
    assert get(client) == (200, BODY)


def test_it_refuses_and_cuts_connections(
    proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    get(client)
    proxy.refusals = 1
    proxy.cut_now()
    for _ in range(2):  # the one that was cut, the one that is refused
        with pytest.raises((OSError, http.client.HTTPException)):
            get(client)
        client.close()
    assert get(client) == (200, BODY)


def test_it_swallows_a_request(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    client.timeout = 0.1
    proxy.silences = 1
    with pytest.raises(TimeoutError):
        get(client)
    client.close()
    assert Handler.seen == []
    assert get(client) == (200, BODY)
