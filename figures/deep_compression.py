"""Deep Compression: results stage by stage beside the paper's, and accuracy against compression."""

from collections.abc import Mapping

import pandas as pd

from supermask.analysis.drawing import plots, styles
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import Axes, Frame, Picture, finish
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.studies.experiment import Study
from supermask.compression.pruning import PUBLISHED, Published
from supermask.compression.runs import CompressionRun

PAPER_RUN, FURTHER = "the paper's percentages and bits", "pruned further"
BITS = (1, 2, 3, 4, 6)
PRUNED_BITS = BITS[1:]  # with 1 bit, a pruned layer has one value besides zero
LINES: Mapping[str, CompressionRun] = {
    PAPER_RUN: CompressionRun(),
    FURTHER: CompressionRun("further"),
    **{f"pruned, {bits} bits": CompressionRun(bits=bits) for bits in PRUNED_BITS},
    **{f"not pruned, {bits} bits": CompressionRun(bits=bits, pruned=False) for bits in BITS},
}

CLAIMS = (
    *(
        Claim(
            f"{line}: the coded network is less than 0.2 points less accurate than the dense one",
            "Han et al. 2016, table 1: no loss, for LeNet-300-100 and LeNet-5",
            {"line": line, "stage": "coded"},
            {"line": line, "stage": "dense"},
            margin=-0.002,
        )
        for line in (PAPER_RUN, FURTHER)
    ),
    Claim(
        "pruned further, the file is more than 40 times smaller than the dense network as float32",
        "Han et al. 2016, table 1: 40 times for LeNet-300-100, 39 times for LeNet-5, by the paper's own percentages",
        {"line": FURTHER, "stage": "coded"},
        {"line": FURTHER, "stage": "dense"},
        metric="compression",
        margin=39.0,
    ),
    Claim(
        "pruning and quantisation work together: at 4 bits, pruned is less than 0.2 points below not pruned, in a file "
        "several times smaller",
        "Han et al. 2016, figure 6",
        {"line": "pruned, 4 bits", "stage": "coded"},
        {"line": "not pruned, 4 bits", "stage": "coded"},
        margin=-0.002,
    ),
)


def study(shown: Shown) -> Study:
    """Return the trainings to compress, and their compression."""
    runs = tuple(LINES[name] for name in shown.names)
    return Study((*dict.fromkeys([CompressionRun(pruned=False).source, *(r.source for r in runs)]), *runs))


