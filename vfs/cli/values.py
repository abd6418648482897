"""Option values: transactions and moments as text, files of keys."""

from datetime import UTC, datetime

import click

from ltxvfs.backends.age.keys import AgeKeys
from ltxvfs.core.moments import parse_moment
from ltxvfs.core.types import TXID


def read_txid(ctx: click.Context, param: click.Parameter, value: str | None) -> TXID | None:
    """Read sixteen hex digits: an option's callback."""
    try:
        return None if value is None else TXID.parse(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", ctx, param) from None


def read_moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """Read a moment, absolute or relative to now: an option's callback."""
    try:
        return None if value is None else parse_moment(value, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(f"{error}.", ctx, param) from None


def _read_keys(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> AgeKeys | None:
    return AgeKeys.from_files(identities=value) if value else None


age_option = click.option(
    "--age-identity",
    "age",
    type=click.Path(exists=True, dir_okay=False),
    multiple=True,
    callback=_read_keys,
    help="File with the secret key of an encrypted replica, age's or SSH; may be repeated.",
)
