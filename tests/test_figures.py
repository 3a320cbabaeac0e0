"""Figures through their data: what is drawn is what is in the table, and the table redraws the picture."""

import base64
import json
import re
from functools import reduce
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest

from supermask.analysis.drawing import plots, styles
from supermask.analysis.drawing.captions import caption
from supermask.analysis.drawing.figure import write, write_page
from supermask.analysis.drawing.frame import Frame
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.kinds.rounds import UNPRUNED
from supermask.analysis.running import runner
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.criteria import CRITERIA
from supermask.figures import (
    connectivity,
    criteria_plane,
    deep_compression,
    mask_criteria,
    supermask_table,
    supermasks_at_init,
)
from supermask.figures.catalogue import CATALOGUE

SHOWN = ("large_final", "small_final", "magnitude_increase", "random", "large_final_same_sign")

RATES = {"dense": 0.8, "output": 0.5}


SOME = {
    "mask-1-actions": ("rewind", "constant, same sign", "constant"),
    "connectivity": ("winning tickets",),
    "permutations": ("learned", "cut from training", "superposition"),
    "transfer": ("own weights", "moved with signs to matched units"),
    "sanity": (
        "SNIP, as found",
        "SNIP, shuffled within layers",
        "GraSP, inverted",
        "SynFlow, on new weights",
        "random",
    ),
    "sign-flips": (),
    "signed-supermasks": ("signed, DWR", "learned, S.C., DWR", "edge-popup", "multi-prize"),
    "sparse-training": ("DSR", "SET", "static", "DSR's structure, fresh weights"),
    "structure-over-time": ("DSR", "SET"),
    "edge-swaps": ("rate 1", "rate 0.01"),
    "deep-compression": ("the paper's percentages and bits", "pruned, 4 bits", "not pruned, 4 bits"),
    "dsd": ("dense throughout", "50% pruned"),
    "neural-graphs": ("discrete, discovered", "discrete, uniform"),
    "wiring": ("discrete",),
    "shared-weight": ("FC, random mask", "discrete graph, discovered", "discrete graph, random"),
}
"""Of figures that would compile a program for every line, and train for longer than all the others."""

MASKS_BY_SETTING = ("learned-supermasks", "signed-supermasks")
"""Figures whose summary has a row for each mask of a line."""

EVERY_RUN = ("criteria-plane", "mask-criteria", "supermasks-at-init")
"""Figures that are trained for and drawn in every run: of weights, of rounds, and of untrained masks."""

NAMES = [name if name in EVERY_RUN else pytest.param(name, marks=pytest.mark.thorough) for name in CATALOGUE]


def made_with(name: str) -> int:
    """Which figures are trained for at one go: those of every run, those of `SOME`, or all others."""
    return 0 if name in EVERY_RUN else 1 + (name in SOME)


def shown(figure):
    """What a figure is asked to show here: a few criteria, or its own treatments."""
    if figure.name in SOME:
        return SOME[figure.name]
    return SHOWN if figure.compares == "criterion" else figure.names


@pytest.fixture(scope="module")
def experiment(digits):
    changes = Changes(
        dataset="digits",
        epochs=6,
        rounds=2,
        seeds=3,
        rates={"dense": 0.8, "output": 0.5},
        mask_epochs=10,
        task_epochs=10,
        sparse_epochs=4,
        graph_epochs=2,
    )
    return Experiment(protocol("quick", changes=changes), digits)


class Tables:
    """Every figure's table, from real, small jobs: one for each group of figures."""

    def __init__(self, experiment, folder):
        self._experiment, self._folder, self._made = experiment, folder, {}
        self.pages: dict[str, list[Path]] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._made:
            figures = [entry.load() for other, entry in CATALOGUE.items() if made_with(other) == made_with(name)]
            studies = {figure.name: figure.study(Shown(shown(figure))) for figure in figures}
            with Store(self._folder) as store:
                runner.run(self._experiment, reduce(Study.__or__, studies.values()), store)
                for figure in figures:
                    results = Results(self._experiment, studies[figure.name], store, Shown(shown(figure)))
                    self._made[figure.name] = figure.tabulate(results)
                    self.pages[figure.name] = write_page(figure, results, self._folder / f"{figure.name}.csv")
        return self._made[name]


@pytest.fixture(scope="module")
def tables(experiment, tmp_path_factory):
    return Tables(experiment, tmp_path_factory.mktemp("results"))


def reread(table: pd.DataFrame, path) -> pd.DataFrame:
    table.to_csv(path, index=False)
    return pd.read_csv(path)


