"""The NATS store against a real nats-server."""

from itertools import count

import pytest
from servers import nats as servers

from ltxvfs.backends.registry import open_store
from ltxvfs.backends.testing import StoreAgreement, StoreTests


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with servers.serving(tmp_path_factory.mktemp("nats")) as running:
        yield running


_numbers = count()


@pytest.fixture
def bucket(server):
    name = f"b{next(_numbers)}"
    server.make_bucket(name)
    return name


@pytest.fixture
def store(server, bucket):
    opened = open_store(server.url(bucket))
    yield opened
    opened.close()


class TestNatsStore(StoreTests):
    @pytest.fixture
    def store(self, server, bucket):
        opened = open_store(server.url(f"{bucket}/deep/prefix"))
        yield opened
        opened.close()


@pytest.fixture(scope="module", autouse=True)
def agreement_server(server):
    NatsAgreement.server = server


class NatsAgreement(StoreAgreement):
    def make_store(self):
        bucket = f"a{next(_numbers)}"
        self.server.make_bucket(bucket)
        return open_store(self.server.url(bucket))


TestNatsAgreesWithMemory = NatsAgreement.TestCase
