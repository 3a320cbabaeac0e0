"""Deep Compression (Han et al. 2016): stored sparse trainings, quantised, tuned and written to files."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from supermask.analysis.kinds import sparse_training
from supermask.analysis.kinds.base import FILE_BYTES, RECORD_BYTES, Arrays, Context, Kind, Made
from supermask.analysis.kinds.fields import ColumnTypes
from supermask.analysis.kinds.layout import check_array
from supermask.analysis.kinds.leaves import others_size
from supermask.analysis.kinds.sparse_training import SPARSE, decode_params, recipe_of
from supermask.analysis.store.identity import REVISIONS, Description
from supermask.analysis.store.store import Storage
from supermask.analysis.studies.experiment import Experiment
from supermask.analysis.system.files import make_folder, write_whole
from supermask.compression.coding import entropy_bits, frequencies, to_symbols
from supermask.compression.file import StageSizes, compress, decompress
from supermask.compression.quantisation import Quantised, expand, quantise
from supermask.compression.runs import CompressionRun
from supermask.compression.tuning import CentroidTrainer
from supermask.evaluation import Scores
from supermask.intervals import TrainingConfig
from supermask.masks import full_masks
from supermask.networks import Params, kernels_of, shapes_of
from supermask.reading import read_regular
from supermask.training import Trainer


class Compression(Kind[CompressionRun]):
    """Compressed networks, one result and one file each."""

    name, plural = "compression", "compressed networks"
    run_types = (CompressionRun,)
    required = ("compression.bits",)
    column_types: ClassVar[ColumnTypes] = {"bits": "text"}
    metrics = (
        *("test_accuracy", "test_loss", "test_accuracy_before_tuning", "weights_remaining", "dense_bytes"),
        *("pruned_bytes", "quantised_bytes", "file_bytes", "compression", "value_bits", "gap_bits", "fillers"),
    )
    has_arrays = True

    def describe(self, experiment: Experiment, run: CompressionRun, seed: int) -> Sequence[Description]:
        """Describe its training, quantisation and coding."""
        recipe = recipe_of(experiment.protocol.network, run.recipe)
        own = {
            "bits": dict.fromkeys(recipe.bits, run.bits) if run.bits else dict(recipe.bits),
            "index_bits": dict(recipe.index_bits),
            "trained": SPARSE.results(experiment, run.source, seed)[0].description,
        }
        base = experiment.describe(self.name, seed, tuning_of(experiment), "adam")
        if sparse_training.live_weights_pay(experiment, run.source, tuning_of(experiment).steps):
            base["revision"] = REVISIONS["live compression"]
        return (base | {"compression": own},)

    def sources(self, run: CompressionRun) -> Sequence[Hashable]:
        """Return the training that it compresses."""
        return (run.source,)

    def make(self, context: Context, runs: Sequence[CompressionRun]) -> None:
        """Quantise, tune and code what is missing, and measure the files. Networks are tuned in populations."""
        experiment, store = context.experiment, context.store
        missing = self.missing(context, ((run, seed) for run in runs for seed in experiment.seeds))
        if not missing:
            return
        placement = context.slots(len(missing), len(runs) * len(experiment.seeds))
        given = (experiment.network, experiment.data, tuning_of(experiment), placement)
        tuner = context.bench.trainer(("centroids", placement), lambda: CentroidTrainer(*given, context.checkpoints))
        trainer = context.bench.trainer(("compressed", placement), lambda: Trainer(*given))

        def compressed(some: Sequence[tuple[CompressionRun, int]]) -> list[Made]:
            sources = [_quantised(experiment, run, seed, store) for run, seed in some]
            told = context.steps(experiment.step_cost(given[2].batch_size))
            tuned = tuner.train(sources, [seed for _, seed in some], told)
            before = trainer.evaluate([jax.tree.map(np.asarray, expand(each)) for each in sources])
            files = [_write(experiment, *job, each, store) for job, each in zip(some, tuned, strict=True)]
            scores = trainer.evaluate([file.params for file in files])
            return [
                (metrics_of(file, untuned, score), {"file": np.frombuffer(file.content, np.uint8)})
                for file, untuned, score in zip(files, before, scores, strict=True)
            ]

        self.make_in_populations(context, missing, placement.slots, compressed)

    def columns(self, description: Description) -> dict[str, Any]:
        """Return the bits of each layer's shared values."""
        return {"bits": " ".join(f"{n}={bits}" for n, bits in sorted(description["compression"]["bits"].items()))}

    def check_arrays(self, description: Description, arrays: Arrays) -> None:
        """Check the file's bytes."""
        if check_array(arrays, "file", "u", (None,)).dtype != np.uint8:
            raise ValueError(f"array file is {arrays['file'].dtype}; it should be uint8")

    def uses(self, run: CompressionRun) -> frozenset[str]:
        """Return the fields of sparse training, since tuning takes a tenth of one."""
        return frozenset({"sparse_epochs"})

    def work(self, experiment: Experiment, description: Description) -> float:
        """Return its steps, in steps of the rounds."""
        return float(description["steps"] * experiment.step_cost(description["batch_size"]))

    def write_beside(self, folder: Path, id_: str, arrays: Arrays) -> None:
        """Write its file."""
        keep_file(folder, id_, arrays["file"].tobytes())

    def size(self, experiment: Experiment, description: Description, params: Params) -> float:
        """Return about one byte per kept weight, twice, for arrays and file."""
        live = sparse_training.live_weights(description["compression"]["trained"], params)
        biases = others_size(params)
        return RECORD_BYTES + FILE_BYTES + 2 * (live + 4 * biases)