@pytest.mark.parametrize("name", NAMES)
def test_the_csv_redraws_the_picture_exactly(name, tables, experiment, tmp_path):
    figure = CATALOGUE[name].load()
    first = write(figure, Shown(shown(figure)), tables[name], experiment, tmp_path / "first")
    again = write(figure, Shown(shown(figure)), pd.read_csv(first[0]), experiment, tmp_path / "again")
    for path, other in zip(first, again, strict=True):
        assert path.read_bytes() == other.read_bytes()
    assert [path.suffix for path in first] == [".csv", ".svg", ".png"]
    assert f"{name}-fc-digits-quick" in first[0].name


@pytest.mark.thorough
def test_a_wiring_has_a_page_with_a_frame_for_every_evaluation(tables, experiment):
    assert set(tables["wiring"]["setting"]) == {"discrete"}
    (path,) = tables.pages["wiring"]
    text = path.read_text(encoding="utf-8")
    (film,) = json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[0])
    steps = 2 * len(experiment.data.train) // 60
    assert film["steps"][0] == 0
    assert film["steps"][-1] == steps
    assert "graphs trained for 2 epochs" in text
    counts = np.frombuffer(base64.b64decode(film["counts"]), "<u2").reshape(len(film["steps"]), 80, 80)
    assert counts.sum((1, 2)).tolist() == [80] * len(counts)
    ends = {moment: rows["edges"].sum() for moment, rows in tables["wiring"].groupby("moment")}
    assert ends == dict.fromkeys(("first", "halfway", "last"), 80)
    assert tables.pages["shared-weight"] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_picture_states_where_it_comes_from(name, tables, experiment, tmp_path):
    figure = CATALOGUE[name].load()
    text = write(figure, Shown(shown(figure)), tables[name], experiment, tmp_path)[1].read_text()
    said = caption(experiment, figure.study(Shown(shown(figure))))
    learned = name in ("learned-supermasks", "supermask-table", "learned-masks-seen", "signed-supermasks")
    assert ("masks learned for 10 epochs" in said) == learned
    lengths = {"dsd": ("4 epochs a phase",)} | dict.fromkeys(
        ("sparse-training", "structure-over-time", "deep-compression", "edge-swaps"), (": 4 epochs ·",)
    )
    lengths |= dict.fromkeys(("neural-graphs", "wiring"), (": graphs trained for 2 epochs ·",))
    lengths |= {"shared-weight": (": 4 epochs ·", "graphs trained for 2 epochs")}
    levels = (": 6 epochs ·", "masks cut at 2 levels", "changed: dataset, epochs, rounds, rates dense 0.8 output 0.5")
    lengths |= dict.fromkeys(("supermasks-at-init", "learned-supermasks", "supermask-table"), levels)
    lengths |= {"permutations": ("masks of tasks learned for 10 epochs, cut after 6 epochs", *levels[2:])}
    network = "Neural graphs of 80 nodes and 80 edges on" if name in ("neural-graphs", "wiring") else "FC on"
    lengths |= dict.fromkeys(("criteria-plane", "learned-masks-seen", "signed-supermasks"), (": 6 epochs ·",))
    rounds = ("6 epochs a round", "2 rounds", "changed: dataset, epochs, rounds, rates dense 0.8 output 0.5")
    for part in (network, *lengths.get(name, rounds), "3 seeds", "supermask 0."):
        assert part in said
    assert all(part in text for part in said.split(" · "))


@pytest.mark.parametrize("name", NAMES)
def test_every_summary_has_numbers_for_what_is_shown(name, tables):
    figure = CATALOGUE[name].load()
    summary = figure.summarise(tables[name])
    if name == "connectivity":
        assert set(summary.index) == {
            f"{line}, {title}" for line in shown(figure) for title in connectivity.TITLES.values()
        }
        summary = summary.drop(columns="100%")  # round 0 has no round before it
    elif name not in (
        *("weight-movement", "sign-flips", "mask-agreement", "deep-compression", "permutations"),
        *MASKS_BY_SETTING,
    ):
        assert set(summary.index) == set(shown(figure))
    ours = [column for column in summary.columns if "(paper)" not in column]  # the paper does not give all of its own
    assert np.isfinite(summary[ours].to_numpy(float)).all()


