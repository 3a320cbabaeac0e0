"""Terminal output: in the characters that the terminal can show, without control codes from data, wherever output goes.

Imports little, so that help appears at once; `supermask.analysis.system.screen` has tables and progress.
"""

import codecs
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO, cast

from supermask.analysis.system.errors import reason

_SPELLED = {
    **{"×": "x", "–": "-", "—": "-", "−": "-", "…": "...", "·": "-", "µ": "u", "≥": ">=", "≤": "<=", "±": "+-"},
    **{"→": "->", "α": "alpha", "’": "'", "‘": "'", "“": '"', "”": '"', "³": "^3", "²": "^2", "¹": "^1"},
}
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters except line feed and tab; marks that change a text's direction; lone surrogates."""

_HANDLER = "supermask.spell"


def plain(text: object) -> str:
    """Return the text with control characters escaped, as \\x1b: a file's content cannot control the terminal."""
    return _CONTROL.sub(lambda found: _escaped(found[0]), str(text))


def say(text: object) -> None:
    """Print lines to standard output."""
    print(plain(text))


def complain(text: object) -> None:
    """Print a line to standard error, if there is one."""
    with suppress(OSError, ValueError):
        print(f"supermask: {plain(text)}", file=sys.stderr, flush=True)


def is_terminal() -> bool:
    """Return whether standard output is a terminal that understands cursor movement and colours.

    The pseudo-terminal of a notebook's `!command` is not: it claims to understand them but shows them as text.
    """
    try:
        shown = sys.stdout is not None and sys.stdout.isatty()
    except ValueError:  # it is closed
        return False
    return shown and os.environ.get("TERM") not in ("dumb", "unknown") and "JPY_PARENT_PID" not in os.environ


def set_up_streams() -> None:
    """Replace characters that the terminal's encoding lacks by others, for the whole process."""
    codecs.register_error(_HANDLER, _spell)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(
        _SPELLED.get(each) or (_escaped(each) if _CONTROL.match(each) else "?") for each in lacking
    ), error.end


def _escaped(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 0x100 else f"\\u{ord(character):04x}"


class Output:
    """Standard output that may disappear: when it can no longer be written, the command continues without it.

    lost: why it was lost, if it was.
    word: message for standard error when the reader of a pipe has gone; none if empty. A full disk is always
        reported.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost: OSError | None = None
        self.word = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write the text, or drop it if the stream is lost."""
        if self.lost is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, unless it is lost."""
        if self.lost is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._lose(error)

    def _lose(self, error: OSError) -> None:
        self.lost = error
        with suppress(OSError, ValueError):  # the buffer is written at exit, to the null device
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            complain(f"standard output cannot be written: {reason(error)}; going on without it")
        elif self.word:
            complain(self.word)


@contextmanager
def lasting_output() -> Iterator[Output | None]:
    """Make standard output an `Output` within the block; yields None if the process has none."""
    if sys.stdout is None:
        yield None
        return
    output = Output(sys.stdout)
    with redirect_stdout(cast(TextIO, output)):
        try:
            yield output
        finally:
            output.flush()
