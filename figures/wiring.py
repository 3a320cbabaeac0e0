"""The wiring of a neural graph before, during and after training."""

from typing import Any

import numpy as np
import pandas as pd

from supermask.analysis.drawing import styles
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.films import Film, film_page
from supermask.analysis.drawing.frame import Frame, Picture, finish, panels_of
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.kinds.neural_graph import MOMENTS, decode_wiring, graph_of, group_of
from supermask.analysis.studies.experiment import Study
from supermask.analysis.system.errors import UsageError
from supermask.neural_graphs.graph import SETTINGS
from supermask.neural_graphs.runs import GraphRun

MOST_GROUPS = 4096
"""Groups of nodes that a picture shows at most: it takes memory for each pair of them."""

WORDS = dict(zip(MOMENTS, ("before training", "halfway", "after training"), strict=True))


def study(shown: Shown) -> Study:
    """Return the discovered wiring of each setting."""
    return Study(tuple(GraphRun(name) for name in shown.names))


def tabulate(results: Results) -> pd.DataFrame:
    """Return one row per (setting, moment, sending group, receiving group) that has edges, of the first seed.

    nodes: number in the graph; the first `inputs` are inputs and the last `features` are features. group_size: nodes
    per group. edges: number that lead from the one group to the other. kept_from_start: fraction of the live edges that
    was live at the start. kept_to_end: fraction that is live at the end. reached: fraction of nodes that an edge leads
    to.
    """
    rows: list[dict[str, Any]] = []
    experiment, seed = results.experiment, results.experiment.seeds[0]
    for setting in results.shown.names:
        graph = graph_of(experiment, setting)
        arrays = results.arrays(GraphRun(setting), seed)
        wirings = {moment: decode_wiring(arrays, moment, graph.possible_edges) for moment in MOMENTS}
        source, target = graph.endpoints()
        size, carrying = group_of(graph.nodes), graph.carrying()
        for moment, chosen in wirings.items():
            live = chosen & carrying  # what leads backwards in a static graph is chosen in vain
            pairs = np.stack([source[live] // size, target[live] // size], axis=1)
            cells, edges = np.unique(pairs, axis=0, return_counts=True)
            common = {
                **{"setting": setting, "seed": seed, "moment": moment, "group_size": size, "nodes": graph.nodes},
                **{"inputs": graph.inputs, "features": graph.features},
                "kept_from_start": float(np.mean(wirings["first"][live])),
                "kept_to_end": float(np.mean(wirings["last"][live])),
                "reached": len(np.unique(target[live])) / graph.nodes,
            }
            rows += [
                common | {"from": int(first), "to": int(second), "edges": int(count)}
                for (first, second), count in zip(cells, edges, strict=True)
            ]
    return results.labelled(pd.DataFrame(rows))


def film(results: Results, caption: str) -> str:
    """Return a page on which a slider shows the wiring of the first seed at every evaluation."""
    experiment, films = results.experiment, []
    for setting in results.shown.names:
        graph, arrays = graph_of(experiment, setting), results.arrays(GraphRun(setting), experiment.seeds[0])
        steps, accuracy = arrays["curve.evaluated_at"], arrays["curve.validation_accuracy"]
        films.append(Film(setting, graph.nodes, graph.inputs, graph.features, steps, accuracy, arrays["curve.wiring"]))
    return film_page("A wiring while it is trained", caption, films)


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw one row of panels per setting, one panel per moment: edges from nodes (rows) to nodes (columns)."""
    settings = list(dict.fromkeys(table["setting"]))
    count, columns = len(settings) * len(MOMENTS), len(MOMENTS)
    picture, panels = panels_of(count, frame, width=3.2, height=3.6, columns=columns, least=1.05)
    for number, setting in enumerate(settings):
        row = panels[number * columns : (number + 1) * columns]
        for axes, moment in zip(row, MOMENTS, strict=True):
            own = table[(table["setting"] == setting) & (table["moment"] == moment)]
            size, nodes = int(own["group_size"].iloc[0]), int(own["nodes"].iloc[0])
            if not 1 <= (groups := -(-nodes // size) if size > 0 else 0) <= MOST_GROUPS:
                raise UsageError(f"nodes is {nodes} in groups of {size}; allowed: 1 to {MOST_GROUPS:,} groups")
            matrix = np.zeros((groups, groups))
            matrix[own["from"], own["to"]] = own["edges"]
            most = table.loc[table["setting"] == setting, "edges"].max()
            axes.imshow(matrix, cmap="Greys", vmin=0, vmax=most, extent=(0, nodes, nodes, 0), interpolation="none")
            for line, colour in (("inputs", styles.BLUE), ("features", styles.RED)):
                at = int(own[line].iloc[0]) if line == "inputs" else nodes - int(own[line].iloc[0])
                axes.axhline(at, color=colour, linewidth=0.6)
                axes.axvline(at, color=colour, linewidth=0.6)
            kept = 100 * own["kept_from_start"].iloc[0]
            words = WORDS[moment] if moment == "first" else f"{WORDS[moment]}:\n{kept:.0f}% from the start"
            axes.set_title(f"{setting},\n{words}" if frame.narrow else f"{setting}, {words}")
            axes.set_xticks([])
            axes.set_yticks([])
        row[0].set_ylabel("from node")
    for axes in panels[-columns:]:
        axes.set_xlabel("to node")
    note = "Dark: many edges. First nodes are inputs (up to the blue lines), last ones features (from the red lines)."
    finish(picture, frame, "Wirings before, during and after training", note)
    return picture


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return, in percent, final edges that were live before training and halfway, and nodes reached at both ends."""
    moments = table.groupby(["setting", "moment"], sort=False)[["kept_from_start", "kept_to_end", "reached"]].first()
    rows = {}
    for setting in dict.fromkeys(table["setting"]):
        own = moments.loc[setting]
        rows[str(setting)] = {
            "live from the start, %": 100 * own["kept_from_start"]["last"],
            "of those halfway, live at the end, %": 100 * own["kept_to_end"]["halfway"],
            "nodes reached before, %": 100 * own["reached"]["first"],
            "nodes reached after, %": 100 * own["reached"]["last"],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("setting")


FIGURE = Drawing(
    compares="else",
    names=SETTINGS,
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    page=film,
)
