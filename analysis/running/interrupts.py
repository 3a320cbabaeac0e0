"""Handles Ctrl-C and SIGTERM by one protocol for every command, from its first line on.

- While results are being made (inside a `Stop`), the first signal lets what is under way be finished and stored, and
  the second one stops at once.
- Everywhere else (imports, measuring, drawing, tables, the explorer's server) the first signal stops at once.

'At once' is a KeyboardInterrupt in the main thread. That may come late, inside a compiled computation, or get lost in a
callback, such as those of JAX's garbage collection, whose errors Python reports and drops. So a thread listens too: it
raises a lost interrupt again, says at once that the first signal was heard, and ends the process where a signal is not
obeyed within five seconds. Stored results are safe from that, as they are from a kill. While an extension module sets
itself up, the interrupt is held back: several of jaxlib's crash if an error comes in the middle of that.

Nothing heavy is imported here: the listener is installed before JAX is.
"""

import atexit
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.machinery import ExtensionFileLoader
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from supermask.analysis.store.checkpoints import FolderCheckpoints
    from supermask.analysis.studies.work import Done, Watcher

PATIENCE = 60.0
"""Seconds that work under way may take to finish. A training that leaves checkpoints stops at one after that."""

OBEDIENCE = 5.0
"""Seconds that the main thread may take to obey a signal that stops at once."""

INTERRUPTED = 130
"""Exit status after SIGINT (Ctrl-C): 128 and the signal's number, as shells have it."""

TERMINATED = 143
"""Exit status after SIGTERM."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AGAIN = 255  # no signal's number: asks the listening thread to send the last signal to the main thread once more
_PAUSE = 0.02  # seconds after which an interrupt that was lost or held back is raised again
_FIRST = (
    "\nstopping: what is under way is finished and stored; what takes more than a minute stops at a checkpoint.\n"
    "Once more to stop now.\n"
)
_NOW = "\nstopped in the middle; what was finished is stored, and the same command goes on from there.\n"


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to stop. `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def status_of(error: KeyboardInterrupt) -> int:
    """Return the exit status of a command that was interrupted: 130 for SIGINT, 143 for SIGTERM."""
    return 128 + (error.number if isinstance(error, Interrupted) else signal.SIGINT)


def say_interrupted(error: KeyboardInterrupt) -> int:
    """Say on standard error that the command was interrupted, and by which signal; return its exit status."""
    status = status_of(error)
    _say("supermask: interrupted by SIGTERM\n" if status == TERMINATED else "supermask: interrupted\n")
    return status


def guarded(command: Callable[[], int], obedience: float = OBEDIENCE) -> int:
    """Run a command under the protocol, and return its exit status. For the main thread, which ends afterwards.

    The listener stays until the process has ended. What Python does last (closing threads, flushing) is not disturbed
    by a signal, but is cut short if it takes longer than five seconds after one. After an interrupt, Python does not
    clear its modules: a computation that was left in the middle goes on in JAX's threads, and would crash without them.
    """
    listener = Listener(obedience)
    listener.install()
    atexit.register(_end, listener)  # the first to be registered is the last to run
    status = 1
    try:
        try:
            status = command()
        finally:
            listener.end(status)
    except KeyboardInterrupt as error:
        status = say_interrupted(error)
        listener.end(status)
    except Exception:
        if listener.raised is None:
            raise
        # Some C extensions turn an interrupt of their import into an ImportError.
        status = say_interrupted(Interrupted(listener.raised))
        listener.end(status)
    return status


def _end(listener: "Listener") -> None:
    """Ignore signals: Python's own shutdown resets our handlers, and a signal would kill without a message."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if listener.ended in (INTERRUPTED, TERMINATED):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed, full, or none at all
                stream.flush()
        os._exit(listener.ended)


