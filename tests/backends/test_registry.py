import pytest

from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.registry import open_replica, open_store, schemes
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError

MODULE = """
from ltxvfs.backends.memory import MemoryStore

def open_it(url):
    store = MemoryStore()
    store.write("host", url.host.encode())
    return store
"""
ENTRY_POINTS = """
[ltxvfs.backends]
demo = demo_store:open_it
broken = demo_broken:open_it
"""


@pytest.fixture
def another_package(tmp_path, monkeypatch):
    """Install a distribution that brings stores of its own."""
    (tmp_path / "demo_store.py").write_text(MODULE)
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
    with pytest.raises(ConfigError, match=r"gopher://.*file://, memory://"):
        open_store("gopher://host/x")


def test_a_parsed_url_will_do():
    with open_replica(ReplicaURL.parse("memory://parsed")) as client:
        assert client.store is MemoryStore.from_url(ReplicaURL.parse("memory://parsed"))
