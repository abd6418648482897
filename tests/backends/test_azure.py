import io
import logging
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from azure.identity import CredentialUnavailableError
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from servers import azurite as server
from servers.fault_proxy import FaultProxy

from ltxvfs.backends.azure import store as azure
from ltxvfs.backends.azure.access import CONNECTION, KEY, SAS, AzureAccess
from ltxvfs.backends.azure.store import AzureStore
from ltxvfs.backends.azure.upload import BLOCK_SIZE
from ltxvfs.backends.registry import open_store
from ltxvfs.backends.testing import MOMENT, race
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError, Conflict, Denied, NotFound, ReplicaError, Unavailable

pytestmark = pytest.mark.parametrize("place", ["azure"], indirect=True)

LARGE = 3 * BLOCK_SIZE + 12345


@pytest.fixture(autouse=True)
def no_other_credentials(monkeypatch):
    for name in (SAS, CONNECTION):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def url(place):
    return ReplicaURL.parse(place.fresh())


@pytest.fixture
def store(url):
    """Give the bare store: nothing is tried twice."""
    store = AzureStore.from_url(url)
    yield store
    store.close()


@pytest.fixture
def behind(place, url):
    """Give the SDK's own view of the store's blobs: from a key to its client."""
    with server.container(place.address) as container:
        yield lambda key: container.get_blob_client(url.prefix + key)


@pytest.fixture
def requests(caplog):
    """Give a function that counts the requests since its last call."""
    caplog.set_level(logging.DEBUG, "urllib3.connectionpool")

    def count():
        lines = [r.getMessage() for r in caplog.records if "HTTP/1.1" in r.getMessage()]
        caplog.clear()
        return len(lines)

    return count


@pytest.mark.parametrize("size", [1, azure.WHOLE_SIZE_MAX + 1])
def test_blobs_are_as_litestream_writes_them(store, behind, size):
    store.write("ltx/0/a", bytes(size), modified=MOMENT)
    found = behind("ltx/0/a").get_blob_properties()
    assert found.metadata == {"litestreamtimestamp": "2026-01-02T03:04:05.678Z"}
    assert found.content_settings.content_type == "application/octet-stream"
    assert (found.blob_tier, found.blob_tier_inferred or False) == ("Hot", False)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02T03:04:05.678912345Z", datetime(2026, 1, 2, 3, 4, 5, 678_912, tzinfo=UTC)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("yesterday", None),
        (None, None),
    ],
)
def test_the_moment_is_litestreams_or_the_creations(store, behind, text, moment):
    blob = behind("k")
    blob.upload_blob(b"x", metadata={"litestreamtimestamp": text} if text else None)
    expected = moment or blob.get_blob_properties().creation_time
    assert store.moment("k") == expected
    assert [entry.modified for entry in store.list("")] == [expected]


class Watched(io.BytesIO):
    """A file that knows how many bytes were read and not yet given up."""

    largest = 0

    def read(self, size=-1):
        data = super().read(size)
        self.largest = max(self.largest, len(data))
        return data


def test_a_large_blob_is_sent_in_blocks(store, behind):
    data = bytes(range(256)) * (LARGE // 256 + 1)
    source = Watched(b"skipped" + data)
    source.seek(7)
    entry = store.write("k", source, modified=MOMENT)
    assert store.read("k") == data
    assert list(store.list("")) == [entry]
    blocks, waiting = behind("k").get_block_list("all")
    assert [block.size for block in blocks] == [BLOCK_SIZE] * 3 + [len(data) - 3 * BLOCK_SIZE]
    assert waiting == []
    assert source.largest == BLOCK_SIZE
    # Azure wants one length for all names of a blob, Litestream's staged ones included.
    assert {len(block.id) for block in blocks} == {64}


def test_of_many_large_writers_with_if_absent_one_wins(store):
    won = []

    def write(n):
        data = bytes([n]) * LARGE
        try:
            store.write("k", io.BytesIO(data), if_absent=True)
        except Conflict:
            return
        won.append(data)

    race(write)
    assert [store.read("k")] == won


def test_large_writers_never_mix_their_bytes(url):
    opened = open_store(url)
    for _ in range(5):
        with ThreadPoolExecutor(2) as pool:
            list(
                pool.map(
                    lambda data: opened.write("k", io.BytesIO(data)), [b"a" * LARGE, b"b" * LARGE]
                )
            )
        found = opened.read("k")
        assert found == found[:1] * LARGE
    opened.close()


def test_a_listing_goes_over_pages(store, monkeypatch, requests):
    monkeypatch.setattr(azure, "PAGE_SIZE", 10)
    keys = [f"l/{n:03d}" for n in range(35)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: store.write(key, b""), keys))
    requests()
    assert [entry.key for entry in store.list("l/")] == keys
    assert requests() == 4
    # It starts where it is asked to, not at the folder's beginning.
    assert [entry.key for entry in store.list("l/", "l/022")] == keys[23:]
    assert requests() == 2


