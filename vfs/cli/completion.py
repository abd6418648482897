"""``litestream-vfs completion``: the script that teaches a shell the verbs and options."""

import click
from click.shell_completion import get_completion_class

from ltxvfs.cli.program import Verb

_PROGRAM = "litestream-vfs"
_VARIABLE = "_LITESTREAM_VFS_COMPLETE"  # the name that click itself looks for


@click.command(cls=Verb)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes verbs and options.

    For the start-up file of the shell, as in

    eval "$(litestream-vfs completion bash)"
    """
    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"no completion for {shell}.")
    click.echo(script(ctx.find_root().command, {}, _PROGRAM, _VARIABLE).source())
