"""The parser, and options that several commands share."""

import argparse
from pathlib import Path
from typing import Any

from supermask.analysis.system.errors import UsageError
from supermask.analysis.system.words import number_of


class Parser(argparse.ArgumentParser):
    """Argument parser that raises UsageError instead of ending the process, and takes each option once."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False, formatter_class=_Help)
        self.register("action", None, _Once)
        self.set_defaults(given=frozenset(), goes_on="")

    def error(self, message: str) -> "None":  # type: ignore[override]
        """Raise UsageError."""
        raise UsageError(f"{message} (see {self.prog} --help)")


class _Help(argparse.HelpFormatter):
    """Wraps descriptions of one line, and leaves lists of examples as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return indent + text if "\n" in text else super()._fill_text(text, width, indent)


class _Once(argparse.Action):
    """Store an option's value and record in `given` that it was given, which distinguishes it from the default."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        given: frozenset[str] = namespace.given
        if option_string is not None:
            if self.dest in given:
                raise argparse.ArgumentError(self, "given twice; allowed: once")
            namespace.given = given | {self.dest}
        setattr(namespace, self.dest, values)


def path(text: str) -> Path:
    """Return a path from the command line, with `~` expanded wherever the shell leaves it, as in --results=~/r."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; allowed: a path")
    if text == "-":
        raise argparse.ArgumentTypeError("is -, which is no path here; allowed: a path, such as /dev/stdin or ./-")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def whole(text: str) -> int:
    """Return a whole number from the command line. Underscores between digits are for programs alone."""
    try:
        return int(text.replace("_", "?"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def number(text: str) -> float:
    """Return a number from the command line, without underscores between its digits."""
    if (found := number_of(text)) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return found


def add_look(parser: argparse.ArgumentParser) -> None:
    """Add the options for the look of pictures."""
    add = parser.add_argument
    add("--format", metavar="F,...", help="formats of the pictures, of svg, png and pdf (default: svg,png)")
    add("--width", metavar="W", help="their width: column, page, or inches (default: as wide as their panels like)")
    add("--no-title", action="store_true", help="no title above the panels, for papers whose text has one")
    add("--style", type=path, metavar="FILE", help="a Matplotlib style file, on top of the toolkit's own settings")


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add the option for the folder of full data sets."""
    where = "where full data sets are (default: $SUPERMASK_DATA, then the cache)"
    parser.add_argument("--data-dir", type=path, metavar="DIR", help=where)


def add_results_folder(parser: argparse.ArgumentParser) -> None:
    """Add the option for the results folder."""
    parser.add_argument(
        "--results", type=path, default=Path("results"), metavar="DIR", help="results folder (default: ./results)"
    )


def add_devices(parser: argparse.ArgumentParser) -> None:
    """Add the option for the number of CPU devices."""
    parser.add_argument("--devices", type=whole, metavar="N", help="CPU devices to use (default: one a core)")
