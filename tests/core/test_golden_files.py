"""Every file that the real Litestream left decodes, verifies, and is written again the same."""

import golden
import pytest

from ltxvfs.core.decoder import Decoder
from ltxvfs.core.encoder import Encoder
from ltxvfs.core.header import Header
from ltxvfs.core.names import parse_file_name
from ltxvfs.core.page_index import TAIL_SIZE, index_extent, parse_index

CHUNK = 1 << 20


def files():
    return [path for name in golden.NAMES for path in sorted((golden.FOLDER / name).rglob("*.ltx"))]


def label(path):
    return path.relative_to(golden.FOLDER).as_posix()


@golden.needs_golden
@pytest.mark.parametrize("path", files(), ids=label)
def test_a_file_verifies_and_its_header_and_index_say_what_is_in_it(path):
    decoder = Decoder(path.name)
    with path.open("rb") as stream:
        head = stream.read(100)
        decoder.drain(head)
        while data := stream.read(CHUNK):
            decoder.drain(data)
        decoder.finish()
        size = stream.seek(0, 2)
        stream.seek(size - TAIL_SIZE)
        start, length = index_extent(stream.read(), size, path.name)
        stream.seek(start)
        index = parse_index(decoder.header, stream.read(length), start, path.name)
    assert decoder.header == Header.unpack(head)
    assert decoder.header.pack() == head
    assert parse_file_name(path.name) == (decoder.header.min_txid, decoder.header.max_txid)
    assert len(index) == decoder.page_count


@golden.needs_golden
@pytest.mark.parametrize("path", [p for p in files() if p.stat().st_size < CHUNK][::9], ids=label)
def test_a_file_written_again_holds_the_same_content(path):
    """Byte-equality ends at the compressor: only what the checksum covers can be compared."""
    data, decoder = path.read_bytes(), Decoder(path.name)
    pages = [(page.pgno, page.data) for page in decoder.pages(data)]
    decoder.finish()
    for page_encoding in ("block", "frame"):
        again, checked = (
            Encoder.encode(decoder.header, pages, page_encoding=page_encoding),
            Decoder(),
        )
        assert [(page.pgno, page.data) for page in checked.pages(again)] == pages
        checked.finish()
        assert again[:100] == data[:100]
