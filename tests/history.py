"""A database's life as plain values, and the LTX files that any grouping of it gives."""

from dataclasses import dataclass

from hypothesis import strategies as st

from ltxvfs.core.encoder import Encoder
from ltxvfs.core.header import Header
from ltxvfs.core.types import LEVEL_SNAPSHOT, TXID, lock_pgno

MILLIS = 1_767_323_045_678


@dataclass(frozen=True)
class Commit:
    """One transaction: the size in pages after it, and the pages it wrote."""

    commit: int
    pages: dict[int, bytes]


@dataclass(frozen=True)
class History:
    """Transaction ``n`` is ``commits[n - 1]``."""

    page_size: int
    commits: tuple[Commit, ...]

    def pages(self, first, last):
        """Give what transactions ``first`` to ``last`` leave written, by page number."""
        written = {}
        for commit in self.commits[first - 1 : last]:
            written |= commit.pages
            written = {pgno: page for pgno, page in written.items() if pgno <= commit.commit}
        return written

    def database(self, txid):
        """Give the bytes of the database file after a transaction."""
        written = self.pages(1, txid)
        blank = bytes(self.page_size)
        size = self.commits[txid - 1].commit
        return b"".join(written.get(pgno, blank) for pgno in range(1, size + 1))

    def encode(self, first, last, page_encoding="block"):
        """Give the LTX file of some transactions: each second has one."""
        header = Header(
            page_size=self.page_size,
            commit=self.commits[last - 1].commit,
            min_txid=TXID(first),
            max_txid=TXID(last),
            timestamp_ms=MILLIS + 1000 * last,
        )
        pages = sorted(self.pages(first, last).items())
        return Encoder.encode(header, pages, page_encoding=page_encoding)


@st.composite
def histories(draw, commits_max=8, pages_max=24):
    """Draw databases that grow, shrink, rewrite pages and stand still."""
    page_size = draw(st.sampled_from([512, 1024, 4096, 65536]))
    commits, size = [], 0
    for txid in range(1, draw(st.integers(1, commits_max)) + 1):
        new_size = draw(st.integers(1, pages_max))
        changed = draw(st.sets(st.integers(1, new_size), max_size=5))
        changed |= set(range(size + 1, new_size + 1))
        fill = draw(st.binary(min_size=1, max_size=8))
        pages = {pgno: _page(page_size, txid, pgno, fill) for pgno in changed}
        commits.append(Commit(new_size, pages))
        size = new_size
    assert size < lock_pgno(page_size)
    return History(page_size, tuple(commits))


def _page(page_size, txid, pgno, fill):
    return (f"{txid}.{pgno}.".encode() + fill * page_size)[:page_size]


def spans(draw, last):
    """Cut transactions 1 to ``last`` into neighbouring groups."""
    cuts = sorted(draw(st.sets(st.integers(1, last))) | {last})
    return list(zip([1, *(cut + 1 for cut in cuts)], cuts, strict=False))


@st.composite
def groupings(draw, last):
    """Draw the files of a replica, (level, first, last): level 0 whole, others at will."""
    files = [(0, txid, txid) for txid in range(1, last + 1)]
    for level in range(1, draw(st.integers(0, 3)) + 1):
        files += [(level, *span) for span in spans(draw, draw(st.integers(1, last)))]
    files += [(LEVEL_SNAPSHOT, 1, txid) for txid in draw(st.sets(st.integers(1, last)))]
    return files
