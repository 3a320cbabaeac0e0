"""Recurrent networks: the recurrence against Flax's, gradients, what they learn, and through every trainer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from supermask.compression.dsd import dense_sparse_dense
from supermask.counts import Rates
from supermask.exporting import laid_out
from supermask.learned_masks import LearnedMask, MaskJob, MaskTrainer, mask_optimiser
from supermask.lottery import find_tickets, initial_of
from supermask.masks import full_masks
from supermask.networks import kernels_of, logits, parameter_count
from supermask.population import place
from supermask.recurrence import lstm_states
from supermask.sparse_training import METHODS
from supermask.sparse_training.trainer import SparseJob, SparseTrainer
from supermask.training import Job, Trainer, TrainingConfig
from supermask.treatments import Treatment
from supermask.zoo.recurrent import LSTM

SMALL = LSTM(hidden=(24,))
SHAPE = (8, 8, 1)
STEPS, BATCH, INPUTS, UNITS = 5, 3, 4, 6


def drawn(*shape: int, seed: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape) * 0.7


def written_out(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
    """Step by step, without a loop of JAX's."""
    state = cell = jnp.zeros((inputs.shape[1], kernel.shape[0]))
    states = []
    for of_input in inputs:
        i, f, g, o = jnp.split(of_input + state @ kernel, 4, axis=-1)
        cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * jnp.tanh(g)
        state = nn.sigmoid(o) * jnp.tanh(cell)
        states.append(state)
    return jnp.stack(states)


def test_a_layer_computes_what_flax_s_cell_does():
    x, own, recurrent = drawn(BATCH, STEPS, INPUTS, seed=0), drawn(INPUTS, 4 * UNITS, seed=1), drawn(UNITS, 24, seed=2)
    bias = drawn(4 * UNITS, seed=3)
    gates = [np.split(np.asarray(each), 4, axis=-1) for each in (own, recurrent, bias)]
    params = {f"i{g}": {"kernel": kernel} for g, kernel in zip("ifgo", gates[0], strict=True)}
    for g, kernel, of_gate in zip("ifgo", gates[1], gates[2], strict=True):
        params[f"h{g}"] = {"kernel": kernel, "bias": of_gate}
    expected = nn.RNN(nn.LSTMCell(UNITS)).apply({"params": {"cell": params}}, x)
    found = lstm_states(jnp.swapaxes(x, 0, 1) @ own + bias[None, None, :], recurrent)
    np.testing.assert_allclose(jnp.swapaxes(found, 0, 1), expected, atol=1e-6)


def test_what_is_exported_for_torch_is_what_its_layer_reads():
    torch = pytest.importorskip("torch")
    params = initial_of(SMALL, 3, SHAPE)
    arrays = laid_out(params, layout="torch")
    layer = torch.nn.LSTM(8, 24, batch_first=True)
    own = {"weight_ih_l0": arrays["lstm1.input.weight"], "weight_hh_l0": arrays["lstm1.recurrent.weight"]}
    own |= {"bias_ih_l0": arrays["lstm1.bias"], "bias_hh_l0": np.zeros(96, np.float32)}
    layer.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in own.items()})
    images = np.array(drawn(BATCH, *SHAPE, seed=8))
    last = layer(torch.from_numpy(images[..., 0]))[0][:, -1].detach().numpy()
    expected = last @ arrays["output.weight"].T + arrays["output.bias"]
    np.testing.assert_allclose(logits(SMALL, params, jnp.asarray(images)), expected, atol=1e-5)


def test_gradients_are_those_of_the_steps_written_out_and_so_are_their_gradients():
    """GraSP differentiates a gradient: backward twice."""
    inputs, kernel = drawn(STEPS, BATCH, 4 * UNITS, seed=4), drawn(UNITS, 4 * UNITS, seed=5)
    target = drawn(STEPS, BATCH, UNITS, seed=6)

    def slope(states):
        loss = lambda *given: jnp.sum(states(*given) * target)  # noqa: E731
        gradient = jax.grad(loss, argnums=(0, 1))
        once, back = jax.vjp(gradient, inputs, kernel)
        return once, back(once)

    for found, expected in zip(*(jax.tree.leaves(slope(each)) for each in (lstm_states, written_out)), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_kernels_that_do_not_fit_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"kernel has shape \(6, 20\) for inputs of 24; allowed: 4 gates a unit"):
        lstm_states(jnp.zeros((2, 3, 24)), jnp.zeros((6, 20)))


def test_forget_gates_start_open_and_gates_have_glorots_variance():
    network = LSTM(hidden=(40, 30))
    params = initial_of(network, 0, (28, 28, 1))
    assert parameter_count(network, (28, 28, 1)) == 4 * 40 * (28 + 40 + 1) + 4 * 30 * (40 + 30 + 1) + 31 * 10
    np.testing.assert_array_equal(params["lstm1"]["bias"], np.repeat([0, 1, 0, 0], 40))
    for layer, inputs, units in (("lstm1/input", 28, 40), ("lstm1/recurrent", 40, 40), ("lstm2/input", 40, 30)):
        kernel = np.asarray(params[layer]["kernel"])
        assert kernel.shape == (inputs, 4 * units)
        for gate in np.split(kernel, 4, axis=1):
            assert np.std(gate) == pytest.approx((2 / (inputs + units)) ** 0.5, rel=0.1)


