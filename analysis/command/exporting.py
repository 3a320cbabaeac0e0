"""The command `export`: a stored ticket or supermask, or a packed network, as arrays for other libraries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from supermask.analysis.command.packing import find_learned, masked_network, read_packed
from supermask.analysis.kinds.genuine import genuine_arrays, genuine_results
from supermask.analysis.kinds.layout import images_of
from supermask.analysis.kinds.leaves import decode_others
from supermask.analysis.kinds.rounds import ROUNDS, decode_round, decode_round_zero
from supermask.analysis.store.folders import check_stored
from supermask.analysis.store.store import Store, StoredResult
from supermask.analysis.studies.experiment import choices_of
from supermask.analysis.system.errors import FileError, UsageError, choose, reason
from supermask.analysis.system.files import SAFETENSORS, FileKind, check_output
from supermask.analysis.system.terminal import say
from supermask.analysis.system.words import number
from supermask.datasets import DATASETS
from supermask.exporting import LAYOUTS, check_path, export
from supermask.lottery import initial_of
from supermask.networks import NETWORKS
from supermask.packed import MaskedNetwork, rebuild
from supermask.params import Params, kernels_of, pruned, with_kernels
from supermask.restarts import Treatment
from supermask.zoo import BUILT_IN, built_in

WEIGHTS = ("final", "initial")
"""What a ticket's weights can be: trained, or as they were before training."""

NPZ = FileKind.starting("an .npz file", b"PK\x03\x04")


class Exported(NamedTuple):
    """Parameters, their masks, and what they are."""

    network: str
    dataset: str
    params: Any
    masks: dict[str, np.ndarray] | None
    words: str
    image_shape: tuple[int, int, int] | None


def export_source(source: str, output: Path, layout: str, weights: str, results: Path) -> None:
    """Write the arrays of a packed file, or of a stored round or learned mask, and print what was written.

    Raises UsageError for a missing source or weights and for an output that cannot be replaced; StoreError for a
    damaged file; FileError if writing fails.
    """
    choose("layout", layout, LAYOUTS)
    choose("weights", weights, WEIGHTS)
    try:
        check_path(output)
    except ValueError as error:
        raise UsageError(str(error).replace("path is", "output is", 1)) from None
    check_output("output", output, NPZ if output.suffix == ".npz" else SAFETENSORS)
    found = _of_file(Path(source)) if Path(source).is_file() else _of_result(results, source, weights)
    masks: Any = None
    if found.masks is not None:
        masks = mask_tree(found.params, found.masks)
    about = {"network": found.network, "dataset": found.dataset, "words": found.words}
    try:
        export(output, found.params, masks, layout=layout, maps=maps_of(found), about=about)
    except OSError as error:
        raise FileError(f"file {output} cannot be written: {reason(error)}") from None
    say(f"{output}: {found.words}; {output.stat().st_size:,} bytes, laid out as in {layout}")


def mask_tree(params: Params, masks: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray | None]]:
    """Return masks in the structure of parameters: None in the place of all leaves but kernels."""
    return {
        layer: {name: masks[layer] if name == "kernel" else None for name in leaves} for layer, leaves in params.items()
    }


def maps_of(found: Exported) -> dict[str, tuple[int, int, int]]:
    """Return the maps that a known network's first dense layer reads.

    Raises UsageError where there are some, and the shape of the images, from which theirs follows, is not known.
    """
    params = found.params
    convolutions = [layer for layer in params if layer.startswith("conv")]
    if not convolutions or found.network not in NETWORKS:
        return {}
    if found.image_shape is None:
        raise UsageError(
            f"source is of {found.dataset}, whose images' shape is not known here; allowed: a result of it"
        )
    height, width = NETWORKS[found.network].maps(found.image_shape)[-1]
    first = "hidden1" if "hidden1" in params else "output"
    return {first: (height, width, params[first]["kernel"].shape[0] // (height * width))}


def _of_file(path: Path) -> Exported:
    network, params = read_packed(path)
    words = f"{network.network} for {network.dataset}, seed {network.seed}, untrained, under its mask"
    return Exported(network.network, network.dataset, params, dict(network.masks), words, _shape_of(network))


def _shape_of(network: MaskedNetwork) -> tuple[int, int, int] | None:
    published = DATASETS.get(network.dataset)
    return network.image_shape or (published.image_shape if published else None)


def _of_result(results: Path, run: str, weights: str) -> Exported:
    check_stored("results", results)
    with Store(results, for_reading=True) as store:
        rounds = list(genuine_results(store, ROUNDS.name))
        found = [each for each in rounds if each.id.startswith(run)]
        if len(found) != 1:
            result = find_learned(store, run, "a round of pruning or a learned mask" if rounds else "a learned mask")
            network = masked_network(result, genuine_arrays(store, result), None)
            words = f"{network.network} for {network.dataset}, seed {network.seed}, untrained, under a learned mask"
            named, masks = (network.network, network.dataset), dict(network.masks)
            return Exported(*named, rebuild(network), masks, words, _shape_of(network))
        return _of_round(found[0], genuine_arrays(store, found[0]), weights)


def _of_round(result: StoredResult, arrays: dict[str, np.ndarray], weights: str) -> Exported:
    own = result.description
    images = images_of(own)
    if own["network"] not in BUILT_IN or images is None:
        raise UsageError(f"run {result.id[:12]} is of {own['network']} on {own['dataset']}, whose shapes are not known")
    image_shape, classes = images
    words = f"{own['network']} on {own['dataset']}, seed {own['seed']}, round {own['round']}, {weights} weights"
    words += _preparation(own)
    if own["round"] == 0:
        initial, final = decode_round_zero(arrays)
        return Exported(
            own["network"], own["dataset"], {"initial": initial, "final": final}[weights], None, words, image_shape
        )
    if weights == "initial" and (other := _not_rewound(own["treatment"])):
        raise UsageError(f"weights is 'initial', but {result.id[:12]} does not start at them: {other}; allowed: final")
    start = initial_of(built_in(own["network"], classes), own["seed"], image_shape)
    end = decode_round(arrays, kernels_of(start))
    masks = {layer: np.asarray(mask) for layer, mask in end.masks.items()}
    if weights == "initial":
        return Exported(own["network"], own["dataset"], pruned(start, masks), masks, words, image_shape)
    others = decode_others(arrays)
    params = {layer: {**own, **others.get(layer, {})} for layer, own in with_kernels(start, end.final).items()}
    return Exported(own["network"], own["dataset"], params, masks, words, image_shape)


def _preparation(own: Mapping[str, Any]) -> str:
    """Return what its network reads in place of pixels scaled to [0, 1], as words to append; '' if that is these."""
    if (pixels := own.get("recipe", {}).get("normalise")) is None:
        return ""
    mean, deviation = (" ".join(map(number, pixels[name])) for name in ("mean", "deviation"))
    return f", for pixels in 0..1 minus {mean} over {deviation}, by channel"


def _not_rewound(treatment: Mapping[str, Any]) -> str:
    """Return in which choices a treatment differs from rewinding to the initial weights, with zeros elsewhere."""
    plain = choices_of(Treatment())
    names = ("kept", "pruned", "rewind_step")
    return ", ".join(f"{n} is {treatment[n]}" for n in names if treatment.get(n, plain[n]) != plain[n])
