import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from ltxvfs.assembly import in_order

FAR_TOO_MANY = 1000


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as opened:
        yield opened


def test_results_come_in_order(pool):
    assert list(in_order(pool.submit(str, item) for item in range(100))) == [*map(str, range(100))]


def test_only_a_few_are_under_way(pool):
    made = []

    def futures():
        for item in range(FAR_TOO_MANY):
            made.append(item)
            yield pool.submit(str, item)

    with closing(in_order(futures())) as results:
        assert next(results) == "0"
        assert len(made) < 50


def test_an_error_ends_it_when_all_that_runs_has_ended(pool):
    running = threading.Semaphore(0)
    ended = []

    def job(item):
        if item == 0:
            running.acquire()  # until another job runs
            raise ValueError("the first")
        running.release()
        ended.append(item)
        return item

    with (
        pytest.raises(ValueError, match="the first"),
        closing(in_order(pool.submit(job, item) for item in range(3))) as results,
    ):
        list(results)
    before = list(ended)
    pool.submit(int).result()
    assert ended == before
    assert ended
