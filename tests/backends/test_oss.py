"""Alibaba's dialect of S3: its headers are what is sent; SeaweedFS gets them translated."""

import pytest
from servers import seaweedfs

from ltxvfs.backends.retrying import Retrying
from ltxvfs.backends.s3.oss import oss_settings
from ltxvfs.backends.s3.store import S3Store
from ltxvfs.backends.testing import MOMENT, StoreTests
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError

KEYS = {"OSS_ACCESS_KEY_ID": seaweedfs.KEY, "OSS_ACCESS_KEY_SECRET": seaweedfs.SECRET}


def settings(url, **environ):
    return oss_settings(ReplicaURL.parse(url), environ or KEYS)


class Alibaba:
    """Makes SeaweedFS heed Alibaba's headers, and refuse Amazon's, as OSS does."""

    def __init__(self, store):
        events = store._client.get().meta.events
        events.register_last("before-sign.s3", self.translate)
        events.register_first("before-parse.s3", self.answer)
        self.seen = []

    def translate(self, request, **_):
        headers = request.headers
        self.seen.append({name.lower() for name in headers})
        amazons = ("if-match", "if-none-match", "x-amz-meta-")
        assert not [name for name in self.seen[-1] if name.startswith(amazons)]
        if headers["x-oss-forbid-overwrite"]:
            del headers["x-oss-forbid-overwrite"]
            headers["If-None-Match"] = "*"
        moment = headers["x-oss-meta-litestream-timestamp"]
        if moment:
            del headers["x-oss-meta-litestream-timestamp"]
            headers["x-amz-meta-litestream-timestamp"] = moment

    def answer(self, response_dict, **_):
        headers = response_dict["headers"]
        moment = headers.pop("x-amz-meta-litestream-timestamp", None)
        if moment:
            headers["x-oss-meta-litestream-timestamp"] = moment
        if response_dict["status_code"] == 412:
            response_dict["status_code"] = 409
            response_dict["body"] = b"<Error><Code>FileAlreadyExists</Code></Error>"


@pytest.fixture
def plain(places):
    url = places["s3"].fresh().replace("s3://", "oss://")
    opened = S3Store(settings(url))
    yield opened
    opened.close()


class TestOss(StoreTests):
    @pytest.fixture
    def store(self, plain):
        Alibaba(plain)
        return Retrying(plain)


def test_creations_and_moments_are_said_in_alibabas_words(plain):
    seen = Alibaba(plain).seen
    plain.write("k", b"x", if_absent=True, modified=MOMENT)
    plain.write("large", bytes(6 << 20), if_absent=True, modified=MOMENT)
    forbids = ["x-oss-forbid-overwrite" in names for names in seen]
    moments = ["x-oss-meta-litestream-timestamp" in names for names in seen]
    # One object whole; the other begun, in two parts, completed.
    assert forbids == [True, False, False, False, True]
    assert moments == [True, True, False, False, False]
    assert plain.moment("k") == plain.moment("large") == MOMENT


def test_a_bucket_that_ignores_the_header_does_not_swap(plain):
    assert not plain.swaps  # as a bucket with versions does, and SeaweedFS without the translation


def test_a_bucket_that_heeds_the_header_swaps(plain):
    Alibaba(plain)
    assert plain.swaps
    assert list(plain.list("")) == []


@pytest.mark.parametrize(
    ("url", "bucket", "endpoint", "region"),
    [
        ("oss://b/app", "b", "https://s3.oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou"),
        (
            "oss://b.oss-cn-shanghai.aliyuncs.com/app",
            "b",
            "https://s3.oss-cn-shanghai.aliyuncs.com",
            "cn-shanghai",
        ),
        (
            "oss://b.oss-eu-central-1-internal.aliyuncs.com/app",
            "b",
            "https://s3.oss-eu-central-1-internal.aliyuncs.com",
            "eu-central-1",
        ),
        (
            "oss://b/app?region=oss-us-west-1",
            "b",
            "https://s3.oss-us-west-1.aliyuncs.com",
            "us-west-1",
        ),
        ("oss://b/app?endpoint=oss.example.cn", "b", "https://oss.example.cn", "cn-hangzhou"),
    ],
)
def test_a_url_says_bucket_region_and_endpoint(url, bucket, endpoint, region):
    found = settings(url)
    assert (found.bucket, found.endpoint, found.region) == (bucket, endpoint, region)
    assert (found.root, found.path_style) == ("app/", False)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("oss://b/", "needs a bucket and a path"),
        ("oss:///app", "needs a bucket and a path"),
        ("oss://b/app?storage-class=x", "'storage-class'"),
        ("oss://user:hidden@b/app", "holds no credentials"),
    ],
)
def test_what_is_wrong_is_named(url, message):
    with pytest.raises(ConfigError, match=message) as caught:
        settings(url)
    assert "hidden" not in str(caught.value)


def test_only_alibabas_keys_are_used():
    token = settings("oss://b/app", **KEYS, OSS_SESSION_TOKEN="t").keys.session_token
    assert token == "t"
    with pytest.raises(ConfigError, match="OSS_ACCESS_KEY_ID is not set"):
        settings("oss://b/app", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
    with pytest.raises(ConfigError, match="OSS_ACCESS_KEY_SECRET is not set"):
        settings("oss://b/app", OSS_ACCESS_KEY_ID="a")
