"""Criteria and actions of one's own: found, checked, shown, and stored apart."""

import importlib
import os
import re
import subprocess
import sys

import jax.numpy as jnp
import pandas as pd
import pytest

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import FAILED, MISUSED, OK
from supermask.analysis.command.reproduce import FigureRequest, reproduce
from supermask.analysis.studies.plugin_files import load_plugin
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.analysis.system.errors import UsageError
from supermask.criteria import LayerFacts
from supermask.figures.catalogue import CATALOGUE
from supermask.named_members import BUILT_IN
from supermask.restarts import scores_of

COMMAND = [sys.executable, "-c", "from supermask.figures.command import main; main()"]

GOOD = '''
import jax.numpy as jnp
from supermask.plugins import criterion, kept_action, pruned_action

@criterion("|wf / wi|")
def relative_growth(w_initial, w_final):
    """How much a weight grew, relative to its start."""
    return jnp.abs(w_final) / (jnp.abs(w_initial) + 1e-12)

@kept_action
def half(w_initial):
    """Half the initial value."""
    return w_initial / 2

@pruned_action
def tenth(w_initial):
    """A tenth of the initial value."""
    return w_initial / 10
'''

BAD = """
import jax.numpy as jnp
from supermask.plugins import criterion

@criterion("place")
def by_place(w_initial):
    return jnp.arange(w_initial.size, dtype=jnp.float32).reshape(w_initial.shape)
"""


