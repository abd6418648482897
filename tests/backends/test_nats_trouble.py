"""What the NATS store says when the server, the bucket or the permission is not there."""

import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
import traceback
from contextlib import closing
from pathlib import Path

import pytest
from servers import nats as servers
from servers.fault_proxy import FaultProxy
from servers.nats import open_nats
from servers.process import free_ports

from ltxvfs.core.errors import ConfigError, Denied, ReplicaError, Unavailable

SECRET = "a-hidden-password"


@pytest.fixture
def store(tmp_path):
    """A store on a server of its own, which a test may end and start again."""
    with servers.serving(tmp_path) as server:
        server.make_bucket("b")
        with closing(open_nats(server.url("b"))) as opened:
            yield opened


def test_no_server_is_unavailable_at_once():
    (port,) = free_ports(1)
    url = f"nats://127.0.0.1:{port}"
    with closing(open_nats(f"{url}/b")) as store, pytest.raises(Unavailable, match=f"at {url} "):
        store.read("k")


def test_a_server_that_says_nothing_is_unavailable(monkeypatch):
    monkeypatch.setattr("ltxvfs.backends.nats.link._CONNECT_TIMEOUT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"nats://127.0.0.1:{listener.getsockname()[1]}/b"
        with closing(open_nats(url)) as store, pytest.raises(Unavailable, match="no NATS server"):
            store.read("k")


def test_a_slow_line_is_no_silence(tmp_path, monkeypatch):
    monkeypatch.setattr("ltxvfs.backends.nats.link._SILENCE_S_MAX", 0.5)
    with servers.serving(tmp_path) as server, FaultProxy(server.address) as proxy:
        server.make_bucket("b")
        proxy.bandwidth = 2e6
        data = os.urandom(3_000_000)
        with closing(open_nats(server.url("b").replace(server.address, proxy.address))) as store:
            began = time.monotonic()
            store.write("k", data)
            assert store.read("k") == data
            assert time.monotonic() - began > 2


def test_a_silent_server_is_unavailable_and_another_connection_is_tried(tmp_path, monkeypatch):
    monkeypatch.setattr("ltxvfs.backends.nats.link._SILENCE_S_MAX", 0.5)
    with servers.serving(tmp_path) as server, FaultProxy(server.address) as proxy:
        server.make_bucket("b")
        with closing(open_nats(server.url("b").replace(server.address, proxy.address))) as store:
            store.write("k", b"x")
            proxy.silences = 1
            with pytest.raises(Unavailable, match="silent"):
                store.read("k")
            assert store.read("k") == b"x"


def test_a_server_that_falls_silent_in_an_upload_is_given_up_and_its_socket_closed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("ltxvfs.backends.nats.link._SILENCE_S_MAX", 0.5)
    with servers.serving(tmp_path) as server, FaultProxy(server.address) as proxy:
        server.make_bucket("b")
        store = open_nats(server.url("b").replace(server.address, proxy.address))
        with closing(store):
            store.write("k", b"x")
            sockets = count_sockets()
            proxy.bandwidth = 1.0
            began = time.monotonic()
            with pytest.raises(Unavailable):
                store.write("k", bytes(30_000_000))
            assert time.monotonic() - began < 10
            proxy.cut_now()
            proxy.bandwidth = 0.0
            assert store.read("k") == b"x"
            until(lambda: count_sockets() == sockets)


def count_sockets():
    links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return sum(os.path.lexists(link) and "socket" in os.readlink(link) for link in links)


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_restarted_server_is_unavailable_and_then_there_again(tmp_path):
    (port,) = free_ports(1)
    with servers.serving(tmp_path, port=port) as server:
        server.make_bucket("b")
        store = open_nats(server.url("b"))
        store.write("k", b"x" * 300_000)
    with closing(store):
        for work in (
            lambda: store.read("k"),
            lambda: store.write("k2", b"x"),
            lambda: [*store.list("")],
        ):
            with pytest.raises(Unavailable):
                work()
        with servers.serving(tmp_path, port=port):
            assert store.read("k") == b"x" * 300_000
            store.write("k2", b"y")
            assert [entry.key for entry in store.list("")] == ["k", "k2"]


def test_a_server_that_dies_fails_what_is_under_way_at_once(tmp_path):
    with servers.serving(tmp_path) as server:
        server.make_bucket("b")
        store = open_nats(server.url("b"))
        store.write("k", b"x")
        started = threading.Event()
        errors = []

        def read():
            try:
                while True:
                    store.read("k")
                    started.set()
            except ReplicaError as error:
                errors.append(error)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        started.wait()
    with closing(store):
        for thread in threads:
            thread.join(5)
        assert [type(error) for error in errors] == [Unavailable] * 4


def test_a_missing_bucket_says_how_to_make_it(tmp_path):
    with servers.serving(tmp_path) as server, closing(open_nats(server.url("none"))) as store:
        for work in (lambda: store.write("k", b"x"), lambda: [*store.list("")]):
            with pytest.raises(
                ConfigError, match=r"no NATS .* bucket 'none': .*nats object add none"
            ):
                work()
        server.make_bucket("none")
        store.write("k", b"x")


def test_a_bucket_that_was_deleted_is_missing(store, tmp_path):
    store.write("k", b"x")

    async def delete():
        connection = await store._link.connection()
        await connection.client.jetstream().delete_object_store("b")

    store._loop.run(delete())
    with pytest.raises(ConfigError, match="no NATS object store bucket"):
        store.read("k")


def test_a_server_without_jetstream_says_so(tmp_path):
    with (
        servers.serving(tmp_path, jetstream=False) as server,
        closing(open_nats(server.url("b"))) as store,
        pytest.raises(ConfigError, match=r"no JetStream .*--jetstream"),
    ):
        store.read("k")


def restricted(*denied):
    user = {**servers.BY_NAME, "permissions": {"publish": {"deny": list(denied)}}}
    return {"authorization": {"users": [user, {"user": "admin", "password": SECRET}]}}


@pytest.mark.parametrize(
    ("denied", "work", "match"),
    [
        ("$O.>", lambda store: store.write("k", b"x"), r"may not publish to \$O\.b\."),
        (
            "$JS.API.STREAM.INFO.>",
            lambda store: store.read("k"),
            "may not publish to .*STREAM.INFO",
        ),
        (
            "$JS.API.STREAM.CREATE.>",
            lambda store: store.write_record("lock.json", b"x", None),
            r"may not make the bucket 'b-leases'.*nats kv add b-leases",
        ),
    ],
)
def test_a_forbidden_request_is_denied_at_once(denied, work, match, tmp_path):
    with servers.serving(tmp_path, restricted(denied)) as server:
        server.make_bucket("b", user="admin", password=SECRET)
        with closing(open_nats(server.url("b"))) as store, pytest.raises(Denied, match=match):
            work(store)


def test_the_permissions_in_the_docs_are_enough(tmp_path):
    text = (Path(__file__).parents[2] / "docs/stores.md").read_text()
    block = re.search(r"## NATS\n.*?```json\n(.*?)```", text, re.DOTALL)[1]
    user = {**servers.BY_NAME, "permissions": json.loads(block.replace("BUCKET", "b"))}
    admin = {"user": "admin", "password": SECRET}
    with servers.serving(tmp_path, {"authorization": {"users": [user, admin]}}) as server:
        server.make_bucket("b", user="admin", password=SECRET)
        with closing(open_nats(server.url("b"))) as store, store.watch("") as watch:
            store.write("k", bytes(300_000))
            assert watch.wait(10)
            assert store.read("k", 200_000, 1) == b"\0"
            assert [entry.key for entry in store.list("")] == ["k"]
            store.delete(["k"])
            version = store.write_record("lock.json", b"x", None)
            assert store.read_record("lock.json").version == version


def test_a_user_that_may_not_subscribe_is_denied_at_once(tmp_path):
    user = {**servers.BY_NAME, "permissions": {"subscribe": {"deny": ["_INBOX.>"]}}}
    with (
        servers.serving(tmp_path, {"authorization": {"users": [user]}}) as server,
        closing(open_nats(server.url("b"))) as store,
        pytest.raises(Denied, match="may not subscribe to _INBOX"),
    ):
        store.read("k")


def test_a_full_bucket_says_so(tmp_path):
    with servers.serving(tmp_path) as server:

        async def make(client):
            await client.jetstream().create_object_store("b", max_bytes=500_000)

        server.run(make)
        with closing(open_nats(server.url("b"))) as store:
            with pytest.raises(ReplicaError, match="the NATS bucket is full") as caught:
                store.write("k", bytes(1_000_000))
            assert not isinstance(caught.value, Unavailable)
            store.write("k", b"fits, as the chunks of the first one are gone" * 1000)


def test_small_messages_are_kept_to(tmp_path):
    with servers.serving(tmp_path, {**servers.BY_PASSWORD, "max_payload": 16_384}) as server:
        server.make_bucket("b")
        with closing(open_nats(server.url("b"))) as store:
            data = os.urandom(100_000)
            store.write("k", data)
            assert store.read("k") == data
            with pytest.raises(ReplicaError, match="too many for one NATS message"):
                store.write_record("lock.json", bytes(20_000), None)


def test_no_secret_is_in_logs_errors_or_repr(tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    texts = []
    with servers.serving(tmp_path) as server:
        server.make_bucket("b")
        store = open_nats(server.url("b", f"test:{SECRET}@"))
        with closing(store), pytest.raises(Denied) as caught:
            store.read("k")
        texts += [repr(store), repr(store._link._access), *traceback.format_exception(caught.value)]
        with closing(open_nats(server.url("b"))) as good:
            good.write("k", b"x")
            server_gone = good
    with closing(server_gone), pytest.raises(Unavailable) as caught:
        server_gone.read("k")
    texts += traceback.format_exception(caught.value)
    output = capfd.readouterr()
    everything = "\n".join([*texts, caplog.text, output.out, output.err])
    assert SECRET not in everything
    assert servers.PASSWORD not in everything
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


FORK = """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12 on: a fork with threads
sys.path.insert(0, sys.argv[2])
from servers.nats import open_nats

store = open_nats(sys.argv[1])
store.write("parent", b"x" * 200_000)
watch = store.watch("")
pid = os.fork()
if pid == 0:
    assert store.read("parent") == b"x" * 200_000
    store.write("child", b"y")
    store.close()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert watch.wait(10)
assert store.read("child") == b"y"
watch.close()
store.close()
assert threading.active_count() == 1
"""


def test_a_forked_child_has_a_connection_of_its_own(tmp_path):
    with servers.serving(tmp_path) as server:
        server.make_bucket("b")
        tests = os.path.dirname(os.path.dirname(__file__))
        argv = [sys.executable, "-W", "error", "-c", FORK, server.url("b"), tests]
        subprocess.run(argv, check=True, timeout=60)


def test_a_process_that_never_closes_its_store_ends(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from servers.nats import open_nats;"
        "store = open_nats(sys.argv[1]); store.write('k', b'x'); watch = store.watch('')"
    )
    with servers.serving(tmp_path) as server:
        server.make_bucket("b")
        tests = os.path.dirname(os.path.dirname(__file__))
        argv = [sys.executable, "-c", code, server.url("b"), tests]
        done = subprocess.run(argv, check=True, timeout=60, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")