COMPRESSION = Compression()


def tuning_of(experiment: Experiment) -> TrainingConfig:
    """Return the tuning of shared values: a tenth of sparse training's length, and of the rounds' learning rate."""
    config = sparse_training.training_of(experiment)
    return replace(config, steps=config.steps // 10, learning_rate=0.1 * experiment.protocol.learning_rate)


@dataclass(frozen=True)
class Written:
    """A compressed network on disk: its decoded parameters, the bytes of each stage, and the bytes of the file."""

    content: bytes
    params: Params
    sizes: StageSizes
    on_disk: int
    value_bits: float
    gap_bits: float
    live: int
    symbols: int


def keep_file(folder: Path, id_: str, content: bytes) -> Path:
    """Write a compressed network to its result's file atomically."""
    path = folder / "compressed" / f"{id_}.deep"
    make_folder(path.parent)
    write_whole(path, content)
    return path


def _write(experiment: Experiment, run: CompressionRun, seed: int, quantised: Quantised, store: Storage) -> Written:
    """Write the file, read it back, and check that it decodes to the same network, bit for bit."""
    name = experiment.protocol.network
    index_bits = recipe_of(name, run.recipe).index_bits
    content, sizes = compress(name, experiment.data.image_shape, quantised, index_bits)
    path = keep_file(store.folder, COMPRESSION.results(experiment, run, seed)[0].id, content)
    _, again = decompress(read_regular(path))
    expected, params = (jax.tree.map(np.asarray, expand(each)) for each in (quantised, again))
    if any(a.tobytes() != b.tobytes() for a, b in zip(*map(jax.tree.leaves, (expected, params)), strict=True)):
        raise AssertionError(f"{path} does not decode to the network that was compressed")
    streams = [to_symbols(np.asarray(again.masks[n]), np.asarray(again.codes[n]), index_bits[n]) for n in again.codes]
    symbols = sum(stream.gaps.size for stream in streams)
    value_bits = sum(s.values.size * entropy_bits(frequencies(s.values, 257)) for s in streams) / max(symbols, 1)
    gap_bits = sum(s.gaps.size * entropy_bits(frequencies(s.gaps, 256)) for s in streams) / max(symbols, 1)
    live = sum(int(np.sum(mask)) for mask in again.masks.values())
    return Written(content, params, sizes, path.stat().st_size, value_bits, gap_bits, live, symbols)


def _quantised(experiment: Experiment, run: CompressionRun, seed: int, store: Storage) -> Quantised:
    """Return the run's trained network, its weights as shared values."""
    start = shapes_of(experiment.network, experiment.data.image_shape)
    arrays = store.arrays(SPARSE.results(experiment, run.source, seed)[0].id)
    masks, params = decode_params(arrays, start)
    bits: Mapping[str, int] = recipe_of(experiment.protocol.network, run.recipe).bits
    if run.bits:
        bits = dict.fromkeys(bits, run.bits)
    return quantise(params, masks if run.pruned else full_masks(kernels_of(params)), bits)


def metrics_of(file: Written, untuned: Scores, tuned: Scores) -> dict[str, float]:
    """Return the metrics of a compressed network; sizes in bytes, `file_bytes` as measured on disk."""
    weights = sum(leaves["kernel"].size for leaves in file.params.values())
    return {
        "test_accuracy": float(tuned.accuracy),
        "test_loss": float(tuned.loss),
        "test_accuracy_before_tuning": float(untuned.accuracy),
        "weights_remaining": file.live / weights,
        "dense_bytes": float(file.sizes.dense),
        "pruned_bytes": float(file.sizes.pruned),
        "quantised_bytes": float(file.sizes.quantised),
        "file_bytes": float(file.on_disk),
        "compression": file.sizes.dense / file.on_disk,
        "value_bits": file.value_bits,
        "gap_bits": file.gap_bits,
        "fillers": float(file.symbols - file.live),
    }
