"""Deep Compression: shared values, coded bytes, a file that decodes to the same logits; and dense-sparse-dense."""

import hashlib
import json
import math
import tracemalloc
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from supermask import envelope, networks
from supermask.compression import coding, quantisation
from supermask.compression.coding import CodingError, Symbols
from supermask.compression.dsd import DSDRun, dense_sparse_dense
from supermask.compression.file import ENVELOPE as FILE
from supermask.compression.file import CompressedError, compress, decompress
from supermask.compression.pruning import PUBLISHED, RECIPE_NAMES, RECIPES, kept_counts_of, largest_of_layers
from supermask.compression.quantisation import expand, k_means, quantise
from supermask.compression.tuning import CentroidTrainer
from supermask.envelope import Envelope
from supermask.evaluation import cross_entropy
from supermask.keys import Purpose, derive_key
from supermask.masks import full_masks
from supermask.networks import NETWORKS
from supermask.training import Job, TrainingConfig

SHAPE = (8, 8, 1)
BITS = {"hidden1": 3, "hidden2": 4, "output": 5}
INDEX_BITS = {"hidden1": 5, "hidden2": 4, "output": 2}


def same_bits(first, second) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


@pytest.fixture(scope="module")
def sparse():
    """FC on small images: a tenth of its weights, biases that are not 0."""
    params = networks.initialise(NETWORKS["fc"], derive_key(0, Purpose.INITIAL_WEIGHTS), SHAPE)
    masks = largest_of_layers(params, 0.9, 0)
    random = np.random.default_rng(0)
    for leaves in params.values():
        leaves["bias"] = random.normal(size=leaves["bias"].shape).astype(np.float32)
    return networks.pruned(params, masks), masks


@pytest.fixture(scope="module")
def quantised(sparse):
    return quantise(*sparse, BITS)


@pytest.fixture(scope="module")
def content(quantised):
    return compress("fc", SHAPE, quantised, INDEX_BITS)[0]


@given(hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(-10, 10, width=32)), st.integers(1, 5))
def test_k_means_gives_every_weight_its_nearest_value(weights, bits):
    centroids, codes = k_means(weights, 2**bits)
    assert centroids.shape == (2**bits,)
    assert (np.diff(centroids) >= 0).all()
    distance = np.abs(weights[:, None].astype(np.float64) - centroids[None].astype(np.float64))
    np.testing.assert_allclose(distance[np.arange(weights.size), codes], distance.min(axis=1), atol=1e-5)


def test_k_means_finds_values_that_are_there_and_halves_the_linear_error():
    random = np.random.default_rng(0)
    few = random.choice(np.array([-2.0, -0.5, 1.6, 3.0], np.float32), 500)
    centroids, codes = k_means(few, 4)
    np.testing.assert_allclose(centroids[codes], few, atol=1e-6)
    normal = random.normal(size=20_000).astype(np.float32)
    centroids, codes = k_means(normal, 8)
    step = np.ptp(normal) / 7
    assert np.mean((centroids[codes] - normal) ** 2) < 0.5 * step**2 / 12
    assert np.mean((centroids[codes] - normal) ** 2) == pytest.approx(
        0.0345, abs=0.004
    )  # Lloyd-Max for a normal, 3 bits


def lloyd(weights, clusters):
    """Lloyd's algorithm written out: weights to the nearest centroid, centroids to their means, until none moves."""
    centroids = np.linspace(weights.min(), weights.max(), clusters)
    while True:
        nearest = np.abs(weights[:, None] - centroids).argmin(axis=1)
        means = np.array(
            [weights[nearest == c].mean() if (nearest == c).any() else centroids[c] for c in range(clusters)]
        )
        if np.allclose(means, centroids, rtol=0, atol=1e-15):
            return centroids, np.mean((weights - centroids[nearest]) ** 2)
        centroids = means