def test_the_papers_table_stands_beside_the_mean_of_each_seeds_best():
    """Of the criterion that is best so: 'first' has the best single level, 'second' the better seeds' bests."""
    accuracy = {
        "first": [(0.1, 0.5, 0.5, 0.70), (0.1, 0.5, 0.5, 0.70)],
        "second": [(0.1, 0.9, 0.1, 0.1), (0.1, 0.1, 0.1, 0.8)],
    }
    rows = [
        {"criterion": name, "seed": seed, "round": round_, "test_accuracy": value, "weights_remaining": 0.5**round_}
        for name, seeds in accuracy.items()
        for seed, values in enumerate(seeds)
        for round_, value in enumerate(values)
    ]
    chosen, one_level = supermask_table.best_levels(pd.DataFrame(rows))
    assert {seed: (row["criterion"], row["round"], row["test_accuracy"]) for seed, row in chosen.items()} == {
        0: ("second", 1, 0.9),
        1: ("second", 3, 0.8),
    }
    assert one_level == pytest.approx(0.7)


def test_what_the_paper_counts_in_weights_stands_beside_weights():
    """Deep Compression's 12 times for pruning leaves out indices; ours in bytes, with them, is another number."""
    stages = {"dense": (1.0, 1000.0), "pruned": (0.08, 110.0), "quantised": (0.08, 33.0), "coded": (0.08, 28.0)}
    table = pd.DataFrame(
        {"line": deep_compression.PAPER_RUN, "network": "fc", "stage": stage, "test_accuracy": 0.98}
        | {"bytes": size, "compression": 1000 / size, "weights_remaining": left}
        for stage, (left, size) in stages.items()
    )
    pruned = deep_compression.summarise(table).loc["pruned"]
    assert (pruned["× fewer"], pruned["× fewer (paper)"]) == (12.5, 12)
    assert pruned["× smaller"] == pytest.approx(9.09, abs=0.01)
    assert np.isnan(pruned["× smaller (paper)"])


def test_lines_are_means_and_bands_reach_from_least_to_greatest(tables, tmp_path):
    table = reread(tables["mask-criteria"], tmp_path / "table.csv")
    picture = mask_criteria.FIGURE.draw(table, Frame())
    axes = picture.axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    own = table[table["criterion"].isin(["random", UNPRUNED])].groupby("round")
    np.testing.assert_allclose(lines["random"].get_xdata(), 100 * own["weights_remaining"].first())
    np.testing.assert_allclose(lines["random"].get_ydata(), 100 * own["test_accuracy"].mean())
    assert len(lines["random"].get_xdata()) == 3, "round 0 is every line's first point"
    band = axes.collections[[line.get_label() for line in axes.get_lines()].index("random")].get_paths()[0]
    heights = band.vertices[:, 1]
    assert heights.min() == pytest.approx(100 * own["test_accuracy"].min().min())
    assert heights.max() == pytest.approx(100 * own["test_accuracy"].max().max())
    unpruned = next(line for label, line in lines.items() if label.startswith("unpruned"))
    expected = table.loc[table["criterion"] == UNPRUNED, "test_accuracy"].mean()
    np.testing.assert_allclose(unpruned.get_ydata(), 100 * expected)
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[0] > 100 > axes.get_xlim()[1], "all weights are on the left"


@pytest.mark.parametrize(("best", "top"), [(0.12, 20), (0.37, 60), (0.8, 100), (1.0, 100)])
def test_panels_of_untrained_networks_share_an_axis_that_holds_all(tables, best, top):
    table = tables["supermasks-at-init"]
    table = table.assign(test_accuracy=table["test_accuracy"] * best / table["test_accuracy"].max())
    picture = supermasks_at_init.draw(table, Frame())
    assert [axes.get_ylim() for axes in picture.axes] == [(0, top)] * 3


NUMBERS = {
    "criteria-plane": ("1, 2 and 6", "5, 6 and 9"),
    "mask-criteria": ("3", "7"),
    "mask-1-actions": ("4", "8"),
    "mask-0-actions": ("5", "2 and 3"),
    "supermasks-at-init": ("6 and 7", "1 and 10"),
    "learned-supermasks": ("7", "10"),
}
"""Figures of Zhou et al. 2019: their numbers in the paper, and in the authors' blog post."""


@pytest.mark.parametrize("name", NUMBERS)
def test_figures_have_the_papers_numbers_and_the_posts(name):
    paper, post = NUMBERS[name]
    assert re.fullmatch(rf"figures? {paper} \(post: {post}\)", CATALOGUE[name].paper)
    for page in ("README.md", "docs/gallery.md"):
        text = (Path(__file__).parents[1] / page).read_text(encoding="utf-8")
        for found in re.findall(r"figures? ([\d, and]+?) ?\(post: ([\d, and]+)\)", text):
            assert {each for pair in NUMBERS.values() for each in _each(*pair)} >= set(_each(*found)), found


def _each(paper: str, post: str) -> list[tuple[str, str]]:
    """Single numbers of the paper with each of the post's that stand beside them."""
    return [(one, other) for one in re.findall(r"\d+", paper) for other in re.findall(r"\d+", post)]


