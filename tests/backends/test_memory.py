import pytest

from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.registry import open_store
from ltxvfs.backends.testing import StoreTests
from ltxvfs.core.errors import ConfigError


class TestMemoryStore(StoreTests):
    @pytest.fixture
    def store(self):
        return MemoryStore()


def test_a_name_gives_the_same_store_again():
    one = open_store("memory://shared/name")
    one.write("k", b"x")
    one.close()
    assert open_store("memory://shared/name").read("k") == b"x"
    assert list(open_store("memory://shared/other").list("")) == []


@pytest.mark.parametrize("url", ["memory://", "memory://x?size=3"])
def test_a_bad_url_is_refused(url):
    with pytest.raises(ConfigError):
        open_store(url)
