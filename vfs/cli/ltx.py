"""``litestream-vfs ltx``: list the files of a replica."""

import click

from ltxvfs.backends.age.keys import AgeKeys
from ltxvfs.backends.registry import open_replica
from ltxvfs.cli.output import format_moment, print_json, print_table
from ltxvfs.cli.program import Verb
from ltxvfs.cli.values import age_option
from ltxvfs.core.types import LEVELS, FileInfo


@click.command(cls=Verb)
@click.argument("url")
@click.option(
    "--level",
    type=click.Choice([*map(str, LEVELS), "all"]),
    default="0",
    show_default=True,
    help="Compaction level; 9 holds the snapshots.",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Ask the store for each file's own moment, where its listing has only the upload's.",
)
@age_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ltx(*, url: str, level: str, exact: bool, age: AgeKeys | None, as_json: bool) -> None:
    """List the LTX files of the replica at URL."""
    levels = LEVELS if level == "all" else (int(level),)
    with open_replica(url, age) as client:
        files = [info for each in levels for info in client.ltx_files(each, exact=exact)]
    if as_json:
        print_json([_document(info) for info in files])
    else:
        print_table(("level", "min_txid", "max_txid", "size", "created"), map(_row, files))


def _document(info: FileInfo) -> dict[str, object]:
    return {
        "level": info.level,
        "min_txid": str(info.min_txid),
        "max_txid": str(info.max_txid),
        "size": info.size,
        "timestamp": format_moment(info.created_at),
    }


def _row(info: FileInfo) -> tuple[object, ...]:
    return info.level, info.min_txid, info.max_txid, info.size, format_moment(info.created_at)
