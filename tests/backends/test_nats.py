"""The NATS store against a real nats-server: the contract, and objects shared with others."""

import hashlib
import io
import json
import os
import threading
from contextlib import closing
from datetime import UTC, datetime
from itertools import count

import pytest
from nats.js.api import ObjectMeta, ObjectMetaOptions
from servers import nats as servers
from servers.nats import open_nats

from ltxvfs.backends.nats import objects as nats_objects
from ltxvfs.backends.testing import MOMENT, StoreTests
from ltxvfs.core.errors import ConfigError, Conflict, NotFound, ReplicaError, Unavailable

_numbers = count()
CHUNK = nats_objects.CHUNK_SIZE


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with servers.serving(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture
def bucket(server):
    name = f"b{next(_numbers)}"
    server.make_bucket(name)
    return name


@pytest.fixture
def store(server, bucket):
    opened = open_nats(server.url(bucket))
    yield opened
    opened.close()


class TestNatsStore(StoreTests):
    @pytest.fixture
    def store(self, server, bucket):
        opened = open_nats(server.url(f"{bucket}/deep/prefix"))
        yield opened
        opened.close()


class Bucket:
    """The same bucket by nats-py's own object store, and what lies in its stream."""

    def __init__(self, server, name):
        self.server, self.name = server, name

    def put(self, key, data, chunk_size=None, headers=None):
        meta = ObjectMeta(headers=headers)
        if chunk_size:
            meta.options = ObjectMetaOptions(max_chunk_size=chunk_size)

        async def work(client):
            objects = await client.jetstream().object_store(self.name)
            await objects.put(key, data, meta)

        self.server.run(work)

    def get(self, key):
        async def work(client):
            objects = await client.jetstream().object_store(self.name)
            return (await objects.get(key)).data

        return self.server.run(work)

    def delete(self, key):
        async def work(client):
            objects = await client.jetstream().object_store(self.name)
            await objects.delete(key)

        self.server.run(work)

    def publish(self, *messages):
        async def work(client):
            for subject, data in messages:
                await client.jetstream().publish(f"$O.{self.name}.{subject}", data)

        self.server.run(work)

    def subjects(self):
        """Count the messages of each subject, its bucket left out."""

        async def work(client):
            name = f"OBJ_{self.name}"
            info = await client.jetstream().stream_info(name, subjects_filter=">")
            return info.state.subjects or {}

        found = self.server.run(work)
        return {subject.removeprefix(f"$O.{self.name}."): n for subject, n in found.items()}

    def chunks(self):
        return sum(n for subject, n in self.subjects().items() if subject.startswith("C."))


@pytest.fixture
def other(server, bucket):
    return Bucket(server, bucket)


def put_in_pieces(other, key, pieces, size_max=CHUNK, content=None):
    """Write an object as the client in Go does: a chunk for each of its reader's reads."""
    nuid = nats_objects.new_nuid()
    fields = {
        "name": key,
        "nuid": nuid,
        "bucket": other.name,
        "size": sum(map(len, pieces)),
        "chunks": len(pieces),
        "options": {"max_chunk_size": size_max},
        "digest": nats_objects.digest(hashlib.sha256(content or b"".join(pieces))),
    }
    subject = nats_objects.info_subject(other.name, key).removeprefix(f"$O.{other.name}.")
    for piece in pieces:
        # Another writer's chunks lie between ours.
        other.publish((f"C.{nuid}", piece), ("C.another", b"another writer's"))
    other.publish((subject, json.dumps(fields).encode()))


def every_range_is_right(store, key, data, step):
    for start in range(0, len(data) + step, step):
        for size in (0, 1, step - 1, step, 3 * step + 1, None):
            end = None if size is None else start + size
            assert store.read(key, start, size) == data[start:end]


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 40 * CHUNK + 17])
def test_clients_of_nats_read_what_the_store_writes(store, other, size):
    data = os.urandom(size)
    store.write("ltx/0/ä b", data)
    assert other.get("ltx/0/ä b") == data
    assert other.chunks() == -(-size // CHUNK)


@pytest.mark.parametrize("size", [0, 1, 64, 1000])
def test_the_store_reads_what_clients_of_nats_write(store, other, size):
    data = os.urandom(size)
    other.put("ltx/0/a", data, chunk_size=64)
    assert store.read("ltx/0/a") == data
    assert [(entry.key, entry.size) for entry in store.list("ltx/")] == [("ltx/0/a", size)]
    every_range_is_right(store, "ltx/0/a", data, 61)


def test_ranges_are_right_over_chunks_of_any_size_between_those_of_others(store, other):
    pieces = [os.urandom(size) for size in (6, 100, 1, 0, 37, 100, 5)]
    put_in_pieces(other, "k", pieces, size_max=100)
    every_range_is_right(store, "k", b"".join(pieces), 7)


def test_a_range_fetches_only_the_chunks_it_touches(store, server):
    store.write("k", bytes(100 * CHUNK))
    store.read("k", 0, 1)
    before = received(store)
    store.read("k", 50 * CHUNK - 10, 20)
    assert received(store) - before < 3 * CHUNK


def received(store):
    """Give the bytes of data that the store's connection got so far."""

    async def count():
        return (await store._link.connection()).client.stats["in_bytes"]

    return store._loop.run(count())


def test_objects_written_at_the_same_time_do_not_mix(store):
    sizes = [5 * CHUNK + 1, 7, 9 * CHUNK, CHUNK, 3 * CHUNK + 500, 0]
    contents = {f"k{n}": os.urandom(size) for n, size in enumerate(sizes)}
    threads = [threading.Thread(target=store.write, args=item) for item in contents.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for key, data in contents.items():
        assert store.read(key) == data
        every_range_is_right(store, key, data, 2 * CHUNK - 1)


def test_litestreams_moment_is_the_objects_own_and_else_the_servers(store, other):
    other.put("with", b"x", headers={"Litestream-Timestamp": ["2026-01-02T03:04:05.678912345Z"]})
    other.put("bad", b"x", headers={"Litestream-Timestamp": ["yesterday"]})
    other.put("without", b"x")
    moments = {entry.key: entry.modified for entry in store.list("")}
    assert moments["with"] == MOMENT.replace(microsecond=678_912)
    for key in ("bad", "without"):
        assert abs((datetime.now(UTC) - moments[key]).total_seconds()) < 600
    assert moments == {key: store.moment(key) for key in moments}


def test_what_others_deleted_or_link_is_no_object(store, other):
    other.put("k", b"first")
    other.put("gone", b"x")
    other.delete("gone")
    link = {"name": "link", "nuid": "n", "options": {"link": {"bucket": other.name, "name": "k"}}}
    subject = nats_objects.info_subject(other.name, "link").removeprefix(f"$O.{other.name}.")
    other.publish((subject, json.dumps(link).encode()))
    assert [entry.key for entry in store.list("")] == ["k"]
    for key in ("gone", "link"):
        with pytest.raises(NotFound):
            store.read(key)
    store.delete(["gone", "link"])


def test_the_place_of_a_deleted_object_is_free_once(store, other):
    other.put("k", b"first")
    other.delete("k")
    store.write("k", b"second", if_absent=True)
    with pytest.raises(Conflict):
        store.write("k", b"third", if_absent=True)
    assert other.get("k") == b"second"


def test_replaced_and_deleted_objects_leave_nothing_in_the_bucket(store, other):
    for data in (b"a", bytes(3 * CHUNK), b"b"):
        store.write("k", data)
    assert other.chunks() == 1
    other.put("k", bytes(2 * CHUNK))
    store.write("k", b"c")
    assert other.chunks() == 1
    store.delete(["k", "none"])
    assert other.subjects() == {}


def test_a_lost_race_leaves_no_chunks(store, other):
    store.write("k", b"first")
    with pytest.raises(Conflict):
        store.write("k", bytes(3 * CHUNK), if_absent=True)
    assert other.chunks() == 1


def test_of_many_who_replace_an_object_none_leaves_chunks(store, other):
    def write(n):
        store.write("k", bytes([n]) * (CHUNK + 1))

    threads = [threading.Thread(target=write, args=[n]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read("k") == store.read("k", 0, 1) * (CHUNK + 1)
    assert other.chunks() == 2


@pytest.mark.parametrize("good", [0, 5 * 1024 * 1024])
def test_a_source_that_fails_leaves_no_chunks(store, other, good):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            data = super().read(size)
            if not data:
                raise RuntimeError("the source is broken")
            return data

    with pytest.raises(RuntimeError, match="broken"):
        store.write("k", Broken(bytes(good)))
    assert other.subjects() == {}


@pytest.fixture
def publishing(store, monkeypatch):
    """Let the answers to metadata be lost: before it was sent, after it was stored, or never."""

    def fail(*, stored):
        publish = store._bucket.publish

        async def lose(info, expected):
            if stored:
                await publish(info, expected)
            raise Unavailable("the connection was lost")

        monkeypatch.setattr(store._bucket, "publish", lose)

    yield fail
    monkeypatch.undo()


@pytest.mark.parametrize("if_absent", [False, True])
def test_a_write_whose_last_answer_was_lost_is_a_write(store, other, publishing, if_absent):
    if not if_absent:
        store.write("k", bytes(3 * CHUNK))
    publishing(stored=True)
    store.write("k", b"new", if_absent=if_absent)
    assert store.read("k") == b"new"
    assert other.chunks() == 1


def test_chunks_in_doubt_go_when_their_metadata_can_not_come_any_more(
    store, other, publishing, monkeypatch
):
    publishing(stored=False)
    for _ in range(2):
        with pytest.raises(Unavailable):
            store.write("k", b"lost")
    assert other.chunks() == 2  # the metadata may still be on its way
    monkeypatch.undo()
    store.write("other", b"x")
    assert other.chunks() == 3
    store.write("k", b"x")
    assert other.chunks() == 2


def test_metadata_that_came_late_keeps_its_chunks(store, other, monkeypatch):
    late = []

    async def lose(info, expected):
        late.append((info, expected))
        raise Unavailable("the connection was lost")

    publish = store._bucket.publish
    monkeypatch.setattr(store._bucket, "publish", lose)
    with pytest.raises(Unavailable):
        store.write("k", b"late", if_absent=True)
    monkeypatch.undo()
    store._loop.run(publish(*late[0]))
    with pytest.raises(Conflict):
        store.write("k", b"again", if_absent=True)
    assert store.read("k") == b"late"
    assert other.chunks() == 1


def test_a_replacement_under_way_gives_the_old_or_the_new_object(store):
    """Chunks of the old one go while it is read: the reader begins again with the new one."""
    contents = [bytes([n]) * (40 * CHUNK) for n in (1, 2)]
    store.write("k", contents[0])
    done = threading.Event()

    def replace():
        for n in range(20):
            store.write("k", contents[n % 2])
        done.set()

    writer = threading.Thread(target=replace)
    writer.start()
    while not done.is_set():
        assert store.read("k", CHUNK, 30 * CHUNK) in [data[: 30 * CHUNK] for data in contents]
    writer.join()


def test_an_object_whose_chunks_are_gone_is_damaged(store, other, server):
    store.write("one", b"x")
    store.write("two", bytes(2 * CHUNK))

    async def purge(client):
        await client.jetstream().purge_stream(f"OBJ_{other.name}", subject=f"$O.{other.name}.C.>")

    server.run(purge)
    for key in ("one", "two"):
        with pytest.raises(ReplicaError, match=f"{key}: .*missing"):
            store.read(key)


def test_content_that_is_not_what_was_written_is_an_error(store, other):
    put_in_pieces(other, "k", [b"flipped"], content=b"flapped")
    with pytest.raises(ReplicaError, match="digest"):
        store.read("k")
    assert store.read("k", 0, 3) == b"fli"


def test_a_bucket_without_direct_access_works(server, bucket, store):
    async def forbid(client):
        stream = client.jetstream()
        config = (await stream.stream_info(f"OBJ_{bucket}")).config
        config.allow_direct = False
        await stream.update_stream(config)

    server.run(forbid)
    data = os.urandom(3 * CHUNK + 5)
    store.write("k", data)
    assert store.read("k") == data
    every_range_is_right(store, "k", data, 2 * CHUNK - 1)


def test_prefixes_share_a_bucket(server, bucket, store):
    with closing(open_nats(server.url(f"{bucket}/app/"))) as inner:
        inner.write("k", b"x")
        assert [entry.key for entry in inner.list("")] == ["k"]
        assert [entry.key for entry in store.list("")] == ["app/k"]
        store.write("apple/k", b"y")
        assert [entry.key for entry in inner.list("")] == ["k"]
        version = inner.write_record("lock.json", b"1", None)
        assert store.read_record("app/lock.json").version == version


def test_records_are_values_of_a_bucket_beside_the_objects(server, bucket, store):
    version = store.write_record("app/lock.json~ä", b"1", None)
    assert list(store.list("")) == []

    async def look(client):
        values = await client.jetstream().key_value(f"{bucket}-leases")
        (key,) = await values.keys()
        entry = await values.get(key)
        await values.delete(key)
        return key, entry.value, str(entry.revision)

    key, value, revision = server.run(look)
    assert (key, value, revision) == ("app/lock=2Ejson=7E=C3=A4", b"1", version)
    with pytest.raises(NotFound):
        store.read_record("app/lock.json~ä")
    with pytest.raises(Conflict):
        store.write_record("app/lock.json~ä", b"2", version)
    store.write_record("app/lock.json~ä", b"3", None)
    assert store.read_record("app/lock.json~ä").data == b"3"


@pytest.mark.parametrize(
    ("rest", "match"),
    [
        ("", "needs a bucket"),
        ("/", "needs a bucket"),
        ("/a.b", "letters, digits"),
        ("/b?max-reconnects=3", "no option 'max-reconnects'"),
        ("/b?tls=maybe", "tls must be true or false"),
    ],
)
def test_a_bad_url_is_refused(rest, match):
    with pytest.raises(ConfigError, match=match):
        open_nats(f"nats://host{rest}")


@pytest.mark.parametrize("url", ["nats:///bucket", "nats://a,,b:1/bucket"])
def test_a_url_needs_its_servers(url):
    with pytest.raises(ConfigError, match="needs a server"):
        open_nats(url)
