"""A progress bar in a notebook: HTML in the cell's output, which the main thread replaces in place.

It needs no widgets and no thread of its own, so it works in every front end and inside a running event loop.
"""

import html
import sys
import time
from collections.abc import Callable
from typing import Any

SECONDS_BETWEEN = 0.5
"""At most so often is a bar drawn anew, but for its first and last state."""


class NotebookBar:
    """A bar that `show` draws in the output of the cell that runs."""

    def __init__(self, display: Callable[..., Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._display, self._clock = display, clock
        self._handle: Any = None
        self._shown = clock()

    def show(self, share: float, words: str, *, at_once: bool = False) -> None:
        """Draw the share of the work that is done, 0 to 1, and words beside it; seldom, unless `at_once`."""
        now = self._clock()
        if not at_once and now - self._shown < SECONDS_BETWEEN:
            return
        self._shown = now
        percent = f"{100 * min(max(share, 0.0), 1.0):.0f}%"
        bar = f'<progress value="{share:.4f}" max="1" style="width: 16em; vertical-align: middle"></progress>'
        state = {"text/html": f"{bar} {percent} {html.escape(words)}", "text/plain": f"{percent} {words}"}
        if self._handle is None:
            self._handle = self._display(state, raw=True, display_id=True)
        else:
            self._handle.update(state, raw=True)


def notebook_bar() -> NotebookBar | None:
    """Return a bar where this runs in a notebook's kernel; None in a terminal, in IPython's as well."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return NotebookBar(display)
