"""``litestream-vfs inspect``: what one LTX file holds, after checking all of it."""

from pathlib import Path

import click

from ltxvfs.cli.output import print_json, print_table
from ltxvfs.cli.program import Verb
from ltxvfs.core.decoder import Decoder, Page
from ltxvfs.core.header import Header, Trailer

_PIECE_SIZE = 1 << 20


@click.command(cls=Verb)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(file: Path, as_json: bool) -> None:
    """Show header, pages and trailer of an LTX file.

    FILE is verified in full.
    """
    decoder = Decoder(file.name)
    with open(file, "rb") as source:
        pages = [
            _page(page)
            for piece in iter(lambda: source.read(_PIECE_SIZE), b"")
            for page in decoder.pages(piece)
        ]
    trailer = _trailer(decoder.finish())
    header = _header(decoder.header)
    if as_json:
        print_json({"file": str(file), "header": header, "pages": pages, "trailer": trailer})
        return
    for name, value in {**header, **trailer}.items():
        click.echo(f"{name:<19}  {value}")
    click.echo()
    print_table(("pgno", "offset", "size"), [list(page.values()) for page in pages])


def _header(header: Header) -> dict[str, object]:
    return {
        "flags": header.flags,
        "page_size": header.page_size,
        "commit": header.commit,
        "min_txid": str(header.min_txid),
        "max_txid": str(header.max_txid),
        "timestamp": _moment(header),
        "pre_apply_checksum": f"{header.pre_apply:016x}",
        "wal_offset": header.wal_offset,
        "wal_size": header.wal_size,
        "wal_salt1": f"{header.salt1:08x}",
        "wal_salt2": f"{header.salt2:08x}",
        "node_id": f"{header.node_id:016x}",
    }


def _moment(header: Header) -> str:
    try:
        return header.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        return f"{header.timestamp_ms} ms"


def _page(page: Page) -> dict[str, object]:
    return {"pgno": page.pgno, "offset": page.offset, "size": page.size}


def _trailer(trailer: Trailer) -> dict[str, object]:
    return {
        "post_apply_checksum": f"{trailer.post_apply:016x}",
        "file_checksum": f"{trailer.file_checksum:016x}",
    }
