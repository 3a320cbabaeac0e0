"""A seed stands for the same numbers whatever the process's settings: they are refused, or reset by the command."""

import os
import subprocess
import sys

import flax
import jax
import numpy as np
import pandas as pd
import pytest

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import MISUSED
from supermask.analysis.running import runner
from supermask.analysis.studies.experiment import Study
from supermask.analysis.system.platform import set_up_jax
from supermask.figures.catalogue import CATALOGUE
from supermask.keys import Purpose, derive_key
from supermask.networks import FeedForward, initialise
from supermask.population import use_all_cores
from supermask.settings import FLAX, NUMBERS, check_numbers, pin_numbers, pinned_numbers

FLAGS = {
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_RANDOM_SEED_OFFSET": "7",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_ENABLE_X64": "1",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "FLAX_FIX_RNG_SEPARATOR": "1",
    "JAX_DEBUG_INFS": "1",
}
"""Environment variables under which a study must give what it gives without them."""

OTHER = {
    "jax_threefry_partitionable": False,
    "jax_random_seed_offset": 7,
    "jax_default_prng_impl": "rbg",
    "jax_enable_x64": True,
    "jax_default_matmul_precision": "bfloat16",
    "jax_numpy_dtype_promotion": "strict",
    "jax_softmax_custom_jvp": True,
    "jax_use_direct_linearize": False,
    "jax_disable_jit": True,
    "jax_debug_infs": True,
    FLAX: True,
}


@pytest.fixture
def setting(request):
    """A setting with another value, for the length of a test."""
    name = request.param
    config = flax.config if name == FLAX else jax.config
    before = getattr(config, name) if name == FLAX else jax.config.values[name]
    config.update(name, OTHER[name])
    yield name
    config.update(name, before)


def test_every_setting_is_tried():
    assert set(OTHER) == {*NUMBERS, FLAX}
    assert {name.lower() for name in FLAGS} <= set(OTHER)
    check_numbers()


@pytest.mark.parametrize("setting", ["jax_threefry_partitionable", "jax_random_seed_offset", FLAX], indirect=True)
def test_settings_that_change_draws_are_refused_where_a_draw_begins(setting):
    message = rf"{setting} is {OTHER[setting]!r}; allowed: .*unset {setting.upper()}"
    with pytest.raises(ValueError, match=message):
        derive_key(0, Purpose.INITIAL_WEIGHTS)
    with pytest.raises(ValueError, match=message):
        initialise(FeedForward(hidden=(3,)), jax.random.key(0), (2, 2, 1))


@pytest.mark.parametrize("setting", OTHER, indirect=True)
def test_results_to_keep_are_not_made_under_other_settings(setting):
    with pytest.raises(ValueError, match=f"{setting} is "):
        runner.run(None, Study(), None)  # type: ignore[arg-type]
    with pinned_numbers():
        check_numbers()
    with pytest.raises(ValueError, match=f"{setting} is "):
        check_numbers()
    assert pin_numbers() == {setting: OTHER[setting]}
    check_numbers()


@pytest.mark.parametrize("setting", ["jax_enable_x64"], indirect=True)
def test_a_command_called_from_python_leaves_its_callers_settings(setting, capsys):
    assert run_command(["figures", "--protocol", "quick"], CATALOGUE) == 0
    assert jax.config.values[setting] is True


def test_a_command_after_ones_own_computation_takes_the_devices_that_are_there(tmp_path):
    """JAX has been started here with two devices; neither more nor fewer can be had, and none need be."""
    there = len(jax.devices())
    set_up_jax()
    assert len(jax.devices()) == there
    if there != 1:
        with pytest.raises(RuntimeError, match=f"JAX has been started with {there} of 1 CPU devices"):
            use_all_cores(1)
        assert run_command(["bench", "--devices", "1"], CATALOGUE) == MISUSED


def python(code: str, **environment: str) -> str:
    """What a fresh Python process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


PRUNE = """
import hashlib, jax, jax.numpy as jnp, numpy as np
from supermask.keys import Purpose, derive_key
from supermask.masks import prune, ranks
from supermask.networks import NETWORKS, initialise
from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS, ActionFacts
from supermask.sparse_training.drop_and_grow import at_random
key = derive_key(0, Purpose.TIES)
tied = {"hidden1": jnp.zeros((784, 300), jnp.float32)}
full = {"hidden1": jnp.ones((784, 300), bool)}
mask = prune(key, tied, full, {"hidden1": 0.2})["hidden1"]
parts = [mask, ranks(key, tied["hidden1"], full["hidden1"]), at_random(key, {"a": {"kernel": tied["hidden1"]}})]
w = initialise(NETWORKS["fc"], key, (28, 28, 1))["hidden1"]["kernel"]
facts = ActionFacts(key, w, 2 * w, 3 * w, mask, full["hidden1"], w > 1)
parts += [action(facts) for action in (*KEPT_ACTIONS.values(), *PRUNED_ACTIONS.values())]
leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(parts)]
text = b"".join(leaf.tobytes() + str(leaf.dtype).encode() for leaf in leaves)
print(int(mask.sum()), hashlib.sha256(text).hexdigest())
"""


@pytest.mark.thorough
def test_64_bits_change_no_mask_and_no_draw():
    """Ties drew 64 random bits each, and were cut by their lower half: nothing was pruned."""
    plain = python(PRUNE, JAX_ENABLE_X64="0")
    assert plain.split()[0] == "188160"
    assert python(PRUNE, JAX_ENABLE_X64="1") == plain


COMMAND = "import sys; from supermask.figures.command import main; sys.argv = {!r}; main()"


@pytest.mark.slow
def test_a_study_does_not_depend_on_the_environment(tmp_path):
    """Made under every flag at once, it is what it is without them, and goes on without them."""

    def study(folder: str, rounds: int, **environment: str) -> pd.DataFrame:
        small = ["--dataset", "digits", "--epochs", "1", "--rounds", str(rounds), "--seeds", "1"]
        names = ["mask-1-actions", "--results", str(tmp_path / folder)]
        python(COMMAND.format(["supermask", "reproduce", *names, *small]), **environment)
        (path,) = (tmp_path / folder / "figures").glob(f"*-rounds-{rounds}-*.csv")
        return pd.read_csv(path)

    without = study("without", 2)
    study("flagged", 1, **FLAGS)
    pd.testing.assert_frame_equal(study("flagged", 2), without)
    assert np.isfinite(without["test_accuracy"]).all()


CORES = """
import jax
from supermask.population import place, use_all_cores
from supermask.analysis.system.platform import cores
there = use_all_cores()
assert there == cores() == jax.local_device_count("cpu") == len(place(1000).devices), (there, cores())
"""


def test_all_cores_are_devices_once_they_are_asked_for():
    """In a process of its own, because JAX keeps the devices that it started with."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    ended = subprocess.run([sys.executable, "-c", CORES], capture_output=True, text=True, env=environment, timeout=120)
    assert ended.returncode == 0, ended.stderr