def test_stars_stand_where_the_difference_is_significant():
    rows = [
        {"criterion": name, "round": round_, "seed": seed, "weights_remaining": 0.5**round_, "test_accuracy": accuracy}
        for round_, gap in ((0, 0.0), (1, 0.0), (2, 0.2))
        for seed, noise in enumerate((0.0, 0.011, -0.007))
        for name, accuracy in (("large_final", 0.5 + noise), ("magnitude_increase", 0.5 + gap - noise))
    ]
    _, (axes,) = plots.new_picture(1, Frame())
    note = plots.stars(axes, pd.DataFrame(rows), "large_final", "magnitude_increase")
    assert [tuple(text.xy) for text in axes.texts] == [(25.0, pytest.approx(70.7))]
    assert "paired t-test over 3 seeds" in note
    lacking = [row for row in rows if row["round"] != 1 or row["seed"] == 0]
    note = plots.stars(axes, pd.DataFrame(lacking), "large_final", "magnitude_increase")
    assert "paired t-test over 3 seeds" in note, "those of the levels that have a star"


@pytest.mark.parametrize(("seeds", "gap"), [((0, 1, 2), 0.0), ((0,), 0.2)])
def test_a_picture_without_stars_says_nothing_of_them(seeds, gap):
    """Neither where the two criteria are alike, nor where one seed allows no test."""
    rows = [
        {"criterion": name, "round": round_, "seed": seed, "weights_remaining": 0.5**round_, "test_accuracy": accuracy}
        for round_ in (0, 1)
        for seed in seeds
        for name, accuracy in (("large_final", 0.5), ("magnitude_increase", 0.5 + gap + 0.02 * (seed % 2)))
    ]
    _, (axes,) = plots.new_picture(1, Frame())
    assert plots.stars(axes, pd.DataFrame(rows), "large_final", "magnitude_increase") == ""
    assert not axes.texts
    picture = mask_criteria.FIGURE.draw(pd.DataFrame(rows), Frame())
    assert not any("differ" in text.get_text() for text in picture.texts)


def test_untrained_panels_show_their_own_weights(tables, tmp_path):
    table = reread(tables["supermasks-at-init"], tmp_path / "table.csv")
    picture = supermasks_at_init.draw(table, Frame())
    for axes, weights in zip(picture.axes[1:], ("initial", "signed_constant"), strict=True):
        lines = {line.get_label(): line for line in axes.get_lines()}
        own = table[(table["criterion"] == "large_final_same_sign") & (table["weights"] == weights)]
        expected = 100 * own.groupby("round")["test_accuracy"].mean()
        np.testing.assert_allclose(lines["large_final_same_sign"].get_ydata(), expected)


def test_the_best_level_is_the_highest_mean_and_never_no_mask():
    rows = [(0, 0, 0.9), (0, 1, 0.9), (1, 0, 0.1), (1, 1, 0.7), (2, 0, 0.45), (2, 1, 0.45)]
    table = pd.DataFrame(rows, columns=["round", "seed", "test_accuracy"]).assign(weights_remaining=0.5)
    best, _ = supermasks_at_init.best_level(table)
    assert best.tolist() == [0.45, 0.45]


@pytest.mark.parametrize("criterion", ["large_final", "small_final", "magnitude_increase", "large_final_same_sign"])
def test_regions_hold_the_weights_that_are_kept(tables, criterion):
    """Cells well inside a region keep all of their weights and cells well outside none; only its edge may be mixed."""
    own = tables["criteria-plane"].query("criterion == @criterion and weights > 0")
    share = own["kept"] / own["weights"]
    assert own["kept"].sum() / own["weights"].sum() == pytest.approx(criteria_plane.KEPT, abs=1e-3)
    agree = ((share > 0.5) == (own["in_region"] == 1)).to_numpy()
    assert np.average(agree, weights=own["weights"]) > 0.9


def test_of_a_same_sign_region_every_kept_weight_has_its_sign(tables):
    table = tables["criteria-plane"]
    share = criteria_plane.summarise(table)["of those with their initial sign, %"]
    assert share["large_final_same_sign"] == 100
    assert share["random"] < 100


def test_the_plane_refuses_criteria_that_go_by_gradients():
    with pytest.raises(ValueError, match="criteria has snip"):
        criteria_plane.study(Shown(("large_final", "snip")))


def test_every_registered_criterion_has_a_style_of_its_own():
    looks = {(style.colour, style.marker, style.dash) for style in styles.CRITERIA.values()}
    assert set(CRITERIA) == set(styles.CRITERIA)
    assert len(looks) == len(CRITERIA)
