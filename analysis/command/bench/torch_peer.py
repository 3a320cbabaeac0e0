"""The PyTorch side of the comparisons: a separate program that reads one request per line of stdin, in JSON.

    {"do": "prepare", "work": {...}}     prepares the work and runs a part of it; answers {"ready": true}
    {"do": "run"}                        runs it; answers {"seconds": ...}

It has four modes. 'eager': the usual tutorial loop, plain Adam. 'best': fused Adam, gradients masked all at once,
images in channels_last, and one single-threaded process per core, each with its own network. 'bfloat16': the same
under autocast. 'sparse_csr': live weights alone, as torch.sparse_csr tensors and their products, and fused Adam on
their values, one process per core. Run by `supermask.analysis.command.bench.peers`; nothing here needs JAX.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

Run = Callable[[], None]


def network(work: dict[str, Any]) -> nn.Sequential:
    """Return one of the papers' networks: pairs of 3×3 convolutions, each pooled, then dense layers."""
    height, width, channels = work["image"]
    layers: list[nn.Module] = []
    for features in work["conv_pairs"]:
        for _ in range(2):
            layers += [nn.Conv2d(channels, features, 3, padding=1), nn.ReLU()]
            channels = features
        layers.append(nn.MaxPool2d(2))
        height, width = height // 2, width // 2
    layers.append(nn.Flatten())
    sizes = [height * width * channels, *work["hidden"], 10]
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers += [nn.ReLU()] * (index > 0) + [nn.Linear(inputs, outputs)]
    return nn.Sequential(*layers)


def training(work: dict[str, Any]) -> Run:
    """Train masked networks by Adam, one after another: `steps` batches with each set of masks, or with all ones."""
    eager = work["mode"] == "eager"
    model = network(work)
    random = np.random.default_rng(0)
    height, width, channels = work["image"]
    images = torch.from_numpy(random.random((work["examples"], channels, height, width), np.float32))
    labels = torch.from_numpy(random.integers(0, 10, work["examples"]))
    order = torch.from_numpy(random.integers(0, work["examples"], (work["steps"], work["batch"])))
    if work["conv_pairs"] and not eager:
        model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    weights = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    autocast = torch.autocast("cpu", torch.bfloat16) if work["mode"] == "bfloat16" else nullcontext()

    def train_sparse(masks: list[torch.Tensor]) -> None:
        sparse = sparse_network(masks)
        optimiser = torch.optim.Adam(sparse.parameters(), lr=1.2e-3, fused=True)
        for batch in order:
            loss = functional.cross_entropy(sparse(images[batch]), labels[batch])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

    def train(masks: list[torch.Tensor]) -> None:
        with torch.no_grad():
            for weight, mask in zip(weights, masks, strict=True):
                weight.mul_(mask)
        optimiser = torch.optim.Adam(model.parameters(), lr=1.2e-3, fused=not eager)
        for batch in order:
            with autocast:
                loss = functional.cross_entropy(model(images[batch]), labels[batch])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            gradients = [weight.grad for weight in weights]
            if eager:
                for gradient, mask in zip(gradients, masks, strict=True):
                    gradient.mul_(mask)
            else:
                torch._foreach_mul_(gradients, masks)
            optimiser.step()

    sets = [[torch.ones_like(weight) for weight in weights]]
    if work.get("masks"):
        with np.load(Path(work["masks"])) as file:
            mine = range(work["share"], work["networks"], work["of"])
            sets = [
                [torch.from_numpy(file[f"{i}.{layer}"].T.astype(np.float32)) for layer in work["layers"]] for i in mine
            ]

    def run() -> None:
        for masks in sets:
            (train_sparse if work["mode"] == "sparse_csr" else train)(masks)

    return run


