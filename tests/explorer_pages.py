"""What tests of the explorer's page in Chromium share: the network of the real size, pages, and waiting for them."""

import fcntl
import json
import pickle
import re
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
            trained = [on_host(run) for run in train_runs(trainer, [0, 1], rounds=2)]
            kept.write_bytes(pickle.dumps((trained, make_bundle(experiment, NETWORKS["fc"], trained))))
    runs: list[SeedRun]
    runs, bundle = pickle.loads(kept.read_bytes())  # noqa: S301  this session's own
    site = site_files(bundle)
    assert sum(map(len, site.values())) < 6_000_000
    return Quick(site, Reference(data, NETWORKS["fc"], runs), runs)


def on_host(run: SeedRun) -> SeedRun:
    """The run with NumPy's arrays, which can be pickled."""
    initial, final, last = (jax.tree.map(np.asarray, dict(each)) for each in (run.initial, run.final, run.last_round))
    return SeedRun(run.seed, initial, final, run.rounds, last)


HURRY = """() => {
  for (const name of ["setTimeout", "setInterval"]) {
    const real = window[name].bind(window);
    const hurried = (wait) => (wait >= 500 && wait <= 1000 ? wait / 10 : wait);
    window[name] = (called, wait, ...rest) => real(called, hurried(wait), ...rest);
  }
}"""
"""Has the page wait a tenth as long before a state counts as one that stands still, and between rounds."""

LONGER = 300
"""Milliseconds longer than any wait of a hurried page: 700 is the longest of those, so it takes 70."""

PLAIN_SUMS = """() => {
  const numbers = new Float32Array(4096).fill(0.5);
  const times = [1, 2, 3, 4, 5].map(() => {
    const asked = performance.now();
    let sum = 0;
    for (let again = 0; again < 4000; again++) for (let at = 0; at < 4096; at++) sum += numbers[at] * again;
    return sum > 0 && performance.now() - asked;
  });
  return times.sort((a, b) => a - b)[2];
}"""

SUMS = 5
"""How often plain sums are taken."""

SUMS_MS = 15
"""Milliseconds that plain sums take on idle cores."""

OPENED = "main.opened #accuracy[data-right]"
"""Where a page has its first reading, and all of its parts."""

TRACED = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline", "blink.user_timing"]
"""What a trace must hold for `longest_tasks`."""

MEDIA: dict[str, Any] = {"color_scheme": "light", "reduced_motion": "no-preference"}
"""What Playwright has a page believe by itself."""

RENEW = """(fragment) => {
  for (const each of document.querySelectorAll("details[open]")) each.open = false;
  document.activeElement?.blur();
  document.querySelector("input[name=brush][value=paint]").click();
  scrollTo(0, 0);
  document.documentElement.dataset.state = "moving";
  location.hash = "elsewhere";
  location.hash = fragment;
}"""


