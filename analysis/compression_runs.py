"""Dense-sparse-dense trainings and compressed networks that the store lacks."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from analysis.files import make_folder, write_whole
from analysis.metrics import training_metrics
from analysis.provenance import provenance
from analysis.sparse_runs import decode_params
from analysis.store import Result, Storage
from analysis.studies import Experiment, identity
from analysis.work import Done, Watcher, missing_runs, steps_teller
from analysis.workbench import Workbench
from supermask.compression.coding import entropy_bits, frequencies, to_symbols
from supermask.compression.dsd import DSDRun, Phases, dense_sparse_dense
from supermask.compression.file import Sizes, compress, decompress
from supermask.compression.pruning import RECIPES
from supermask.compression.quantisation import CentroidTrainer, Quantised, expand, quantise
from supermask.compression.runs import CompressionRun
from supermask.evaluation import Scores
from supermask.lottery import initial_of
from supermask.masks import full_masks
from supermask.networks import NETWORKS, Params, kernels_of, parameter_count, shapes_of
from supermask.population import batched, place
from supermask.training import Trainer


def run_dsd(experiment: Experiment, runs: Sequence[DSDRun], store: Storage, watch: Watcher) -> None:
    """Trains every missing run of a seed together; they share its first phase."""
    network, shape = NETWORKS[experiment.protocol.network], experiment.data.image_shape
    for seeds, sparsities in _missing_dsd(experiment, runs, store):
        started = time.monotonic()
        placement = place(parameter_count(network, shape), networks=len(seeds) * len(sparsities))
        trainer = Trainer(network, experiment.data, experiment.dsd_training, placement)
        starts = [initial_of(network, seed, shape) for seed in seeds]
        done = dense_sparse_dense(trainer, starts, seeds, sparsities, lambda steps: watch(Done(work=steps)))
        seconds = (time.monotonic() - started) / len(done)
        results = [
            Result(experiment.describe_dsd(DSDRun(sparsity), seed), dsd_metrics(phases), None, seconds)
            for (sparsity, seed), phases in done.items()
        ]
        store.add(results, provenance())
        watch(Done(kind="dsd", results=len(results)))


def _missing_dsd(
    experiment: Experiment, runs: Sequence[DSDRun], store: Storage
) -> list[tuple[tuple[int, ...], tuple[float, ...]]]:
    """Groups of (seeds, sparsities), so that seeds that lack the same runs are trained together."""
    lacking: dict[tuple[float, ...], list[int]] = {}
    for seed in experiment.seeds:
        ids = {run.sparsity: identity(experiment.describe_dsd(run, seed)) for run in runs}
        stored = store.known(ids.values())
        if missing := tuple(sparsity for sparsity, id_ in ids.items() if id_ not in stored):
            lacking.setdefault(missing, []).append(seed)
    return [(tuple(seeds), sparsities) for sparsities, seeds in lacking.items()]


def dsd_metrics(phases: Phases) -> dict[str, float]:
    """The last phase's metrics, and the accuracy at the end of each phase."""
    names = ("dense_phase", "sparse_phase", "last_phase")
    ends = {f"test_accuracy_{n}": float(p.test_at_end.accuracy) for n, p in zip(names, phases, strict=True)}
    return training_metrics(phases.last) | ends


def run_compression(
    experiment: Experiment,
    runs: Sequence[CompressionRun],
    store: Storage,
    watch: Watcher,
    bench: Workbench | None = None,
) -> None:
    """Quantises, fine-tunes and codes what is missing from the stored trainings, and measures the files.

    Networks of all runs and seeds are tuned in populations, each stored as soon as it is done.
    """
    network, shape = NETWORKS[experiment.protocol.network], experiment.data.image_shape
    every = ((run, seed) for run in runs for seed in experiment.seeds)
    missing = missing_runs(store, experiment.describe_compression, every)
    if not missing:
        return
    bench = bench or Workbench()
    placement = place(parameter_count(network, shape), networks=bench.slots(len(missing)))
    given = (network, experiment.data, experiment.centroid_training, placement)
    tuner = bench.trainer(("centroids", placement), lambda: CentroidTrainer(*given))
    trainer = bench.trainer(("compressed", placement), lambda: Trainer(*given))
    for jobs in batched(missing, placement.slots):
        started = time.monotonic()
        sources = [_quantised(experiment, run, seed, store) for run, seed in jobs]
        tuned = tuner.train(sources, [seed for _, seed in jobs], steps_teller(watch))
        before = trainer.evaluate([jax.tree.map(np.asarray, expand(each)) for each in sources])
        files = [_write(experiment, *job, each, store) for job, each in zip(jobs, tuned, strict=True)]
        scores = trainer.evaluate([file.params for file in files])
        seconds = (time.monotonic() - started) / len(jobs)
        results = [
            Result(
                experiment.describe_compression(*job),
                compression_metrics(file, untuned, score),
                {"file": np.frombuffer(file.content, np.uint8)},
                seconds,
            )
            for job, file, untuned, score in zip(jobs, files, before, scores, strict=True)
        ]
        store.add(results, provenance())
        watch(Done(kind="compression", results=len(jobs)))


@dataclass(frozen=True)
class Written:
    """A compressed network on disk: what it decodes to, what each stage takes, and the bytes that the file has."""

    content: bytes
    params: Params
    sizes: Sizes
    on_disk: int
    value_bits: float
    gap_bits: float
    live: int
    symbols: int


def keep_file(folder: Path, id_: str, content: bytes) -> Path:
    """Writes a compressed network to where its result's file lies; whole or not at all."""
    path = folder / "compressed" / f"{id_}.deep"
    make_folder(path.parent)
    write_whole(path, content)
    return path


def _write(experiment: Experiment, run: CompressionRun, seed: int, quantised: Quantised, store: Storage) -> Written:
    """Writes the file, reads it back, and checks that it decodes to what was written, bit for bit."""
    name = experiment.protocol.network
    index_bits = RECIPES[name][run.recipe].index_bits
    content, sizes = compress(name, experiment.data.image_shape, quantised, index_bits)
    path = keep_file(store.folder, identity(experiment.describe_compression(run, seed)), content)
    _, again = decompress(path.read_bytes())
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
    """The run's trained network, its weights as shared values."""
    start = shapes_of(NETWORKS[experiment.protocol.network], experiment.data.image_shape)
    arrays = store.arrays(identity(experiment.describe_sparse(run.source, seed)))
    masks, params = decode_params(arrays, start)
    bits: Mapping[str, int] = RECIPES[experiment.protocol.network][run.recipe].bits
    if run.bits:
        bits = dict.fromkeys(bits, run.bits)
    return quantise(params, masks if run.pruned else full_masks(kernels_of(params)), bits)


def compression_metrics(file: Written, untuned: Scores, tuned: Scores) -> dict[str, float]:
    """The metrics of a compressed network; sizes in bytes, `file_bytes` as measured on disk."""
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
