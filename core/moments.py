"""Moments as text: RFC 3339, or relative to a now that the caller gives."""

import re
from datetime import UTC, datetime, timedelta

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_STEP = re.compile(r"(\d+(?:\.\d+)?|an?)\s*([a-z]+)(?:\s*,\s*|\s+and\s+|\s*)", re.ASCII)
_UNITS = {
    "seconds": ("s", "sec", "secs", "second", "seconds"),
    "minutes": ("m", "min", "mins", "minute", "minutes"),
    "hours": ("h", "hr", "hrs", "hour", "hours"),
    "days": ("d", "day", "days"),
    "weeks": ("w", "week", "weeks"),
}
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words}
_DAYS_AGO = {"now": 0, "yesterday": 1}


def parse_moment(text: str, now: datetime) -> datetime:
    """Read a moment; the answer is aware and in UTC.

    RFC 3339 with its zone (``2026-01-31T15:04:05.678Z``), ``now``, ``yesterday`` (24 hours
    ago), or steps back from now: ``5 minutes ago``, ``an hour ago``, ``1h30m ago``,
    ``2 days and 4 hours ago``. ``now`` must be aware. Raises ``ValueError``.
    """
    plain = text.strip()
    match = _RFC3339.fullmatch(plain)
    if match is not None:
        return _exact(match)
    words = " ".join(plain.lower().split())
    try:
        if words in _DAYS_AGO:
            return now.astimezone(UTC) - timedelta(days=_DAYS_AGO[words])
        if words.endswith(" ago"):
            return now.astimezone(UTC) - _steps(words.removesuffix(" ago"))
    except (KeyError, OverflowError):
        pass
    raise ValueError(
        f"{text!r} is no moment: write 2026-01-31T15:04:05Z (with its zone) or '5 minutes ago'"
    )


def parse_rfc3339(text: str) -> datetime:
    """Read a moment as programs write it; aware, in UTC, cut to microseconds.

    Raises ``ValueError``.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no moment of RFC 3339")
    return _exact(match)


def format_rfc3339(moment: datetime) -> str:
    """Write an aware moment as Litestream does: in UTC, with no zeros at the fraction's end."""
    plain = moment.astimezone(UTC).replace(tzinfo=None)
    return plain.isoformat(timespec="microseconds").rstrip("0").rstrip(".") + "Z"


def _exact(match: re.Match[str]) -> datetime:
    day, time, fraction, zone = match.groups()
    # Python keeps microseconds; LTX keeps milliseconds, so nothing that matters is cut off.
    micros = (fraction or ".")[1:7].ljust(6, "0")
    zone = "+00:00" if zone in "Zz" else zone
    return datetime.fromisoformat(f"{day}T{time}.{micros}{zone}").astimezone(UTC)


def _steps(words: str) -> timedelta:
    total = timedelta()
    at = 0
    while at < len(words):
        match = _STEP.match(words, at)
        if match is None:
            raise KeyError(words)
        count = 1.0 if match[1].startswith("a") else float(match[1])
        total += timedelta(**{_UNIT_OF[match[2]]: count})
        at = match.end()
    return total
