"""Pruning any pytree: exact counts, the same masks as the toolkit's own, frozen weights, files of masks."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

import supermask as sm
from supermask import actions, masks, trees
from supermask.criteria import CRITERIA, LayerFacts
from supermask.members import MemberError

KEY = jax.random.key(7)
EXAMPLES = re.findall(r"```python\n(.*?)```", Path("docs/pruning.md").read_text(encoding="utf-8"), flags=re.S)


def drawn(seed: int, dtype=jnp.float32):
    """A nested network: a convolution, a normalisation, a list of dense layers."""
    keys = iter(jax.random.split(jax.random.key(seed), 9))

    def normal(*shape):
        return jax.random.normal(next(keys), shape, dtype)

    return {
        "block": {"conv": {"kernel": normal(3, 3, 2, 4), "bias": normal(4)}, "norm": {"scale": normal(4)}},
        "dense": [{"w": normal(20, 10), "b": normal(10)}, {"w": normal(10, 5), "b": normal(5)}],
    }


INITIAL, FINAL = drawn(0), drawn(1)
PATHS = ("block/conv/kernel", "dense/0/w", "dense/1/w")


def by_path(tree):
    return trees.leaves_of(INITIAL).chosen(tree)


@given(
    st.sampled_from(["large_final", "magnitude_increase", "random", "large_init_large_final"]),
    st.floats(0, 1, exclude_max=True),
)
def test_the_floor_of_the_fraction_goes_and_masks_nest(name, fraction):
    first = sm.prune(KEY, INITIAL, FINAL, CRITERIA[name], fraction=fraction)
    second = sm.prune(KEY, INITIAL, FINAL, CRITERIA[name], fraction=fraction, masks=first)
    for path, leaf in by_path(INITIAL).items():
        one, other = (by_path(each)[path] for each in (first, second))
        assert int(one.sum()) == leaf.size - int(masks.share(fraction, leaf.size))
        assert int(other.sum()) == int(one.sum()) - int(masks.share(fraction, int(one.sum())))
        assert not (other & ~one).any()


@pytest.mark.parametrize("name", sorted(set(CRITERIA) - {"snip", "grad"}))
def test_masks_are_those_of_the_toolkits_own_rounds(name):
    """One implementation: the same weights, key and criterion give the same bits."""
    layers = {path: (w, by_path(FINAL)[path]) for path, w in by_path(INITIAL).items()}
    alive = {path: jnp.ones(w.shape, bool) for path, (w, _) in layers.items()}
    scores = {path: CRITERIA[name](LayerFacts(*pair, alive[path])) for path, pair in layers.items()}
    own = masks.prune(KEY, scores, alive, dict.fromkeys(layers, 0.3))
    found = by_path(sm.prune(KEY, INITIAL, FINAL, CRITERIA[name], fraction=0.3))
    for path in layers:
        np.testing.assert_array_equal(found[path], own[path])


def test_a_function_is_a_criterion_and_the_name_of_one_another_way_to_say_it():
    one = sm.prune(KEY, INITIAL, FINAL, sm.large_final, fraction=0.4)
    other = sm.prune(KEY, INITIAL, FINAL, lambda w_final: jnp.abs(w_final), fraction=0.4)
    assert sm.agreement(one, other).overlap == 1
    with pytest.raises(MemberError, match="parameters weights are unknown"):
        sm.prune(KEY, INITIAL, FINAL, lambda weights: weights, fraction=0.4)
    with pytest.raises(ValueError, match="criterion snip needs gradient"):
        sm.prune(KEY, INITIAL, FINAL, sm.snip, fraction=0.4)
    snip = sm.prune(KEY, INITIAL, INITIAL, sm.snip, fraction=0.4, gradient=FINAL)
    product = {path: jnp.abs(w * by_path(FINAL)[path]) for path, w in by_path(INITIAL).items()}
    for path, mask in by_path(snip).items():
        assert product[path][mask].min() > product[path][~mask].max()


def test_global_ranking_takes_the_lowest_scores_wherever_they_are():
    large = jax.tree.map(lambda leaf: 100 * leaf, FINAL["dense"][1])
    final = {**FINAL, "dense": [FINAL["dense"][0], large]}
    found = by_path(sm.prune(KEY, INITIAL, final, fraction=0.5, ranking="global"))
    assert found["dense/1/w"].mean() > 0.9
    assert sum(int(mask.sum()) for mask in found.values()) == 161  # of 322
    with pytest.raises(ValueError, match="fraction is by path"):
        sm.prune(KEY, INITIAL, FINAL, fraction={"dense/0/w": 0.5}, ranking="global")


def test_jit_and_vmap_give_the_same_masks():
    prune = partial(sm.prune, criterion=sm.movement, fraction=0.3)
    eager = by_path(prune(KEY, INITIAL, FINAL))
    jitted = by_path(jax.jit(prune)(KEY, INITIAL, FINAL))
    twice = [jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), tree) for tree in (INITIAL, FINAL)]
    both = jax.vmap(prune)(jnp.stack([KEY, KEY]), *twice)
    for path, mask in eager.items():
        np.testing.assert_array_equal(jitted[path], mask)
        np.testing.assert_array_equal(by_path(both)[path][1], mask)


def test_what_is_pruned_is_said_and_found():
    assert tuple(by_path(INITIAL)) == PATHS
    masked = sm.prune(KEY, INITIAL, FINAL, fraction={"dense/0/w": 0.5})
    kept = {layer.path: layer.kept for layer in sm.summary(INITIAL, masked).layers}
    assert kept["dense/0/w"] == 100
    assert kept["dense/1/w"] == 50
    only = sm.prune(KEY, INITIAL, FINAL, fraction=0.5, where=lambda path, leaf: path == "dense/1/w")
    assert [leaf.shape for leaf in jax.tree.leaves(only)] == [(10, 5)]
    text = str(sm.summary(INITIAL, only))
    assert re.search(r"block/norm/scale +4 +4 +4 +dense", text)
    assert "50.00% of the weights that can be pruned are kept" in text


def too_large(network):
    return jax.tree.map(lambda leaf: jnp.arange(leaf.size).reshape(leaf.shape) + 2**26, network.initial)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fraction": 1.5}, "1.5"),
        ({"fraction": {"dense/7/w": 0.5}}, "dense/7/w"),
        ({"fraction": 0.5, "where": lambda path, leaf: False}, "where finds nothing to prune among block/conv/bias"),
        (
            {"fraction": 0.5, "criterion": too_large},
            "too_large: scores are integers above 2**24",
        ),
        (
            {"fraction": 0.5, "final": jax.tree.map(lambda leaf: leaf * 1j, INITIAL)},
            "is complex64; allowed: real",
        ),
        (
            {"fraction": 0.5, "final": jax.tree.map(lambda leaf: leaf.astype(int), INITIAL)},
            "w_final of block/conv/kernel is int32; allowed: real floating-point numbers",
        ),
        ({"fraction": 0.5, "masks": FINAL}, "mask of block/conv/bias is float32"),
        ({"fraction": 0.5, "masks": jax.tree.map(lambda leaf: None, INITIAL)}, "masks have no mask"),
    ],
)
def test_what_cannot_be_pruned_is_refused_by_name(change, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        sm.prune(KEY, INITIAL, **{"final": FINAL} | change)


def test_parameters_of_another_structure_or_shape_are_refused():
    with pytest.raises(ValueError, match="pytrees differ"):
        sm.prune(KEY, INITIAL, {"dense": FINAL["dense"]}, fraction=0.5)
    other = {**FINAL, "dense": [{"w": jnp.ones((2, 2)), "b": jnp.ones(10)}, FINAL["dense"][1]]}
    with pytest.raises(ValueError, match="w_final of dense/0/w has shape"):
        sm.prune(KEY, INITIAL, other, fraction=0.5)


def test_a_restart_rewinds_what_is_kept_and_freezes_the_rest():
    first = sm.prune(KEY, INITIAL, FINAL, fraction=0.5)
    second = sm.prune(KEY, INITIAL, FINAL, fraction=0.5, masks=first)
    start = sm.restart(KEY, INITIAL, FINAL, second, kept=sm.constant_same_sign, pruned=sm.init, before=first)
    for path, w in by_path(INITIAL).items():
        kept, alive, new = (np.asarray(by_path(tree)[path]) for tree in (second, first, start))
        np.testing.assert_array_equal(new[kept], np.asarray(jnp.sign(w) * jnp.std(w))[kept])
        np.testing.assert_array_equal(new[alive & ~kept], np.asarray(w)[alive & ~kept])
        np.testing.assert_array_equal(new[~alive], np.asarray(by_path(FINAL)[path])[~alive])
    np.testing.assert_array_equal(start["dense"][0]["b"], INITIAL["dense"][0]["b"])
    with pytest.raises(ValueError, match="reinit draws anew"):
        sm.restart(KEY, INITIAL, FINAL, first, kept=sm.reinit)
    again = sm.restart(KEY, INITIAL, FINAL, first, kept=actions.KEPT_ACTIONS["reinit"], fresh=drawn(5))
    assert float(again["dense"][0]["w"].sum()) != float(INITIAL["dense"][0]["w"].sum())


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(
    "optimiser",
    [
        optax.sgd(0.1, momentum=0.9, nesterov=True),
        optax.adamw(1e-2, weight_decay=0.1),
        optax.chain(optax.clip_by_global_norm(0.1), optax.adafactor(1e-2)),
    ],
    ids=["momentum", "decay", "clipped"],
)
def test_frozen_weights_stay_to_the_bit_and_kept_ones_move(optimiser, dtype):
    params, gradients = drawn(2, dtype), drawn(3, dtype)
    params["dense"][0]["w"] = params["dense"][0]["w"].at[0].set(-0.0)
    found = sm.prune(KEY, params, params, fraction=0.5)
    frozen = sm.freeze(optimiser, found)

    @jax.jit
    def step(params, state):
        updates, state = frozen.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    new, state = step(params, frozen.init(params))
    new, _ = step(new, state)

    def bits(leaf):
        return np.asarray(leaf).view(np.uint16 if dtype == jnp.bfloat16 else np.uint32)

    for path, mask in trees.leaves_of(params).chosen(found).items():
        before, after = (bits(trees.leaves_of(params).chosen(tree)[path]) for tree in (params, new))
        np.testing.assert_array_equal(before[~mask], after[~mask])
        assert (before[mask] != after[mask]).mean() > 0.9
    assert (bits(new["dense"][0]["b"]) != bits(params["dense"][0]["b"])).any()


def test_frozen_weights_do_not_count_where_gradients_are_clipped():
    """As if the network had its live weights alone."""
    found = sm.prune(KEY, INITIAL, FINAL, fraction=0.9)
    frozen = sm.freeze(optax.clip_by_global_norm(1.0), found)
    updates, _ = frozen.update(FINAL, frozen.init(INITIAL), INITIAL)
    assert float(optax.tree.norm(updates)) == pytest.approx(1.0, abs=1e-5)


def test_complex_numbers_restart_no_weights():
    """They would lose their imaginary parts."""
    masks = sm.prune(KEY, INITIAL, FINAL, fraction=0.5)
    with pytest.raises(ValueError, match="w_final of block/conv/kernel is complex64; allowed: real"):
        sm.restart(KEY, INITIAL, jax.tree.map(lambda leaf: leaf * 1j, FINAL), masks, kept=sm.trained)


def test_a_name_that_the_file_keeps_for_itself_is_refused(tmp_path):
    params = {"__metadata__": np.ones((2, 2), np.float32)}
    with pytest.raises(ValueError, match="a leaf is named __metadata__"):
        sm.save_masks(tmp_path / "m", params, {"__metadata__": np.ones((2, 2), bool)})
    with pytest.raises(ValueError, match="a leaf is named __metadata__"):
        sm.export(tmp_path / "m.safetensors", params)
    assert not list(tmp_path.iterdir())
    sm.export(tmp_path / "m.npz", params)
    assert not (tmp_path / "m").exists()


def test_masks_go_through_a_file_and_numpy_alone_reads_them(tmp_path, monkeypatch):
    """The last example of docs/pruning.md is the reader."""
    found = sm.prune(KEY, INITIAL, FINAL, fraction=0.37)
    sm.save_masks(tmp_path / "masks.safetensors", INITIAL, found)
    loaded = sm.load_masks(tmp_path / "masks.safetensors", INITIAL)
    assert jax.tree.structure(loaded) == jax.tree.structure(found)
    assert sm.agreement(loaded, found).jaccard == 1
    monkeypatch.chdir(tmp_path)
    space = {}
    exec(compile(EXAMPLES[-1], "reader", "exec"), space)  # noqa: S102
    for path, mask in by_path(found).items():
        np.testing.assert_array_equal(space["masks"][path], mask)
    assert not re.search(r"jax|supermask\b(?! masks)", EXAMPLES[-1])


def test_a_file_of_other_masks_is_refused(tmp_path):
    file = tmp_path / "masks.safetensors"
    sm.save_masks(file, INITIAL, sm.prune(KEY, INITIAL, FINAL, fraction=0.5))
    with pytest.raises(ValueError, match="has a mask of block/conv/kernel; the parameters have dense/0/b"):
        sm.load_masks(file, {"dense": INITIAL["dense"]})
    with pytest.raises(ValueError, match="has a mask of block/conv/kernel; the parameters have b"):
        sm.load_masks(file, {"b": np.ones(3)})
    content = file.read_bytes()
    file.write_bytes(content.replace(b"supermask masks 1", b"supermask masks 2"))
    with pytest.raises(ValueError, match="its format is 'supermask masks 2'; allowed: 'supermask masks 1'"):
        sm.load_masks(file, INITIAL)
    file.write_bytes(content[:-1])
    with pytest.raises(ValueError, match="is no file of masks, or damaged"):
        sm.read_masks(file)
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        sm.read_masks(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    "shapes",
    [
        "[1]",
        '{"w": [1099511627776, "x"]}',
        '{"w": [true]}',
        '{"w": "8"}',
        '{"w": 3}',
        '{"w": [-8, -1]}',
        '{"w": [2.5]}',
        "[" * 5000,
        "7",
    ],
)
def test_a_forged_file_of_masks_is_refused(shapes, tmp_path):
    file = tmp_path / "masks.safetensors"
    file.write_bytes(save({"w": np.zeros(1, np.uint8)}, {"format": "supermask masks 1", "shapes": shapes}))
    with pytest.raises(ValueError, match="is no file of masks, or damaged"):
        sm.read_masks(file)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_file_of_masks(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is not a regular file"):
        sm.read_masks(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is a folder"):
        sm.read_masks(tmp_path)


def test_masks_of_different_networks_are_not_compared():
    one = sm.prune(KEY, INITIAL, FINAL, fraction=0.5)
    with pytest.raises(ValueError, match="masks are of different layers"):
        sm.agreement(one, {"dense": one["dense"]})
    with pytest.raises(ValueError, match="masks have no mask; allowed: at least one boolean array"):
        sm.agreement(None, None)
    scores = jax.tree.map(lambda mask: mask * 1.5, one)
    for pair in ((scores, one), (one, scores)):
        with pytest.raises(ValueError, match=r"mask of \S+ is float32; allowed: bool, or None"):
            sm.agreement(*pair)


def test_scores_that_are_not_numbers_are_refused_where_they_are_known():
    """Chance would decide between them. What a diverged training leaves is no fault of the criterion's."""

    def relative(w_initial, w_final, alive):
        return jnp.where(alive, jnp.log(w_final / w_initial), jnp.nan)

    with pytest.raises(
        MemberError, match=r"criterion relative scores NaN for [0-9]+ of [0-9]+ weights of \S+; allowed"
    ):
        sm.prune(KEY, INITIAL, jax.tree.map(lambda leaf: -leaf, INITIAL), relative, fraction=0.5)
    found = sm.prune(KEY, INITIAL, INITIAL, relative, fraction=0.5)
    sm.prune(KEY, INITIAL, INITIAL, relative, fraction=0.5, masks=found)  # dead weights' scores are nobody's matter
    lost = jax.tree.map(lambda leaf: leaf * jnp.nan, INITIAL)
    sm.prune(KEY, INITIAL, lost, relative, fraction=0.5)


