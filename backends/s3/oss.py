"""From an ``oss://`` URL to a store in a bucket of Alibaba's OSS, through its S3 interface."""

import os
import re
from collections.abc import Mapping

from ltxvfs.backends.options import Options
from ltxvfs.backends.s3.providers import root_of
from ltxvfs.backends.s3.settings import Keys, S3Settings, part_size, with_scheme
from ltxvfs.backends.s3.store import S3Store
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError

_HOST = re.compile(r"(?P<bucket>.+)\.oss-(?P<region>[a-z0-9-]+?)(?P<net>-internal)?\.aliyuncs\.com")
_OPTIONS = ("endpoint", "region", "concurrency", "part-size")
_REGION = "cn-hangzhou"


def open_oss(url: ReplicaURL) -> S3Store:
    """Open ``oss://bucket.oss-region.aliyuncs.com/path`` or ``oss://bucket/path?region=...``."""
    return S3Store(oss_settings(url))


def oss_settings(url: ReplicaURL, environ: Mapping[str, str] = os.environ) -> S3Settings:
    """Read an ``oss://`` URL; raises ``ConfigError``.

    The parameters are the settings that Litestream has in its configuration file only.
    """
    if url.username is not None or url.password is not None:
        raise ConfigError(
            "an oss:// URL holds no credentials: set OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET"
        )
    options = Options(url, _OPTIONS)
    root = root_of(url.path)
    if not url.host or root == "/":
        raise ConfigError("an oss:// URL needs a bucket and a path: oss://bucket/path")
    match = _HOST.fullmatch(url.host)
    region = options.text("region") or (match["region"] if match else _REGION)
    region = region.removeprefix("oss-")
    net = (match["net"] or "") if match else ""
    given = options.text("endpoint")
    return S3Settings(
        bucket=match["bucket"] if match else url.host,
        root=root,
        endpoint=with_scheme(given) if given else f"https://s3.oss-{region}{net}.aliyuncs.com",
        region=region,
        concurrency=options.count("concurrency", 5),
        part_size=part_size(options),
        keys=_keys(environ),
        dialect="oss",
    )


def _keys(environ: Mapping[str, str]) -> Keys:
    """Read Alibaba's variables; never Amazon's, which are another company's secrets."""
    try:
        key, secret = environ["OSS_ACCESS_KEY_ID"], environ["OSS_ACCESS_KEY_SECRET"]
    except KeyError as missing:
        raise ConfigError(f"oss:// needs an access key: {missing.args[0]} is not set") from None
    return Keys(key, secret, environ.get("OSS_SESSION_TOKEN") or None)
