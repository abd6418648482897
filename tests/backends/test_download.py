import threading
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltxvfs.backends.download import PART_SIZE, PARTS_AHEAD, Downloads
from ltxvfs.core.errors import NotFound, Unavailable

NOISE = bytes(range(251)) * 80_000  # some 20 parts; no two parts are the same
TURN_S = 5


class Source:
    """Bytes that are read by ranges; tells what is asked for, and how much is kept in memory."""

    def __init__(self):
        self.asked = []
        self.failures = {}
        self.lock = threading.Lock()

    def read(self, start, size):
        with self.lock:
            self.asked.append(start)
            failures = self.failures.get(start)
        if failures:
            raise failures.pop(0)
        return NOISE[start : start + size]


@pytest.fixture
def downloads():
    with closing(Downloads()) as downloads:
        yield downloads


offsets = st.integers(0, len(NOISE)) | st.sampled_from([0, PART_SIZE, 2 * PART_SIZE, len(NOISE)])


@given(one=offsets, other=offsets, sizes=st.lists(st.integers(0, 3 * PART_SIZE), max_size=5))
def test_a_stream_is_a_slice(one, other, sizes):
    start, end = sorted([one, other])
    with closing(Downloads()) as downloads, downloads.open(Source().read, start, end) as stream:
        at = start
        for size in sizes:
            data = stream.read(size)
            assert data == NOISE[at : min(at + size, end)]
            at += len(data)
        assert stream.read() == NOISE[at:end]
        assert stream.read(1) == b""


def test_parts_are_read_at_once(downloads):
    together = threading.Barrier(8)

    def read(start, size):
        together.wait(TURN_S)
        return NOISE[start : start + size]

    with downloads.open(read, 0, 8 * PART_SIZE) as stream:
        assert stream.read() == NOISE[: 8 * PART_SIZE]


def test_streams_begin_before_they_are_read(downloads):
    together = threading.Barrier(8)

    def read(start, size):
        together.wait(TURN_S)
        return NOISE[start : start + size]

    streams = [downloads.open(read, n * PART_SIZE, (n + 1) * PART_SIZE) for n in range(8)]
    assert b"".join(stream.read() for stream in streams) == NOISE[: 8 * PART_SIZE]


def test_what_nobody_reads_yet_is_bounded(downloads):
    source = Source()
    streams = [downloads.open(source.read, 0, len(NOISE)) for _ in range(5)]
    downloads._pool.shutdown()  # what was asked for is done
    assert len(source.asked) <= len(streams) + PARTS_AHEAD
    assert source.asked.count(0) == len(streams)
    for stream in streams:
        stream.close()


def test_closed_streams_give_back_their_places(downloads):
    source = Source()
    for _ in range(3 * PARTS_AHEAD):
        with downloads.open(source.read, 0, len(NOISE)) as stream:
            stream.read(10)
    with downloads.open(source.read, 0, len(NOISE)) as stream:
        assert stream.read() == NOISE
    for _ in range(PARTS_AHEAD):
        assert downloads._ahead.acquire(blocking=False)


def test_a_part_that_failed_in_passing_is_the_only_one_read_again(downloads):
    source = Source()
    source.failures = {3 * PART_SIZE: [Unavailable("reset")], 0: [Unavailable("reset")]}
    with downloads.open(source.read, 0, len(NOISE)) as stream:
        assert stream.read() == NOISE
    again = [start for start in set(source.asked) if source.asked.count(start) > 1]
    assert sorted(again) == [0, 3 * PART_SIZE]


@pytest.mark.parametrize(
    "failures", [[NotFound("gone")], [Unavailable("reset"), Unavailable("down")]]
)
def test_a_failure_is_raised_when_its_part_has_its_turn(downloads, failures):
    source = Source()
    source.failures = {PART_SIZE: [*failures]}
    with downloads.open(source.read, 0, len(NOISE)) as stream:
        assert stream.read(PART_SIZE) == NOISE[:PART_SIZE]
        with pytest.raises(type(failures[-1]), match=str(failures[-1])):
            stream.read(1)
