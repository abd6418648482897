"""What verbs print: JSON and aligned tables, in Litestream's shapes."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click


def print_json(document: Any) -> None:
    """Print a document, indented by two spaces."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print columns two spaces apart; the heading is bold on a terminal."""
    lines = [head, *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        padded = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)]
        text = "  ".join([*padded, line[-1]])
        click.echo(click.style(text, bold=True) if number == 0 else text)


def format_moment(moment: datetime) -> str:
    """Write a moment in UTC, to the second, as Litestream's tables do."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