def tabulate(results: Results) -> pd.DataFrame:
    """Return one row per (line, seed, stage): bytes, compression ratio to the dense network, and test accuracy.

    Stages: dense; pruned (live weights and filler zeros as float32, and relative indices); quantised (codes and
    codebooks, before their values are tuned); coded (the file, as measured on disk, with tuned values).
    """
    rows = []
    for name in results.shown.names:
        run = LINES[name]
        for seed in results.experiment.seeds:
            own = results.metrics(run, seed)
            trained = results.metrics(run.source, seed)
            dense = results.metrics(CompressionRun(pruned=False).source, seed)
            losses = {"dense": dense["test_loss_at_end"]}  # if it is not a number, all stages diverged
            stages = {
                "dense": (own["dense_bytes"], 1.0, dense["test_accuracy_at_end"]),
                "pruned": (own["pruned_bytes"], own["weights_remaining"], trained["test_accuracy_at_end"]),
                "quantised": (own["quantised_bytes"], own["weights_remaining"], own["test_accuracy_before_tuning"]),
                "coded": (own["file_bytes"], own["weights_remaining"], own["test_accuracy"]),
            }
            common = {"line": name, "pruned": run.pruned, "bits": run.bits, "seed": seed, "round": 1}
            rows += [
                common
                | {
                    "stage": stage,
                    "bytes": size,
                    "compression": own["dense_bytes"] / size,
                    "weights_remaining": remaining,
                    "test_accuracy": accuracy,
                    "test_loss": losses.get(stage, trained["test_loss_at_end"]),
                    "value_bits": own["value_bits"],
                    "gap_bits": own["gap_bits"],
                }
                for stage, (size, remaining, accuracy) in stages.items()
            ]
    return results.labelled(pd.DataFrame(rows))


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw the table of stages, and errors against sizes."""
    picture, (left, right) = plots.new_picture(2, frame)
    _stages(left, table, frame)
    coded = table[table["stage"] == "coded"]
    ways = ((True, styles.BLUE, "pruned and quantised"), (False, styles.ORANGE, "quantised alone"))
    for pruned, colour, words in ways:
        own = coded[(coded["pruned"] == pruned) & (coded["bits"] > 0)]
        means = own.groupby("bits")[["compression", "test_accuracy"]].mean().sort_index()
        if means.empty:
            continue
        right.plot(means["compression"], 100 * means["test_accuracy"], color=colour, marker="o", label=words)
        for bits, row in means.iterrows():
            right.annotate(
                f"{bits}", (row["compression"], 100 * row["test_accuracy"]), (0, 5), textcoords="offset points"
            )
    for line, colour in ((PAPER_RUN, styles.RED), (FURTHER, styles.GREEN)):
        own = coded[coded["line"] == line]
        right.scatter(own["compression"], 100 * own["test_accuracy"], color=colour, marker="*", label=line, zorder=3)
    dense = 100 * table.loc[table["stage"] == "dense", "test_accuracy"].mean()
    right.axhline(dense, color=styles.BLACK, linewidth=0.9, label=f"dense ({dense:.2f}%)")
    best = coded["test_accuracy"].max()
    right.set_ylim(100 * best - 7, 100 * best + 0.6)
    plots.label_axes(right, "times smaller than float32, the file on disk", "test accuracy, %")
    note = "Table and lines: means over seeds; (paper): as published. Stars: seeds. Numbers: bits of a value."
    finish(picture, frame, "Deep Compression", note, right)
    return picture


def _stages(axes: Axes, table: pd.DataFrame, frame: Frame) -> None:
    axes.set_axis_off()
    summary = summarise(table)
    if summary.empty:  # neither recipe was requested
        return
    published = PUBLISHED.get(str(table["network"].iloc[0]))
    errors = [_published(published, str(stage).split(",")[0])[1] for stage in summary.index]
    summary["error (paper)"] = errors
    cells = [[f"{value:.4g}" if value == value else "–" for value in row] for row in summary.to_numpy(float)]
    heads = [str(column).replace(" ", "\n") for column in summary.columns]
    drawn = axes.table(cells, rowLabels=list(summary.index), colLabels=heads, loc="center")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(5 if frame.narrow else 6.5)
    drawn.scale(1, 1.2 if frame.narrow else 1.6)
    for (row, _), cell in drawn.get_celld().items():
        cell.set_linewidth(0.4)
        if row == 0:
            cell.set_height(1.7 * cell.get_height())


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return each stage's means beside the paper's rates: KB are 1,000 bytes, errors in percent.

    '× fewer' counts only weights, like the paper's 12 for pruning; '× smaller' counts bytes, with indices,
    codebooks and biases.
    """
    numbers = ["bytes", "compression", "weights_remaining", "test_accuracy"]
    published = PUBLISHED.get(str(table["network"].iloc[0]))
    rows: dict[str, dict[str, float]] = {}
    for line, mark in ((PAPER_RUN, ""), (FURTHER, ", further")):
        means = table[table["line"] == line].groupby("stage", sort=False)[numbers].mean()
        for stage, row in means.iterrows():
            if stage == "dense" and mark:
                continue
            rows[f"{stage}{mark}"] = {
                "weights, %": 100 * row["weights_remaining"],
                "× fewer": 1 / row["weights_remaining"],
                "× fewer (paper)": published.fewer_weights if published and stage == "pruned" else float("nan"),
                "KB": row["bytes"] / 1000,
                "× smaller": row["compression"],
                "× smaller (paper)": _published(published, str(stage))[0],
                "error, %": 100 * (1 - row["test_accuracy"]),
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("stage")


def _published(paper: Published | None, stage: str) -> tuple[float, float]:
    unknown = float("nan")
    if paper is None:
        return unknown, unknown
    rates = {"dense": 1.0, "quantised": paper.quantised_rate, "coded": paper.coded_rate}
    errors = {"dense": paper.dense_error, "coded": paper.coded_error}
    return rates.get(stage, unknown), errors.get(stage, unknown)


FIGURE = Drawing(
    compares="else",
    names=tuple(LINES),
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    claims=CLAIMS,
)
