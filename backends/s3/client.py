"""The S3 client of boto3, tuned; and its errors turned into ours. The only place that knows it."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3.exceptions
from boto3.session import Session
from botocore import exceptions, handlers
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.parsers import ResponseParserError

from ltxvfs.backends.http_status import error_of
from ltxvfs.backends.log_redaction import redact_headers
from ltxvfs.backends.s3.settings import S3Settings
from ltxvfs.core.errors import (
    ConfigError,
    Conflict,
    Denied,
    Error,
    NotFound,
    ReplicaError,
    Unavailable,
)

CONNECTIONS = 64
"""Kept open at most; each is made only when a request finds none free."""

TIMEOUT_S = 30.0
"""A server that is silent for so long has lost the request."""

_CONNECT_TIMEOUT_S = 10.0


def make_client(settings: S3Settings, timeout_s: float | None = None) -> Any:
    """Make a client; asks the server for the bucket's region if nothing tells it."""
    timeout_s = timeout_s or TIMEOUT_S
    with translated(settings.bucket):
        region = settings.region or _find_region(settings, timeout_s)
        return _client(settings, region, timeout_s)


def _client(settings: S3Settings, region: str, timeout_s: float) -> Any:
    redact_headers()
    keys = settings.keys
    client: Any = Session().client(
        "s3",
        region_name=region,
        endpoint_url=settings.endpoint,
        verify=None if settings.verify_tls else False,
        aws_access_key_id=keys and keys.access_key_id,
        aws_secret_access_key=keys and keys.secret_access_key,
        aws_session_token=keys and keys.session_token,
        config=_config(settings, timeout_s),
    )
    # It would make each write wait for a round trip before its body is sent.
    client.meta.events.unregister("before-call.s3", handlers.add_expect_header)
    if settings.headers:
        client.meta.events.register("before-call.s3", _add_headers(dict(settings.headers)))
    if settings.dialect == "oss":
        client.meta.events.register("before-call.s3", _speak_oss)
    if settings.content_md5:
        client.meta.events.register("before-call.s3.DeleteObjects", _add_content_md5)
    if not settings.sign_accept_encoding:
        client.meta.events.register("before-sign.s3", _drop_accept_encoding)
    return client


def _config(settings: S3Settings, timeout_s: float) -> Config:
    return Config(
        signature_version="s3v4",
        connect_timeout=min(_CONNECT_TIMEOUT_S, timeout_s),
        read_timeout=timeout_s,
        max_pool_connections=CONNECTIONS,
        # Requests are repeated by the Retrying store, for every provider alike.
        retries={"total_max_attempts": 1, "mode": "standard"},
        # Many servers know nothing of the newer checksums; the signature covers the body.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_extra="ltxvfs",
        s3={
            "addressing_style": "path" if settings.path_style else "auto",
            "payload_signing_enabled": settings.sign_payload,
            "use_arn_region": True,
        },
    )


def _find_region(settings: S3Settings, timeout_s: float) -> str:
    """Ask for a bucket's region: any answer tells it, one of no permission as well."""
    client = _client(settings, "us-east-1", timeout_s)
    try:
        answer: Any = client.head_bucket(Bucket=settings.bucket)
    except exceptions.ClientError as error:
        answer = error.response
    finally:
        client.close()
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(headers.get("x-amz-bucket-region") or "us-east-1")


def _add_headers(headers: dict[str, str]) -> Any:
    def add(params: dict[str, Any], **_: Any) -> None:
        params["headers"].update(headers)

    return add


def _speak_oss(params: dict[str, Any], **_: Any) -> None:
    """Use Alibaba's own headers where its S3 interface does not take Amazon's for the same."""
    headers = params["headers"]
    if headers.pop("If-None-Match", None) is not None:
        headers["x-oss-forbid-overwrite"] = "true"
    for name in [name for name in headers if name.startswith("x-amz-meta-")]:
        headers[name.replace("x-amz-", "x-oss-")] = headers.pop(name)


def _add_content_md5(params: dict[str, Any], **_: Any) -> None:
    """Add what older servers ask of a request that deletes."""
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()


