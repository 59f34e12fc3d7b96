"""The command line: one file per verb in this folder, imported only when that verb is called.

Results go to stdout, progress and logs to stderr. Exit 0: done; 1: said no; 2: wrong usage.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback

import click

from edge_asc import __version__
from edge_asc.errors import EdgeAscError

# verb -> (module in this folder, one line of help). A verb's module has a click command named `command`.
VERBS: dict[str, str] = {
    "demo": "From shipped recordings to a running ensemble and a report, in minutes.",
    "listen": "Name the scene from a microphone, a file or a stream.",
    "classify": "Name the scene of audio files.",
    "devices": "List microphones.",
    "doctor": "Check this machine: microphone, level, speed, clock, broker, disk.",
    "config": "Check or print the configuration of a listening node.",
    "service": "Install the listener as a systemd service.",
    "bundle": "Pack a bundle into one small file, put one in place safely, go back, sign.",
    "verify": "Check a bundle's hashes and replay its golden clip.",
    "audit": "Weights, MACs and bytes of a bundle against a budget.",
    "bench": "Latency, memory, start-up and headroom of a bundle on this machine.",
    "dataset": "Download, check, describe, import and cache data sets.",
    "train": "Train and prune an ensemble from a recipe.",
    "convert": "Turn a finished training run into a bundle.",
    "parity": "Every variant on every interpreter against Keras, layer by layer.",
    "evaluate": "Accuracy, log-loss and confusion matrix of a bundle on a data set.",
    "lab": "The paper's tables and fronts of accuracy against complexity, on your data, here or on a cluster.",
    "firmware": "A bundle as C99 for a microcontroller, and the proof that it computes the same there.",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"edge_asc.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def group(debug: bool) -> None:
    """Acoustic scene classification for edge devices."""


def main() -> None:
    """Entry point: runs a verb and turns every foreseen failure into one message and exit status 1."""
    try:
        status = group.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted; what was finished before is kept")
    except EdgeAscError as error:
        _fail(str(error))
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not our failure, and nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno is None:
            raise
        hint = " Free some space and run the same command again." if error.errno == errno.ENOSPC else ""
        _fail(f"{error.strerror}: {error.filename or 'while writing'}.{hint}")
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str) -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()
    click.echo(f"edge-asc: {message}", err=True)
    sys.exit(1)
