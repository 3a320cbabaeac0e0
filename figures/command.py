"""The command `supermask`: the command line of the analysis layer, given the catalogue of figures."""

import sys

from analysis.running.interrupts import guarded


def main() -> None:
    """Run the command and exit with its status. Signal handlers are installed before any other import."""
    sys.exit(guarded(_command))


def _command() -> int:
    from analysis.command.cli import run_command
    from analysis.system.terminal import set_up_streams
    from figures.catalogue import CATALOGUE

    set_up_streams()
    return run_command(sys.argv[1:], CATALOGUE)
