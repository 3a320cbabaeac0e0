"""Ctrl-C, or SIGTERM: once to finish and store what is under way, twice to stop now.

A program that is inside a compiled computation hears of a signal when that ends, which may take minutes. So a thread
listens too: it says at once that the signal was heard, and ends the process if a second one is not obeyed. What is
stored is safe from that, as it is from a kill.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

import numpy as np

from analysis.checkpoints import FolderCheckpoints
from analysis.work import Done, Watcher

PATIENCE = 60.0
"""Seconds that what is under way may take to finish. A training that leaves checkpoints stops at one after that."""

OBEDIENCE = 5.0
"""Seconds that a second signal may take to be obeyed."""

INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_FIRST = (
    "\nstopping: what is under way is finished and stored; what takes more than a minute stops at a checkpoint, if it "
    "leaves any.\nOnce more to stop now.\n"
)
_SECOND = "\nstopped in the middle; what was finished is stored, and the same command goes on from there.\n"


class Stop:
    """Listens for signals while it is open. A context manager; it hears nothing outside the main thread.

    Raises KeyboardInterrupt in the main thread: after the first signal when results were stored or a checkpoint was
    saved, and at once at the second.
    """

    def __init__(self, patience: float = PATIENCE, obedience: float = OBEDIENCE) -> None:
        self._patience, self._obedience = patience, obedience
        self._since: float | None = None
        self._closed = threading.Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is not threading.main_thread():
            return self
        self._listening, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        self._before = {number: signal.signal(number, self._obey) for number in _SIGNALS}
        self._wakeup_before = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, args=(self._listening,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        if not self._before:
            return
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._writing.close()
        self._thread.join()
        self._listening.close()

    @property
    def requested(self) -> bool:
        """Whether what is under way is to be the last."""
        return self._since is not None

    @property
    def overdue(self) -> bool:
        """Whether what is under way has had its time to finish."""
        return self._since is not None and time.monotonic() - self._since >= self._patience

    def watcher(self, watch: Watcher) -> Watcher:
        """The watcher; once a stop was requested, it stops when told of results, which are stored by then."""

        def told(done: Done) -> None:
            watch(done)
            if self.requested and done.results:
                raise KeyboardInterrupt

        return told

    def checkpoints(self, folder: FolderCheckpoints) -> "StoppingCheckpoints":
        """The checkpoints; once a stop is overdue, it stops when one was saved."""
        return StoppingCheckpoints(folder, self)

    def _obey(self, number: int, frame: FrameType | None) -> None:
        """Runs in the main thread, between two steps of Python."""
        if self._since is not None:
            raise KeyboardInterrupt
        self._since = time.monotonic()

    def _listen(self, listening: socket.socket) -> None:
        """Runs in a thread of its own: a byte for every signal, as soon as it comes."""
        heard = 0
        while content := listening.recv(16):
            for _ in (number for number in content if number in _SIGNALS):
                heard += 1
                if heard == 1:
                    _say(_FIRST)
                elif not self._closed.wait(self._obedience):
                    _say(_SECOND)
                    os._exit(INTERRUPTED)


class StoppingCheckpoints:
    """An `intervals.Checkpoints` that is due at once, and ends the training, when a stop is overdue."""

    def __init__(self, folder: FolderCheckpoints, stop: Stop) -> None:
        self._folder, self._stop = folder, stop

    def due(self) -> bool:
        """Whether it is time to save again."""
        return self._folder.due() or self._stop.overdue

    def load(self, key: str) -> Mapping[str, np.ndarray] | None:
        """What was saved under that key."""
        return self._folder.load(key)

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Saves, and raises KeyboardInterrupt where a stop is overdue."""
        self._folder.save(key, arrays)
        if self._stop.overdue:
            raise KeyboardInterrupt


def _say(words: str) -> None:
    with suppress(OSError):
        os.write(2, words.encode())