def test_rules_about_zeros_ask_where_the_round_began():
    """From the second round on: they would forget which weights they had set to 0."""
    first = sm.prune(KEY, INITIAL, FINAL, fraction=0.3)
    second = sm.prune(KEY, INITIAL, FINAL, fraction=0.3, masks=first)
    sm.restart(KEY, INITIAL, FINAL, first, kept=actions.rewind_or_zero)
    own = {"kept": lambda w_final: 0 * w_final, "pruned": sm.zero_if_shrunk}
    for rules in ({"kept": actions.rewind_or_zero}, own):
        with pytest.raises(ValueError, match=r"go by which weights the last round started at 0; allowed with start="):
            sm.restart(KEY, INITIAL, FINAL, second, before=first, **rules)
        sm.restart(KEY, INITIAL, FINAL, second, before=first, start=INITIAL, **rules)
    sm.restart(KEY, INITIAL, FINAL, second, before=first, pruned=sm.zero_if_shrunk)
    told = []

    def telling(w_initial, zeroed):
        told.append(np.asarray(zeroed))
        return w_initial

    start = sm.apply_masks(INITIAL, first)
    sm.restart(KEY, INITIAL, FINAL, second, before=first, start=start, kept=telling)
    assert len(told) == 3
    assert not any(zeroed.any() for zeroed in told), "what was frozen at 0 was not started there"
    grown = jax.tree.map(lambda leaf: 2 * leaf, INITIAL)
    halved = jax.tree.map(lambda leaf: leaf * jnp.asarray(np.arange(leaf.size).reshape(leaf.shape) % 2), INITIAL)
    begun = sm.restart(KEY, INITIAL, grown, second, kept=actions.rewind_or_zero, before=first, start=halved)
    for path, mask in by_path(second).items():
        kept = np.asarray(mask)
        np.testing.assert_array_equal(by_path(begun)[path][kept], by_path(halved)[path][kept])


