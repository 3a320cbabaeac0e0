"""What is built and installed: `supermask` alone, which leaves a user's own `analysis` and `figures` in peace."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMMAND = "import sys; from supermask.figures.command import main; main()"


def build(target: str, source: Path, folder: Path) -> Path:
    """Builds a wheel or an sdist of a source tree."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder of installed packages with the wheel's content."""
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)  # noqa: S202 - built a moment ago
    return folder


def test_the_wheel_has_supermask_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"supermask"}
    packages = ("supermask", "analysis", "figures")
    files = {path for package in packages for path in (ROOT / package).rglob("*.py")}
    modules = {path.relative_to(ROOT).as_posix() for path in files}
    expected = {name if name.startswith("supermask/") else f"supermask/{name}" for name in modules}
    assert {name for name in names if name.endswith(".py")} == expected
    for name in ("supermask/py.typed", "supermask/analysis/explorer/page/index.html"):
        assert name in names
    assert not [name for name in names if "gallery" in name or "test" in name or "__pycache__" in name]


def test_the_wheel_from_the_sdist_is_the_wheel_from_the_tree(wheel, sdist, tmp_path):
    """Bytes and all: the links in supermask/ are files in an sdist, whose tree has no folders beside it."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    assert not (tree / "analysis").exists()
    rebuilt = build("wheel", tree, tmp_path / "wheel")
    assert rebuilt.read_bytes() == wheel.read_bytes()
    assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "mkdocs.yml", "tests", "docs", "notebooks"} <= {
        path.name for path in tree.iterdir()
    }


@pytest.fixture(params=["packages", "folders"])
def repository(request, tmp_path):
    """Somebody's own repository with folders of these names, with and without __init__.py."""
    for name in ("analysis", "figures"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(f"NAME = {name!r}\n")
        if request.param == "packages":
            (tmp_path / name / "__init__.py").touch()
    return tmp_path


def python(repository: Path, site: Path, *arguments: str, first: str = ".") -> subprocess.CompletedProcess[str]:
    """Runs Python in the repository, with its root in PYTHONPATH before or behind the installed packages.

    Without site (-S), for the tests' environment may have a checkout in its path: an editable installation.
    """
    installed = os.pathsep.join((str(site), sysconfig.get_paths()["purelib"]))
    path = os.pathsep.join((first, installed) if first else (installed, "."))
    command = [sys.executable, "-S", *arguments]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("first", [".", ""], ids=["own-first", "installed-first"])
def test_a_repository_keeps_its_own_analysis_and_figures(repository, site, first):
    """And the command and the benchmark's peer work in it, from what is installed."""
    code = (
        "import analysis.mine, figures.mine, supermask.analysis.system.errors as ours, supermask.figures\n"
        "print(analysis.mine.NAME, figures.mine.NAME, ours.__file__)"
    )
    done = python(repository, site, "-c", code, first=first)
    errors = site / "supermask" / "analysis" / "system" / "errors.py"
    assert done.stdout.split() == ["analysis", "figures", str(errors)], done.stderr
    if first:  # what is found first there is the user's: the harder case
        figures = python(repository, site, "-c", COMMAND, "figures", "criteria-plane", "--dataset", "digits")
        assert "criteria-plane" in figures.stdout, figures.stderr
    peer = python(repository, site, "-m", "supermask.analysis.command.bench.torch_peer", "--threads", "1", first=first)
    if find_spec("torch") is None:
        assert peer.stderr.endswith("No module named 'torch'\n")
    else:
        assert peer.returncode == 0, peer.stderr


@pytest.mark.thorough
@pytest.mark.parametrize("repository", ["packages"], indirect=True)
def test_workers_of_a_cluster_run_in_such_a_repository(repository, site):
    """Dask's workers inherit folder and path."""
    small = ["--dataset", "digits", "--epochs", "1", "--seeds", "1", "--cluster", "local"]
    done = python(repository, site, "-c", COMMAND, "reproduce", "criteria-plane", *small)
    assert done.returncode == 0, done.stderr
    assert list((repository / "results" / "figures").glob("criteria-plane*.svg"))
