import pytest

from ltxvfs.backends import retry
from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.metered import usage_of
from ltxvfs.backends.registry import open_replica, open_store, schemes
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError, NotFound

MODULE = """
from ltxvfs.backends.memory import MemoryStore

def open_it(url):
    store = MemoryStore()
    store.write("host", url.host.encode())
    return store
"""
WEAK = """
from ltxvfs.backends.memory import MemoryStore
from ltxvfs.core.errors import Unavailable

class WeakStore(MemoryStore):
    tries = 0

    def read(self, key, start=0, size=None):
        self.tries += 1
        if self.tries == 1:
            raise Unavailable("not now")
        return b"at the second try"

def open_it(url):
    return WeakStore()
"""
ENTRY_POINTS = """
[ltxvfs.backends]
demo = demo_store:open_it
broken = demo_broken:open_it
weak = demo_weak:open_it
"""


@pytest.fixture
def another_package(tmp_path, monkeypatch):
    """Install a distribution that brings stores of its own."""
    (tmp_path / "demo_store.py").write_text(MODULE)
    (tmp_path / "demo_weak.py").write_text(WEAK)
    (tmp_path / "demo_broken.py").write_text("import no_such_sdk\n")
    info = tmp_path / "demo_store-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: demo-store\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_our_own_schemes_are_declared():
    assert {"file", "memory"} <= set(schemes())


def test_another_package_may_bring_a_store(another_package):
    assert open_store("demo://place").read("host") == b"place"


def test_a_missing_sdk_is_named_with_what_to_install(another_package):
    with pytest.raises(ConfigError, match=r"no_such_sdk.*pip install 'ltxvfs\[broken\]'"):
        open_store("broken://place")


def test_an_unknown_scheme_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"gopher://.*file://.*memory://"):
        open_store("gopher://host/x")


def test_a_parsed_url_will_do():
    with open_replica(ReplicaURL.parse("memory://parsed")) as client:
        client.store.write("k", b"x")
    assert MemoryStore.from_url(ReplicaURL.parse("memory://parsed")).read("k") == b"x"


def test_a_store_of_a_network_repeats_what_failed_in_passing(another_package, monkeypatch):
    monkeypatch.setattr(retry.random, "random", lambda: 0.0)
    store = open_store("weak://place")
    assert store.read("k") == b"at the second try"
    assert usage_of(store).verbs["read"].calls == 2


def test_the_requests_of_every_store_are_counted():
    store = open_store("memory://counted")
    store.write("k", b"12345")
    store.read("k", 1, 3)
    with pytest.raises(NotFound):
        store.moment("none")
    usage = usage_of(store)
    assert (usage.calls, usage.failures) == (3, 1)
    assert (usage.bytes_written, usage.bytes_read) == (5, 3)