@pytest.mark.parametrize("draw", ["normal", "laplace"])
def test_k_means_runs_until_nothing_moves(draw):
    """As many weights as a pruned hidden1, 5 bits: at 50 iterations, where it once stopped, it has far to go."""
    weights = (0.05 * getattr(np.random.default_rng(0), draw)(size=4_000)).astype(np.float32)
    centroids, codes = k_means(weights, 32)
    expected, error = lloyd(weights.astype(np.float64), 32)
    np.testing.assert_allclose(centroids, expected, atol=1e-6)
    assert np.mean((weights - centroids[codes]) ** 2) == pytest.approx(error, rel=1e-4)
    for value in range(32):
        if (codes == value).any():
            assert centroids[value] == pytest.approx(weights[codes == value].mean(), abs=1e-6), "each is its own mean"


def test_k_means_that_does_not_end_is_an_error(monkeypatch):
    monkeypatch.setattr(quantisation, "MOST_ITERATIONS", 50)
    with pytest.raises(RuntimeError, match="k-means of 4000 weights still moves after 50 iterations"):
        k_means(np.random.default_rng(0).laplace(size=4_000).astype(np.float32), 32)


def test_in_a_pruned_layer_zero_has_one_of_the_codes(sparse):
    """So codes and fillers together fit the bits, and that is what the stage of codes is counted by."""
    params, masks = sparse
    full = full_masks(networks.kernels_of(params))
    values = quantise(params, {**masks, "output": full["output"]}, BITS)
    assert {layer: book.size for layer, book in values.codebooks.items()} == {"hidden1": 7, "hidden2": 15, "output": 32}
    content, sizes = compress("fc", SHAPE, values, INDEX_BITS)
    bits = 0
    for layer, codes in values.codes.items():
        symbols = coding.to_symbols(np.asarray(values.masks[layer]), codes, INDEX_BITS[layer])
        assert symbols.values.max() - (layer == "output") < 2 ** BITS[layer]
        bits += symbols.values.size * (BITS[layer] + INDEX_BITS[layer])
        bits += 32 * (values.codebooks[layer].size + values.biases[layer].size)
    assert sizes.quantised == -(-bits // 8)
    assert same_bits(expand(decompress(content)[1]), expand(values))


def test_files_of_the_first_format_are_still_read(sparse):
    """They had 2^bits values in pruned layers, too: a filler zero's code came on top, and is counted."""
    params, masks = sparse
    values = quantise(params, masks, BITS)
    old = values._replace(
        codebooks={n: np.append(book, np.float32(9)).astype(np.float32) for n, book in values.codebooks.items()}
    )
    content, sizes = compress("fc", SHAPE, old, INDEX_BITS)
    assert sizes.quantised > compress("fc", SHAPE, values, INDEX_BITS)[1].quantised
    first = Envelope(FILE.magic, 1, FILE.maximum_header, FILE.contents, FILE.error)
    header, blocks = FILE.open(content)
    _, again = decompress(first.seal(header, blocks))
    assert same_bits(again, old)
    third = Envelope(FILE.magic, 3, FILE.maximum_header, FILE.contents, FILE.error)
    with pytest.raises(CompressedError, match="has format 3; this version of supermask reads 1, 2"):
        decompress(third.seal(header, blocks))


def test_quantised_kernels_have_few_values_and_the_same_zeros(sparse, quantised):
    params, masks = sparse
    for layer, leaves in expand(quantised).items():
        kernel = np.asarray(leaves["kernel"])
        assert not kernel[~masks[layer]].any()
        assert len(np.unique(kernel[masks[layer]])) < 2 ** BITS[layer]
        np.testing.assert_array_equal(leaves["bias"], params[layer]["bias"])
    with pytest.raises(ValueError, match=r"bits\['hidden2'\] is 9; allowed: 1 to 8"):
        quantise(*sparse, BITS | {"hidden2": 9})


MASKS = hnp.arrays(bool, st.sampled_from([(1, 1), (7, 9), (40, 30)]), elements=st.sampled_from([False] * 9 + [True]))


@given(MASKS, st.integers(1, 8), st.integers(0, 255))
def test_relative_indices_are_lossless_whatever_the_gaps(mask, index_bits, seed):
    codes = np.where(mask, np.random.default_rng(seed).integers(0, 256, mask.shape), 0).astype(np.uint8)
    symbols = coding.to_symbols(mask, codes, index_bits)
    assert symbols.gaps.max(initial=0) < 2**index_bits
    back = coding.from_symbols(symbols, mask.shape)
    np.testing.assert_array_equal(back[0], mask)
    np.testing.assert_array_equal(back[1], codes)


def test_a_long_gap_is_bridged_by_filler_zeros():
    mask = np.zeros((1, 12), bool)
    mask[0, [1, 11]] = True
    symbols = coding.to_symbols(mask, np.full((1, 12), 6, np.uint8), 2)
    assert symbols.gaps.tolist() == [1, 3, 3, 1]  # 1 dead, live; 4 dead, 4 dead, 1 dead, live
    assert symbols.values.tolist() == [7, 0, 0, 7]
    with pytest.raises(CodingError, match="indices reach weight 11 of a layer of 10"):
        coding.from_symbols(symbols, (2, 5))


@given(hnp.arrays(np.int32, st.integers(0, 300), elements=st.integers(0, 7)))
def test_entropy_coding_is_lossless_and_near_the_entropy(stream):
    counts = coding.frequencies(stream, 8)
    coded = coding.encode(stream, counts)
    np.testing.assert_array_equal(coding.decode(coded, counts), stream)
    assert 8 * len(coded) <= coding.entropy_bits(counts) * stream.size * 1.01 + 96


def test_the_file_decodes_to_the_same_logits(quantised, content):
    name, again = decompress(content)
    assert name == "fc"
    assert same_bits(expand(again), expand(quantised))
    images = jax.random.uniform(jax.random.key(0), (5, *SHAPE))
    logits = [networks.logits(NETWORKS["fc"], expand(each), images) for each in (quantised, again)]
    assert same_bits(*logits)


def test_a_dense_network_at_the_most_bits_comes_back(sparse):
    """Every gap is 0, so most of the gaps that the index bits allow do not occur."""
    params, _ = sparse
    most = quantise(params, full_masks(networks.kernels_of(params)), dict.fromkeys(BITS, 8))
    assert max(codes.max() for codes in most.codes.values()) > 127
    _, again = decompress(compress("fc", SHAPE, most, INDEX_BITS)[0])
    assert same_bits(expand(again), expand(most))
    with pytest.raises(ValueError, match=r"bits\['hidden1'\] is 9; allowed: 1 to 8"):
        quantise(*sparse, dict.fromkeys(BITS, 9))


def test_a_file_names_its_classes_where_they_are_not_the_networks_own():
    """Files of the five networks stay as they were, and those of one's own data come back."""
    params = networks.initialise(networks.network_of("fc", 3), derive_key(0, Purpose.INITIAL_WEIGHTS), SHAPE)
    three = quantise(params, largest_of_layers(params, 0.9, 0), BITS)
    own = compress("fc", SHAPE, three, INDEX_BITS)[0]
    assert FILE.open(own)[0]["classes"] == 3
    assert same_bits(expand(decompress(own)[1]), expand(three))


def test_sizes_are_those_of_the_papers_stages(quantised, content):
    _, sizes = compress("fc", SHAPE, quantised, INDEX_BITS)
    weights, biases = 64 * 300 + 30_000 + 1000, 410
    live = sum(int(mask.sum()) for mask in quantised.masks.values())
    assert sizes.dense == 4 * (weights + biases)
    assert sizes.coded == len(content)
    assert sizes.dense > sizes.pruned > sizes.quantised > sizes.coded
    assert sizes.pruned >= 4 * (live + biases) + live * 2 // 8
    assert sizes.rate == sizes.dense / len(content)


@given(st.data())
def test_damaged_files_are_refused(content, data):
    at = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "more"]))
    if kind == "flip":
        damaged = content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
    else:
        damaged = content[:at] if kind == "cut" else content + b"\0" * (at % 7 + 1)
    with pytest.raises(CompressedError):
        decompress(damaged)


