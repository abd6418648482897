import os
import threading
from concurrent.futures import ThreadPoolExecutor

from ltxvfs.backends.per_process import PerProcess


def test_many_threads_get_one_value_made_once():
    made = []

    def make():
        made.append(object())
        return made[-1]

    value = PerProcess(make)
    with ThreadPoolExecutor(8) as pool:
        assert len({id(found) for found in pool.map(lambda _: value.get(), range(100))}) == 1
    assert len(made) == 1


def test_a_value_taken_is_made_anew():
    value = PerProcess(object)
    assert value.take() is None
    first = value.get()
    assert value.take() is first
    assert value.take() is None
    assert value.get() is not first


def child(work):
    """Run ``work`` in a child of a fork; give what it returns, as text."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, str(work()).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    assert os.waitpid(pid, 0)[1] == 0
    return text


def test_a_child_makes_its_own_and_leaves_the_parents_alone():
    value = PerProcess(lambda: [os.getpid()])
    mine = value.get()
    assert child(lambda: value.get() is not mine and value.get() != mine) == "True"
    assert value.get() is mine


def test_a_child_is_not_held_up_by_a_parent_that_was_making_one():
    begun, go_on = threading.Event(), threading.Event()

    def make():
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            go_on.wait()
        return os.getpid()

    value = PerProcess(make)
    thread = threading.Thread(target=value.get)
    thread.start()
    begun.wait()
    try:
        assert child(lambda: value.get() == os.getpid()) == "True"
    finally:
        go_on.set()
        thread.join()
