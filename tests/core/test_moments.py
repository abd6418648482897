from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltxvfs.core.moments import format_rfc3339, parse_moment, parse_rfc3339

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("now", timedelta()),
        (" NOW ", timedelta()),
        ("yesterday", timedelta(days=1)),
        ("5 minutes ago", timedelta(minutes=5)),
        ("5  Minutes  ago", timedelta(minutes=5)),
        ("an hour ago", timedelta(hours=1)),
        ("a week ago", timedelta(weeks=1)),
        ("90s ago", timedelta(seconds=90)),
        ("1h30m ago", timedelta(minutes=90)),
        ("1 hour, 30 minutes ago", timedelta(minutes=90)),
        ("2 days and 4 hours ago", timedelta(hours=52)),
        ("1.5 hours ago", timedelta(minutes=90)),
    ],
)
def test_relative_moments_count_back_from_now(text, ago):
    assert parse_moment(text, NOW) == NOW - ago
    assert parse_moment(text, NOW).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T15:04:05Z", datetime(2026, 1, 31, 15, 4, 5, tzinfo=UTC)),
        ("2026-01-31t15:04:05z", datetime(2026, 1, 31, 15, 4, 5, tzinfo=UTC)),
        ("2026-01-31 15:04:05.5+02:00", datetime(2026, 1, 31, 13, 4, 5, 500_000, tzinfo=UTC)),
        ("2026-01-31T15:04:05.123456789Z", datetime(2026, 1, 31, 15, 4, 5, 123_456, tzinfo=UTC)),
    ],
)
def test_rfc_3339_is_read_to_the_microsecond(text, moment):
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ago",
        " ago",
        "minutes ago",
        "5 fortnights ago",
        "5 minutes",
        "5 minutes ago ago",
        "99999999999 weeks ago",
        "2026-01-31",
        "2026-01-31T15:04:05",
        "2026-02-31T15:04:05Z",
        "\u0665 minutes ago",
        "tomorrow",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"no moment|out of range"):
        parse_moment(text, NOW)


@given(st.datetimes(timezones=st.timezones()).filter(lambda at: 1 < at.year < 9999))
def test_what_isoformat_writes_in_utc_is_read_back(moment):
    utc = moment.astimezone(UTC)
    assert parse_moment(utc.isoformat(), NOW) == utc
    assert parse_moment(utc.isoformat().replace("+00:00", "Z"), NOW) == utc


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 0, tzinfo=UTC), "2026-01-02T03:04:00Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 520_000, tzinfo=UTC), "2026-01-02T03:04:05.52Z"),
        (
            datetime(2026, 1, 2, 0, 0, 0, 1, timezone(timedelta(hours=2))),
            "2026-01-01T22:00:00.000001Z",
        ),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_moments_are_written_as_litestream_writes_them(moment, text):
    assert format_rfc3339(moment) == text
    assert parse_rfc3339(text) == moment


def test_nanoseconds_are_cut_to_microseconds():
    moment = datetime(2026, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC)
    assert parse_rfc3339("2026-01-02T03:04:05.123456789Z") == moment


@pytest.mark.parametrize("text", ["", "now", "5 minutes ago", " 2026-01-02T03:04:05Z"])
def test_what_people_write_is_no_rfc3339(text):
    with pytest.raises(ValueError, match="no moment of RFC 3339"):
        parse_rfc3339(text)
