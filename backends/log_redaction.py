"""Secrets in requests, kept out of the log: at level DEBUG, SDKs write URLs and headers there."""

import logging
import re

_SECRETS = re.compile(r"\b(sig|upload_id)=[^&\s\"]+")
_SECRET_HEADERS = re.compile(
    r"(?i)(x-amz-security-token|x-amz-server-side-encryption-customer-key|ssecustomerkey)"
    r"(['\"]?\s*:\s*b?['\"]?)[^\s'\",}]+"
)


def redact_urls() -> None:
    """Hide signatures and upload sessions in urllib3's log lines from now on."""
    # addFilter knows its own: the same filter is added once.
    logging.getLogger("urllib3.connectionpool").addFilter(_redact)


def redact_headers() -> None:
    """Hide session tokens and customers' keys in the log lines of Amazon's SDK from now on."""
    for name in ("botocore.auth", "botocore.endpoint"):
        logging.getLogger(name).addFilter(_redact_headers)


def _redact(record: logging.LogRecord) -> bool:
    return _replace(record, _SECRETS, r"\1=hidden")


def _redact_headers(record: logging.LogRecord) -> bool:
    return _replace(record, _SECRET_HEADERS, r"\1\2hidden")


def _replace(record: logging.LogRecord, secrets: re.Pattern[str], by: str) -> bool:
    message = record.getMessage()
    clean = secrets.sub(by, message)
    if clean != message:
        record.msg, record.args = clean, None
    return True
