"""What the uploader does with a replica that is not as it left it; its thread is the test's."""

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