def test_a_listing_shows_neither_folders_nor_foreign_names(store, behind):
    # What an account with a hierarchical namespace lists for a folder.
    behind("ltx/0").upload_blob(b"", metadata={"hdi_isfolder": "true"})
    for name in ("ltx//b", "ltx/c.tmp"):
        behind(name).upload_blob(b"")
    store.write("ltx/0/a", b"x")
    assert [entry.key for entry in store.list("")] == ["ltx/0/a"]


@pytest.mark.parametrize("key", ["a b+c", "ä/日本 x%20?#", "~!@$&*()=:,;'\"", "x" * 900, "%2F"])
def test_a_key_may_hold_any_character(store, key):
    store.write(key, b"data")
    assert store.read(key, 1, 2) == b"at"
    assert store.moment(key)
    assert [entry.key for entry in store.list("")] == [key]
    store.delete([key])
    assert list(store.list("")) == []


def test_each_verb_is_one_request(store, requests):
    store.write("k", b"0123456789")
    assert requests() == 1
    for start, size in [(0, None), (2, 3), (4, None), (0, 0), (10, 1), (99, None)]:
        store.read("k", start, size)
        assert requests() == 1
    store.moment("k")
    assert requests() == 1
    version = store.write_record("record.json", b"{}", None)
    assert requests() == 1
    assert store.read_record("record.json").version == version
    assert requests() == 1
    store.delete(["k", "record.json", "absent"])
    assert requests() == 1


def test_deletes_go_beyond_one_batch(store, monkeypatch, requests):
    monkeypatch.setattr(azure, "BATCH_SIZE", 3)
    keys = [f"ltx/0/{n}" for n in range(8)]
    for key in keys:
        store.write(key, b"x")
    requests()
    store.delete([*keys[1:], "ltx/0/absent"])
    assert requests() == 3
    assert [entry.key for entry in store.list("")] == keys[:1]


def test_a_delete_that_is_refused_is_an_error(store, behind):
    store.write("k", b"x")
    lease = behind("k").acquire_lease()
    with pytest.raises(ReplicaError, match="k"):
        store.delete(["other", "k"])
    lease.release()
    store.delete(["k"])


def test_a_container_that_is_not_there_is_the_users_to_make(place):
    store = AzureStore.from_url(
        ReplicaURL.parse(place.fresh().replace(server.CONTAINER, "nowhere"))
    )
    for call in (
        lambda: list(store.list("")),
        lambda: store.write("k", b"x"),
        lambda: store.write("k", bytes(azure.WHOLE_SIZE_MAX + 1)),
        lambda: store.write_record("k", b"x", None),
    ):
        with pytest.raises(ConfigError, match="container nowhere does not exist"):
            call()
    with pytest.raises(NotFound):
        store.read("k")
    store.close()


@pytest.fixture
def proxied(place, url):
    """Give a bare store behind a proxy, and the proxy."""
    with FaultProxy(place.address) as proxy:
        access = AzureAccess.from_url(
            ReplicaURL.parse(server.url(proxy.address, "proxied")), {KEY: server.KEY}
        )
        store = AzureStore(access, url.prefix, timeout_s=3)
        store.write("k", bytes(100_000))
        yield store, proxy
        store.close()