def test_batch_norm_embeddings_and_equinox_biases_are_dense():
    shapes = {"Embed_0": {"embedding": (9, 4)}, "LayerNorm_1": {"scale": (2, 2)}, "norm_proj2": {"kernel": (4, 4)}}
    params = jax.tree.map(jnp.ones, shapes, is_leaf=lambda leaf: isinstance(leaf, tuple))
    assert trees.leaves_of(params).prunable == ("norm_proj2/kernel",)
    model = eqx.nn.Conv2d(1, 2, 3, key=KEY)  # whose bias has three axes
    assert trees.leaves_of(eqx.filter(model, eqx.is_inexact_array)).prunable == ("weight",)


def test_the_public_names_are_all_there_documented_and_no_others():
    for name in sm.__all__:
        assert getattr(sm, name).__doc__, name
    assert set(sm.__all__) <= set(dir(sm))
    with pytest.raises(AttributeError, match="no attribute 'prune_all'"):
        _ = sm.prune_all


def test_no_public_name_is_a_modules():
    """Importing a module puts it in the place of a function of the same name."""
    assert not set(sm.__all__) & {path.stem for path in Path("supermask").iterdir()}


def test_importing_the_package_loads_nothing():
    code = "import sys, supermask; sys.exit(bool({'jax', 'numpy', 'optax'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_the_whole_surface_is_imported_in_a_third_of_a_second_beyond_jax_and_optax():
    """Processor time, which other processes do not change; the least of three."""
    code = (
        "import jax, optax, time; began = time.process_time(); import supermask as sm; "
        "[getattr(sm, name) for name in sm.__all__]; print(time.process_time() - began)"
    )
    command = [sys.executable, "-c", code]
    seconds = [float(subprocess.run(command, capture_output=True, timeout=120).stdout) for _ in range(3)]
    assert min(seconds) < 0.3


