"""What the uploader does with a replica that is not as it left it; its thread is the test's."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.campaign import Life, Writer, live_through, objects

from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.core.errors import CaptureError
from ltxvfs.core.types import TXID


@pytest.fixture
def life(tmp_path: Path) -> Life:
    (tmp_path / "life").mkdir()
    return live_through(tmp_path / "life", seed=0)


@pytest.fixture
def writer(life: Life, tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path, life, ReplicaClient(MemoryStore()))
    yield writer
    writer.close()


def test_nothing_follows_anothers_history_before_a_full_image_does(
    writer: Writer, life: Life
) -> None:
    client = writer.client
    for txid in (1, 2, 3):
        client.write_ltx_file(0, txid, txid, life.files[TXID(txid)])
    client.write_ltx_file(0, 4, 4, life.files[TXID(5)])
    before = objects(client.store)
    writer.seal(4, 5)

    def busy(base: TXID) -> None:
        raise CaptureError(f"no image can be written behind {base} now")

    writer.begin_chain = busy
    for _ in range(2):
        with pytest.raises(CaptureError, match="behind 0000000000000004"):
            writer.upload(5)
        assert objects(client.store) == before
        assert writer.announced == 0


def test_before_a_chain_begins_nothing_of_it_is_taken_to_be_in_the_replica(
    writer: Writer, life: Life
) -> None:
    """Another writer may go on meanwhile: the first TXID here need not be above its last one."""
    for txid in (1, 2, 3):
        writer.client.write_ltx_file(0, txid, txid, life.files[TXID(txid)])
    writer.upload(0)
    assert writer.announced == 0


def test_nothing_follows_a_file_that_got_anothers_txid_since_the_look(
    writer: Writer, life: Life
) -> None:
    client = writer.client
    for txid in (1, 2, 3):
        client.write_ltx_file(0, txid, txid, life.files[TXID(txid)])
    before = objects(client.store)
    begun: list[TXID] = []

    def begin(base: TXID) -> None:
        begun.append(base)
        raise CaptureError("not now")

    writer.begin_chain = begin
    uploader = writer.uploader()
    thread = threading.Thread(target=uploader.run)
    thread.start()
    while not uploader.confirmed:
        time.sleep(0.001)
    writer.seal(3, 4)
    uploader.stop()  # not before what was sealed is tried
    thread.join()
    assert set(begun) == {3}
    assert objects(client.store) == before
    assert writer.announced == 0
