"""Listings sorted by key, from a server that lists by key and one that walks folders."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltxvfs.backends.s3.listing import by_key, safe_start
from ltxvfs.backends.store import Entry

NOW = datetime.now(UTC)
names = st.text("a-./0"[:3] + "0b", min_size=1, max_size=3).filter(lambda n: n not in (".", ".."))
some_keys = st.lists(names, min_size=1, max_size=4).map("/".join)
prefixes = st.sampled_from(["", "a/", "a/b/"])


def tree_order(key):
    return key.split("/")


def walk(keys, prefix, start):
    """List as SeaweedFS does: what begins with the folder to start after is not looked into."""
    begin = tree_order(start)
    for key in sorted(keys, key=tree_order):
        if key.startswith(prefix) and (not start or tree_order(key)[: len(begin)] > begin):
            yield Entry(key, 1, NOW)


def amazon(keys, prefix, start):
    return (Entry(key, 1, NOW) for key in sorted(keys) if key.startswith(prefix) and key > start)


@pytest.mark.parametrize("server", [walk, amazon])
@given(keys=st.sets(some_keys, max_size=25), prefix=prefixes, after=st.just("") | some_keys)
def test_a_listing_is_complete_and_sorted(server, keys, prefix, after):
    start = safe_start(prefix, after)
    found = by_key((e for e in server(keys, prefix, start) if e.key > after), prefix)
    expected = sorted(key for key in keys if key.startswith(prefix) and key > after)
    assert [entry.key for entry in found] == expected


def test_names_of_one_folder_are_passed_on_at_once():
    taken = []

    def server():
        for number in range(5):
            taken.append(number)
            yield Entry(f"0000/{number}", 1, NOW)

    listing = by_key(server(), "0000/")
    assert next(listing).key == "0000/0"
    assert taken == [0]


def test_a_listing_of_ltx_files_starts_near_its_seek():
    after = "0000/00000000000003e8"
    assert safe_start("0000/", after) == after[:-1]
