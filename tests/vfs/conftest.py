"""Fixtures: a replicated database; and nothing is left running behind a test."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from replicated import Replicated

from ltxvfs.databases import databases


def _background() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("ltxvfs-")}


@pytest.fixture(autouse=True)
def _nothing_left_behind(tmp_path: Path) -> Iterator[None]:
    """Wait for the threads to end, and only then let the folder be deleted."""
    before = _background()
    yield
    databases().configure({})
    deadline = time.monotonic() + 10
    while _background() - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _background() - before, "threads outlived the last connection of their database"


@pytest.fixture
def app(tmp_path: Path, _nothing_left_behind: None) -> Iterator[Replicated]:
    one = Replicated(tmp_path / "app.db")
    yield one
    one.close()
