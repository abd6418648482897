"""How the command behaves whatever the verb: option spellings, errors, exit codes.

Exit code 0: done; 1: an error, told in one line on stderr; 2: wrong usage, told likewise.
"""

import re
import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

import click

from ltxvfs.core.errors import Error

_GO_FLAG = re.compile(r"-{1,2}([a-z][a-z0-9-]+)(?:=(.*))?", re.DOTALL)
_TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})
_FALSE = frozenset({"0", "f", "F", "false", "False", "FALSE"})


class Verb(click.Command):
    """A command whose long options may have a single dash, as Litestream's have."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._spelled(ctx, args))

    def _spelled(self, ctx: click.Context, args: list[str]) -> list[str]:
        flags = {
            name: isinstance(option, click.Option) and option.is_flag
            for option in self.get_params(ctx)
            for name in option.opts
            if name.startswith("--")
        }
        end = args.index("--") if "--" in args else len(args)
        spelled = [word for arg in args[:end] for word in _spell(arg, flags)]
        return spelled + args[end:]


def _spell(arg: str, flags: dict[str, bool]) -> list[str]:
    """Write one argument as click has it: two dashes, and no value for a flag."""
    match = _GO_FLAG.fullmatch(arg)
    if match is None or f"--{match[1]}" not in flags:
        return [arg]
    option, value = f"--{match[1]}", match[2]
    if value is None:
        return [option]
    if flags[option] and value in _FALSE:
        return []
    return [option] if flags[option] and value in _TRUE else [f"{option}={value}"]


class Program(click.Group):
    """The group of verbs: ends every error in one line and its exit code."""

    command_class = Verb

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line and exit; with ``standalone_mode=False`` return and raise."""
        run = partial(super().main, args, prog_name, complete_var, standalone_mode=False, **extra)
        if not standalone_mode:
            return run()
        # A restore that is told to stop takes its unfinished file away with it.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _stop)
        try:
            code: Any = run()
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            sys.exit(2)
        except click.UsageError as error:
            _end(_with_help(error), 2)
        except (click.ClickException, click.Abort, KeyboardInterrupt) as error:
            _end(error.message if isinstance(error, click.ClickException) else "interrupted", 1)
        except Error as error:
            _end(str(error), 1)
        except OSError as error:
            _end(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
        sys.exit(code if isinstance(code, int) else 0)


def _stop(signum: int, frame: object) -> NoReturn:
    sys.exit(128 + signum)


def _end(message: str, code: int) -> NoReturn:
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    sys.exit(code)


def _with_help(error: click.UsageError) -> str:
    where = error.ctx.command_path if error.ctx else "litestream-vfs"
    return f"{error.format_message()} Try: {where} --help"
