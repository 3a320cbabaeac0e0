"""Runs the tests on a mutant: in a copy of the checkout, in a forked process that has the libraries imported already.

The process that forks must never start a JAX backend and never import a module of the project.
"""

import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from .operators import Mutant
from .sampling import ROOT, path_of
from .watching import Watch

LIBRARIES = (
    *("jax", "jax.numpy", "flax.linen", "optax", "numpy", "pandas", "scipy.stats", "scipy.spatial", "numba"),
    *("safetensors.numpy", "constriction", "sklearn.datasets", "mlxtend.data", "matplotlib.figure", "rich.console"),
    *("hypothesis", "beartype", "jaxtyping", "platformdirs"),
)


class Verdict(NamedTuple):
    """What became of a mutant: 'killed', 'survived' or 'timeout'; the test that noticed; seconds in all and by test."""

    outcome: str
    by: str
    seconds: float
    by_test: Mapping[str, float] = MappingProxyType({})


class Trial(NamedTuple):
    """Tests to run on a mutant, or on the unchanged code (None).

    limit: seconds until the process is stopped. by_test: seconds of each test, by which they are ordered.
    """

    mutant: Mutant | None
    tests: tuple[str, ...]
    limit: float
    by_test: Mapping[str, float] = MappingProxyType({})


@dataclass
class Running:
    """A forked process and what it works on: a sandbox whose faulty module was `original` before."""

    trial: Trial
    sandbox: Path
    original: str
    started: float = field(default_factory=time.monotonic)

    def is_late(self) -> bool:
        """Whether its time is up."""
        return time.monotonic() > self.started + self.trial.limit


def import_libraries(cache: Path) -> None:
    """Imports what every test process needs, once. Compiled programs are kept in `cache`, for all of them."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache.resolve())
    for name in LIBRARIES:
        importlib.import_module(name)


def run_all(trials: Sequence[Trial], processes: int, until: float) -> Iterator[tuple[Trial, Verdict]]:
    """Runs trials, some at once, in their order, and gives each verdict as it comes; starts none after `until`."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        free = [_sandbox(Path(folder) / str(number)) for number in range(processes)]
        waiting, running = list(trials), dict[int, Running]()
        try:
            while running or (waiting and time.monotonic() < until):
                while free and waiting and time.monotonic() < until:
                    started = _begun(waiting.pop(0), free.pop())
                    running[_fork(started)] = started
                ended, status = os.waitpid(-1, os.WNOHANG)
                if ended:
                    task = running.pop(ended)
                    verdict = _verdict(task, os.waitstatus_to_exitcode(status))
                elif late := [
                    pid for pid, task in running.items() if time.monotonic() > task.started + task.trial.limit
                ]:
                    task = running.pop(late[0])
                    os.killpg(late[0], signal.SIGKILL)
                    os.waitpid(late[0], 0)
                    verdict = Verdict("timeout", "", time.monotonic() - task.started)
                else:
                    time.sleep(0.05)
                    continue
                if task.trial.mutant is not None:
                    _write_module(task.sandbox, task.trial.mutant.module, task.original)
                free.append(task.sandbox)
                yield task.trial, verdict
        finally:
            for pid in running:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _sandbox(folder: Path) -> Path:
    """A copy of the checkout's code and tests, in which one module at a time is another."""
    ignored = shutil.ignore_patterns("*.png", "*.ipynb", "node_modules")
    for name in ("supermask", "analysis", "figures", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    shutil.copy2(ROOT / "pyproject.toml", folder)
    return folder


def _begun(trial: Trial, sandbox: Path) -> Running:
    """Puts the trial's mutant in its place in the sandbox."""
    if trial.mutant is None:
        return Running(trial, sandbox, "")
    original = (sandbox / path_of(trial.mutant.module)).read_text(encoding="utf-8")
    _write_module(sandbox, trial.mutant.module, trial.mutant.source)
    return Running(trial, sandbox, original)


def _write_module(sandbox: Path, module: str, source: str) -> None:
    """Puts a module's source in place. Compiled files go by size and second, which two mutants may share: none stay."""
    path = sandbox / path_of(module)
    path.write_text(source, encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        compiled.unlink()


def _fork(task: Running) -> int:
    """Starts the tests of a trial, and gives the process's number."""
    (task.sandbox / "verdict.json").unlink(missing_ok=True)
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            code = _run_tests(task)
        finally:
            os._exit(code)
    return pid


def _run_tests(task: Running) -> int:
    """In the forked process: pytest on the sandbox. Its exit status; writes which test failed first."""
    os.setsid()
    output = os.open(task.sandbox / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(task.sandbox)
    sys.path[:] = [str(task.sandbox), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]
    sys.dont_write_bytecode = True
    os.environ.update(PYTHONPATH=str(task.sandbox), PYTHONDONTWRITEBYTECODE="1")
    for name in [name for name in sys.modules if name == "tests" or name.startswith("tests.")]:
        del sys.modules[name]
    watch = Watch(task.trial.by_test)
    options = ["-x", "-q", "-n", "0", "--tb=short", "-p", "no:cacheprovider", "-m", "not long", "--no-header"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning", f"--basetemp={task.sandbox / 'tmp'}"]
    arguments = [f"tests/{name}" if name.endswith(".py") else name for name in task.trial.tests]
    code = int(pytest.main([*options, *arguments], plugins=[watch]))
    (task.sandbox / "verdict.json").write_text(json.dumps([watch.first_failure, watch.seconds]), encoding="utf-8")
    return code


def _verdict(task: Running, code: int) -> Verdict:
    """Reads an exit status: 0 is a mutant that lived, 1 a failed test, 2 a module that could not be imported."""
    seconds = time.monotonic() - task.started
    path = task.sandbox / "verdict.json"
    if not path.exists():
        return Verdict("killed", f"the process ended with {code}", seconds)
    by, by_test = json.loads(path.read_text(encoding="utf-8"))
    if code == 0:
        return Verdict("survived", "", seconds, by_test)
    if code in {1, 2}:
        return Verdict("killed", by, seconds)
    output = (task.sandbox / "output.txt").read_text(encoding="utf-8", errors="replace")
    raise RuntimeError(f"pytest ended with {code} on {task.trial.tests}:\n{output[-3000:]}")
