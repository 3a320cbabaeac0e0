"""What the explorer's tests share: a small bundle of known runs, a server, and Node."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from supermask.analysis.explorer.bundle import PRUNING, Round, SeedRun
from supermask.analysis.explorer.server import SiteServer
from supermask.lottery import find_tickets
from supermask.masks import Rates
from supermask.networks import kernels_of
from supermask.training import Trainer

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "analysis" / "explorer" / "page"


def train_runs(trainer: Trainer, seeds: list[int], rounds: int) -> list[SeedRun]:
    """Runs of iterative pruning, as the bundle takes them, without a store."""
    records = list(find_tickets(trainer, Rates(dense=0.4, output=0.2), [PRUNING], seeds, rounds))
    runs = []
    for seed in seeds:
        own = sorted((r for r in records if r.seed == seed), key=lambda r: r.round)
        last = {layer: np.zeros(k.shape, np.uint8) for layer, k in kernels_of(own[0].start.params).items()}
        for record in own[1:]:
            for layer, mask in record.start.masks.items():
                last[layer][np.asarray(mask)] = record.round
        accuracies = [Round(r.weights_remaining, float(r.trained.test_at_early_stop.accuracy)) for r in own]
        runs.append(SeedRun(seed, own[0].start.params, own[0].trained.params, tuple(accuracies), last))
    return runs


def node() -> str:
    """Node.js: the machine's own, or the one that Playwright's package brings."""
    found = shutil.which("node")
    if found:
        return found
    import playwright

    return str(Path(playwright.__file__).parent / "driver" / "node")


def answers(site: Path, settings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the page's own modules make of the settings, in Node."""
    return asked_in_node("answers.mjs", site, settings)


def asked_in_node(program: str, site: Path, questions: list[Any]) -> list[Any]:
    """A program's answers to questions about a site, both in JSON."""
    command = [node(), str(ROOT / "tests" / "explorer" / program), str(PAGE), str(site)]
    ended = subprocess.run(command, input=json.dumps(questions), capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    found: list[Any] = json.loads(ended.stdout)
    return found


@contextmanager
def serving(site: dict[str, bytes]) -> Iterator[SiteServer]:
    """A site on the explorer's own server, in a thread."""
    with SiteServer(site) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
