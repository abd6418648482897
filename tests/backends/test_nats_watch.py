"""Notice of new objects on a NATS server."""

import threading
import time
from contextlib import closing

import pytest
from nats.js.api import ObjectMeta
from servers import nats as servers
from servers.nats import open_nats
from servers.process import free_ports

BOUND_S = 10.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with servers.serving(tmp_path_factory.mktemp("nats")) as running:
        running.make_bucket("b")
        yield running


@pytest.fixture
def store(server, request):
    with closing(open_nats(server.url(f"b/{request.node.name}"))) as opened:
        yield opened


def test_a_new_object_wakes_who_waits(store):
    with store.watch("ltx/") as watch:
        began = time.monotonic()
        timer = threading.Timer(0.2, store.write, ["ltx/0/a", b"x"])
        timer.start()
        assert watch.wait(BOUND_S)
        assert 0.2 <= time.monotonic() - began < BOUND_S / 2
        assert [entry.key for entry in store.list("ltx/")] == ["ltx/0/a"]
        timer.join()


def test_nothing_new_is_false_after_the_time(store):
    store.write("ltx/0/old", b"x")
    with store.watch("ltx/") as watch:
        began = time.monotonic()
        assert not watch.wait(0.3)
        assert 0.3 <= time.monotonic() - began < 5
        assert not watch.wait(0)


def test_what_came_between_two_waits_is_told(store):
    with store.watch("ltx/") as watch:
        for n in range(3):
            store.write(f"ltx/0/{n}", b"x")
        assert watch.wait(BOUND_S)
        while watch.wait(0.3):
            pass
        store.write("ltx/0/1", b"replaced")
        assert watch.wait(BOUND_S)


def test_other_prefixes_are_not_told(store):
    with store.watch("ltx/0/") as watch:
        store.write("ltx/1/a", b"x")
        store.write("ltx/00", b"x")
        assert not watch.wait(0.3)
        store.write("ltx/0/a", b"x")
        assert watch.wait(BOUND_S)


def test_other_clients_objects_are_told(server, store):
    async def put(client):
        objects = await client.jetstream().object_store("b")
        await objects.put(f"{store.prefix}ltx/0/a", b"x", ObjectMeta())

    with store.watch("ltx/") as watch:
        server.run(put)
        assert watch.wait(BOUND_S)


def test_a_reader_misses_nothing_that_is_written_meanwhile(store, server):
    """List, wait, list again: whatever the timing, the last listing has the last object."""
    keys = [f"ltx/0/{n:03}" for n in range(100)]

    def write():
        with closing(open_nats(server.url(f"b/{store.prefix}"))) as writer:
            for key in keys:
                writer.write(key, b"x")

    thread = threading.Thread(target=write)
    seen = []
    with store.watch("ltx/0/") as watch:
        thread.start()
        while len(seen) < len(keys):
            assert watch.wait(BOUND_S)
            seen += [entry.key for entry in store.list("ltx/0/", seen[-1] if seen else "")]
    thread.join()
    assert seen == keys


@pytest.mark.parametrize("what", ["watch", "store"])
def test_close_ends_who_waits(store, what):
    watch = store.watch("")
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(watch.wait(600)))
    waiting.start()
    for _ in range(2):
        {"watch": watch, "store": store}[what].close()
    waiting.join(BOUND_S)
    assert answers == [False]
    assert not watch.wait(600)


def test_no_thread_and_no_consumer_is_left(server):
    store = open_nats(server.url("b/left"))
    for _ in range(5):
        with store.watch(""):
            pass

    async def consumers(client):
        return await client.jetstream().consumers_info("OBJ_b")

    assert server.run(consumers) == []
    store.close()
    assert [thread.name for thread in threading.enumerate() if "nats" in thread.name] == []


def test_a_watch_outlives_its_server(tmp_path):
    (port,) = free_ports(1)
    with servers.serving(tmp_path, port=port) as server:
        server.make_bucket("b")
        store = open_nats(server.url("b"))
        watch = store.watch("")
        assert not watch.wait(0.1)
    with closing(store), watch:
        assert not watch.wait(0.3)
        with servers.serving(tmp_path, port=port), closing(open_nats(server.url("b"))) as writer:
            writer.write("meanwhile", b"x")
            assert watch.wait(BOUND_S)
            while watch.wait(0.3):
                pass
            writer.write("later", b"x")
            assert watch.wait(BOUND_S)


def test_a_silent_server_is_asked_again(store, server, monkeypatch):
    """Consumers of a cluster can go without the connection being lost."""
    monkeypatch.setattr("ltxvfs.backends.nats.watch._HEARTBEAT_S", 0.2)
    monkeypatch.setattr("ltxvfs.backends.nats.watch._SILENCE_S_MAX", 0.6)
    with store.watch("") as watch:
        assert not watch.wait(1.0)

        async def delete(client):
            stream = client.jetstream()
            for consumer in await stream.consumers_info("OBJ_b"):
                await stream.delete_consumer("OBJ_b", consumer.name)

        server.run(delete)
        assert watch.wait(BOUND_S)
        while watch.wait(0.3):
            pass
        store.write("ltx/0/a", b"x")
        assert watch.wait(BOUND_S)