def _drop_accept_encoding(request: AWSRequest, **_: Any) -> None:
    del request.headers["Accept-Encoding"]


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Turn the SDK's errors into the store's, about an object or a bucket.

    Theirs are not kept as the cause: what they hold of a request is not ours to show.
    """
    try:
        yield
    except exceptions.ClientError as error:
        raise error_of_answer(key, error.response) from None
    except (exceptions.BotoCoreError, ResponseParserError, urllib3.exceptions.HTTPError) as error:
        raise _error_of_sdk(key, error) from None


def told(answer: Any, name: str, key: str) -> Any:
    """Give what a good answer always has; one without it was cut, or is not the server's."""
    value = answer.get(name)
    if value is None or value == "":
        raise Unavailable(f"{key}: the server's answer has no {name}: is there a proxy between?")
    return value


class BehindEnd(ReplicaError):
    """A range begins behind the end of its object."""


# Codes whose status alone would tell less, or something else.
_BY_CODE: dict[str, type[Error]] = {
    "NoSuchBucket": ConfigError,
    "AuthorizationHeaderMalformed": ConfigError,
    "IllegalLocationConstraintException": ConfigError,
    "PermanentRedirect": ConfigError,
    "301": ConfigError,
    "NotImplemented": ConfigError,
    "FileAlreadyExists": Conflict,
    # Two conditional writes met, and perhaps none has won: the next try tells.
    "ConditionalRequestConflict": Unavailable,
    "OperationAborted": Unavailable,
    "NoSuchUpload": Unavailable,
    "RequestTimeout": Unavailable,
    "Throttling": Unavailable,
    "InvalidToken": Denied,
    "ExpiredToken": Denied,
    "InvalidRange": BehindEnd,
    # In the answer to a delete of many, where no status is.
    "AccessDenied": Denied,
    "InternalError": Unavailable,
    "ServiceUnavailable": Unavailable,
    "SlowDown": Unavailable,
    "NoSuchKey": NotFound,
}
_ADVICE: dict[str, str] = {
    "NoSuchBucket": "create the bucket, or correct the URL",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set region= in the URL",
    "IllegalLocationConstraintException": "the bucket is in another region: set region=",
    "PermanentRedirect": "the bucket is in another region: set region= in the URL",
    "301": "the bucket is in another region: set region= in the URL",
    "NotImplemented": "this server cannot do what was asked",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
}
_ADVICE_OF: dict[type[Error], str] = {
    NotFound: "no such object",
    Conflict: "another writer was first",
    Denied: "check the access key and its permissions",
    Unavailable: "the server failed",
}


def error_of_answer(key: str, response: Any) -> Error:
    """Give the error that a server's refusal means: by its code, else by its status."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    kind = _BY_CODE.get(code) or (BehindEnd if status == 416 else error_of(status))
    advice = _ADVICE.get(code) or _ADVICE_OF.get(kind, "the request was refused")
    return kind(f"{key}: {advice} (the server said {code or status})")


def _error_of_sdk(key: str, error: Exception) -> Error:
    kind = type(error).__name__
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return Denied("no access key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if isinstance(error, exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return ConfigError(f"{key}: the server's certificate is not trusted: set AWS_CA_BUNDLE")
    if isinstance(error, _PASSING_SDK):
        return Unavailable(f"{key}: no whole answer from the server ({kind})")
    if isinstance(error, _SETTINGS_SDK):
        return ConfigError(f"{key}: the S3 client refused its settings ({kind})")
    return ReplicaError(f"{key}: the S3 client failed ({kind})")


_PASSING_SDK = (
    exceptions.ConnectionError,
    exceptions.HTTPClientError,
    exceptions.IncompleteReadError,
    exceptions.ChecksumError,
    exceptions.CredentialRetrievalError,
    exceptions.MetadataRetrievalError,
    ResponseParserError,
    urllib3.exceptions.HTTPError,
)
_SETTINGS_SDK = (
    exceptions.ValidationError,
    exceptions.ParamValidationError,
    exceptions.ProfileNotFound,
    exceptions.ConfigParseError,
    exceptions.EndpointProviderError,
    exceptions.InvalidDNSNameError,
    exceptions.InvalidRegionError,
    exceptions.NoRegionError,
    exceptions.UnsupportedS3ArnError,
    exceptions.UnsupportedS3AccesspointConfigurationError,
)
