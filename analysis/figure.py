"""What a figure is, and how it is written to disk."""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

import supermask
from analysis.claims import Claim
from analysis.files import make_folder, write_whole
from analysis.protocols import TITLES
from analysis.provenance import provenance
from analysis.results import Results
from analysis.statistics import diverged_rows
from analysis.studies import Experiment, Study
from supermask.datasets import DATASETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


@dataclass(frozen=True)
class Figure:
    """One figure of the catalogue.

    name: what it is called on the command line.
    title: what it shows, in a line.
    compares: what its lines or panels are: criteria, mask-1 actions ('kept'), mask-0 actions ('pruned'), or else.
    names: the members of that kind that it shows unless others are asked for.
    study: what it needs, for those names.
    tabulate: from stored results to the tidy table that everything else is made from.
    draw: from the table and a caption to a picture.
    summarise: from the table to the few numbers for a terminal.
    claims: what the paper says the figure shows, each with its test.
    """

    name: str
    title: str
    compares: Literal["criterion", "kept", "pruned", "else"]
    names: tuple[str, ...]
    study: Callable[[Sequence[str]], Study]
    tabulate: Callable[[Results], pd.DataFrame]
    draw: Callable[[pd.DataFrame, str], "Picture"]
    summarise: Callable[[pd.DataFrame], pd.DataFrame]
    claims: tuple[Claim, ...] = ()


def caption(experiment: Experiment, figure: Figure | None = None) -> str:
    """What every picture says of itself: data set, protocol, seeds, version, and how long what it shows was trained."""
    protocol = experiment.protocol
    commit = provenance()["commit"]
    version = f"supermask {supermask.__version__}" + (f" ({commit[:7]})" if commit else "")
    study = Study() if figure is None else figure.study(figure.names)
    label = protocol.label if figure is None else experiment.label(study)
    network = TITLES[protocol.network]
    lengths = [f"{_epochs(protocol.epochs)} a round, {protocol.rounds} rounds"]
    if study.learned:
        lengths.append(f"masks learned for {_epochs(protocol.masks.epochs)}")
    if study.graphs and not study.sparse:
        graph = protocol.graph
        network = f"Neural graphs of {graph.nodes} nodes and {graph.edges:,} edges"
        lengths = [_epochs(graph.epochs)]
    elif study.sparse or study.dsd:
        lengths = [f"{_epochs(protocol.sparse.epochs)}{' a phase' if study.dsd else ''}"]
    if study.graphs and study.sparse:
        lengths.append(f"neural graphs {protocol.graph.epochs:g}")
    return (
        f"{network} on {DATASETS[protocol.dataset].title} · protocol {label}: "
        f"{' · '.join(lengths)} · {protocol.seeds} seed{'s' * (protocol.seeds != 1)} · {version}"
    )


def _epochs(number: float) -> str:
    return f"{number:g} epoch{'s' * (number != 1)}"


def diverged(table: pd.DataFrame) -> int:
    """How many rows are of trainings that diverged: a loss of theirs is not a number."""
    return int(diverged_rows(table).sum())


def collapsed(table: pd.DataFrame, classes: int) -> int:
    """How many rows are of trainings that learned nothing: their best validation loss is that of a guess, or above.

    A guess is the logarithm of the number of classes; who learns how often each class occurs, and no more, is within 1%
    of it where classes are about equally frequent. Rows of no training, without an `early_stop_step`, do not count.
    """
    if not {"early_stop_step", "validation_loss"} <= set(table.columns):
        return 0
    return int((table["early_stop_step"].notna() & (table["validation_loss"] > 0.99 * math.log(classes))).sum())


def stem(figure: Figure, experiment: Experiment) -> str:
    """The file name of a figure without its ending."""
    protocol = experiment.protocol
    return f"{figure.name}-{protocol.network}-{protocol.dataset}-{protocol.name}"


def write(figure: Figure, table: pd.DataFrame, experiment: Experiment, folder: Path) -> list[Path]:
    """Writes the table as CSV, and the picture drawn from that very file as SVG and PNG. Returns the paths."""
    make_folder(folder)
    base = stem(figure, experiment)
    text = table.to_csv(index=False, float_format="%.9g")  # enough to tell any two float32 apart
    words = caption(experiment, figure)
    if number := diverged(table):
        words += f" · {number} of {len(table)} diverged: they are drawn as they were last"
    if number := collapsed(table, experiment.data.classes):
        words += f" · {number} of {len(table)} collapsed: they learned nothing, and are no better than a guess"
    contents = {".csv": text.encode()} | render(figure, text, words, base)
    paths = [folder / f"{base}{ending}" for ending in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        write_whole(path, content)
    return paths


def render(figure: Figure, text: str, words: str, base: str) -> dict[str, bytes]:
    """The picture of a table given as CSV, with a caption: SVG and PNG by ending. `base` names the SVG's ids.

    The same table gives the same SVG to the byte: no dates and no random ids are in it.
    """
    import matplotlib
    import matplotlib.pyplot as plt

    svg, png = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": base, "svg.fonttype": "none"}):
        picture = figure.draw(pd.read_csv(io.StringIO(text)), words)
        picture.savefig(svg, format="svg", metadata={"Date": None})
        picture.savefig(png, format="png", dpi=160)
        plt.close(picture)
    return {".svg": svg.getvalue(), ".png": png.getvalue()}
