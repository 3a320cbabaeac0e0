"""The command `supermask`: the command line of the analysis layer, given the catalogue of figures."""

import os
import sys

from supermask.analysis.running.interrupts import guarded


def main() -> None:
    """Run the command and exit with its status. Signal handlers are installed before any other import."""
    sys.exit(guarded(_command))


def _command() -> int:
    from supermask.analysis.command.cli import run_command
    from supermask.analysis.system.terminal import set_up_streams
    from supermask.figures.catalogue import CATALOGUE

    set_up_streams()
    os.environ.pop("MPLBACKEND", None)  # pictures go into files; Matplotlib cannot be imported with an unknown one
    return run_command(sys.argv[1:], CATALOGUE)