def forged(content: bytes, change) -> bytes:
    """A file with another header and a right digest: what only malice makes."""
    magic, version, length = envelope.FIXED.unpack_from(content)
    end = envelope.FIXED.size + length
    header = json.loads(content[envelope.FIXED.size : end])
    change(header)
    text = json.dumps(header).encode()
    body = envelope.FIXED.pack(magic, version, len(text)) + text + content[end:-32]
    return body + hashlib.sha256(body).digest()


def add_fillers(entry, count: int) -> None:
    """Fillers that bridge nothing: gaps of 0."""
    entry[0][0] += count
    entry[1][0] += count


def values_into_fillers(entry) -> None:
    """The most frequent value's weights as fillers, whatever their gaps."""
    value = max(range(1, len(entry[1])), key=entry[1].__getitem__)
    entry[1][0] += entry[1][value]
    entry[1][value] = 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header.update(network="fc99"), "network is 'fc99'"),
        (lambda header: header.update(image_shape=[10**9, 10**9, 1]), "image_shape is"),
        (lambda header: header.update(image_shape=[8, 8]), r"image_shape is \[8, 8\]"),
        (lambda header: header.update(image_shape=[8, 8, True]), r"image_shape is \[8, 8, True\]"),
        (lambda header: header.update(image_shape=[8, 0, 1]), r"image_shape is \[8, 0, 1\]"),
        (lambda header: header.update(image_shape="881"), "image_shape is '881'"),
        (lambda header: header.update(extra=1), "fields"),
        (lambda header: header["layers"].pop(), "has 2 layers"),
        (lambda header: header["layers"][0][0].append(1), "lists of counts"),
        (lambda header: header["layers"][0][0].__setitem__(0, 2**30), "symbols"),
        (lambda header: header["layers"][0].__setitem__(2, 10**9), "are left"),
        (lambda header: header["layers"][0][0].reverse(), "inconsistent"),
        (lambda header: header.update(image_shape=[256, 256, 256]), "does not fit its image_shape: .*32,768 values"),
        (lambda header: header.update(network="conv2", image_shape=[100, 100, 3]), "allowed: 8,388,608"),
        (lambda header: header.update(network="lenet5"), "network does not fit its image_shape: x has shape"),
        (lambda header: add_fillers(header["layers"][0], 60), "inconsistent: indices reach weight"),
        (lambda header: values_into_fillers(header["layers"][0]), r"inconsistent: \d+ fillers, \d+ of a filler's gap"),
        (lambda header: add_fillers(header["layers"][0], 10**8), "symbols; allowed"),
    ],
)
def test_forged_headers_are_refused_before_anything_is_allocated(content, change, message):
    with pytest.raises(CompressedError, match=message):
        decompress(forged(content, change))


