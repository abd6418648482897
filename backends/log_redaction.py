"""Secrets in URLs, kept out of the log: urllib3 writes every URL there at level DEBUG."""

import logging
import re

_SECRETS = re.compile(r"\b(sig|upload_id)=[^&\s\"]+")


def redact_urls() -> None:
    """Hide signatures and upload sessions in urllib3's log lines from now on."""
    # addFilter knows its own: the same filter is added once.
    logging.getLogger("urllib3.connectionpool").addFilter(_redact)


def _redact(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    clean = _SECRETS.sub(r"\1=hidden", message)
    if clean != message:
        record.msg, record.args = clean, None
    return True
