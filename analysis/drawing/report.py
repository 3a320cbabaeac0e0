"""The report: every figure with verdicts on its claims, as one self-contained HTML page and as Markdown.

It trains nothing. For a figure with missing results, it gives the command that trains them.
"""

import base64
import html
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from supermask.analysis.drawing.captions import caption
from supermask.analysis.drawing.claims import ENOUGH_SEEDS, Judgement, Verdict, judge_all
from supermask.analysis.drawing.figure import Figure, caption_of, write
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.drawing.statistics import FEWEST_PAIRS
from supermask.analysis.kinds.plan import missing_results, results_needed
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.system.errors import UsageError
from supermask.analysis.system.files import FileKind, check_output, write_whole

METHOD = (
    "A claim is tested by a one-sided paired t-test over seeds, at each level of sparsity it speaks of or once on the "
    "mean over them. Reproduced: significant at 0.05, and at every level where it speaks of every level; that all are "
    "is what holds the error at 5%, so no correction for their number is made. p is that of the least certain level. "
    f"Not reproduced: not significant on {ENOUGH_SEEDS} seeds or more, or contradicted by the 95% interval on fewer. "
    f"Not enough data: anything else, always with fewer than {FEWEST_PAIRS} seeds, and in place of reproduced where a "
    "training diverged, whose seed is left out. Each claim is tested by itself: of twenty claims without any truth in "
    "them, one would be called reproduced. Accuracies are in percentage points."
)


PAGE = FileKind(
    "a report of this toolkit",
    lambda head: b'name="generator" content="supermask report"' in head or b"<title>supermask: " in head,
)
MARKDOWN = FileKind(
    "a report of this toolkit",
    lambda head: bool(re.match(rb"<!-- supermask report -->|# supermask: \S+ on \S+\n\n[^\n]* protocol ", head)),
)
"""Beginnings by which reports are recognised; older versions without this line are recognised by their title."""


PLAIN_UNITS = {"distance": "", "compression": " times", "exchanged": " times"}
"""Units of metrics that are not fractions."""


