"""The command line: arguments to configuration, work to progress, errors to one line.

Nothing heavy is imported before it is needed: help and mistakes come at once.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from analysis.errors import StoreError, UsageError, choose

if TYPE_CHECKING:
    from analysis.figure import Figure

OK, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130

EXAMPLES = """\
examples:
  supermask reproduce                                  every figure, quick protocol, embedded digits: a few minutes
  supermask reproduce mask-criteria --dry-run          what that would train, and how long it would take here
  supermask reproduce mask-criteria --protocol short --data-dir ~/data
                                                       full MNIST, 24 rounds, five seeds: half an hour on two cores
  supermask reproduce supermasks-at-init --criteria large_final random snip
                                                       other criteria than the figure's own
An interrupted command goes on where it was when it is called again.
"""


class CatalogueEntry(Protocol):
    """What the command needs to know of a figure before it is loaded."""

    @property
    def paper(self) -> str:
        """What it reproduces."""

    @property
    def title(self) -> str:
        """What it shows."""

    def load(self) -> "Figure":
        """The figure."""


Catalogue = Mapping[str, CatalogueEntry]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> "None":  # type: ignore[override]
        raise UsageError(f"{message} (see {self.prog} --help)")


def run_command(arguments: Sequence[str], catalogue: Catalogue) -> int:
    """Runs one command and returns its exit status: 0 done, 1 failed, 2 misused, 130 interrupted."""
    try:
        options = _parser(catalogue).parse_args(arguments)
        status: int = options.command(options, catalogue)
    except UsageError as error:
        print(f"supermask: error: {error}", file=sys.stderr)
        return MISUSED
    except StoreError as error:
        print(f"supermask: error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("supermask: interrupted", file=sys.stderr)
        return INTERRUPTED
    return status


def _parser(catalogue: Catalogue) -> argparse.ArgumentParser:
    from supermask import __version__

    parser = _Parser(
        prog="supermask",
        description="Reproduces the experiments of 'Deconstructing Lottery Tickets' (Zhou et al. 2019).",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"supermask {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_reproduce(commands, catalogue)
    figures = commands.add_parser("figures", help="list the figures")
    figures.set_defaults(command=_list_figures)
    bench = commands.add_parser("bench", help="measure how fast populations train on this machine")
    bench.add_argument("--network", default="fc", metavar="NAME", help="fc, conv2, conv4 or conv6 (default: fc)")
    bench.add_argument(
        "--pairs", type=int, default=5, metavar="N", help="measurements to take the median of (default: 5)"
    )
    bench.add_argument(
        "--steps", type=int, metavar="N", help="steps a training (default: 1000 for fc, 20 for the others)"
    )
    _add_devices(bench)
    bench.set_defaults(command=_bench)
    return parser


def _add_reproduce(commands: "argparse._SubParsersAction[_Parser]", catalogue: Catalogue) -> None:
    width = max(map(len, catalogue))
    listing = "\n".join(f"  {name:{width}}  {entry.paper}: {entry.title}" for name, entry in catalogue.items())
    reproduce = commands.add_parser(
        "reproduce",
        help="train what figures need, draw them, and print what they show",
        description="Trains what the figures need and is not stored yet, stores it as it goes, and draws the figures.",
        epilog=f"figures:\n{listing}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = reproduce.add_argument
    add("figures", nargs="*", metavar="FIGURE", help="figures to reproduce (default: all)")
    add("--protocol", default="quick", metavar="NAME", help="quick (default), short or paper: see docs/protocols.md")
    add("--network", default="fc", metavar="NAME", help="fc (default), conv2, conv4 or conv6")
    add("--seeds", type=int, metavar="N", help="seeds 0 to N-1 (default: the protocol's)")
    add("--rounds", type=int, metavar="N", help="rounds of pruning (default: the protocol's)")
    add("--epochs", type=float, metavar="N", help="epochs a round (default: the protocol's)")
    add("--rates", metavar="KIND=F,...", help="fractions pruned a round, such as dense=0.2,output=0.1")
    add("--criteria", nargs="+", metavar="NAME", help="mask criteria to show (default: each figure's own)")
    add("--dataset", metavar="NAME", help="digits, mnist5k, mnist, fashion-mnist or cifar10 (default: the protocol's)")
    add(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where full data sets are (default: $SUPERMASK_DATA, then the cache)",
    )
    add("--results", type=Path, default=Path("results"), metavar="DIR", help="results folder (default: ./results)")
    add(
        "--dry-run",
        action="store_true",
        help="say what would be trained and about how long it takes here; train nothing",
    )
    _add_devices(reproduce)
    reproduce.set_defaults(command=_reproduce)


def _add_devices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--devices", type=int, metavar="N", help="CPU devices to use (default: one a core)")


def _list_figures(options: argparse.Namespace, catalogue: Catalogue) -> int:
    for name, entry in catalogue.items():
        print(f"{name:20} {entry.paper:20} {entry.title}")
    return OK


def _bench(options: argparse.Namespace, catalogue: Catalogue) -> int:
    from analysis.platform import set_up_jax

    set_up_jax(options.devices)
    from analysis.bench import bench

    bench(options.network, options.pairs, options.steps)
    return OK


def _reproduce(options: argparse.Namespace, catalogue: Catalogue) -> int:
    names = [choose("figure", name, catalogue) for name in options.figures] or list(catalogue)
    from analysis.platform import set_up_jax

    set_up_jax(options.devices)
    from analysis.protocols import Changes, parse_rates, protocol
    from analysis.reproduce import Request, reproduce
    from supermask.criteria import CRITERIA
    from supermask.datasets import DATASETS, DataError

    for name in options.criteria or ():
        choose("criterion", name, CRITERIA)
    if options.dataset is not None:
        choose("dataset", options.dataset, DATASETS)
    rates = None if options.rates is None else parse_rates(options.rates)
    changes = Changes(options.dataset, options.seeds, options.rounds, options.epochs, rates)
    request = Request(
        figures={name: catalogue[name].load() for name in names},
        protocol=protocol(options.protocol, options.network, changes),
        criteria=tuple(options.criteria or ()),
        data_dir=options.data_dir,
        results=options.results,
        dry_run=options.dry_run,
    )
    try:
        return reproduce(request)
    except DataError as error:
        print(f"supermask: error: {error}", file=sys.stderr)
        return FAILED