def test_foreign_files_and_kernels_are_refused(content, quantised):
    with pytest.raises(CompressedError, match="not a compressed network"):
        decompress(b"PK" + content[2:])
    with pytest.raises(CompressedError, match="too short"):
        decompress(content[:20])
    with pytest.raises(ValueError, match="does not have the kernels of fc"):
        compress("fc", (28, 28, 1), quantised, INDEX_BITS)
    with pytest.raises(ValueError, match="network is 'fc0'"):
        compress("fc0", SHAPE, quantised, INDEX_BITS)
    with pytest.raises(ValueError, match="index_bits is 9"):
        coding.to_symbols(np.ones((2, 2), bool), np.zeros((2, 2), np.uint8), 9)


def test_streams_of_one_symbol_take_no_bytes():
    assert coding.encode(np.zeros(50, np.int32), [50, 0]) == b""
    assert coding.decode(b"", [0, 3]).tolist() == [1, 1, 1]
    with pytest.raises(CodingError, match="whole words"):
        coding.decode(b"abc", [1, 1])
    assert coding.from_symbols(Symbols(np.zeros(0, np.int32), np.zeros(0, np.int32)), (2, 2))[0].sum() == 0


def test_recipes_and_published_numbers_are_of_the_same_networks():
    assert set(RECIPES) == set(PUBLISHED)
    for name, recipes in RECIPES.items():
        params = networks.initialise(NETWORKS[name], derive_key(0, Purpose.INITIAL_WEIGHTS), (28, 28, 1))
        kernels = networks.kernels_of(params)
        assert set(recipes) == set(RECIPE_NAMES)
        for recipe in recipes.values():
            assert set(recipe.kept) == set(recipe.bits) == set(recipe.index_bits) == set(kernels)
        kept = sum(kept_counts_of(recipes["paper"], kernels).values()) / sum(kernel.size for kernel in kernels.values())
        assert kept == pytest.approx(0.08, abs=0.005), "the paper: 8% of each network's weights"


