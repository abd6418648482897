"""A whole LTX file as a plain value: tests say what is in it, not how it gets there."""

from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from ltxvfs.core.decoder import Decoder
from ltxvfs.core.encoder import Encoder, PageEncoding
from ltxvfs.core.header import Header
from ltxvfs.core.types import TXID, lock_pgno

PAGE_SIZES = [1 << power for power in range(9, 17)]


@dataclass(frozen=True)
class FileSpec:
    """Header and pages of one file; what follows from them is not said."""

    header: Header
    pages: dict[int, bytes] = field(default_factory=dict)
    page_encoding: PageEncoding = "block"
    post_apply: int = 0

    def write(self) -> bytes:
        return Encoder.encode(
            self.header,
            sorted(self.pages.items()),
            page_encoding=self.page_encoding,
            post_apply=self.post_apply,
        )

    @classmethod
    def read(cls, data: bytes, name: str = "spec") -> "FileSpec":
        decoder = Decoder(name)
        pages = {page.pgno: page.data for page in decoder.pages(data)}
        trailer = decoder.finish()
        return cls(decoder.header, pages, post_apply=trailer.post_apply)


def snapshot(pages: list[bytes], **fields: object) -> FileSpec:
    """Give a file of TXID 1 with pages 1, 2, ... (none of them the lock page)."""
    given = {"page_size": len(pages[0]), "commit": len(pages), **fields}
    header = Header(min_txid=TXID(1), max_txid=TXID(1), **given)
    return FileSpec(header, dict(enumerate(pages, 1)))


def page_bytes(page_size: int) -> st.SearchStrategy[bytes]:
    """Give pages that compress well, badly, and not at all."""
    seeds = st.binary(min_size=1, max_size=40)
    repeated = seeds.map(lambda seed: (seed * (page_size // len(seed) + 1))[:page_size])
    return st.one_of(
        repeated,
        st.randoms(use_true_random=False).map(lambda random: random.randbytes(page_size)),
    )


@st.composite
def specs(draw: st.DrawFn, page_sizes: list[int] = PAGE_SIZES) -> FileSpec:
    """Give any valid file of a few pages."""
    page_size = draw(st.sampled_from(page_sizes))
    u32, u64, i64 = (st.integers(0, (1 << bits) - 1) for bits in (32, 64, 63))
    snapshots = draw(st.booleans())
    commit = draw(st.integers(1, 6)) if snapshots else draw(st.integers(1, (1 << 32) - 1))
    pgnos = (
        set(range(1, commit + 1))
        if snapshots
        else draw(st.sets(st.integers(1, commit), max_size=6))
    )
    low = 1 if snapshots else draw(st.integers(2, (1 << 64) - 1))
    header = Header(
        page_size=page_size,
        commit=commit,
        min_txid=TXID(low),
        max_txid=TXID(draw(st.integers(low, (1 << 64) - 1))),
        timestamp_ms=draw(i64),
        wal_offset=draw(st.integers(1, (1 << 63) - 1)),
        wal_size=draw(i64),
        salt1=draw(u32),
        salt2=draw(u32),
        node_id=draw(u64),
        reserved=draw(st.binary(min_size=20, max_size=20)),
    )
    pages = {pgno: draw(page_bytes(page_size)) for pgno in pgnos - {lock_pgno(page_size)}}
    return FileSpec(header, pages, draw(st.sampled_from(["block", "frame"])))


def same(spec: FileSpec, other: FileSpec) -> bool:
    """Whether two specs say the same file, however its pages are encoded."""
    return replace(spec, page_encoding="block") == replace(other, page_encoding="block")
