"""What tests of the explorer's page in Chromium share: the network of the real size, pages, and waiting for them."""

import fcntl
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from explorer_reference import Reference
from explorer_site import train_runs

from supermask.analysis.explorer.bundle import SeedRun, make_bundle
from supermask.analysis.explorer.site import site_files
from supermask.analysis.studies.experiment import Experiment
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.datasets import load
from supermask.networks import NETWORKS
from supermask.population import place
from supermask.training import Trainer

BEST = "criterion=large_final_same_sign&kept=constant&level=4"
"""A supermask of signed constants: an untrained network that recognises digits."""

SIZES = {
    "phone": (390, 844),
    "laptop": (1366, 768),
    "projector": (1920, 1080),
    "zoomed": (320, 256),
    "tall": (1366, 2600),
}


@dataclass(frozen=True)
class Quick:
    """The site, the toolkit's own answers to its settings, and the runs that it shows."""

    site: dict[str, bytes]
    reference: Reference
    runs: list[SeedRun]


def quick_site(folder: Path) -> Quick:
    """Two seeds and two rounds by protocol 'quick'; trained once for all processes that share the folder."""
    data = load("mnist5k")
    experiment = Experiment(protocol("quick", changes=Changes(seeds=2, rounds=2)), data)
    kept = folder / "explorer-runs.pickle"
    with (folder / "explorer-runs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            trainer = Trainer(NETWORKS["fc"], data, experiment.training, place(266_610, networks=2))
            kept.write_bytes(pickle.dumps([on_host(run) for run in train_runs(trainer, [0, 1], rounds=2)]))
    runs: list[SeedRun] = pickle.loads(kept.read_bytes())  # noqa: S301  this session's own
    site = site_files(make_bundle(experiment, NETWORKS["fc"], runs))
    assert sum(map(len, site.values())) < 6_000_000
    return Quick(site, Reference(data, NETWORKS["fc"], runs), runs)


def on_host(run: SeedRun) -> SeedRun:
    """The run with NumPy's arrays, which can be pickled."""
    initial, final, last = (jax.tree.map(np.asarray, dict(each)) for each in (run.initial, run.final, run.last_round))
    return SeedRun(run.seed, initial, final, run.rounds, last)


def opener(browser: Any, address: str, contexts: list[Any], trouble: list[str]) -> Callable[..., Any]:
    """Opens a page and waits for its first reading; notes what it says on the console or asks elsewhere."""

    def opened(fragment: str = "", at: str = address, size: str = "laptop", search: str = "", **options: Any) -> Any:
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        found = re.match(r"https?://[^/]+", at)
        origin = found[0] if found else at
        page.on("console", lambda message: trouble.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("requestfailed", lambda request: trouble.append(f"failed: {request.url}"))
        context.on(
            "request",
            lambda request: None if request.url.startswith((origin, "blob:", "data:")) else trouble.append(request.url),
        )
        page.goto(at + search + (f"#{fragment}" if fragment else ""))
        page.wait_for_selector("#accuracy[data-right]", timeout=60_000)
        return page

    return opened


def settled(page: Any) -> str:
    """The address's state once the page stands still."""
    page.wait_for_selector("html[data-state=settled]", timeout=60_000)
    address: str = page.evaluate("location.hash")
    return address


def with_curves(page: Any) -> None:
    """Waits for every curve to be drawn."""
    page.wait_for_selector("html[data-curves=drawn]", timeout=120_000)
    page.evaluate("new Promise(requestAnimationFrame)")


def right(page: Any) -> int:
    """How many of the test images the network on the page gets right."""
    return int(page.get_attribute("#accuracy", "data-right"))


def draw_a_one(page: Any) -> None:
    """Draws a nearly upright line on the pad, by mouse."""
    pad = page.locator("#own-canvas")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    x = box["x"] + box["width"] / 2
    page.mouse.move(x, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(x + 4, box["y"] + box["height"] - 30, steps=8)
    page.mouse.up()