def written(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(text)
    return path


def test_a_plugins_members_are_found_and_nothing_it_imported_is(tmp_path):
    plugin = load_plugin(written(tmp_path, GOOD))
    assert [member.name for member in plugin.members()] == ["relative_growth", "half", "tenth"]
    assert len({member.source for member in plugin.members()}) == 1
    other = load_plugin(written(tmp_path, GOOD + "\n# changed", "other.py"))
    assert other.criteria[0].source != plugin.criteria[0].source, "another file, other results"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return w_final / undefined", "relative_growth raised NameError in line 8: name 'undefined' is not defined"),
        ("return jnp.reshape(w_final, (3, 3))", "relative_growth raised TypeError"),
        ("return jnp.sum(w_final)", r"relative_growth returned values of shape \(\); the layer has \(64, 300\)"),
    ],
)
def test_a_plugin_that_raises_in_the_middle_names_itself(tmp_path, capsys, body, message):
    path = written(tmp_path, GOOD.replace("return jnp.abs(w_final) / (jnp.abs(w_initial) + 1e-12)", body))
    criterion = load_plugin(path).criteria[0]
    weights = jnp.ones((64, 300))
    with pytest.raises(UsageError, match=f"plugin {path}: {message}"):
        scores_of(criterion, {"hidden1": weights}, {"hidden1": weights}, {"hidden1": weights > 0}, None)
    assert run_command(["check-plugin", str(path)], CATALOGUE) == FAILED
    assert f"plugin {path}: relative_growth" in capsys.readouterr().out


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("figure", ["supermasks-at-init", "mask-criteria"])
def test_a_plugin_that_raises_at_once_leaves_no_results_folder(tmp_path, figure, dry_run):
    """Its functions are called before anything is trained: mask-criteria would find out after round 0 alone."""
    path = written(tmp_path, GOOD.replace("return jnp.abs(w_final) / (jnp", "return jnp.abs(w_final) / (json"))
    (member,) = load_plugin(path).criteria
    request = FigureRequest(
        {figure: CATALOGUE[figure].load()},
        protocol("quick", changes=Changes(dataset="digits", rounds=1)),
        criteria=(),
        shown=(),
        members=BUILT_IN.plus(member),
        data_dir=None,
        results=tmp_path / "results",
    )
    with pytest.raises(UsageError, match=f"plugin {path}: relative_growth raised NameError in line 8"):
        reproduce(request, dry_run)
    assert not request.results.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "defines nothing; decorate a function"),
        ("def f(w_final): return w_final", r"defines nothing; f is not decorated: @criterion\("),
        ("import sys; sys.exit()", "raised SystemExit"),
        (GOOD + GOOD.replace("|wf / wi|", "other"), "defines 'relative_growth' twice"),
        (GOOD.replace("def relative_growth", "def unpruned"), "name is 'unpruned', a reserved word"),
        (GOOD.replace("relative_growth(w_initial, w_final)", "relative_growth()"), "asks for no weights"),
        (GOOD.replace('@criterion("|wf / wi|")', "@criterion"), "allowed: its formula first"),
        ("from supermask.criteria import movement", "defines nothing"),
        ("1 / 0", "raised ZeroDivisionError: division by zero"),
        ("def broken(:", "raised SyntaxError"),
        (GOOD.replace("relative_growth", "movement"), "name is 'movement', a name that is taken"),
        (GOOD.replace("w_final):", "hessian):"), "criterion relative_growth: parameters hessian are unknown"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_plugin_that_cannot_be_used_says_why(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        load_plugin(written(tmp_path, text))


def test_a_file_that_is_not_there_or_not_python(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load_plugin(tmp_path / "none.py")
    with pytest.raises(UsageError, match=r"its name should end in \.py"):
        load_plugin(written(tmp_path, GOOD, "plugin.txt"))


def test_check_plugin_tells_what_holds_and_what_does_not(tmp_path, capsys):
    assert run_command(["check-plugin", str(written(tmp_path, GOOD))], CATALOGUE) == OK
    assert "failed" not in capsys.readouterr().out
    assert run_command(["check-plugin", str(written(tmp_path, BAD, "bad.py"))], CATALOGUE) == FAILED
    shown = capsys.readouterr().out
    assert "by_place: order of weights does not matter: failed" in shown
    assert "by_place: is documented: failed: its function has no docstring" in shown
    assert "by_place: same key same bits: passed" in shown
    assert run_command(["check-plugin", str(tmp_path / "none.py")], CATALOGUE) == MISUSED


@pytest.mark.slow
def test_a_plugin_is_in_help_and_in_every_figure_of_its_kind(tmp_path):
    path = written(tmp_path, GOOD)
    shown = subprocess.run(
        [*COMMAND, "reproduce", "--help", "--plugin", str(path)], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert "from the plugin: relative_growth, half, tenth" in shown
    small = ["--dataset", "digits", "--epochs", "1", "--rounds", "1", "--seeds", "1", "--results", str(tmp_path / "r")]
    names = ["mask-criteria", "supermasks-at-init", "criteria-plane", "mask-1-actions", "mask-0-actions"]
    subprocess.run(
        [*COMMAND, "reproduce", *names, *small, "--plugin", str(path)], capture_output=True, timeout=300, check=True
    )
    for name, column, member in (
        ("mask-criteria", "criterion", "relative_growth"),
        ("supermasks-at-init", "criterion", "relative_growth"),
        ("criteria-plane", "criterion", "relative_growth"),
        ("mask-1-actions", "treatment", "half"),
        ("mask-0-actions", "treatment", "tenth"),
    ):
        changed = "epochs-1-seeds-1" if name == "criteria-plane" else "epochs-1-rounds-1-seeds-1"
        file = f"{name}-fc-digits-quick-{changed}-with-{member}.csv"
        table = pd.read_csv(tmp_path / "r" / "figures" / file)
        assert member in set(table[column])


MANY = """
from dataclasses import dataclass
from functools import partial
import jax.numpy as jnp
from supermask.plugins import criterion, kept_action

def power(w_final, exponent=2.0):
    "A power."
    return jnp.abs(w_final) ** exponent

powers = [criterion("x", name=f"power_{p}")(partial(power, exponent=p)) for p in (1, 2)]

def make(scale):
    @criterion("x", name=f"scaled_{scale}")
    def scaled(w_final):
        "Scaled."
        return scale * w_final
    return scaled

first, more = make(1), {"second": make(2)}

@dataclass(frozen=True)
class Mixed:
    "A mixture."
    share: float
    def __call__(self, w_initial, w_final):
        return self.share * w_final + w_initial

mixed = criterion("x", name="mixed")(Mixed(0.5))

@kept_action(name="shrunk")
def _(w_initial, factor=0.5):
    "Smaller."
    return factor * w_initial
"""


def test_members_with_parameters_are_found_however_they_are_made(tmp_path, capsys):
    path = written(tmp_path, MANY)
    plugin = load_plugin(path)
    names = ["power_1", "power_2", "scaled_1", "scaled_2", "mixed", "shrunk"]
    assert [member.name for member in plugin.members()] == names
    weights = jnp.full((2, 3), 3.0)
    facts = LayerFacts(weights, weights, weights > 0)
    assert [float(own(facts)[0, 0]) for own in plugin.criteria] == [3, 9, 3, 6, 4.5]
    assert run_command(["check-plugin", str(path)], CATALOGUE) == OK, capsys.readouterr().out


def test_a_module_that_a_plugin_imports_is_part_of_its_identity(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    path = written(tmp_path, GOOD + "\nfrom my_constants import SCALE\nimport my_functions\n")
    sources = set()
    for scale in (1, 2, 1):
        written(tmp_path, "import jax.numpy as jnp\n", "my_functions.py")
        written(tmp_path, f"SCALE = {scale}\ndef f(): ...\n", "my_constants.py")
        written(tmp_path, GOOD + "\nimport my_constants, my_functions\n")
        for name in ("my_constants", "my_functions"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        sources.add(load_plugin(path).criteria[0].source)
    assert len(sources) == 2


@pytest.mark.parametrize(
    "text",
    [
        "from own_folder.values import SCALE\n",
        "from own_folder import values\n\n\nSCALE = values.SCALE\ndel values\n",
        "def late():\n    from own_folder.values import SCALE\n\n    return SCALE\n",
        "from own_folder.through import SCALE\n",
    ],
    ids=["a number", "a value", "in a function", "through another"],
)
def test_a_number_that_a_plugin_imports_is_part_of_its_identity(text, tmp_path, monkeypatch):
    """It does not say where it is from."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_folder").mkdir()
    written(tmp_path / "own_folder", "", "__init__.py")
    written(tmp_path / "own_folder", "from .values import SCALE\n", "through.py")
    path, sources = written(tmp_path, text + GOOD), []
    for scale in (1, -2, 1):
        written(tmp_path / "own_folder", f"SCALE = {scale}\n", "values.py")
        for name in [each for each in sys.modules if each.startswith("own_folder")]:
            sys.modules.pop(name)
        importlib.invalidate_caches()
        sources.append(load_plugin(path).criteria[0].source)
    assert sources[0] == sources[2] != sources[1]


def test_an_import_is_read_and_not_carried_out(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    written(tmp_path, "raise SystemExit('trained for hours')\n", "long_training.py")
    late = "\n\nif __name__ == '__main__':\n    import long_training, nowhere_at_all\n"
    assert load_plugin(written(tmp_path, GOOD + late)).criteria
    assert "long_training" not in sys.modules


@pytest.mark.parametrize(
    ("body", "failing"),
    [
        ("return w_final * jnp.nan", "has the layers shape and no nan: failed: NaN for ordinary weights"),
        ("import sys; sys.exit(0)", "relative_growth raised SystemExit"),
        ("return jnp.nan", r"returned values of shape \(\)"),
    ],
)
def test_check_plugin_fails_for_what_is_no_score(tmp_path, capsys, body, failing):
    path = written(tmp_path, GOOD.replace("return jnp.abs(w_final) / (jnp.abs(w_initial) + 1e-12)", body))
    assert run_command(["check-plugin", str(path)], CATALOGUE) == FAILED
    assert re.search(failing, capsys.readouterr().out)


def test_what_follows_two_dashes_is_no_plugin(capsys):
    assert run_command(["reproduce", "--", "--plugin"], CATALOGUE) == 2
    assert "--plugin" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_file_of_code_and_is_not_waited_for(tmp_path, capsys):
    pipe = tmp_path / "mine.py"
    os.mkfifo(pipe)
    options = ["--dataset", "digits", "--dry-run", "--results", str(tmp_path / "results")]
    for what, asked in (
        ("plugin", ["check-plugin", str(pipe)]),
        ("plugin", ["reproduce", "mask-criteria", "--plugin", str(pipe), *options]),
        ("network", ["reproduce", "mask-criteria", "--network", f"{pipe}:Mine", *options]),
    ):
        assert run_command(asked, CATALOGUE) == MISUSED
        assert re.search(
            rf"{what} {re.escape(str(pipe))} cannot be read: it is not a regular file", capsys.readouterr().err
        )