@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.slow), *range(1, len(EXAMPLES) - 1)])
def test_the_pages_examples_run(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[number], f"example {number}", "exec"), {})  # noqa: S102


@pytest.mark.usefixtures("unchecked")
def test_a_key_that_is_none_is_refused_by_name():
    found = sm.prune(KEY, INITIAL, FINAL, sm.large_final, fraction=0.4)
    for call in (
        lambda key: sm.prune(key, INITIAL, FINAL, sm.large_final, fraction=0.4),
        lambda key: sm.restart(key, INITIAL, FINAL, found),
    ):
        for key in (3, None, jnp.zeros(2)):
            with pytest.raises(ValueError, match=r"key is .*; allowed: .*jax\.random\.key"):
                call(key)


def test_the_loss_is_asked_only_where_a_criterion_needs_its_gradient():
    def loss(params):
        raise AssertionError("asked")

    sm.prune(KEY, INITIAL, FINAL, sm.large_final, fraction=0.4, loss=loss)
    with pytest.raises(AssertionError, match="asked"):
        sm.prune(KEY, INITIAL, FINAL, sm.snip, fraction=0.4, loss=loss)


def test_kept_and_pruned_weights_draw_apart():
    """By one action for both, the same weight gets another draw as a kept weight than as a pruned one."""

    def drawn_anew(key, w_initial):
        return jax.random.normal(key, w_initial.shape)

    every = sm.prune(KEY, INITIAL, FINAL, sm.large_final, fraction=0)
    none = jax.tree.map(jnp.logical_not, every)
    kept, pruned = (
        by_path(sm.restart(KEY, INITIAL, FINAL, chosen, kept=drawn_anew, pruned=drawn_anew)) for chosen in (every, none)
    )
    for path in PATHS:
        assert not np.isclose(kept[path], pruned[path]).any()