def test_recipes_are_the_papers_percentages_and_bits():
    """Han et al. 2016, tables 1 to 3; what goes 'further' is our own."""
    layers = {"fc": ["hidden1", "hidden2", "output"], "lenet5": ["conv1", "conv2", "hidden1", "output"]}
    rows = {
        ("fc", "paper"): ([8, 9, 26], [6, 6, 6]),
        ("fc", "further"): ([5, 8, 26], [5, 5, 5]),
        ("lenet5", "paper"): ([66, 12, 8, 19], [8, 8, 5, 5]),
        ("lenet5", "further"): ([66, 12, 5, 19], [6, 6, 5, 5]),
    }
    for (network, name), (percent, bits) in rows.items():
        recipe, own = RECIPES[network][name], layers[network]
        assert [round(100 * recipe.kept[layer], 9) for layer in own] == percent
        assert [recipe.bits[layer] for layer in own] == bits
        assert [recipe.index_bits[layer] for layer in own] == [5] * len(own)
        sizes = {layer: np.zeros(1000, np.float32) for layer in reversed(own)}
        counts = kept_counts_of(recipe, sizes)
        assert counts == {layer: 10 * part for layer, part in zip(own, percent, strict=True)}
        assert list(counts) == own
    assert list(vars(PUBLISHED["fc"]).values()) == [12, 32, 40, 1.64, 1.58]
    assert list(vars(PUBLISHED["lenet5"]).values()) == [12, 33, 39, 0.80, 0.74]


def test_tuning_moves_shared_values_and_nothing_else(trainer, small_network):
    """A trained network at two bits loses much; tuning brings much of it back, with the codes as they were."""
    params = networks.initialise(small_network, derive_key(0, Purpose.INITIAL_WEIGHTS), SHAPE)
    trained = trainer.train([Job(params, full_masks(networks.kernels_of(params)), 0)])[0].params
    masks = largest_of_layers(trained, 0.3, 0)
    coarse = quantise(trained, masks, dict.fromkeys(masks, 2))
    config = TrainingConfig(200, 1e-3)
    tuner = CentroidTrainer(small_network, trainer.data, config, trainer.placement)
    tuned, again = tuner.train([coarse, coarse], [0, 0])
    assert same_bits(tuned, again)
    (alone,) = tuner.train([coarse], [0])
    assert same_bits(alone, tuned), "whatever it is tuned beside"
    assert same_bits((tuned.codes, tuned.masks), (coarse.codes, coarse.masks))
    assert {values.size for values in tuned.codebooks.values()} == {3}, "what filled them up is gone"
    before, after = trainer.evaluate([jax.tree.map(np.asarray, expand(each)) for each in (coarse, tuned)])
    assert after.loss < before.loss
    assert after.accuracy > before.accuracy - 0.01


