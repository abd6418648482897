from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError


def test_every_part_is_decoded():
    url = ReplicaURL.parse("sftp://us%40er:p%3Ass@host.example:2222/a%20b?x=1&y=%C3%BC&z=")
    assert (url.scheme, url.host, url.port, url.path) == ("sftp", "host.example", 2222, "/a b")
    assert (url.username, url.password) == ("us@er", "p:ss")
    assert url.options == {"x": "1", "y": "ü", "z": ""}


def test_a_host_that_is_no_dns_name_stays_whole():
    arn = "arn:aws:s3:us-east-1:123456789012:accesspoint"
    assert ReplicaURL.parse(f"s3://{arn}/name/key").host == arn
    assert ReplicaURL.parse("abs://account@container/path").username == "account"
    assert ReplicaURL.parse("nats://[::1]:4222/bucket").host == "[::1]"


@pytest.mark.parametrize(
    ("path", "prefix"),
    [("", ""), ("/", ""), ("/a", "a/"), ("/a//b/./c/../d/", "a/b/d/"), ("/../a%20b", "a b/")],
)
def test_the_prefix_of_keys_is_the_path_made_clean(path, prefix):
    assert ReplicaURL.parse(f"gs://bucket{path}").prefix == prefix


def test_secrets_stay_out_of_repr_and_errors():
    assert "hidden" not in repr(ReplicaURL.parse("s3://user:hidden@bucket?key=hidden"))
    for text in ("s3://user:hidden@host?hidden", "s3://[hidden/x", "s3://u@h/?a=hidden&a=hidden"):
        with pytest.raises(ConfigError) as caught:
            ReplicaURL.parse(text)
        assert "hidden" not in str(caught.value)
        assert caught.value.__suppress_context__


@given(st.text(max_size=40), st.sampled_from(["", "s3://", "file:///"]))
def test_any_text_is_a_url_or_a_config_error(text, start):
    with suppress(ConfigError):
        assert ReplicaURL.parse(start + text).scheme
