"""The report, through its content: every figure, verdicts, alt texts, nothing from elsewhere."""

import base64
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from test_faults import mounted

from supermask.analysis.drawing.report import METHOD, Subject, check_report, markdown_text, write_report
from supermask.analysis.drawing.results import Shown
from supermask.analysis.running import runner
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.analysis.system.errors import UsageError
from supermask.figures.catalogue import CATALOGUE

RATES = {"dense": 0.8, "output": 0.5}


class Page(HTMLParser):
    """Collects what the checks ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str]] = []
        self.references: list[str] = []
        self.headings: list[str] = []
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.tags.append(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        if tag == "img":
            self.images.append(named)
        self.references += [named[name] for name in ("src", "href", "action") if name in named]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, "well formed"

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data.strip())


@pytest.fixture(scope="module")
def experiment(digits):
    changes = Changes(
        dataset="digits", epochs=4, rounds=2, seeds=3, rates={"dense": 0.8, "output": 0.5}, mask_epochs=40
    )
    return Experiment(protocol("quick", changes=changes), digits)


def subjects_of(*names: str) -> list[Subject]:
    figures = {name: CATALOGUE[name].load() for name in names}
    return [Subject(f, CATALOGUE[n].paper, Shown(f.names), f"supermask reproduce {n}") for n, f in figures.items()]


@pytest.fixture(scope="module")
def reported(experiment, tmp_path_factory):
    """A report on two figures that are stored and one that is not."""
    folder = tmp_path_factory.mktemp("reported")
    subjects = subjects_of("mask-criteria", "supermasks-at-init", "mask-0-actions")
    with Store(folder / "results") as store:
        for subject in subjects[:2]:
            runner.run(experiment, subject.study, store)
        sections = write_report(experiment, subjects, store, folder / "report.html")
    return folder, sections


def test_the_page_needs_nothing_from_elsewhere(reported):
    page = Page((reported[0] / "report.html").read_text())
    assert page.open == []
    assert all(reference.startswith(("data:image/svg+xml;base64,", "#")) for reference in page.references)
    for image in page.images:
        assert base64.b64decode(image["src"].split(",")[1]).startswith(b"<?xml")


def test_every_picture_has_words_for_those_who_do_not_see_it(reported):
    page = Page((reported[0] / "report.html").read_text())
    assert len(page.images) == 2
    for image in page.images:
        assert "Shown: large_final" in image["alt"]
        assert "Found: " in image["alt"]


def test_every_claim_has_a_verdict_and_its_numbers(reported):
    text = (reported[0] / "report.html").read_text()
    for section in reported[1][:2]:
        figure = CATALOGUE[section.name].load()
        assert len(section.claims) == len(figure.claims)
        for row in section.claims:
            assert row["verdict"] in ("reproduced", "not reproduced", "not enough data")
            assert re.fullmatch(r"[+-]\d+\.\d points \[[+-]\d+\.\d, [+-]\d+\.\d\]", row["effect"])
            assert row["seeds"] == "3"
    assert METHOD.split(".")[0] in text


def test_what_is_not_stored_is_named_with_the_command_that_trains_it(reported):
    section = reported[1][2]
    assert section.missing == 3 * 2 * 6
    text = (reported[0] / "report.html").read_text()
    assert "Not drawn: 36 of its results are not stored" in text
    assert "supermask reproduce mask-0-actions" in text


def test_the_markdown_says_the_same_and_its_pictures_are_there(reported):
    text = (reported[0] / "report.md").read_text()
    for section in reported[1][:2]:
        for row in section.claims:
            assert row["sentence"] in text
            assert f"**{row['verdict']}**" in text
    links = re.findall(r"\]\(([^)]+\.png)\)", text)
    assert len(links) == 2
    for link in links:
        assert (reported[0] / link).exists()


def test_the_report_of_a_folder_that_can_only_be_read_has_its_pictures_beside_it(experiment, reported, tmp_path):
    folder, sections = reported
    disk = tmp_path / "disk"
    with mounted(disk, "size=40m") as protect:
        shutil.copytree(folder / "results", disk / "results", ignore=shutil.ignore_patterns("figures"))
        protect()
        with Store(disk / "results", for_reading=True) as store:
            again = write_report(experiment, subjects_of("mask-criteria"), store, tmp_path / "report.html")
    assert again[0].claims == sections[0].claims
    (link,) = re.findall(r"\]\(([^)]+\.png)\)", (tmp_path / "report.md").read_text())
    assert (tmp_path / link).is_relative_to(tmp_path / "figures")
    assert (tmp_path / link).stat().st_size > 10_000


def test_a_browser_shows_every_picture_and_asks_for_nothing(reported, offline_page):
    """Opened as a file, offline: the pictures are there, and an accessibility checker finds nothing serious."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    folder, sections = reported
    page = offline_page
    page.goto((folder / "report.html").as_uri())
    sizes = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0 && i.alt.length > 0)")
    assert sizes == [True] * sum(not section.missing for section in sections)
    found = axe.Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off to the side"


