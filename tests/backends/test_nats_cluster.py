"""The NATS store on a cluster: one reads what one wrote, and goes on when the leader dies."""

import os
from contextlib import closing

from servers import nats as servers

from ltxvfs.backends.registry import open_store


def write_and_look(store, numbers):
    for n in numbers:
        data = os.urandom(1 + n * 10_000)
        store.write(f"k{n:03}", data, if_absent=True)
        assert store.read(f"k{n:03}") == data
        assert len(list(store.list(""))) == n + 1


def test_the_leaders_death_loses_nothing(tmp_path):
    with servers.cluster(tmp_path, "b") as members:
        hosts = ",".join(server.address for server, _ in members)
        url = f"nats://test:testpass@{hosts}/b"
        with closing(open_store(url)) as store, store.watch("") as watch:
            write_and_look(store, range(30))
            assert watch.wait(10)
            version = store.write_record("lock.json", b"1", None)
            _, leader = members[0]
            leader.kill()
            leader.wait()
            write_and_look(store, range(30, 40))
            assert watch.wait(30)
            version = store.write_record("lock.json", b"2", version)
            assert store.read_record("lock.json").version == version