class Listener:
    """Listens for the signals of this process. One is installed at a time, in the main thread.

    stop: the work that may be finished after a first signal, if there is any now. raised: the last signal that raised a
    KeyboardInterrupt. ended: the exit status, once there is nothing left to stop.
    """

    def __init__(self, obedience: float = OBEDIENCE) -> None:
        self.stop: Stop | None = None
        self.raised: int | None = None
        self._obedience = obedience
        self._main = threading.main_thread().ident or 0
        self.ended: int | None = None
        self._last = int(signal.SIGINT)
        self._resent = 0
        self._lenient = False  # whether the first signal was taken as one that lets work be finished

    def install(self) -> None:
        """Start listening. Only the main thread may call it."""
        self._listening, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        self._thread = threading.Thread(target=self._listen, args=(self._listening,), daemon=True)
        self._thread.start()
        self._hook_before, sys.unraisablehook = sys.unraisablehook, self._dropped
        self._print_before, sys.excepthook = sys.excepthook, self._printed
        self._wakeup_before = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self._before: dict[int, Any] = {number: signal.signal(number, self._obey) for number in _SIGNALS}
        _installed.append(self)

    def remove(self) -> None:
        """Stop listening and restore the former signal handlers."""
        _installed.remove(self)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        sys.unraisablehook = self._hook_before
        sys.excepthook = self._print_before
        self._writing.close()
        self._thread.join()
        self._listening.close()

    def end(self, status: int) -> None:
        """Record that the command is done: a later signal stops nothing and changes no exit status."""
        self.ended = status

    def _obey(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal in the main thread, between two bytecodes."""
        if self.ended is not None:
            return
        if self.stop is not None and self.stop.hear(number):
            self._lenient = True
            return
        if _sets_up_an_extension(frame):
            self._ask_again()
            return
        self.raised = number
        raise Interrupted(number)

    def _dropped(self, unraisable: "sys.UnraisableHookArgs") -> None:
        """Handle errors that Python cannot raise where they happened: in callbacks and finalizers."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._ask_again()
        else:
            self._hook_before(unraisable)

    def _printed(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Handle errors that are printed and dropped, as by C extensions whose import of another one failed."""
        if issubclass(kind, KeyboardInterrupt):
            self._ask_again()
        else:
            self._print_before(kind, error, trace)

    def _ask_again(self) -> None:
        with suppress(OSError):
            self._writing.send(bytes([_AGAIN]))

    def _listen(self, listening: socket.socket) -> None:
        """Read a byte per signal as soon as it comes, in a separate thread."""
        heard, deadline = 0, None
        while True:
            listening.settimeout(None if deadline is None else max(deadline - time.monotonic(), 1e-3))
            try:
                content = listening.recv(16)
            except TimeoutError:
                self._leave()
            if not content:
                return
            for number in content:
                if number == _AGAIN:
                    self._raise_again()
                elif number in _SIGNALS and self._resent:
                    self._resent -= 1
                elif number in _SIGNALS:
                    heard, self._last = heard + 1, number
                    if heard == 1 and (self._lenient or self.stop is not None):
                        _say(_FIRST)
                    elif deadline is None:
                        deadline = time.monotonic() + self._obedience

    def _raise_again(self) -> None:
        time.sleep(_PAUSE)
        self._resent += 1
        signal.pthread_kill(self._main, self._last)

    def _leave(self) -> None:
        """End the process, because the main thread did not stop."""
        if self.ended is not None:
            os._exit(self.ended)
        _say(_NOW)
        os._exit(128 + self._last)


_SETTING_UP = (ExtensionFileLoader.create_module.__code__, ExtensionFileLoader.exec_module.__code__)


def _sets_up_an_extension(frame: FrameType | None) -> bool:
    """Return whether an extension module is being imported in this frame or an outer one."""
    while frame is not None:
        if frame.f_code in _SETTING_UP:
            return True
        frame = frame.f_back
    return False


_installed: list[Listener] = []
"""The listener of this process, if there is one: signals are the process's, and so is this."""


class Stop:
    """Work during which the first signal lets what is under way be finished. A context manager.

    It uses the installed listener, or installs one for as long as it is open; outside the main thread it hears nothing.
    Code inside asks `requested` and `overdue`, or is given a `watcher` and `checkpoints`, which raise KeyboardInterrupt
    once results are stored or a checkpoint is saved. Work that ends after a request without having raised raises
    KeyboardInterrupt at the end: a command that was asked to stop does not go on to its next part.
    """

    def __init__(self, patience: float = PATIENCE, obedience: float = OBEDIENCE) -> None:
        self._patience, self._obedience = patience, obedience
        self._since: float | None = None
        self._number = int(signal.SIGINT)
        self._listener: Listener | None = None
        self._own = False

    def __enter__(self) -> "Stop":
        if threading.current_thread() is not threading.main_thread():
            return self
        self._own = not _installed
        self._listener = Listener(self._obedience) if self._own else _installed[-1]
        self._listener.stop = self
        if self._own:
            self._listener.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            self._listener.stop = None
            if self._own:
                self._listener.remove()
        if kind is None:
            self.check()

    def hear(self, number: int) -> bool:
        """Record a signal; return whether it is the first one, which lets work finish."""
        first = self._since is None
        if first:
            self._since, self._number = time.monotonic(), number
        return first

    @property
    def requested(self) -> bool:
        """Return whether a stop was requested."""
        return self._since is not None

    @property
    def overdue(self) -> bool:
        """Return whether the time to finish after a stop request is over."""
        return self._since is not None and time.monotonic() - self._since >= self._patience

    def check(self) -> None:
        """Raise KeyboardInterrupt if a stop was requested."""
        if self.requested:
            raise Interrupted(self._number)

    def watcher(self, watch: "Watcher") -> "Watcher":
        """Return a watcher that, after a stop request, raises KeyboardInterrupt at the next stored results."""

        def told(done: "Done") -> None:
            watch(done)
            if done.results:
                self.check()

        return told

    def checkpoints(self, folder: "FolderCheckpoints") -> "StoppingCheckpoints":
        """Return checkpoints that, once a stop is overdue, raise KeyboardInterrupt after the next one is saved."""
        return StoppingCheckpoints(folder, self)


class StoppingCheckpoints:
    """`resuming.Checkpoints` that is due at once, and ends the training, when a stop is overdue."""

    def __init__(self, folder: "FolderCheckpoints", stop: Stop) -> None:
        self._folder, self._stop = folder, stop

    def due(self) -> bool:
        """Return whether it is time to save."""
        return self._folder.due() or self._stop.overdue

    def load(self, key: str) -> "Mapping[str, np.ndarray] | None":
        """Return what was saved under a key."""
        return self._folder.load(key)

    def save(self, key: str, arrays: "Mapping[str, np.ndarray]") -> None:
        """Save, and raise KeyboardInterrupt if a stop is overdue."""
        self._folder.save(key, arrays)
        if self._stop.overdue:
            self._stop.check()


def _say(words: str) -> None:
    with suppress(OSError):
        os.write(2, words.encode())
