"""The command `supermask`: the command line of the analysis layer, given the catalogue of figures."""

import sys

from analysis.cli import run_command
from figures.catalogue import CATALOGUE


def main() -> None:
    """Runs the command and exits with its status."""
    sys.exit(run_command(sys.argv[1:], CATALOGUE))
