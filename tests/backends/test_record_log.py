import pytest

from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.record_log import RecordLog
from ltxvfs.core.errors import Conflict


class Sleeper(MemoryStore):
    """A store in which something happens just before a writer creates its object."""

    meanwhile = None

    def write(self, key, source, **options):
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return super().write(key, source, **options)


def swap(log, times):
    for _ in range(times):
        record = log.read("r")
        log.write("r", b"%d" % (int(record.data) + 1), record.version)


def test_a_log_stays_short():
    store = MemoryStore()
    log = RecordLog(store)
    log.write("r", b"0", None)
    swap(log, 200)
    assert log.read("r").data == b"200"
    assert len(list(store.list("r/"))) == 32


@pytest.mark.parametrize("swaps", [1, 31, 32, 33, 200])
def test_a_writer_that_slept_before_it_created_does_not_win(swaps):
    store = Sleeper()
    log = RecordLog(store)
    version = log.write("r", b"0", None)
    store.meanwhile = lambda: swap(log, swaps)
    with pytest.raises(Conflict):
        log.write("r", b"from the past", version)
    assert log.read("r").data == b"%d" % swaps
    swap(log, 1)
    assert log.read("r").data == b"%d" % (swaps + 1)


def test_a_log_that_was_emptied_takes_no_old_version():
    store = MemoryStore()
    log = RecordLog(store)
    version = log.write("r", b"0", None)
    store.delete(entry.key for entry in list(store.list("")))
    with pytest.raises(Conflict):
        log.write("r", b"1", version)
    log.write("r", b"2", None)
    assert log.read("r").data == b"2"
