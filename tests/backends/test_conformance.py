"""Every store against the same suite, on its real server."""

import pytest

from ltxvfs.backends.registry import open_store
from ltxvfs.backends.testing import StoreTests


class TestEveryStore(StoreTests):
    @pytest.fixture
    def store(self, place):
        opened = open_store(place.fresh())
        yield opened
        opened.close()