def test_a_centroids_gradient_is_the_sum_of_its_weights_gradients(small_network, digits):
    params = networks.initialise(small_network, derive_key(0, Purpose.INITIAL_WEIGHTS), SHAPE)
    coarse = quantise(params, full_masks(networks.kernels_of(params)), dict.fromkeys(params, 2))
    images = jnp.asarray(digits.train.images[:60], jnp.float32) / digits.maximum
    labels = jnp.asarray(digits.train.labels[:60])
    of_values = jax.grad(
        lambda books: cross_entropy(small_network, expand(coarse._replace(codebooks=books)), images, labels)
    )(coarse.codebooks)
    of_weights = jax.grad(lambda p: cross_entropy(small_network, p, images, labels))(expand(coarse))
    for layer, codes in coarse.codes.items():
        sums = np.bincount(codes.ravel(), np.asarray(of_weights[layer]["kernel"]).ravel(), minlength=4)
        np.testing.assert_allclose(of_values[layer], sums, rtol=1e-3, atol=1e-6)


def test_dense_sparse_dense_prunes_in_between_and_the_control_does_not(trainer):
    short = replace(trainer, config=replace(trainer.config, steps=100))
    params = networks.initialise(trainer.network, derive_key(0, Purpose.INITIAL_WEIGHTS), SHAPE)
    phases = dense_sparse_dense(short, [params], [0], [0.0, 0.4])
    control, pruned_run = phases[0.0, 0], phases[0.4, 0]
    assert same_bits(control.dense.params, pruned_run.dense.params), "the first phase is shared"
    for layer, kernel in networks.kernels_of(pruned_run.sparse.params).items():
        first = np.abs(control.dense.params[layer]["kernel"])
        dead = np.asarray(kernel) == 0
        assert dead.sum() == int(0.4 * first.size)
        assert first[dead].max() <= first[~dead].min(), "the smallest of the dense phase"
        last = np.asarray(pruned_run.last.params[layer]["kernel"])
        assert np.count_nonzero(last[dead]) > 0, "pruned weights come back"
    assert not any((np.asarray(k) == 0).any() for k in networks.kernels_of(control.sparse.params).values())
    assert pruned_run.last.evaluated_at.tolist() == [200, 300], "batches go on from phase to phase"


def test_the_last_phase_has_a_tenth_of_the_learning_rate(trainer):
    """Han et al. 2017, section 3. Adam's first step is the learning rate, in every weight that has a gradient."""
    one = replace(trainer, config=replace(trainer.config, steps=1))
    params = networks.initialise(trainer.network, derive_key(0, Purpose.INITIAL_WEIGHTS), SHAPE)
    phases = dense_sparse_dense(one, [params], [0], [0.4])[0.4, 0]

    def moved(before, after) -> float:
        return max(
            float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
        )

    rate = moved(params, phases.dense.params)
    assert rate == pytest.approx(trainer.config.learning_rate, rel=1e-3)
    assert moved(phases.sparse.params, phases.last.params) == pytest.approx(rate / 10, rel=1e-2)


def test_any_part_of_the_weights_but_all_can_be_pruned_in_between():
    for sparsity in (0, 0.3, 0.999):
        assert DSDRun(sparsity).sparsity == sparsity
    for sparsity in (-0.1, 1, math.nan):
        with pytest.raises(ValueError, match=f"sparsity is {sparsity}; allowed: 0 <= sparsity < 1"):
            DSDRun(sparsity)


def test_a_small_file_takes_little_memory_whatever_it_says(content):
    """What is taken is bounded by the named network, which a header cannot make large."""
    for change in (
        lambda header: header.update(image_shape=[256, 256, 256]),
        lambda header: header.update(network="conv2", image_shape=[256, 128, 1]),
        lambda header: add_fillers(header["layers"][0], 10**8),
        lambda header: [add_fillers(entry, 10**7) for entry in header["layers"]],
    ):
        file = forged(content, change)
        tracemalloc.start()
        try:
            with pytest.raises(CompressedError):
                decompress(file)
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()


def test_a_network_that_is_too_large_to_be_read_is_not_written(quantised):
    with pytest.raises(ValueError, match="allowed: up to 32,768 values an image"):
        compress("fc", (256, 256, 1), quantised, INDEX_BITS)
