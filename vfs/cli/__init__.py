"""The command ``litestream-vfs``: one verb a file, all of it thin over the services."""

import click

from ltxvfs.cli.completion import completion
from ltxvfs.cli.inspect import inspect
from ltxvfs.cli.ltx import ltx
from ltxvfs.cli.program import Program
from ltxvfs.cli.restore import restore
from ltxvfs.cli.verify import verify
from ltxvfs.cli.version import version


@click.group(
    cls=Program, name="litestream-vfs", context_settings={"help_option_names": ["-h", "--help"]}
)
def main() -> None:
    """Restore and look into SQLite replicas, of this package's and of Litestream's making."""


for _verb in (restore, ltx, inspect, verify, version, completion):
    main.add_command(_verb)

__all__ = ["main"]