SPECIAL = "ab_*`<>&|[]()!#~\\\"' =/:-+.1\n$"
MARKUP = st.text(st.sampled_from(SPECIAL) | st.characters(codec="utf-8", exclude_categories=["C", "Z"]))


@given(MARKUP)
def test_names_are_names_in_markdown_whatever_they_are(name):
    """No markup, no HTML, no end of a cell: rendered, in a cell and in a heading, there is the name and no more."""
    render = MarkdownIt("commonmark").enable("table").enable("strikethrough").render
    words = markdown_text(name)
    said = " ".join(name.split())
    cell = Page(render(f"| a | b |\n|---|---|\n| {words} | end |\n"))
    assert [text for text in cell.texts if text.strip()] == ["a", "b", *([said] if said else []), "end"]
    assert set(cell.tags) <= {"table", "thead", "tbody", "tr", "th", "td"}
    heading = Page(render(f"## of {words} (paper)"))
    assert heading.tags == ["h2"]
    assert "".join(heading.texts).strip() == f"of {said} (paper)"


def test_every_text_of_the_markdown_is_escaped(experiment, reported, tmp_path, monkeypatch):
    """A plug-in's name is in any of them."""
    evil = "<img src=x onerror=alert(1)>"
    one = reported[1][0]
    rows = [dict.fromkeys(claim, evil) | {"verdict": "reproduced"} for claim in one.claims[:1]]
    section = replace(one, title=evil, paper=evil, alt=evil, caption=evil, columns=[evil], rows=[[evil]], claims=rows)
    monkeypatch.setattr("supermask.analysis.drawing.report._section", lambda *_: section)
    with Store(tmp_path / "results") as store:
        write_report(experiment, subjects_of("mask-criteria"), store, tmp_path / "report.html")
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert "<img src=x" not in text
        assert "alert(1)" in text


def test_a_plugins_name_cannot_put_html_into_the_markdown():
    assert "<" not in markdown_text("<img src=x onerror=alert(1)>")
    assert markdown_text("large_final_same_sign") == "large_final_same_sign"


@pytest.mark.parametrize(
    ("target", "there", "what"),
    [
        ("report.html", "report.html", "<html><title>my own page</title>"),
        ("README.html", "README.md", "# My project\n"),
        ("report.html", "report.md", "# supermask\n\nnotes of mine\n"),
        ("notes.md", None, ""),
        ("notes.MD", None, ""),
    ],
)
def test_a_report_replaces_no_file_of_another_kind(target, there, what, tmp_path):
    if there:
        (tmp_path / there).write_text(what)
    with pytest.raises(UsageError, match="output"):
        check_report(tmp_path / target)
    assert [path.read_text() for path in tmp_path.iterdir()] == ([what] if there else [])


def test_a_report_replaces_a_report(reported, tmp_path):
    for name in ("report.html", "report.md"):
        (tmp_path / name).write_bytes((reported[0] / name).read_bytes())
    check_report(tmp_path / "report.html")
    older = "# supermask: fc on mnist5k\n\nFC on MNIST · protocol quick: 3 epochs a round\n"
    (tmp_path / "report.md").write_text(older)
    check_report(tmp_path / "report.html")


@pytest.mark.parametrize("folder", [".", "/", ".."])
def test_a_folder_is_no_page(folder):
    with pytest.raises(UsageError, match=r"output '[./]+' cannot be written: it is a folder"):
        check_report(Path(folder))