VERBS = {
    "list": lambda store: list(store.list("")),
    "read": lambda store: store.read("k"),
    "read a range": lambda store: store.read("k", 2, 50_000),
    "write": lambda store: store.write("k", b"x"),
    "delete": lambda store: store.delete(["k"]),
    "moment": lambda store: store.moment("k"),
    "read a record": lambda store: store.read_record("k"),
    "write a record": lambda store: store.write_record("record.json", b"x", None),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ReplicaError),
        (403, Denied),
        (408, Unavailable),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_a_status_has_its_meaning(proxied, verb, status, error):
    store, proxy = proxied
    proxy.answer_next(status)
    with pytest.raises(ReplicaError, match=f"Azure says {status}") as caught:
        VERBS[verb](store)
    assert type(caught.value) is error


def test_a_blob_replaced_while_it_is_read_is_read_again(proxied):
    store, proxy = proxied
    proxy.answer_next(412)
    with pytest.raises(Unavailable, match="replaced while it was read"):
        store.read("k")


@pytest.mark.parametrize("verb", VERBS)
def test_a_broken_connection_may_be_tried_again(proxied, verb):
    store, proxy = proxied
    store.close()  # the next request needs a new connection
    proxy.refusals = 1
    with pytest.raises(Unavailable, match="no answer from Azure"):
        VERBS[verb](store)
    VERBS[verb](store)


@pytest.mark.parametrize("verb", ["read", "write", "list"])
def test_silence_ends(proxied, verb):
    store, proxy = proxied
    proxy.silences = 1
    with pytest.raises(Unavailable, match=r"no answer from Azure .*Timeout"):
        VERBS[verb](store)


@pytest.mark.parametrize("verb", ["list", "read", "read a range", "moment", "read a record"])
def test_an_answer_cut_anywhere_is_never_taken_for_whole(proxied, verb):
    store, proxy = proxied
    expected = VERBS[verb](store)
    for after in range(10, 700, 110):
        proxy.cut_next(after, reset=False)
        try:
            found = VERBS[verb](store)
        except Unavailable:
            continue
        finally:
            proxy.clear()
        assert found == expected


@pytest.mark.parametrize("status", [500, 503])
def test_a_block_that_failed_is_sent_again(proxied, status):
    store, proxy = proxied
    proxy.answer_next(status)
    store.write("large", io.BytesIO(b"x" * LARGE), if_absent=True)
    assert store.read("large") == b"x" * LARGE


def sas(permission, hours=1):
    return generate_container_sas(
        server.ACCOUNT,
        server.CONTAINER,
        account_key=server.KEY,
        permission=ContainerSasPermissions.from_string(permission),
        expiry=datetime.now(UTC) + timedelta(hours=hours),
    )


def connection(place, credential):
    return (
        f"AccountName={server.ACCOUNT};BlobEndpoint={server.endpoint(place.address)};{credential}"
    )


def use(place, environment):
    """Write, list, read and delete with an environment's credentials only."""
    url = ReplicaURL.parse(place.fresh())
    if CONNECTION in environment and len(environment) == 1:
        url = ReplicaURL.parse(f"abs://{url.host}{url.path}")
    store = AzureStore(AzureAccess.from_url(url, environment), url.prefix)
    try:
        entry = store.write("a/k", b"data", modified=MOMENT)
        assert list(store.list("a/")) == [entry]
        assert store.read("a/k") == b"data"
        assert store.read_record("a/k").data == b"data"
        store.delete(["a/k", "a/absent"])
        assert list(store.list("")) == []
    finally:
        store.close()


def test_every_way_in_opens(place):
    good, wrong = sas("racwdl"), "d3Jvbmc="
    use(place, {KEY: server.KEY})
    use(place, {SAS: good})
    use(place, {SAS: f"?{good}"})
    use(place, {CONNECTION: connection(place, f"AccountKey={server.KEY}")})
    use(place, {CONNECTION: connection(place, f"SharedAccessSignature={good}")})
    # Litestream's order: the token, the key, whatever else there is.
    use(place, {SAS: good, KEY: wrong, CONNECTION: "wrong"})
    use(place, {KEY: server.KEY, CONNECTION: "wrong"})


