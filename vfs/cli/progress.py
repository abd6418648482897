"""A progress bar on a terminal; nothing in a pipe."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ltxvfs.assembly import Progress


@contextmanager
def progress_bar(label: str, *, hidden: bool) -> Iterator[Progress | None]:
    """Show a bar of bytes on stderr if that is a terminal; gone at the end."""
    if hidden or not sys.stderr.isatty():
        yield None
        return
    # Imported here: a third of the command's start-up, and of use on a terminal only.
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn(label),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
