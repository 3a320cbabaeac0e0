"""Time of FC's training step by weights remaining: the chosen engine, the dense one, and PyTorch."""

import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import optax

from supermask.analysis.command.bench.comparisons import NETWORK_STEP, Comparison, data_of, peer_of, place_for
from supermask.analysis.studies.protocols import PAPER
from supermask.analysis.system.files import write_whole
from supermask.compression.pruning import largest_of_layers
from supermask.lottery import initial_of
from supermask.networks import NETWORKS, pruned
from supermask.training import Job, Trainer, TrainingConfig

DENSITIES = (1.0, 0.64, 0.5, 0.33, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005)
"""Fractions of each layer's weights that are left."""

MODES = ("eager", "best", "sparse_csr")
NETWORKS_SIDE_BY_SIDE = 4
OURS, DENSE = "fc, weights left: {:.1%}", "fc, weights left: {:.1%}, dense"


def densities(steps: int, folder: Path) -> list[Comparison]:
    """Return trainings at every density, without validation: by the engine chosen there, and by the dense one."""
    network, data, rate = NETWORKS["fc"], data_of("fc", 1), PAPER["fc"].learning_rate
    placement, config = place_for("fc", NETWORKS_SIDE_BY_SIDE), TrainingConfig(steps, rate)
    chosen = Trainer(network, data, config, placement)
    dense = Trainer(network, data, config, placement, optax.adam(rate))  # an optimiser that is given stays in use
    return [comparison for density in DENSITIES for comparison in _at(density, chosen, dense, folder)]


def _at(density: float, chosen: Trainer, dense: Trainer, folder: Path) -> list[Comparison]:
    jobs = [_job(density, seed, chosen.data.image_shape) for seed in range(NETWORKS_SIDE_BY_SIDE)]
    file, steps = folder / f"masks-{density}.npz", chosen.config.steps
    peer_steps = max(steps // 10, 1)
    masks = {f"{index}.{layer}": mask for index, job in enumerate(jobs) for layer, mask in job.masks.items()}
    np.savez(file, **masks)  # type: ignore[arg-type]
    peer = peer_of("fc", "training") | {"steps": peer_steps, "masks": str(file), "networks": len(jobs)}

    def comparison(name: str, trainer: Trainer, modes: tuple[str, ...]) -> Comparison:
        ours = partial(trainer.train, jobs)
        told, units = peer if modes else None, peer_steps * len(jobs)
        return Comparison(name.format(density), NETWORK_STEP, ours, steps * len(jobs), told, units, modes=modes)

    return [comparison(OURS, chosen, MODES), comparison(DENSE, dense, ())]


def _job(density: float, seed: int, image_shape: tuple[int, int, int]) -> Job:
    """Return an untrained network that keeps its largest initial weights; pruned ones are 0."""
    params = initial_of(NETWORKS["fc"], seed, image_shape)
    masks = largest_of_layers(params, round(1 - density, 4), seed)
    return Job(pruned(params, masks), masks, seed)


Curves = dict[str, list[tuple[float, float]]]


def curves(ours: Mapping[str, Sequence[float]], peers: Mapping[str, Mapping[str, Sequence[float]]]) -> Curves:
    """Return each engine's median ms per network-step by density; `ours` and `peers` are by a comparison's name."""
    found: Curves = {}
    for density in DENSITIES:
        for title, name in (("ours", OURS.format(density)), ("ours, dense", DENSE.format(density))):
            if name in ours:
                found.setdefault(title, []).append((density, statistics.median(ours[name])))
        for mode, times in peers.get(OURS.format(density), {}).items():
            found.setdefault(f"PyTorch {mode}", []).append((density, statistics.median(times)))
    return found


def draw(found: Curves, path: Path) -> None:
    """Write the curves as SVG with logarithmic axes and the line on which time is proportional to weights."""
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for title, points in found.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=title)
    first = found["ours, dense"][0][1]
    axes.plot([1, min(DENSITIES)], [first, first * min(DENSITIES)], "--", color="grey", label="proportional")
    axes.set(xscale="log", yscale="log", xlabel="weights remaining (%)", ylabel="ms a network-step")
    axes.set_xticks(DENSITIES, [f"{100 * density:g}" for density in DENSITIES])
    axes.minorticks_off()
    axes.invert_xaxis()
    axes.grid(alpha=0.3)
    axes.legend()
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    write_whole(path, out.getvalue())
