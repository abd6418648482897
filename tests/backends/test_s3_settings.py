"""What an s3:// URL and the environment mean: as in Litestream, and never a secret shown."""

import base64

import pytest

from ltxvfs.backends.s3.settings import Keys, S3Settings
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError

KEY = base64.b64encode(bytes(range(32))).decode()
KEY_MD5 = "tP/LI3N87DFaSk0aoqYgzg=="


def settings(url, **environ):
    return S3Settings.from_url(ReplicaURL.parse(url), environ)


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("s3://b/app/db", "app/db/"),
        ("s3://b/app/db/", "app/db/"),
        ("s3://b//app/./db", "app/db/"),
        ("s3://b/with%20space", "with space/"),
        # Where a replica of such a URL lies, if Litestream has made it.
        ("s3://b/", "/"),
        ("s3://b", "./"),
    ],
)
def test_what_stands_before_every_key(url, root):
    assert (settings(url).bucket, settings(url).root) == ("b", root)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("my.bucket", ("my.bucket", None, None, False)),
        ("b.s3.amazonaws.com", ("b", None, None, False)),
        ("b.s3.eu-west-1.amazonaws.com", ("b", None, "eu-west-1", False)),
        ("b.localhost:9000", ("b", "http://localhost:9000", "us-east-1", True)),
        ("b.minio.lan:9000", ("b", "http://minio.lan:9000", "us-east-1", True)),
        (
            "b.nyc3.digitaloceanspaces.com",
            ("b", "https://nyc3.digitaloceanspaces.com", "nyc3", False),
        ),
        (
            "b.s3.us-west-004.backblazeb2.com",
            ("b", "https://s3.us-west-004.backblazeb2.com", "us-west-004", True),
        ),
        ("b.s3.filebase.com", ("b", "https://s3.filebase.com", "us-east-1", True)),
        ("b.s3.fr-par.scw.cloud", ("b", "https://s3.fr-par.scw.cloud", "fr-par", False)),
    ],
)
def test_hosts_that_say_where_the_bucket_is(host, expected):
    found = settings(f"s3://{host}/app")
    assert (found.bucket, found.endpoint, found.region, found.path_style) == expected
    assert found.root == "app/"


def test_an_access_point_is_named_by_its_arn():
    arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint"
    found = settings(f"s3://{arn}/name/app/db")
    assert (found.bucket, found.region, found.root) == (f"{arn}/name", "eu-west-1", "app/db/")
    with pytest.raises(ConfigError, match="needs its name"):
        settings(f"s3://{arn}")


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        ("https://s3.example.com/", "https://s3.example.com"),
        ("s3.example.com", "https://s3.example.com"),
        ("localhost:9000", "http://localhost:9000"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("192.168.1.5:9000", "http://192.168.1.5:9000"),
        ("nas.local", "http://nas.local"),
        ("8.8.8.8:9000", "https://8.8.8.8:9000"),
    ],
)
def test_an_endpoint_without_a_scheme_is_plain_only_at_home(given, endpoint):
    assert settings(f"s3://b/p?endpoint={given}").endpoint == endpoint
    assert settings("s3://b/p", LITESTREAM_S3_ENDPOINT=given).endpoint == endpoint


def test_an_endpoint_means_path_style_and_a_region_unless_told_otherwise():
    found = settings("s3://b/p?endpoint=https://s3.example.com")
    assert (found.region, found.path_style) == ("us-east-1", True)
    found = settings("s3://b/p?endpoint=https://s3.example.com&region=x&forcePathStyle=false")
    assert (found.region, found.path_style) == ("x", False)
    assert settings("s3://b/p").region is None


