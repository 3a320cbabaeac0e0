"""Surroundings that a command did not choose: no accelerator, no home, a full disk, files where folders should be."""

import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import FAILED, MISUSED
from supermask.analysis.system.errors import UsageError
from supermask.analysis.system.files import check_folder
from supermask.analysis.system.platform import _cache, backend_fault
from supermask.datasets import DataError, cache_folder
from supermask.figures.catalogue import CATALOGUE

COMMAND = [sys.executable, "-c", "from supermask.figures.command import main; main()"]
SMALL = ["--dataset", "digits", "--epochs", "1", "--seeds", "1"]


def run(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    own = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)} | environment
    return subprocess.run([*COMMAND, *arguments], cwd=folder, env=own, capture_output=True, text=True, timeout=300)


@pytest.fixture
def without_jax(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("supermask.analysis.system.platform.set_up_jax", lambda devices=None: None)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("JAX_PLATFORMS", "cuda", "JAX_PLATFORMS is 'cuda', which cannot be used here: "),
        ("JAX_PLATFORMS", "abacus", "JAX_PLATFORMS is 'abacus', which cannot be used here: "),
        ("JAX_ENABLE_X64", "maybe", "JAX_ENABLE_X64"),
    ],
)
def test_what_jax_cannot_do_here_is_one_line(name, value, words, tmp_path):
    arguments = ("reproduce", "criteria-plane", *SMALL)
    if value == "cuda" and run("bench", "--pairs", "0", folder=tmp_path, **{name: value}).returncode == 0:
        pytest.skip("there is an accelerator")
    ended = run(*arguments, folder=tmp_path, **{name: value})
    assert ended.returncode == MISUSED
    assert ended.stderr.splitlines()[-1].startswith("supermask: error: ")
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "results").exists()


def test_matplotlibs_backend_is_no_matter(tmp_path):
    ended = run("reproduce", "criteria-plane", "--dry-run", *SMALL[:2], folder=tmp_path, MPLBACKEND="nonsense")
    assert (ended.returncode, ended.stderr) == (0, "")
    code = "import os, sys; from supermask.figures.command import _command; sys.argv[1:] = ['figures']; _command(); "
    code += "import matplotlib; print(matplotlib.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"MPLBACKEND": "nonsense"}, capture_output=True, text=True
    )
    assert done.stdout.endswith("matplotlib\n"), done.stderr


def test_where_jax_works_nothing_is_wrong_with_it():
    assert backend_fault() == ""
    assert backend_fault(RuntimeError("a bug of ours")) == ""


@pytest.fixture
def homeless(monkeypatch):
    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_a_user_without_a_home_is_told_what_to_set(homeless, capsys, tmp_path, without_jax):
    assert _cache() is None
    assert "set HOME or JAX_COMPILATION_CACHE_DIR" in capsys.readouterr().err
    with pytest.raises(DataError, match="set HOME, or XDG_CACHE_HOME"):
        cache_folder()
    assert run_command(["figures", "--dataset", "mnist"], CATALOGUE) == FAILED
    assert run_command(["figures", "--results=~/r"], CATALOGUE) == MISUSED
    assert "Could not determine home directory" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_home_that_cannot_be_written_to_costs_the_cache_alone(monkeypatch, capsys):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/dev/null")
    assert _cache() is None
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("place", ["figures", "results", "compressed", "arrays", "unfinished"])
def test_a_file_where_a_folder_should_be_is_said_before_anything_is_trained(place, tmp_path, capsys, without_jax):
    results = tmp_path / "results"
    if place == "results":
        results.touch()
    else:
        results.mkdir()
        (results / place).touch()
    figure = "deep-compression" if place == "compressed" else "criteria-plane"
    assert run_command(["reproduce", figure, "--dataset", "digits", "--seeds", "1"], CATALOGUE) == MISUSED
    said = capsys.readouterr()
    assert f"results{'' if place == 'results' else f'/{place}'} is not a folder" in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_folder_is_checked_up_to_where_it_begins(tmp_path):
    check_folder("results", tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
    (tmp_path / "broken").symlink_to(tmp_path / "none")
    with pytest.raises(UsageError, match="broken is not a folder"):
        check_folder("results", tmp_path / "broken" / "b")
    with pytest.raises(UsageError, match="File name too long"):
        check_folder("results", tmp_path / ("x" * 300))


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["reproduce", "criteria-plane", "--dataset", "mnist", "--data-dir", "nowhere"], FAILED),
        (["reproduce", "lottery-tickets", *SMALL], MISUSED),
        (["reproduce", "dsd", "--network", "lenet5", "--dataset", "digits"], MISUSED),
        (["reproduce", "criteria-plane", "--criteria", "snip"], MISUSED),
        (["reproduce", "--shard", "9/8"], MISUSED),
        (["reproduce", "--cluster", "none.toml"], MISUSED),
        (["figures", "--dataset", "digits"], 0),
        (["explore", "--seeds", "1"], MISUSED),
        (["explore", "--dataset", "mnist", "--data-dir", "nowhere"], FAILED),
        (["explore", "--export", "a/b/c"], MISUSED),
        (["report", "--output", "a/b/c.html"], MISUSED),
    ],
)
def test_misuse_leaves_no_folder(arguments, status, tmp_path, capsys, without_jax):
    assert run_command(arguments, CATALOGUE) == status
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_taken_is_said_before_anything_is_trained(tmp_path, capsys, without_jax):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run_command(["explore", "--dataset", "digits", "--port", port], CATALOGUE) == MISUSED
    assert f"port {port} cannot be used" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_images_that_a_network_cannot_read_are_said(capsys, without_jax):
    arguments = ["figures", "weight-movement", "--network", "lenet5", "--dataset", "digits"]
    assert run_command(arguments, CATALOGUE) == MISUSED
    words = "dataset digits has images of 8×8×1, too small for lenet5; allowed: mnist5k, mnist, fashion-mnist, cifar10"
    assert words in capsys.readouterr().err
