"""``litestream-vfs version``."""

import platform
from importlib.metadata import version as version_of

import apsw
import click

from ltxvfs.cli.program import Verb


@click.command(cls=Verb)
@click.option("--verbose", is_flag=True, help="Also name Python, APSW and SQLite.")
def version(verbose: bool) -> None:
    """Print the version."""
    click.echo(version_of("ltxvfs"))
    if verbose:
        click.echo(f"Python {platform.python_version()} on {platform.platform()}")
        click.echo(f"APSW {apsw.apsw_version()}, SQLite {apsw.sqlite_lib_version()}")