def test_every_parameter_has_two_spellings():
    dashed = settings(
        "s3://b/p?endpoint=localhost:1&region=r&force-path-style=no&skip-verify=1&sign-payload=f"
        "&require-content-md5=false&concurrency=7&part-size=6000000&storage-class=STANDARD_IA"
        f"&sse-customer-algorithm=AES256&sse-customer-key={KEY.replace('+', '%2B')}"
        f"&sse-customer-key-md5={KEY_MD5}"
    )
    camel = settings(
        "s3://b/p?endpoint=localhost:1&region=r&forcePathStyle=no&skipVerify=1&signPayload=f"
        "&requireContentMD5=false&concurrency=7&partSize=6000000&storageClass=STANDARD_IA"
        f"&sseCustomerAlgorithm=AES256&sseCustomerKey={KEY.replace('+', '%2B')}"
        f"&sseCustomerKeyMD5={KEY_MD5}"
    )
    assert dashed == camel
    assert (dashed.verify_tls, dashed.sign_payload, dashed.content_md5) == (False, False, False)
    assert (dashed.concurrency, dashed.part_size) == (7, 6_000_000)
    assert dashed.storage_class == "STANDARD_IA"
    assert dashed.encryption.customer_key == bytes(range(32))
    for name in ("sse-kms-key-id", "sseKmsKeyId"):
        assert settings(f"s3://b/p?{name}=alias/k").encryption.kms_key_id == "alias/k"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3:///p", "needs a bucket"),
        ("s3://b/p?colour=red", "'colour'"),
        ("s3://b/p?part-size=6000000&partSize=6000000", "part-size twice"),
        ("s3://b/p?partSize=1000", "part-size is 1000"),
        ("s3://b/p?part-size=5MB", "part-size must be a whole number"),
        ("s3://b/p?concurrency=0", "concurrency must be"),
        ("s3://b/p?skip-verify=perhaps", "skip-verify must be true or false"),
        ("s3://b/p?endpoint=ftp://x", "endpoint must be"),
        ("s3://b/p?endpoint=https://u:hidden@x", "endpoint must be"),
        ("s3://b:9000/p", "a port needs its server"),
        ("s3://b/a/../c", "'..'"),
        ("s3://user:hidden@b/p", "holds no credentials"),
        ("s3://b/p?sse-customer-key=hidden", "base64 text of 32 bytes"),
        (f"s3://b/p?sse-customer-key={KEY}&sse-customer-key-md5=hidden", "-md5 is not"),
        (f"s3://b/p?sse-customer-key={KEY}&sse-kms-key-id=x", "exclude each other"),
        (f"s3://b/p?sse-customer-key={KEY}&endpoint=http://s3.example.com", "needs an https"),
        (f"s3://b/p?sse-customer-key={KEY}&sse-customer-algorithm=DES", "can only be AES256"),
        ("s3://b/p?sse-customer-algorithm=AES256", "need an sse-customer-key"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_shown(url, message):
    with pytest.raises(ConfigError, match=message) as caught:
        settings(url.replace("+", "%2B"))
    assert "hidden" not in str(caught.value)
    assert KEY not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


A = {"AWS_ACCESS_KEY_ID": "aws-id", "AWS_SECRET_ACCESS_KEY": "aws-secret"}
L = {"LITESTREAM_ACCESS_KEY_ID": "our-id", "LITESTREAM_SECRET_ACCESS_KEY": "our-secret"}


@pytest.mark.parametrize(
    ("environ", "keys"),
    [
        ({}, None),
        (A, Keys("aws-id", "aws-secret")),
        (L, Keys("our-id", "our-secret")),
        (A | L, Keys("aws-id", "aws-secret")),
        (A | {"AWS_SESSION_TOKEN": "t"}, Keys("aws-id", "aws-secret", "t")),
        (L | {"AWS_SESSION_TOKEN": "t"}, Keys("our-id", "our-secret")),
        ({"AWS_SESSION_TOKEN": "t"}, None),
    ],
)
def test_keys_are_read_where_litestream_reads_them(environ, keys):
    assert settings("s3://b/p", **environ).keys == keys


@pytest.mark.parametrize("half", [*A, *L])
def test_half_a_key_is_an_error(half):
    with pytest.raises(ConfigError, match="half of an access key: AWS_"):
        settings("s3://b/p", **{half: "hidden"})


def test_no_secret_is_in_the_repr():
    url = f"s3://b/p?sse-customer-key={KEY.replace('+', '%2B')}"
    text = repr(settings(url, **A, AWS_SESSION_TOKEN="token"))
    for secret in ("aws-id", "aws-secret", "token", KEY, repr(bytes(range(32)))):
        assert secret not in text


@pytest.mark.parametrize(
    ("endpoint", "differs"),
    [
        ("https://s3.example.com", {}),
        (
            "https://fly.storage.tigris.dev",
            {"content_md5": False, "headers": {"X-Tigris-Consistent": "true"}},
        ),
        (
            "https://t3.storage.dev",
            {"content_md5": False, "headers": {"X-Tigris-Consistent": "true"}},
        ),
        ("https://account.r2.cloudflarestorage.com", {"concurrency": 2}),
        ("https://storage.googleapis.com", {"sign_accept_encoding": False}),
        ("https://s3.wasabisys.com", {}),
        ("https://fsn1.your-objectstorage.com", {}),
    ],
)
def test_what_providers_need(endpoint, differs):
    plain = {"content_md5": True, "headers": {}, "concurrency": 5, "sign_accept_encoding": True}
    found = settings(f"s3://b/p?endpoint={endpoint}")
    assert {name: getattr(found, name) for name in plain} == plain | differs
    told = settings(f"s3://b/p?endpoint={endpoint}&concurrency=3&require-content-md5=true")
    assert (told.concurrency, told.content_md5) == (3, True)