def test_rules_that_ask_for_no_zeros_need_no_start():
    """In a second round too, whoever wrote them."""
    first = sm.prune(KEY, INITIAL, FINAL, sm.large_final, fraction=0.4)
    second = sm.prune(KEY, INITIAL, FINAL, sm.large_final, fraction=0.4, masks=first)
    sm.restart(KEY, INITIAL, FINAL, second, before=first, kept=lambda w_initial: w_initial)


def test_a_layer_called_value_keeps_its_name():
    """As in attention. The attribute of that name, of Flax's variables and boxes, is no part of a path."""
    kernels = {
        "query": {"kernel": jnp.ones((4, 3))},
        "value": {"kernel": jnp.ones((4, 3))},
        "raw_value": jnp.ones((2, 2)),
    }
    assert set(trees.flattened(kernels)) == {"query/kernel", "value/kernel", "raw_value"}
    boxed = {"dense": {"kernel": linen.Partitioned(jnp.ones((4, 3)), names=("a", "b"))}}
    assert set(trees.flattened(boxed)) == {"dense/kernel"}
    attention = linen.MultiHeadDotProductAttention(2)
    params = attention.init(KEY, jnp.ones((1, 8, 8)))["params"]
    masks = sm.prune(KEY, params, params, fraction=0.5, where=lambda path, leaf: path == "value/kernel")
    assert int(masks["value"]["kernel"].sum()) == params["value"]["kernel"].size // 2
    assert masks["query"]["kernel"] is None


