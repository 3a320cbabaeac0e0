"""What is installed: the core stands on its own few packages, and a missing extra is one line.

The core's environment is made of links to the packages that pyproject.toml names for it, and to theirs: what it does
not name is not there to be imported.
"""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from supermask.analysis.command.cli import run_command
from supermask.extras import EXTRAS, MissingExtraError, missing, need
from supermask.figures.catalogue import CATALOGUE

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements: list[str]) -> set[str]:
    """The distributions of some requirements, those of the project's own extras included."""
    found = set()
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if requirement.name == "supermask":
            found |= {n for extra in requirement.extras for n in names(PROJECT["optional-dependencies"][extra])}
        else:
            found.add(canonicalize_name(requirement.name))
    return found


@pytest.fixture(scope="session")
def core(tmp_path_factory):
    """A folder with the core's packages, and this package."""
    folder = tmp_path_factory.mktemp("core")
    (folder / "supermask").symlink_to(ROOT / "supermask")
    seen, todo = set(), names(PROJECT["dependencies"])
    while todo:
        name = todo.pop()
        seen.add(name)
        own = distribution(name)
        todo |= names(list(own.requires or ())) - seen
        for top in {file.parts[0] for file in own.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(own.locate_file(top))))
    return folder


def python(code: str, folder: Path, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a process that finds the packages of one folder alone."""
    command = [sys.executable, "-S", "-W", "error", "-c", code, *arguments]
    environment = {"PYTHONPATH": str(path), "JAX_PLATFORMS": "cpu", "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_the_core_stands_on_its_own_packages(core, tmp_path):
    """README's example and every public name, in an environment of the core alone."""
    (example,) = re.findall(r"```python\n(import jax\nimport optax\n.*?)```", (ROOT / "README.md").read_text(), re.S)
    every = "[getattr(sm, name) for name in sm.__all__]\n"
    files = "sm.save_masks('m', initial, masks)\nassert sm.load_masks('m', initial)['hidden']['w'].sum() == 256\n"
    done = python(example + every + files, tmp_path, core)
    assert (done.returncode, done.stderr) == (0, "")
    assert "20.00% of the weights" in done.stdout


MISSING = {
    "import supermask; supermask.networks": "flax 'supermask[networks]'",
    "from supermask.lottery import find_tickets": "flax 'supermask[networks]'",
    "from supermask.neural_graphs.graph import NeuralGraph": "flax 'supermask[networks]'",
    "from supermask.neural_graphs.wirings import random_wiring": "flax 'supermask[networks]'",
    "from supermask.compression.coding import encode": "constriction 'supermask[compression]'",
    "import supermask; supermask.datasets.load('digits')": "scikit-learn 'supermask[data]'",
    "import supermask; supermask.datasets.load('mnist', download=False)": "pooch 'supermask[data]'",
}


def test_a_missing_extra_is_one_line(core, tmp_path):
    """Which package is missing, and the command that installs it, where the work begins."""
    code = "import sys\nfor line in sys.argv[1:]:\n try:\n  exec(line)\n except Exception as error: print(error)"
    lines = python(code, tmp_path, core, *MISSING).stdout.splitlines()
    for line, expected in zip(lines, MISSING.values(), strict=True):
        package, extra = expected.split()
        assert package in line
        assert line.endswith(f"pip install {extra}")


def test_the_command_without_its_extra_says_so_in_one_line_and_does_nothing(core, tmp_path):
    code = "import sys; from supermask.figures.command import main; main()"
    done = python(code, tmp_path, core, "reproduce", "criteria-plane")
    words = "the package flax is not installed; it is part of an extra: pip install 'supermask[command]'"
    assert (done.returncode, done.stderr, done.stdout) == (2, f"supermask: error: {words}\n", "")
    assert list(tmp_path.iterdir()) == []
    helps = python(code, tmp_path, core, "reproduce", "--help")
    assert helps.returncode == 0
    assert "mask-criteria" in helps.stdout


def test_extras_have_the_packages_that_are_imported():
    """The names in supermask/extras.py are those of pyproject.toml's packages: no more, no less."""
    by_module = {module: set(map(canonicalize_name, found)) for module, found in packages_distributions().items()}
    assert set(EXTRAS) <= set(PROJECT["optional-dependencies"])
    for extra, modules in EXTRAS.items():
        declared = names(PROJECT["optional-dependencies"][extra])
        assert all(by_module[module] & declared for module in modules), extra
        assert declared <= {name for module in modules for name in by_module[module]}, extra
        need(extra)


def test_another_modules_error_stays_what_it_is():
    error = ModuleNotFoundError("No module named 'elsewhere'", name="elsewhere")
    assert missing(error, "networks") is error
    assert missing(ModuleNotFoundError("No module named 'flax'", name="flax.linen"), "networks").name == "flax"


def test_a_command_asks_for_its_extra_before_it_begins(monkeypatch, capsys, tmp_path):
    def absent(extra):
        raise MissingExtraError(f"{extra} is missing")

    monkeypatch.setattr("supermask.analysis.command.cli.need", absent)
    assert run_command(["figures"], CATALOGUE) == 2
    assert capsys.readouterr().err == "supermask: error: command is missing\n"
