"""What is known of providers that speak S3: their hosts in URLs, and what each needs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Needs:
    """What a provider wants otherwise than Amazon."""

    path_style: bool = False
    content_md5: bool = True
    sign_accept_encoding: bool = True
    concurrency: int = 5
    headers: Mapping[str, str] = field(default_factory=dict)


_TIGRIS = Needs(content_md5=False, headers={"X-Tigris-Consistent": "true"})

# Patterns of an endpoint's host. Any other endpoint needs nothing: `endpoint=` alone already
# makes requests path style, as MinIO and its kind want them.
_NEEDS: dict[str, Needs] = {
    "fly.storage.tigris.dev": _TIGRIS,
    "t3.storage.dev": _TIGRIS,
    "*.backblazeb2.com": Needs(path_style=True),
    "s3.filebase.com": Needs(path_style=True),
    "*.supabase.co": Needs(path_style=True),
    "*.r2.cloudflarestorage.com": Needs(concurrency=2),
    # Google's front end rewrites the header, and a signature that covers it breaks.
    "*storage*.googleapis.com": Needs(sign_accept_encoding=False),
}


def needs_of(host: str) -> Needs:
    """Give what the provider at an endpoint's host needs."""
    found = (needs for pattern, needs in _NEEDS.items() if fnmatchcase(host.lower(), pattern))
    return next(found, Needs())


@dataclass(frozen=True, slots=True)
class BucketHost:
    """What a URL's host and path say; ``root`` stands before every key."""

    bucket: str
    root: str
    endpoint: str | None = None
    region: str | None = None
    path_style: bool = False


# Host -> endpoint with the region put in; "path" forces path style.
_HOSTS: list[tuple[str, str | None]] = [
    (r"(?P<bucket>.+)\.s3(?:[.-](?P<region>[a-z0-9-]+))?\.amazonaws\.com", None),
    (
        r"(?P<bucket>.+)\.(?P<region>[a-z0-9-]+)\.digitaloceanspaces\.com",
        "https://{region}.digitaloceanspaces.com",
    ),
    (
        r"(?P<bucket>.+)\.s3\.(?P<region>[a-z0-9-]+)\.backblazeb2\.com",
        "https://s3.{region}.backblazeb2.com",
    ),
    (r"(?P<bucket>.+)\.s3\.filebase\.com", "https://s3.filebase.com"),
    (r"(?P<bucket>.+)\.s3\.(?P<region>[a-z0-9-]+)\.scw\.cloud", "https://s3.{region}.scw.cloud"),
]
_ARN = re.compile(r"arn:[a-z-]+:s3[a-z-]*:(?P<region>[a-z0-9-]*):[0-9]*:accesspoint$")


def read_host(url: ReplicaURL) -> BucketHost:
    """Take bucket, endpoint and region from a URL's host, in each of Litestream's forms."""
    if _ARN.match(url.host):
        return _access_point(url)
    if url.port is not None:
        return _own_server(url)
    for pattern, endpoint in _HOSTS:
        match = re.fullmatch(pattern, url.host)
        if match:
            region = match.groupdict().get("region")
            return BucketHost(
                match["bucket"],
                root_of(url.path),
                endpoint.format(region=region) if endpoint else None,
                region or ("us-east-1" if endpoint else None),
            )
    return BucketHost(url.host, root_of(url.path))


def _access_point(url: ReplicaURL) -> BucketHost:
    """Read ``s3://arn:...:accesspoint/name/path``: name belongs to the ARN, which is the bucket."""
    match = _ARN.match(url.host)
    name, _, path = url.path.lstrip("/").partition("/")
    if not match or not name:
        raise ConfigError(
            "an access point's ARN needs its name: s3://arn:...:accesspoint/name/path"
        )
    return BucketHost(
        f"{url.host}/{name}", root_of("/" + path if path else ""), region=match["region"] or None
    )


def _own_server(url: ReplicaURL) -> BucketHost:
    """Read ``s3://bucket.host:port/path``: a server of one's own, without TLS."""
    bucket, dot, host = url.host.partition(".")
    if not dot or host.endswith(".com"):
        raise ConfigError("a port needs its server: s3://bucket.host:port/path, or endpoint=")
    return BucketHost(bucket, root_of(url.path), f"http://{host}:{url.port}", "us-east-1", True)


def root_of(path: str) -> str:
    """Give what stands before each key, exactly as Litestream makes it of a URL's path.

    Without any path it is ``./``, with an empty one a lone ``/``: odd, but that is where a
    replica of that URL lies.
    """
    if not path:
        return "./"
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ConfigError("'..' in an s3:// URL")
    return "/".join(parts) + "/"
