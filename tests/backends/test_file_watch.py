"""Notice of new files in a folder."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest
from watchfiles._rust_notify import WatchfilesRustInternalError

from ltxvfs.backends.file import FileStore

BOUND_S = 10.0


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "replica")


def native_threads():
    return sum(
        "notify" in Path("/proc/self/task", task, "comm").read_text()
        for task in os.listdir("/proc/self/task")
    )


def quiet(watch):
    """Wait until nothing is told any more, for one write may be told of more than once."""
    while watch.wait(0.2):
        pass


@pytest.mark.parametrize("exists", ["", "ltx/1/old", "ltx/0/old"])
def test_a_new_file_wakes_who_waits(store, exists):
    if exists:
        store.write(exists, b"x")
    with store.watch("ltx/0/") as watch:
        began = time.monotonic()
        timer = threading.Timer(0.2, store.write, ["ltx/0/new", b"x"])
        timer.start()
        assert watch.wait(BOUND_S)
        assert 0.2 <= time.monotonic() - began < BOUND_S / 2
        timer.join()
        quiet(watch)
        store.write("ltx/0/newer", b"x", if_absent=True)
        assert watch.wait(BOUND_S)


def test_nothing_new_is_false_after_the_time(store):
    store.write("ltx/0/old", b"x")
    with store.watch("ltx/") as watch:
        began = time.monotonic()
        assert not watch.wait(0.3)
        assert 0.3 <= time.monotonic() - began < 5
        assert not watch.wait(0)


def test_what_came_between_two_waits_is_told(store):
    with store.watch("") as watch:
        store.write("ltx/0/a", b"x")
        assert watch.wait(BOUND_S)
        quiet(watch)
        store.write("ltx/0/a", b"replaced")
        assert watch.wait(BOUND_S)
        quiet(watch)
        store.delete(["ltx/0/a"])
        assert watch.wait(BOUND_S)


def test_unfinished_files_and_other_folders_are_not_told(store):
    store.write("ltx/0/old", b"x")
    with store.watch("ltx/0/") as watch:
        store.write("ltx/1/a", b"x")
        (store.root / "ltx/0/.a.tmp").write_bytes(b"x")
        assert not watch.wait(0.3)


def test_what_happens_beside_an_absent_folder_is_not_told(store):
    with store.watch("ltx/0/") as watch:
        (store.root.parent / "other").mkdir()
        assert not watch.wait(0.3)
        store.write("ltx/0/a", b"x")
        assert watch.wait(BOUND_S)


def test_a_folder_that_went_and_came_again_is_watched(store):
    store.write("ltx/0/a", b"x")
    with store.watch("ltx/0/") as watch:
        (store.root / "ltx/0/a").unlink()
        (store.root / "ltx/0").rmdir()
        assert watch.wait(BOUND_S)
        quiet(watch)
        store.write("ltx/0/b", b"x")
        assert watch.wait(BOUND_S)


@pytest.mark.parametrize("prefix", ["", "ltx/0/"])
def test_a_reader_misses_nothing_that_is_written_meanwhile(store, prefix):
    """List, wait, list again: whatever the timing, the last listing has the last object."""
    keys = [f"ltx/0/{n:03}" for n in range(200)]

    def write():
        for key in keys:
            store.write(key, b"x")

    thread = threading.Thread(target=write)
    seen = []
    with store.watch(prefix) as watch:
        thread.start()
        while len(seen) < len(keys):
            assert watch.wait(BOUND_S)
            seen += [entry.key for entry in store.list(prefix, seen[-1] if seen else "")]
    thread.join()
    assert seen == keys


def test_a_new_folders_files_are_never_missed(store):
    """A folder and its file come at once, before anybody can watch the folder."""
    store.write("ltx/0/old", b"x")
    with store.watch("") as watch:
        for n in range(20):
            store.write(f"folder{n}/deep/k", b"x")
            found = False
            while not found:
                assert watch.wait(BOUND_S)
                found = any(store.list(f"folder{n}/deep/"))


def test_close_ends_who_waits(store):
    watch = store.watch("")
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(watch.wait(600)))
    waiting.start()
    watch.close()
    watch.close()
    waiting.join(BOUND_S)
    assert answers == [False]
    assert not watch.wait(600)


def test_no_thread_and_no_descriptor_is_left(store):
    until(lambda: native_threads() == 0)  # a thread ends a moment after it was told to
    descriptors = len(os.listdir("/proc/self/fd"))
    watches = [store.watch("") for _ in range(5)]
    assert native_threads() == 5
    for watch in watches:
        watch.wait(0)
        watch.close()
    until(lambda: native_threads() == 0)
    until(lambda: len(os.listdir("/proc/self/fd")) == descriptors)


def until(condition):
    deadline = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # from Python 3.12 on
def test_a_forked_child_watches_for_itself(store):
    with store.watch("") as watch:
        pid = os.fork()
        if pid == 0:
            told = watch.wait(BOUND_S)
            store.write("child", b"x")
            told = told and watch.wait(BOUND_S)
            watch.close()
            os._exit(0 if told else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert watch.wait(BOUND_S)


@pytest.mark.parametrize("error", [OSError(28, "limit"), WatchfilesRustInternalError("many files")])
def test_a_system_without_watches_to_give_is_polled(store, error, monkeypatch):
    def refuse(*args):
        raise error

    monkeypatch.setattr("ltxvfs.backends.file_watch.RustNotify", refuse)
    assert store.watch("") is None


def test_without_watchfiles_there_is_no_watch(store, monkeypatch):
    monkeypatch.delitem(sys.modules, "ltxvfs.backends.file_watch", raising=False)
    monkeypatch.setitem(sys.modules, "watchfiles._rust_notify", None)
    assert store.watch("") is None
