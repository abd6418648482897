"""``litestream-vfs verify``: check every file of a replica."""

import click

from ltxvfs.backends.age.keys import AgeKeys
from ltxvfs.cli.output import print_json
from ltxvfs.cli.program import Verb
from ltxvfs.cli.progress import progress_bar
from ltxvfs.cli.values import age_option
from ltxvfs.verification import Problem, VerifyReport
from ltxvfs.verification import verify as run_verify


@click.command(cls=Verb)
@click.argument("url")
@click.option(
    "--parallelism", type=click.IntRange(1, 64), default=8, show_default=True, help="Files at once."
)
@click.option(
    "--temp-dir",
    type=click.Path(exists=True, file_okay=False),
    help="Where to restore the newest state for its integrity check.",
)
@age_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(
    ctx: click.Context,
    *,
    url: str,
    parallelism: int,
    temp_dir: str | None,
    age: AgeKeys | None,
    as_json: bool,
) -> None:
    """Check every file of the replica at URL.

    Every file is decoded and its checksum computed, each level must be contiguous, the newest
    state must restore and pass SQLite's integrity check. Exit code 1 if anything is wrong.
    """
    with progress_bar("verify", hidden=as_json) as progress:
        report = run_verify(
            url, parallelism=parallelism, folder=temp_dir, progress=progress, age=age
        )
    if as_json:
        print_json(_document(report))
    else:
        for problem in report.problems:
            click.echo(click.style("problem: ", fg="red") + _line(problem))
        verdict = "ok" if report.ok else f"{len(report.problems)} problems"
        click.echo(f"{report.files} files, {report.size} bytes, up to {report.txid}: {verdict}")
    ctx.exit(0 if report.ok else 1)


def _line(problem: Problem) -> str:
    if problem.name is None:
        return problem.what
    return f"level {problem.level}: {problem.name}: {problem.what}"


def _document(report: VerifyReport) -> dict[str, object]:
    return {
        "ok": report.ok,
        "files": report.files,
        "size": report.size,
        "max_txid": str(report.txid),
        "duration_ms": round(report.duration_s * 1000),
        "problems": [
            {"level": problem.level, "name": problem.name, "what": problem.what}
            for problem in report.problems
        ],
    }
