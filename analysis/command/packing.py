"""The commands `pack`, `unpack` and `evaluate`: a learned supermask as one small file, and back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import save

from supermask import datasets
from supermask.analysis.kinds.genuine import genuine_arrays, genuine_results
from supermask.analysis.kinds.layout import images_of
from supermask.analysis.kinds.learned_mask import decode_logits
from supermask.analysis.store.folders import check_stored
from supermask.analysis.store.store import Store, StoredResult
from supermask.analysis.system.errors import StoreError, UsageError, choose
from supermask.analysis.system.files import SAFETENSORS, FileKind, check_output, read_at_most, write_whole
from supermask.analysis.system.terminal import say
from supermask.keys import Purpose, derive_key
from supermask.mask_logits import BINARY, LearnedMask, draw_masks, kept_by_layer, rounded_masks
from supermask.mask_scores import EVALUATION_SAMPLES
from supermask.masks import weights_remaining
from supermask.networks import NETWORKS, FeedForward, network_of, parameter_count, shapes_of
from supermask.packed import ENVELOPE, MaskedNetwork, PackedError, pack, sizes_of, unpack
from supermask.params import Params, kernels_of
from supermask.population import place
from supermask.training import Trainer, TrainingConfig

MAXIMUM_FILE = 1 << 22
"""Bytes; the largest network here takes an eighth of that."""

PACKED = FileKind.starting("a packed network", ENVELOPE.magic)


def pack_result(results: Path, run: str, path: Path, sample: int | None) -> None:
    """Pack the mask of a stored result into a file and print its sizes.

    `run` is a result's id or its beginning, or 'best', the highest validation accuracy; `sample` picks one of the drawn
    masks that the result was judged by, in place of the rounded one.
    Raises UsageError for a missing result or drawn mask, or a file that cannot be written; FileError if that fails.
    """
    check_stored("results", results)
    if sample is not None and not 0 <= sample < EVALUATION_SAMPLES:
        raise UsageError(f"sample is {sample}; allowed: 0 to {EVALUATION_SAMPLES - 1}")
    check_output("file", path, PACKED)
    with Store(results, for_reading=True) as store:
        result = find_learned(store, run)
        network = masked_network(result, genuine_arrays(store, result), sample)
    try:
        content = pack(network)
    except PackedError as error:
        raise UsageError(f"run {run!r} cannot be packed: {error}") from None
    write_whole(path, content)
    sizes = sizes_of(network, content)
    say(f"{path}: {_words(network)}")
    say(
        f"{sizes.packed:,} bytes; the mask holds {sizes.information:,.0f} bytes of information (row by row), "
        f"one bit a weight is {sizes.bits:,}, float32 weights are {sizes.float32:,}: "
        f"{sizes.float32 / sizes.packed:.0f} times smaller"
    )


def unpack_file(path: Path, output: Path) -> None:
    """Rebuild the network of a file and write its parameters as safetensors.

    Raises UsageError where a file cannot be read or written, StoreError where it is damaged or cannot be rebuilt here.
    """
    check_output("output", output, SAFETENSORS)
    network, params = read_packed(path)
    arrays = {
        f"{layer}.{name}": np.ascontiguousarray(leaf, np.float32)
        for layer, leaves in params.items()
        for name, leaf in leaves.items()
    }
    write_whole(
        output, save(arrays, {"network": network.network, "dataset": network.dataset, "seed": str(network.seed)})
    )
    say(f"{output}: {_words(network)}")


def evaluate_file(path: Path, dataset: str | None, data_dir: Path | None) -> None:
    """Print the accuracy of a file's network on validation and test images: of its data set, or of a given one.

    Raises UsageError where the file cannot be read, or the data set is not named or of another shape; StoreError where
    the file is damaged, DataError where there are no data.
    """
    network, params = read_packed(path)
    module, data = _known(path, network, dataset, data_dir)
    placement = place(parameter_count(module, data.image_shape), networks=1)
    trainer = Trainer(module, data, TrainingConfig(0, 1.0), placement)
    say(f"{path}: {_words(network)}" + (f"; on {data.name}" if data.name != network.dataset else ""))
    for name, split in (("validation", data.validation), ("test", data.test)):
        (scores,) = trainer.evaluate([jax.tree.map(np.asarray, params)], split)
        say(f"{name} accuracy {100 * float(scores.accuracy):.2f}% on {len(split):,} images, loss {scores.loss:.4f}")


def find_learned(store: Store, run: str, wanted: str = "a learned mask") -> StoredResult:
    """Return the learned mask that an id or its beginning names, or 'best' of those that a file can hold.

    Raises UsageError, with those there are.
    """
    learned = list(genuine_results(store, "learned_mask"))
    fitting = [result for result in learned if not _unfit(result.description["mask"])]
    if run == "best" and fitting:
        return max(fitting, key=lambda result: result.metrics["validation_accuracy"])
    found = [result for result in learned if result.id.startswith(run)]
    if len(found) == 1:
        return found[0]
    if not fitting:
        raise UsageError(
            f"run {run!r} is not {wanted} of {store.folder}, which has no such mask; "
            "supermask reproduce learned-supermasks makes some"
        )
    known = "\n".join(f"  {each.id[:12]}  {_brief(each)}" for each in fitting[:40])
    what = "stands for several learned masks" if found else f"is not {wanted}"
    raise UsageError(f"run {run!r} {what} of {store.folder}; allowed: best, or the beginning of an id:\n{known}")


def _brief(result: StoredResult) -> str:
    own = result.description
    mask = ", ".join(f"{name} {value}" for name, value in own["mask"].items()) or "initial weights"
    accuracy = 100 * result.metrics["test_accuracy"]
    return f"{own['network']} on {own['dataset']}, seed {own['seed']}, {own['steps']:,} steps, {mask}: {accuracy:.1f}%"


def masked_network(result: StoredResult, arrays: dict[str, np.ndarray], sample: int | None) -> MaskedNetwork:
    """Return the network of a learned mask: the rounded mask, or one of the drawn ones.

    Raises UsageError for a network or data set that is not the toolkit's, choices that this version does not know, a
    mask that is not one of zeros and ones on weights of the seed alone, and `sample` where no masks are drawn.
    """
    description = result.description
    choose(f"network of {result.id[:12]}", description["network"], NETWORKS)
    if images_of(description) is None:
        choose(f"dataset of {result.id[:12]}", description["dataset"], datasets.DATASETS)
    try:
        learned = LearnedMask(**description["mask"])
    except (TypeError, ValueError) as error:
        raise UsageError(f"mask of {result.id[:12]} is {ascii(description['mask'])[:80]}: {error}") from None
    if what := _unfit(description["mask"]):
        allowed = "masks of zeros and ones on weights that the seed alone determines"
        raise UsageError(f"mask of {result.id[:12]} {what}; allowed: {allowed}")
    logits = decode_logits(arrays)
    if sample is not None and learned.method != "bernoulli":
        raise UsageError(
            f"sample is {sample}, but masks learned by {learned.method} are not drawn; allowed: none, or a result of "
            "the method bernoulli"
        )
    if sample is None:
        masks: Any = rounded_masks(learned.method, logits, kept_by_layer(learned, logits))
    else:
        key = derive_key(description["seed"], Purpose.MASK_EVALUATION)
        masks = draw_masks(jax.random.fold_in(key, sample), logits)
    return MaskedNetwork(
        description["network"],
        description["dataset"],
        description["seed"],
        learned.weights,
        learned.rescaled,
        {layer: np.asarray(mask) for layer, mask in masks.items()},
        image_shape=tuple(description["image_shape"]) if "image_shape" in description else None,
    )


def _unfit(mask: Mapping[str, Any]) -> str:
    """Return why a file of a mask and a seed cannot hold a learned mask of these choices; '' if it can."""
    if mask.get("method") == "signed":
        return "has the method signed, which also inverts weights"
    return "is on binary weights, whose size depends on the mask" if mask.get("weights") == BINARY else ""


def _words(network: MaskedNetwork) -> str:
    rescaled = ", rescaled" if network.rescaled else ""
    return (
        f"{network.network} for {network.dataset}, seed {network.seed}, {network.weights.replace('_', ' ')} weights"
        f"{rescaled}, {100 * weights_remaining(network.masks):.1f}% of them kept"
    )


def read_packed(path: Path) -> tuple[MaskedNetwork, Params]:
    """Read a packed file. Raises UsageError where that is impossible, StoreError for a file that is damaged."""
    content = read_at_most(path, MAXIMUM_FILE)
    try:
        return unpack(content)
    except PackedError as error:
        raise StoreError(f"{path}: {error}") from None


def _known(
    path: Path, network: MaskedNetwork, dataset: str | None, data_dir: Path | None
) -> tuple[FeedForward, datasets.Dataset]:
    """Return a file's network and the data to judge it by.

    Raises StoreError unless network and data set are known here and the network has the file's layers; UsageError for a
    given data set that does not fit them.
    """
    if network.network not in NETWORKS:
        raise StoreError(f"{path}: the file's network is {network.network!r}; known here: {', '.join(NETWORKS)}")
    if dataset is None and network.dataset not in datasets.DATASETS:
        known = f"{', '.join(datasets.DATASETS)}, or a path that --dataset gives"
        raise StoreError(f"{path}: the file's dataset is {network.dataset!r}; known here: {known}")
    data = datasets.load(dataset or network.dataset, data_dir=data_dir, progress=False)
    module = network_of(network.network, data.classes)
    try:
        kernels = kernels_of(shapes_of(module, data.image_shape))
    except ValueError as error:
        words = f"network {network.network} does not fit {data.name}: {error}"
        raise (StoreError if dataset is None else UsageError)(f"{path}: {words}") from None
    if {n: k.shape for n, k in kernels.items()} != {n: mask.shape for n, mask in network.masks.items()}:
        images = f"images of {'×'.join(map(str, data.image_shape))} and {data.classes} classes"
        if dataset is not None:
            raise UsageError(f"dataset {data.name} has {images}, which the layers of {path} do not fit")
        raise StoreError(f"{path}: the file's layers are not those of {network.network} for {network.dataset}")
    return module, data