def test_leaves_of_one_path_are_refused_by_it():
    with pytest.raises(ValueError, match="two leaves have the path 'a/b'"):
        sm.prune(KEY, {"a": {"b": jnp.ones((2, 2))}, "a/b": jnp.ones((2, 2))}, {}, fraction=0.5)


def test_a_leaf_without_weights_takes_none_from_others():
    params = {"empty": jnp.zeros((0, 5)), "w": jax.random.normal(KEY, (4, 4))}
    optimiser = sm.static(optax.sgd(0.1), density=0.5, steps=9, key=KEY)
    assert int(sm.masks_of(optimiser.init(params), params)["w"].sum()) == 8
    assert int(sm.prune(KEY, params, params, fraction=0.5)["w"].sum()) == 8


def test_whole_numbers_that_single_precision_rounds_are_refused():
    params = {"w": jnp.ones((10, 10))}
    places = jnp.arange(100).reshape(10, 10)
    with pytest.raises(ValueError, match=r"returned integers above 2\*\*24"):
        sm.prune(KEY, params, params, lambda w_final: places + 2**26, fraction=0.5)
    masks = sm.prune(KEY, params, params, lambda w_final: places + 2**20, fraction=0.5)
    assert masks["w"].ravel().tolist() == [False] * 50 + [True] * 50


def test_a_criterion_is_no_action_and_an_action_no_criterion():
    params = {"w": jnp.ones((3, 3))}
    masks = {"w": jnp.ones((3, 3), bool)}
    with pytest.raises(ValueError, match="criterion is rewind, an action"):
        sm.prune(KEY, params, params, sm.rewind, fraction=0.5)
    with pytest.raises(ValueError, match="action is large_final, a criterion"):
        sm.restart(KEY, params, params, masks, kept=sm.large_final)