@dataclass(frozen=True)
class Section:
    """One figure of the report. `missing` counts results that are not stored; if there are any, the rest is empty."""

    name: str
    title: str
    paper: str
    command: str
    missing: int
    caption: str = ""
    alt: str = ""
    picture: str = ""
    picture_file: str = ""
    claims: tuple[dict[str, str], ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    def count(self, verdict: str) -> int:
        """Return the number of its claims with this verdict."""
        return sum(row["verdict"] == verdict for row in self.claims)


@dataclass(frozen=True)
class Subject:
    """A figure to report on: the published figure, what to show, and the command that trains what it needs."""

    figure: Figure
    paper: str
    shown: Shown
    command: str

    @property
    def study(self) -> Study:
        """The runs that it needs."""
        return self.figure.study(self.shown)


def write_report(experiment: Experiment, subjects: Sequence[Subject], store: Store, path: Path) -> list[Section]:
    """Write the page to `path` and the Markdown beside it (same name, .md).

    Pictures go into the results folder or, if that is read-only, into a folder beside the page.
    """
    pictures = (store.folder if os.access(store.folder, os.W_OK) else path.parent) / "figures"
    sections = [_section(experiment, subject, store, pictures) for subject in subjects]
    ids = (named.id for subject in subjects for named in results_needed(experiment, subject.study))
    context = {
        "title": f"supermask: {experiment.protocol.network} on {experiment.data.name}",
        "subtitle": caption(experiment, reduce(Study.__or__, (subject.study for subject in subjects))),
        "method": METHOD,
        "verdicts": [verdict.value for verdict in Verdict],
        "sections": sections,
        "made_with": [_words(made) for made in store.provenance(ids)],
    }
    environment = Environment(
        loader=PackageLoader("supermask.analysis.drawing"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
    )
    environment.filters |= {"text": markdown_text, "link": quote}
    page = environment.get_template("report.html.j2").render(context)
    relative = [_relative(section, path.parent) for section in sections]
    markdown = environment.get_template("report.md.j2").render(context | {"sections": relative})
    for file, content in ((path, page), (path.with_suffix(".md"), markdown)):
        write_whole(file, content.encode())
    return sections


def check_report(path: Path) -> None:
    """Raise UsageError if the page or the Markdown beside it cannot be written, or would replace a foreign file."""
    if not path.name:  # '.' and '/' have no name whose suffix could change
        raise UsageError(f"output {str(path)!r} cannot be written: it is a folder")
    beside = path.with_suffix(".md")
    if path.name.casefold() == beside.name.casefold():
        raise UsageError(
            f"output is {str(path)!r}; allowed: a page such as {path.stem}.html, beside which {beside} is put"
        )
    check_output("output", path, PAGE)
    check_output("output, with the Markdown beside it,", beside, MARKDOWN)


def markdown_text(words: object) -> str:
    """Escape words for Markdown, so that they contain no markup, no HTML and no end of a table cell.

    Underscores inside names stay unescaped, since Markdown takes them literally.
    """
    text = " ".join(html.escape(str(words), quote=False).split())
    text = re.sub(r"([\\`*\[\]~#!])", r"\\\1", text).replace("|", "&#124;")
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\_", text)


def _section(experiment: Experiment, subject: Subject, store: Store, pictures: Path) -> Section:
    figure, study = subject.figure, subject.study
    missing = missing_results(experiment, study, store)
    if missing:
        return Section(figure.name, figure.title, subject.paper, subject.command, missing)
    table = figure.tabulate(Results(experiment, study, store, subject.shown))
    paths = {path.suffix: path for path in write(figure, subject.shown, table, experiment, pictures)}
    image = base64.b64encode(paths[".svg"].read_bytes()).decode()
    summary = figure.summarise(table)
    judgements = judge_all(figure.claims, table)
    return Section(
        name=figure.name,
        title=figure.title,
        paper=subject.paper,
        command=subject.command,
        missing=0,
        caption=caption_of(experiment, study, table),
        alt=_alt(figure, judgements, summary),
        picture=f"data:image/svg+xml;base64,{image}",
        picture_file=str(paths[".png"]),
        claims=tuple(_claim_row(judgement) for judgement in judgements),
        columns=(str(summary.index.name), *map(str, summary.columns)),
        rows=tuple((str(name), *(f"{value:.1f}" for value in row)) for name, row in summary.iterrows()),
    )


def _claim_row(judgement: Judgement) -> dict[str, str]:
    claim = judgement.claim
    scale, unit = (1, " steps") if claim.metric.endswith("_step") else (100, " points")
    if claim.metric in PLAIN_UNITS:
        scale, unit = 1, PLAIN_UNITS[claim.metric]
    low, high = judgement.interval
    digits = 4 if claim.metric == "distance" else 1
    effect = f"{scale * judgement.effect:+.{digits}f}{unit}"
    if not math.isnan(low):  # one seed has no interval
        effect += f" [{scale * low:+.{digits}f}, {scale * high:+.{digits}f}]"
    return {
        "sentence": claim.sentence,
        "verdict": judgement.verdict.value,
        "effect": "–" if math.isnan(judgement.effect) else effect,
        "p_value": "–" if math.isnan(judgement.p_value) else f"{judgement.p_value:.2g}",
        "levels": f"{judgement.shown} of {judgement.levels}" if claim.every_level else f"mean of {judgement.levels}",
        "seeds": f"{judgement.seeds}{f' ({judgement.diverged} diverged)' if judgement.diverged else ''}",
        "published": claim.published,
    }


def _alt(figure: Figure, judgements: list[Judgement], summary: pd.DataFrame) -> str:
    """Return the picture's alt text: what it shows, its lines, and the findings; the table below has the numbers."""
    names = ", ".join(str(name) for name in summary.index)
    found = "; ".join(f"{j.claim.sentence}: {j.verdict.value}" for j in judgements)
    return f"{figure.title}. Shown: {names}." + (f" Found: {found}." if found else "")


def _relative(section: Section, folder: Path) -> Section:
    if section.missing:
        return section
    link = os.path.relpath(section.picture_file, folder).replace(os.sep, "/")
    return replace(section, picture_file=link)


def _words(made_with: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in made_with.items() if value is not None)