def test_a_step_reaches_the_states_after_it_alone():
    inputs, kernel = drawn(STEPS, BATCH, 4 * UNITS, seed=4), drawn(UNITS, 4 * UNITS, seed=5)
    before, after = lstm_states(inputs, kernel), lstm_states(inputs.at[3].add(1), kernel)
    np.testing.assert_array_equal(before[:3], after[:3])
    assert np.all(np.any(before[3:] != after[3:], axis=(1, 2)))


def test_an_image_is_read_row_by_row_from_the_top_and_the_last_state_counts():
    network = LSTM(hidden=(UNITS,), classes=3)
    params, images = initial_of(network, 0, (STEPS, 2, 2)), drawn(BATCH, STEPS, 2, 2, seed=7)
    rows = jnp.stack([images[:, row].reshape(BATCH, 4) for row in range(STEPS)])
    inputs = rows @ params["lstm1/input"]["kernel"] + params["lstm1"]["bias"][None, None, :]
    last = written_out(inputs, params["lstm1/recurrent"]["kernel"])[-1]
    expected = last @ params["output"]["kernel"] + params["output"]["bias"][None, :]
    np.testing.assert_allclose(logits(network, params, images), expected, atol=1e-6)


@pytest.fixture(scope="module")
def small(digits):
    """Trains the small network for 300 steps."""
    return Trainer(SMALL, digits, TrainingConfig(300, 1e-2, 50, 100), place(4000, networks=2))


def test_it_learns_to_read_digits_and_its_tickets_have_exact_counts(small):
    rates = Rates(dense=0.5, output=0.25, recurrent=0.4)
    first, second = find_tickets(small, rates, [Treatment()], [0], 1)
    assert first.trained.test_at_end.accuracy > 0.9
    assert second.trained.test_at_end.accuracy > 0.85
    kept = {layer: int(np.sum(mask)) for layer, mask in second.start.masks.items()}
    sizes = {layer: mask.size for layer, mask in second.start.masks.items()}
    assert sizes == {"lstm1/input": 8 * 96, "lstm1/recurrent": 24 * 96, "output": 240}
    assert kept == {n: size - (size // 4 if n == "output" else size * 2 // 5) for n, size in sizes.items()}
    np.testing.assert_array_equal(second.start.params["lstm1"]["bias"], first.start.params["lstm1"]["bias"])
    assert not np.array_equal(second.trained.params["lstm1"]["bias"], second.start.params["lstm1"]["bias"])


@pytest.mark.thorough
def test_dense_sparse_dense_prunes_input_and_recurrent_kernels_in_the_middle(small):
    start = initial_of(SMALL, 1, SHAPE)
    done = dense_sparse_dense(small, [start], [1], [0.0, 0.5])
    for sparsity, phases in ((run[0], each) for run, each in done.items()):
        for layer, kernel in kernels_of(phases.sparse.params).items():
            zeros = int(np.sum(np.asarray(kernel) == 0))
            assert zeros == (kernel.size // 2 if sparsity else 0), layer
        assert phases.last.test_at_end.accuracy > 0.9
        assert all(np.all(np.asarray(kernel) != 0) for kernel in kernels_of(phases.last.params).values())


@pytest.mark.thorough
def test_masks_are_learned_on_it_and_biases_of_gates_stay(digits):
    config = TrainingConfig(300, 0.1, 60, 100)
    trainer = MaskTrainer(SMALL, digits, config, place(4000, networks=1), mask_optimiser("adam", 0.1, 300))
    initial = initial_of(SMALL, 0, SHAPE)
    (outcome,) = trainer.train([MaskJob(initial, LearnedMask("kaiming", rescaled=True), 0)])
    assert set(outcome.logits) == {"lstm1/input", "lstm1/recurrent", "output"}
    assert outcome.test_at_end.accuracy > 0.4
    assert outcome.state == {}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["set", "rigl"])
def test_it_trains_sparsely(method, digits):
    config = TrainingConfig(300, 1e-2, 50, 100)
    trainer = SparseTrainer(SMALL, digits, config, place(4000, networks=1), METHODS[method], optax.adam(1e-2))
    initial = initial_of(SMALL, 0, SHAPE)
    counts = {layer: kernel.size // 4 for layer, kernel in kernels_of(initial).items()}
    (outcome,) = trainer.train([SparseJob(initial, counts, 0)])
    assert outcome.trained.test_at_end.accuracy > 0.8
    assert {layer: int(np.sum(mask)) for layer, mask in outcome.structure.last.items()} == counts


def test_a_network_trains_alike_beside_another_one(small):
    jobs = [Job(own, full_masks(kernels_of(own)), s, 0, 100) for s in (0, 1) for own in [initial_of(SMALL, s, SHAPE)]]
    together, alone = small.train(jobs), small.train(jobs[1:])
    for one, other in zip(jax.tree.leaves(together[1].params), jax.tree.leaves(alone[0].params), strict=True):
        np.testing.assert_array_equal(one, other)
