"""Entry point of the command: dispatches arguments, and reports errors as one line and an exit status.

Nothing heavy is imported before it is needed, so that help and errors appear at once.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from supermask.analysis.command.arguments import parser_of
from supermask.analysis.command.commands import FAILED, MISUSED
from supermask.analysis.command.parsing import Parser, path
from supermask.analysis.drawing.entries import Catalogue
from supermask.analysis.running.interrupts import say_interrupted
from supermask.analysis.system.errors import FileError, StoreError, UsageError, reason
from supermask.analysis.system.platform import backend_fault
from supermask.analysis.system.terminal import Output, complain, lasting_output
from supermask.extras import MissingExtraError, need
from supermask.settings import pinned_numbers

if TYPE_CHECKING:
    from supermask.analysis.studies.plugin_files import Plugin
    from supermask.named_members import Members


def run_command(arguments: Sequence[str], catalogue: Catalogue) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 misused, 130 or 143 interrupted."""
    with lasting_output() as output:
        status = _status(arguments, catalogue, output)
    if output is not None and output.lost is not None and not isinstance(output.lost, BrokenPipeError):
        return status or FAILED
    return status


def _status(arguments: Sequence[str], catalogue: Catalogue, output: Output | None) -> int:
    """Run one command; report an error in one line."""
    try:
        with pinned_numbers():
            plugin = _plugin(arguments)
            members = None if plugin is None else _members(plugin)
            catalogue = catalogue if plugin is None else _with_figures(catalogue, plugin)
            own = [member.name for member in members.own] if members else []
            options = parser_of(catalogue, own).parse_args(arguments, argparse.Namespace(members=members))
            if output is not None:
                output.word = options.goes_on
            need(getattr(options, "extra", "command"))
            status: int = options.command(options, catalogue)
    except (UsageError, MissingExtraError) as error:
        return _failed(error, MISUSED)
    except (StoreError, FileError) as error:
        return _failed(error, FAILED)
    except OSError as error:
        return _failed(f"{error.filename}: {reason(error)}" if error.filename else reason(error), FAILED)
    except KeyboardInterrupt as error:
        return say_interrupted(error)
    except Exception as error:
        if words := backend_fault(error):
            return _failed(words, MISUSED)
        from supermask.datasets import DataError  # costs a tenth of a second: not for help's sake
        from supermask.members import MemberError

        if not isinstance(error, DataError | MemberError):
            raise
        return _failed(error, FAILED)
    return status


def _failed(words: object, status: int) -> int:
    complain(f"error: {words}")
    return status


def _plugin(arguments: Sequence[str]) -> "Plugin | None":
    """Load the file after --plugin, before anything else, since help lists what it defines. None without one."""
    if not any(argument.split("=")[0] == "--plugin" for argument in arguments):
        return None
    parser = Parser(prog="supermask", add_help=False)
    parser.add_argument("--plugin", type=path)
    file: Path | None = parser.parse_known_args(arguments)[0].plugin
    if file is None:  # after --, where it is no option
        return None
    need("command")
    from supermask.analysis.studies.plugin_files import load_plugin

    return load_plugin(file)


def _members(plugin: "Plugin") -> "Members":
    from supermask.named_members import BUILT_IN

    return BUILT_IN.plus(*plugin.members())


def _with_figures(catalogue: Catalogue, plugin: "Plugin") -> Catalogue:
    """Return the catalogue with the plug-in's figures. Raises UsageError for a name that is taken."""
    from supermask.analysis.drawing.own_figures import FigureOfOnesOwn

    entries = dict(catalogue)
    for figure in plugin.figures:
        if figure.name in entries:
            raise UsageError(f"plugin {plugin.path}: figure's name is {figure.name!r}, a name that is taken")
        if isinstance(figure, FigureOfOnesOwn):
            entries[figure.name] = figure
    return entries