class SparseLinear(nn.Module):  # type: ignore[misc]
    """A dense layer's live weights as a matrix in compressed rows, and in compressed columns for the backward pass."""

    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()
        self.size = tuple(mask.shape)
        rows, columns = mask.nonzero(as_tuple=True)
        by_column = (columns * self.size[0] + rows).argsort()
        self.values = nn.Parameter(0.05 * torch.randn(len(rows)))
        self.bias = nn.Parameter(torch.zeros(self.size[0]))
        self.rows = (_starts(rows, self.size[0]), columns)
        self.columns = (_starts(columns, self.size[1]), rows[by_column], by_column)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs of a batch."""
        return _SparseProduct.apply(x, self.values, self) + self.bias


def _starts(of: torch.Tensor, count: int) -> torch.Tensor:
    return functional.pad(torch.bincount(of, minlength=count).cumsum(0), (1, 0))


class _SparseProduct(torch.autograd.Function):  # type: ignore[misc]
    """Product of x and the transposed weights, with gradients for x and for the live weights only."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, values: torch.Tensor, layer: SparseLinear) -> torch.Tensor:
        ctx.save_for_backward(x, values)
        ctx.layer = layer
        return (torch.sparse_csr_tensor(*layer.rows, values, layer.size) @ x.T).T

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, None]:
        (x, values), layer = ctx.saved_tensors, ctx.layer
        pattern = torch.sparse_csr_tensor(*layer.rows, torch.zeros_like(values), layer.size)
        of_values = torch.sparse.sampled_addmm(pattern, gradient.T.contiguous(), x.contiguous()).values()
        if not ctx.needs_input_grad[0]:
            return None, of_values, None
        starts, rows, order = layer.columns
        back = torch.sparse_csr_tensor(starts, rows, values[order], layer.size[::-1])
        return (back @ gradient.T).T, of_values, None


def sparse_network(masks: list[torch.Tensor]) -> nn.Sequential:
    """Return a network of dense layers with these masks, of shape (outputs, inputs)."""
    layers: list[nn.Module] = [nn.Flatten()]
    for index, mask in enumerate(masks):
        layers += [nn.ReLU()] * (index > 0) + [SparseLinear(mask)]
    return nn.Sequential(*layers)


def masks_and_evaluation(work: dict[str, Any]) -> Run:
    """Rank each layer once per criterion, cut every level's mask from the ranking, and evaluate the masked weights."""
    model = network(work)
    weights = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    with np.load(Path(work["test"])) as file:
        scaled = (file["images"].reshape(len(file["images"]), -1) / file["maximum"]).astype(np.float32)
        images, labels = torch.from_numpy(scaled), torch.from_numpy(file["labels"].astype(np.int64))
    with np.load(Path(work["scores"])) as file:
        criteria = range(work["criteria"])
        scores = [[torch.from_numpy(file[f"{c}.{layer}"].T.copy()) for layer in work["layers"]] for c in criteria]
    initial = [weight.detach().clone() for weight in weights]
    levels = [[counts[layer] for layer in work["layers"]] for counts in work["levels"]]

    def accuracy() -> float:
        right = 0
        for start in range(0, len(images), 1000):
            outputs = model(images[start : start + 1000])
            right += int((outputs.argmax(1) == labels[start : start + 1000]).sum())
        return right / len(images)

    def run() -> None:
        for of_layers in scores[work["share"] :: work["of"]]:
            ranks = []
            for score in of_layers:
                rank = torch.empty(score.numel(), dtype=torch.int64)
                rank[score.ravel().argsort(descending=True)] = torch.arange(score.numel())
                ranks.append(rank.view_as(score))
            for counts in levels:
                for weight, start, rank, count in zip(weights, initial, ranks, counts, strict=True):
                    torch.mul(start, rank < count, out=weight)
                accuracy()

    without_gradients: Run = torch.no_grad()(run)
    return without_gradients


WORK: dict[str, Callable[[dict[str, Any]], Run]] = {"training": training, "masks": masks_and_evaluation}


def main() -> None:
    """Answer lines until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    torch.set_num_threads(parser.parse_args().threads)
    warnings.filterwarnings("ignore", message="Sparse (CSR tensor support|invariant checks)")  # a beta's, every time
    run: Run = lambda: None  # noqa: E731
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "prepare":
            run = WORK[request["work"]["kind"]](request["work"])
            run()
            answer: dict[str, Any] = {"ready": True}
        else:
            started = time.perf_counter()
            run()
            answer = {"seconds": time.perf_counter() - started}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
