"""Two CPU devices, run-time checks of every annotated shape in `supermask`, and no silent broadcasting of ranks."""

import faulthandler
import os
from collections.abc import Callable
from pathlib import Path

import flax  # noqa: F401  # draws from `random` when first imported, which no hypothesis strategy may do
import jax
import jaxtyping
import numpy as np
import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from hypothesis import settings
from jaxtyping import install_import_hook
from sampled import EVERY_RUN, named

# Compiling takes most of the tests' time: optimising half of that, and XLA's own code for fusions a third of the rest.
# XLA_FLAGS='' tests what users run, as CI does.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")

SCIENCE = [path for path in Path(__file__).parents[1].joinpath("supermask").iterdir() if not path.is_symlink()]
install_import_hook([f"supermask.{path.stem}" for path in SCIENCE], "typecheck.checked")

# Examples compile programs, so time says nothing of them; they are the same in every run.
settings.register_profile("tests", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("tests")


LONGEST = tuple(
    f"test_{name}.py"
    for name in (
        *("explorer_page", "sparse_training", "explorer_faults", "learned_masks", "recipe", "pruning", "checkpoints"),
        *("conformance", "pictures", "sign_flips", "lottery", "training", "figures", "redraw", "explorer_class"),
        *("explorer_lab", "packing", "report", "convolution", "sharding", "explorer", "cli", "cluster_kills", "readme"),
        *("network_conformance", "own_networks", "faults", "sparse_runs", "compression", "recurrent", "live_sparse"),
    )
)
"""Files that take longest, the longest first: begun last, such a file leaves the other core idle."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the members that are left to a release, and begins with the longest files; all else stays in its order."""
    seen: dict[str, set[str]] = {test: set() for test in EVERY_RUN}
    for item in items:
        test, member = named(item.nodeid)
        if test in EVERY_RUN:
            seen[test].add(member)
            if member not in EVERY_RUN[test]:
                item.add_marker("thorough")
    if not any("::" in argument for argument in config.args):
        files = {item.path.name for item in items}
        gone = [f"{t}[{m}]" for t, ms in EVERY_RUN.items() if t.split("::")[0] in files for m in ms if m not in seen[t]]
        if gone:
            raise pytest.UsageError(f"tests/sampled.py names what there is not: {', '.join(gone)}")
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def digits():  # type: ignore[no-untyped-def]
    """The smallest real data set: 8×8 digits."""
    from supermask.datasets import load

    return load("digits")


@pytest.fixture(scope="session")
def other_digits(digits):  # type: ignore[no-untyped-def]
    """The digits turned by a quarter: other data with images and classes like theirs."""
    from supermask.datasets import from_arrays

    parts = digits.train, digits.test, digits.validation
    turned = [(np.ascontiguousarray(np.rot90(part.images, axes=(1, 2))), part.labels) for part in parts]
    return from_arrays(*turned, classes=10, name="turned")


@pytest.fixture(scope="session")
def small_network():  # type: ignore[no-untyped-def]
    """A small FC for the small digits."""
    from supermask.networks import FeedForward

    return FeedForward(hidden=(40, 20))


@pytest.fixture(scope="session")
def trainer(digits, small_network):  # type: ignore[no-untyped-def]
    """Trains the small network for 300 steps: some two hundredths of a second each."""
    from supermask.population import place
    from supermask.training import Trainer, TrainingConfig

    return Trainer(small_network, digits, TrainingConfig(300, 3e-3), place(4000, networks=8))


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory):  # type: ignore[no-untyped-def]
    """Keeps compiled programs on the disk, for all processes of a run: most of the tests' time goes into compiling.

    So that commands that tests start find them, too, the folder is told in the environment. One that is told there
    already keeps programs for later runs as well.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture
def unchecked():  # type: ignore[no-untyped-def]
    """The library as users call it: the run-time checks of annotated shapes would stand before its own."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def alive(pytestconfig: pytest.Config) -> Callable[[], None]:
    """Begins the time anew after which a test counts as hanging: for attacks of many parts, once a part is done."""
    seconds = float(pytestconfig.getini("faulthandler_timeout"))

    def restart() -> None:
        file = pytestconfig.stash[fault_handler_stderr_fd_key]
        faulthandler.dump_traceback_later(seconds, file=file, exit=True)

    return restart


@pytest.fixture
def results_folder(tmp_path: Path) -> Path:
    """A new results folder."""
    return tmp_path / "results"


@pytest.fixture(scope="module")
def browser():  # type: ignore[no-untyped-def]
    """Chromium under Playwright; tests that ask for it are skipped where there is none."""
    from browsers import CHROMIUM_FLAGS, chromium

    playwright = pytest.importorskip("playwright.sync_api")
    path = chromium()
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield started
        started.close()


@pytest.fixture
def offline_page(browser):  # type: ignore[no-untyped-def]
    """A page for a file, without a network. What it says on the console or asks elsewhere is a failure."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: trouble.append(request.url) if request.url.startswith("http") else None)
    yield page
    context.close()
    assert not trouble


@pytest.fixture(scope="session")
def quick(tmp_path_factory):  # type: ignore[no-untyped-def]
    """The explorer's site for FC of the real size on embedded digits, as `supermask explore` would train it."""
    from browsers import chromium
    from explorer_pages import quick_site

    chromium()
    folder = tmp_path_factory.getbasetemp()
    return quick_site(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder)


@pytest.fixture(scope="module")
def address(quick):  # type: ignore[no-untyped-def]
    """Where the explorer's site is served."""
    from explorer_site import serving

    with serving(quick.site) as server:
        yield server.url


@pytest.fixture(scope="module")
def pages(browser, address):  # type: ignore[no-untyped-def]
    """Pages of the explorer, in windows that the tests of a module share."""
    from explorer_pages import Pages

    found = Pages(browser, address)
    yield found
    found.close()


@pytest.fixture
def open_page(pages):  # type: ignore[no-untyped-def]
    """Opens the explorer's page. What it says on the console or asks elsewhere is a failure."""
    yield pages.open
    pages.rest()


@pytest.fixture
def at(pages):  # type: ignore[no-untyped-def]
    """Brings the page that tests share to an address. What it says on the console or asks elsewhere is a failure."""
    yield pages.at
    pages.rest()
