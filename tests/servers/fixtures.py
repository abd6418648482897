"""Fixtures that give tests every store there is, on real servers started when first needed.

A test that takes ``place`` runs once for each of ``STORES``;
``@pytest.mark.parametrize("place", ["s3", "file"], indirect=True)`` picks some. What needs a
place before or beyond one test (a state machine, a module's fixture) takes ``places[name]``
and its ``environment``. A server lives until the end of the run.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from servers import apache, azurite, gcs, nats, rclone, seaweedfs, sshd
from servers.place import Place


@contextmanager
def memory(folder: Path) -> Iterator[Place]:
    yield Place("memory", lambda name: f"memory://{folder}/{name}", shared=False)


@contextmanager
def file(folder: Path) -> Iterator[Place]:
    yield Place("file", lambda name: f"file://{folder}/{name}")


STORES: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {
    "memory": memory,
    "file": file,
    "gcs": gcs.place,
    "azure": azurite.place,
    "nats": nats.place,
    "s3": seaweedfs.place,
    "sftp": sshd.place,
    "webdav": apache.place,
    "webdav-rclone": rclone.place,
}
"""From a store's name to the place of its tests, given an empty folder."""


class Places(dict[str, Place]):
    """Each store's place, opened when first asked for."""

    def __init__(self, folders: pytest.TempPathFactory, opened: ExitStack) -> None:
        super().__init__()
        self._folders = folders
        self._opened = opened

    def __missing__(self, name: str) -> Place:
        folder = self._folders.mktemp(name)
        self[name] = self._opened.enter_context(STORES[name](folder))
        return self[name]


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    with ExitStack() as opened:
        yield Places(tmp_path_factory, opened)


@pytest.fixture(params=list(STORES))
def place(request: pytest.FixtureRequest, places: Places, monkeypatch: pytest.MonkeyPatch) -> Place:
    found = places[request.param]
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    return found
