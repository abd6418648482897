"""``litestream-vfs restore``: make a database file out of a replica."""

import sys
from datetime import datetime

import click

from ltxvfs.backends.age.keys import AgeKeys
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.cli.output import format_moment, print_json, print_table
from ltxvfs.cli.program import Verb
from ltxvfs.cli.progress import progress_bar
from ltxvfs.cli.values import age_option, read_moment, read_txid
from ltxvfs.core.names import file_name
from ltxvfs.core.types import TXID
from ltxvfs.integrity import IntegrityCheck
from ltxvfs.restoration import RestoreResult
from ltxvfs.restoration import restore as run_restore

_SKIPPED = {
    "database exists": "database already exists, skipping",
    "no replica": "no matching backups found",
}


@click.command(cls=Verb)
@click.argument("url")
@click.option(
    "-o", "output", type=click.Path(dir_okay=False), required=True, help="The database to write."
)
@click.option("--txid", callback=read_txid, metavar="HEX", help="Restore exactly this transaction.")
@click.option(
    "--timestamp",
    callback=read_moment,
    metavar="MOMENT",
    help="Restore the last state before this moment: RFC 3339, or '5 minutes ago'.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan and write nothing.")
@click.option("--force", is_flag=True, help="Replace an existing database, with its side files.")
@click.option("--if-db-not-exists", is_flag=True, help="Succeed if the database exists.")
@click.option("--if-replica-exists", is_flag=True, help="Succeed if the replica has no files.")
@click.option(
    "--parallelism",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="Files and ranges read at once.",
)
@click.option(
    "--integrity-check",
    type=click.Choice(["none", "quick", "full"]),
    default="none",
    show_default=True,
    help="Let SQLite check the database before it gets its name.",
)
@age_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def restore(
    *,
    url: str,
    output: str,
    txid: TXID | None,
    timestamp: datetime | None,
    dry_run: bool,
    force: bool,
    if_db_not_exists: bool,
    if_replica_exists: bool,
    parallelism: int,
    integrity_check: IntegrityCheck,
    age: AgeKeys | None,
    as_json: bool,
) -> None:
    """Restore the replica at URL to a database file."""
    if txid is not None and timestamp is not None:
        raise click.UsageError("give --txid or --timestamp, not both.")
    with progress_bar("restore", hidden=as_json or dry_run) as progress:
        result = run_restore(
            url,
            output,
            txid=txid,
            timestamp=timestamp,
            force=force,
            if_db_not_exists=if_db_not_exists,
            if_replica_exists=if_replica_exists,
            parallelism=parallelism,
            integrity_check=integrity_check,
            dry_run=dry_run,
            progress=progress,
            age=age,
        )
    if result.outcome in _SKIPPED:
        click.echo(_SKIPPED[result.outcome], err=True)
    elif dry_run:
        _print_plan(url, output, result, as_json)
    else:
        _print_result(url, output, result, as_json)


def _print_result(url: str, output: str, result: RestoreResult, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "db_path": output,
                "replica": ReplicaURL.parse(url).scheme,
                "txid": str(result.txid),
                "duration_ms": round(result.duration_s * 1000),
                "integrity_check": result.integrity_check,
            }
        )
    elif sys.stdout.isatty():
        size = result.pages * result.page_size
        click.echo(
            f"{output}: {size:,} bytes at transaction {result.txid}, "
            f"from {len(result.files)} files in {result.duration_s:.2f} s"
        )


def _print_plan(url: str, output: str, result: RestoreResult, as_json: bool) -> None:
    files = [
        {
            "level": info.level,
            "name": file_name(info.min_txid, info.max_txid),
            "min_txid": str(info.min_txid),
            "max_txid": str(info.max_txid),
            "size": info.size,
            "timestamp": format_moment(info.created_at),
        }
        for info in result.files
    ]
    plan = {
        "source": ReplicaURL.parse(url).public,
        "target_path": output,
        "replica": ReplicaURL.parse(url).scheme,
        "min_txid": str(result.files[0].min_txid),
        "max_txid": str(result.txid),
    }
    if as_json:
        print_json({**plan, "files": files})
        return
    click.echo("Restore plan:")
    click.echo(f"  source: {plan['source']}\n  target: {output}\n  replica: {plan['replica']}")
    click.echo(f"  txid range: {plan['min_txid']} - {plan['max_txid']}\n\nFiles to fetch:")
    print_table(
        ("level", "file", "min_txid", "max_txid", "size", "timestamp"),
        [list(file.values()) for file in files],
    )
