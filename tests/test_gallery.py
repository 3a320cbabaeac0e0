"""What the gallery's page says is true of its folder: the pictures that are there, and the verdicts on their tables."""

import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from supermask.analysis.drawing.claims import Verdict, judge_all
from supermask.analysis.drawing.redraw import figure_name
from supermask.figures.catalogue import CATALOGUE

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "figures" / "gallery"
TABLES = sorted(path.stem for path in GALLERY.glob("*.csv"))
PAGE = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
TOGETHER = re.findall(r"--together\sfigures/gallery/(\S+)`", PAGE)
"""Pictures of several tables; test_redraw.py draws them."""

VERDICTS: dict[str, tuple[int, int, int]] = {
    "connectivity-fc-mnist-short": (4, 0, 0),
    "criteria-plane-fc-mnist-paper": (0, 0, 0),
    "deep-compression-fc-mnist-short": (3, 0, 1),
    "deep-compression-lenet5-mnist-short": (4, 0, 0),
    "dsd-conv2-cifar10-short": (0, 3, 0),
    "dsd-fc-mnist-short": (0, 0, 3),
    "dsd-lstm-mnist-short": (0, 2, 1),
    "learned-masks-seen-fc-mnist-short": (1, 0, 0),
    "learned-supermasks-conv2-cifar10-short": (0, 0, 0),
    "learned-supermasks-fc-mnist-short": (0, 0, 0),
    "lottery-tickets-fc-mnist-short": (6, 0, 0),
    "mask-0-actions-conv2-cifar10-short": (2, 0, 1),
    "mask-0-actions-fc-mnist-short": (4, 2, 0),
    "mask-1-actions-conv2-cifar10-short": (2, 1, 1),
    "mask-1-actions-fc-mnist-short": (6, 0, 0),
    "mask-agreement-fc-mnist-short": (2, 0, 0),
    "mask-criteria-conv2-cifar10-short": (3, 0, 0),
    "mask-criteria-fc-mnist-short": (8, 0, 0),
    "neural-graphs-fc-cifar10-short": (0, 2, 1),
    "neural-graphs-fc-mnist-short": (0, 2, 1),
    "permutations-fc-mnist-short": (3, 6, 0),
    "rewinding-fc-mnist-short": (1, 2, 0),
    "sanity-fc-mnist-short": (8, 1, 0),
    "sign-criteria-fc-mnist-short": (2, 0, 0),
    "signed-supermasks-fc-mnist-short": (4, 2, 0),
    "sign-flips-fc-mnist-short": (5, 0, 0),
    "sparse-training-fc-mnist-short": (7, 1, 3),
    "structure-over-time-fc-mnist-short": (3, 0, 0),
    "supermask-table-conv2-cifar10-short": (0, 0, 1),
    "supermask-table-fc-mnist-short": (6, 0, 0),
    "supermasks-at-init-conv2-cifar10-paper": (0, 0, 4),
    "supermasks-at-init-conv4-cifar10-paper": (0, 0, 4),
    "supermasks-at-init-conv6-cifar10-paper": (0, 0, 4),
    "supermasks-at-init-fc-mnist-paper": (4, 0, 0),
    "supermasks-at-init-fc-mnist-short": (4, 0, 0),
    "transfer-fc-grey-cifar10-from-mnist-short": (1, 1, 0),
    "transfer-fc-mnist-from-grey-cifar10-short": (6, 1, 0),
    "transfer-fc-mnist-short": (5, 0, 0),
    "weight-movement-fc-mnist-short": (2, 0, 0),
}
"""Claims reproduced, not reproduced and not settled for want of data, as docs/gallery.md tells them."""


def test_the_page_shows_every_picture_and_there_is_no_other():
    shown = re.findall(r"!\[[^]]+\]\(\.\./figures/gallery/([^)]+)\.png\)", PAGE)
    pictures = sorted([*TABLES, *TOGETHER])
    assert sorted(shown) == pictures
    for ending in ("svg", "png"):
        assert sorted(path.stem for path in GALLERY.glob(f"*.{ending}")) == pictures


def test_what_is_folded_is_read_as_markdown_and_unfolds():
    """MkDocs reads what is within HTML as text, unless it is told otherwise; GitHub wants empty lines around it."""
    folds = re.findall(r"\n\n<details markdown=\"1\">\n<summary>[^<\n]+</summary>\n\n(.+?)\n\n</details>\n", PAGE, re.S)
    assert len(folds) == PAGE.count("<details") == PAGE.count("</details>") > 5
    assert not [text for text in folds if re.search(r"\*\*not\*\*|\*not enough data\*", text)], "verdicts are seen"


@pytest.mark.parametrize("name", TABLES)
def test_the_verdicts_told_are_those_on_the_tables(name):
    csv = GALLERY / f"{name}.csv"
    figure = CATALOGUE[figure_name(csv, CATALOGUE)].load()
    found = Counter(judgement.verdict for judgement in judge_all(figure.claims, pd.read_csv(csv)))
    order = (Verdict.REPRODUCED, Verdict.NOT_REPRODUCED, Verdict.NOT_ENOUGH_DATA)
    assert tuple(found[verdict] for verdict in order) == VERDICTS[name]