class Pages:
    """Pages of the explorer for the tests of a module, which keeps their windows: a new one costs as much as a test.

    What a page says on the console or asks elsewhere is noted in `trouble`.
    """

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.trouble: list[str] = []
        self._browser = browser
        self._address = address
        self._options = options
        self._kept: list[Any] = []
        self._out: list[Any] = []
        self._odd: list[Any] = []
        self._shared: Any = None
        self._resting = False

    def open(
        self,
        fragment: str = "",
        at: str | None = None,
        size: str = "laptop",
        search: str = "",
        hurried: bool = True,
        page: Any = None,
        **options: Any,
    ) -> Any:
        """Loads the page anew, in place of another one if that is given, and waits for its first reading.

        With options of the window, such as a touch screen, it gets one of its own.
        """
        media = {name: options.pop(name) for name in MEDIA if name in options}
        if page is not None:
            page.goto("about:blank")
        elif options or not hurried:
            page = self._window(hurried, **options)
            self._odd.append(page)
        else:
            page = self._kept.pop() if self._kept else self._window()
            self._out.append(page)
        self._shape(page, size, media)
        page.goto((at or self._address) + search + (f"#{fragment}" if fragment else ""))
        page.wait_for_selector(OPENED, timeout=60_000)
        return page

    def at(self, fragment: str = "", size: str = "laptop", **media: Any) -> Any:
        """The page that tests share, settled at an address: curves are expensive, and a page remembers them.

        What an address holds is as in a page that was just loaded. The list of tries, the places for undo, what was
        trained and what the browser remembers are those of earlier tests: who asks for these opens a page.
        """
        if self._shared is None:
            self._shared = self._window()
            self._shared.goto(self._address)
            self._shared.wait_for_selector(OPENED, timeout=60_000)
        self._shared.mouse.up()
        self._shape(self._shared, size, media)
        self._shared.evaluate(RENEW, fragment)
        settled(self._shared)
        return self._shared

    def rest(self) -> None:
        """Takes the pages back that a test has opened, and fails where one of them made trouble."""
        self._resting = True
        for page in self._odd:
            page.context.close()
        for page in self._out:
            page.mouse.up()
            if page.url.startswith("http"):
                page.evaluate("localStorage.clear()")
            page.goto("about:blank")
        self._kept += self._out
        self._odd, self._out, self._resting = [], [], False
        found, self.trouble = self.trouble, []
        assert not found, found

    def close(self) -> None:
        """Closes all windows."""
        self.rest()
        for page in [*self._kept, self._shared]:
            if page is not None:
                page.context.close()

    def _window(self, hurried: bool = True, **options: Any) -> Any:
        context = self._browser.new_context(accept_downloads=True, **self._options, **options)
        if hurried:
            context.add_init_script(f"({HURRY})()")
        page = context.new_page()
        page.on("console", lambda message: self._note(page, f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self._note(page, str(error)))
        page.on("requestfailed", lambda request: self._fail(page, request))
        context.on("request", lambda request: self._ask(page, request.url))
        return page

    def _note(self, page: Any, word: str) -> None:
        if not self._resting:
            self.trouble.append(word)

    def _fail(self, page: Any, request: Any) -> None:
        """Notes it, but for the icon: browsers fetch it when they have time, which a page that is left cuts short."""
        if not (request.url.endswith("/icon.svg") and request.failure == "net::ERR_ABORTED"):
            self._note(page, f"failed: {request.url} ({request.failure})")

    def _ask(self, page: Any, url: str) -> None:
        found = re.match(r"https?://[^/]+", page.url if page.url.startswith("http") else url)
        if not url.startswith((found[0] if found else page.url, "blob:", "data:")):
            self._note(page, url)

    def _shape(self, page: Any, size: str, media: dict[str, Any]) -> None:
        width, height = SIZES[size]
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(**MEDIA | media)


def slowness(page: Any) -> float:
    """How many times as long plain sums take as on idle cores; 1 where they take less."""
    return max(1.0, float(page.evaluate(PLAIN_SUMS)) / SUMS_MS)


def longest_tasks(trace: bytes) -> tuple[list[float], float]:
    """Processor milliseconds of every task of a page's thread, the longest first; and those of plain sums among them.

    In processor time, because other work on the machine makes a task late and not long. The thread is the one that has
    marked 'sums' and 'summed' around PLAIN_SUMS, whose task is left out.
    """
    events = json.loads(trace)["traceEvents"]
    marks = {each["name"]: each for each in events if each["name"] in ("sums", "summed")}
    thread = marks["sums"]["pid"], marks["sums"]["tid"]
    own = [each for each in events if (each["pid"], each["tid"]) == thread and "tdur" in each]
    tasks = [each for each in own if each["name"] == "RunTask"]
    sums = [each for each in tasks if each["ts"] <= marks["sums"]["ts"] <= each["ts"] + each["dur"]]
    others = sorted((each["tdur"] / 1000 for each in tasks if each not in sums), reverse=True)
    return others, max(each["tdur"] for each in sums) / 1000 / SUMS


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