@pytest.mark.parametrize(
    "environment",
    [
        lambda: {KEY: "d3Jvbmc="},
        lambda: {KEY: "not base64!"},
        lambda: {SAS: sas("racwdl", hours=-1)},
        lambda: {SAS: sas("r")},
        lambda: {SAS: "sv=2025-01-05&sig=d3Jvbmc="},
        lambda: {SAS: sas("r"), KEY: server.KEY},
    ],
)
def test_wrong_credentials_are_denied(place, environment):
    with pytest.raises(Denied):
        use(place, environment())


def test_no_identity_is_denied_with_what_to_do(place):
    class Nobody:
        def get_token(self, *_scopes, **_options):
            raise CredentialUnavailableError("hidden, and many lines")

    access = AzureAccess("bucket", "https://account.blob.core.windows.net", Nobody)
    store = AzureStore(access, "")
    with pytest.raises(Denied, match="set an account key or SAS token, or log in"):
        store.read("k")
    store.close()


@pytest.mark.parametrize(
    ("text", "environment", "named"),
    [
        ("abs://account@c/p?account-key=hidden", {}, "account-key"),
        ("abs://account:hidden@c/p", {}, KEY),
        ("abs://account@c:80/p", {}, "abs://account@container/path"),
        ("abs:///p", {}, "abs://account@container/path"),
        ("abs://c/p", {}, "account"),
        ("abs://c/p?endpoint=https://host", {KEY: "hidden"}, "account"),
        ("abs://ac/count@c/p", {}, "abs:// needs its account"),
        ("abs://ac.count@c/p", {}, "lower-case"),
        ("abs://account@c/p?endpoint=https://host?sig=hidden", {}, "plain URL"),
        ("abs://account@c/p?endpoint=https://u:hidden@host", {}, "plain URL"),
        ("abs://account@c/p?endpoint=host", {}, "plain URL"),
        ("abs://account@c/p?endpoint=http://host", {}, "never sent over http"),
        ("abs://account@c/%ff", {KEY: "hidden"}, "UTF-8"),
        ("abs://c/p", {CONNECTION: "hidden"}, "not a connection string"),
        ("abs://c/p?endpoint=https://x", {CONNECTION: "AccountName=a;AccountKey=aGk="}, "endpoint"),
        ("abs://b@c/p", {CONNECTION: "AccountName=a;AccountKey=hidden"}, "another account"),
    ],
)
def test_settings_that_are_wrong_say_so(place, monkeypatch, text, environment, named):
    monkeypatch.delenv(KEY)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=named) as caught:
        open_store(text)
    assert "hidden" not in "".join(traceback.format_exception(caught.value))


def test_secrets_are_in_no_log_and_no_error(place, caplog):
    caplog.set_level(logging.DEBUG)
    shown = ""
    for environment in (
        {SAS: sas("racwdl")},
        {KEY: server.KEY},
        {CONNECTION: connection(place, f"SharedAccessSignature={sas('racwdl')}")},
    ):
        use(place, environment)
        with FaultProxy(place.address) as proxy:
            url = ReplicaURL.parse(server.url(proxy.address, "path"))
            if CONNECTION in environment:
                text = environment[CONNECTION].replace(place.address, proxy.address)
                environment, url = {CONNECTION: text}, ReplicaURL.parse("abs://litetest/path")
            access = AzureAccess.from_url(url, environment)
            store = AzureStore(access, "")
            shown += repr(access) + repr(store)
            proxy.refusals = 1
            with pytest.raises(Unavailable) as broken:
                store.read("k")
            proxy.answer_next(403)
            with pytest.raises(Denied) as denied:
                store.read("k")
            store.close()
        for error in (broken.value, denied.value):
            shown += "".join(traceback.format_exception(error))
    shown += caplog.text
    assert "sig=hidden" in caplog.text
    assert server.KEY not in shown
    assert "sig=" not in shown.replace("sig=hidden", "").replace("sig=REDACTED", "")
