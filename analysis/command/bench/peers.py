"""Runs the PyTorch side in processes that wait without cost while it is not their turn."""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from types import TracebackType
from typing import Any

from supermask.analysis.system.errors import UsageError

MODES = ("eager", "best", "bfloat16")
"""PyTorch versions of a training; `density` measures 'sparse_csr' too."""


def available() -> bool:
    """Return whether PyTorch is installed."""
    return find_spec("torch") is not None


class Peers:
    """PyTorch at one workload in one of its modes: one process per core, or one for all cores ('eager').

    A context manager. `run` gives the seconds of its slowest process. Raises UsageError if a process fails.
    """

    def __init__(self, work: Mapping[str, Any], mode: str, cores: int) -> None:
        processes = 1 if mode == "eager" else cores
        threads = cores if mode == "eager" else 1
        command = [sys.executable, "-m", "supermask.analysis.command.bench.torch_peer", "--threads", str(threads)]
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
            for _ in range(processes)
        ]
        self.processes = processes
        try:
            for share, process in enumerate(self._processes):
                self._ask(process, {"do": "prepare", "work": {**work, "mode": mode, "share": share, "of": processes}})
            for process in self._processes:
                self._answer(process)
        except UsageError:
            self._end()
            raise

    def __enter__(self) -> "Peers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()

    def run(self) -> float:
        """Run the workload once and return its seconds."""
        for process in self._processes:
            self._ask(process, {"do": "run"})
        return max(self._answer(process)["seconds"] for process in self._processes)

    @staticmethod
    def _ask(process: "subprocess.Popen[str]", request: Mapping[str, Any]) -> None:
        assert process.stdin is not None  # noqa: S101
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise _ended(process) from None

    @staticmethod
    def _answer(process: "subprocess.Popen[str]") -> dict[str, Any]:
        assert process.stdout is not None  # noqa: S101
        line = process.stdout.readline()
        if not line:
            raise _ended(process)
        answer: dict[str, Any] = json.loads(line)
        return answer


def _ended(process: "subprocess.Popen[str]") -> UsageError:
    return UsageError(f"the PyTorch side of the comparison ended with status {process.wait()}; see above")
