"""The examples of README and the docs run, each in a namespace of its own, as somebody would copy them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from supermask.analysis.command.cli import run_command
from supermask.analysis.studies.plugin_files import load_plugin
from supermask.figures.catalogue import CATALOGUE

ROOT = Path(__file__).parent.parent


def examples(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.S)


@pytest.mark.slow
def test_the_librarys_examples_run():
    """In one fresh process, since devices are asked for before JAX starts."""
    blocks = examples("docs/library.md") + [b.replace("steps=500", "steps=5") for b in examples("README.md")]
    assert len(blocks) >= 4
    code = "\n".join(f"exec(compile({block!r}, 'example {i}', 'exec'), {{}})" for i, block in enumerate(blocks))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "RoundRecord(treatment=Treatment(criterion=large_final" in done.stdout


def test_the_examples_of_ones_own_data_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = examples("docs/data.md")
    assert len(blocks) == 4
    for number, block in enumerate(blocks):
        exec(compile(block, f"example {number}", "exec"), {})  # noqa: S102
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beetles.npz", "cifar100.npz"]


def test_the_examples_of_controls_and_barriers_run(capsys):
    first, second, flips, third, fourth = examples("docs/signs.md")
    exec(compile(first, "first example", "exec"), {})  # noqa: S102
    overlap, opposite = map(float, capsys.readouterr().out.split())
    assert (0.1 < overlap < 0.3, opposite) == (True, 0), "a fifth is kept: by chance, and of the others none"
    exec(compile(second, "second example", "exec"), {})  # noqa: S102
    assert 0 < float(capsys.readouterr().out) < 1
    exec(compile(flips, "example of flips", "exec"), {})  # noqa: S102
    assert "hidden/kernel" in (said := capsys.readouterr().out)
    assert "FlipCounts(weights=600, changed=" in said
    exec(compile(third, "third example", "exec"), {})  # noqa: S102
    assert "(8, 6)" in capsys.readouterr().out
    exec(compile(fourth, "fourth example", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out.startswith("1\n[[")


def test_the_examples_of_ones_own_criteria_are_plugins(tmp_path):
    first, second, third, fourth = examples("docs/criteria-and-actions.md")
    names = []
    for number, text in enumerate((first, second, third)):
        path = tmp_path / f"example{number}.py"
        path.write_text(text)
        names += [member.name for member in load_plugin(path).members()]
        assert run_command(["check-plugin", str(path)], CATALOGUE) == 0
    assert names == [
        *("relative_growth", "half", "sensitivity_at_the_end", "blurred"),
        *("growth_1", "growth_3", "nearest_to_0.1", "nearest_to_0.5", "mixture_0.7"),
    ]
    space: dict[str, object] = {}
    exec(compile(fourth, "example", "exec"), space)  # noqa: S102
    assert space["treatment"].criterion.name == "squared"
