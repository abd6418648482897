import pytest

from ltxvfs.backends.registry import open_store
from ltxvfs.backends.testing import StoreTests


@pytest.mark.parametrize("place", ["azure"], indirect=True)
class TestAzureStore(StoreTests):
    @pytest.fixture
    def store(self, place):
        store = open_store(place.fresh())
        yield store
        store.close()
