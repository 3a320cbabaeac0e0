"""A picture is its table and its caption: the gallery's come out again to the byte, and bad input changes nothing."""

import io
import re
import shutil
import zlib
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_faults import mounted

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import FAILED, MISUSED, OK
from supermask.analysis.drawing.cells import check_cells
from supermask.analysis.drawing.frame import SCREEN
from supermask.analysis.drawing.frame import settings as frame_settings
from supermask.analysis.drawing.together import Part, draw_together
from supermask.analysis.system.errors import UsageError
from supermask.figures.catalogue import CATALOGUE

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "figures" / "gallery"
TABLES = sorted(path.stem for path in GALLERY.glob("*.csv"))
ONE = "mask-1-actions-fc-mnist-short"
PAGE = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
TOGETHER = {
    name: tables.split() for tables, name in re.findall(r"`supermask redraw ([^`]*?)\s--together\s(\S+)`", PAGE)
}
"""Pictures of several tables, and these tables, as the gallery's commands name them from the repository's root."""


def copied(name: str, folder: Path) -> Path:
    for ending in ("csv", "svg", "png"):
        shutil.copy(GALLERY / f"{name}.{ending}", folder)
    return folder / f"{name}.csv"


def words(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


@pytest.mark.parametrize(
    "name", [name if at % 5 == 0 else pytest.param(name, marks=pytest.mark.slow) for at, name in enumerate(TABLES)]
)
def test_each_table_of_the_gallery_redraws_its_picture_exactly(name, tmp_path, capsys):
    before = (GALLERY / f"{name}.svg").read_text()
    csv = copied(name, tmp_path)
    assert run_command(["redraw", str(csv)], CATALOGUE) == OK
    after = csv.with_suffix(".svg").read_text()
    if f"Matplotlib v{matplotlib.__version__}," in before:
        assert after == before
        assert "the same as before" in capsys.readouterr().out
    else:  # another version may round a coordinate otherwise; what the picture says must stay
        assert words(after) == words(before)
    assert csv.read_bytes() == (GALLERY / csv.name).read_bytes()
    assert csv.with_suffix(".png").stat().st_size > 10_000


def test_a_disk_that_fills_while_pictures_are_written_is_one_line_and_tears_none(tmp_path, capsys):
    disk = tmp_path / "disk"
    with mounted(disk, "size=2m"):
        csv = copied(ONE, disk)
        for picture in (csv.with_suffix(".svg"), csv.with_suffix(".png")):
            picture.write_bytes(picture.read_bytes() + b"\n")  # redrawing is to change it
        before = {path.name: path.read_bytes() for path in disk.iterdir()}
        filler = disk / "filler"
        filler.write_bytes(b"x" * (shutil.disk_usage(disk).free - 4096))
        assert run_command(["redraw", str(csv)], CATALOGUE) == FAILED
        said = capsys.readouterr()
        assert re.fullmatch(r"supermask: error: file \S+\.svg cannot be written: No space left on device\n", said.err)
        filler.unlink()
        assert {path.name: path.read_bytes() for path in disk.iterdir()} == before
        assert run_command(["redraw", str(csv)], CATALOGUE) == OK


@pytest.mark.slow
@pytest.mark.parametrize("name", TOGETHER)
def test_each_picture_of_several_networks_is_drawn_from_their_tables_exactly(name, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    drawn = tmp_path / Path(name).name
    assert run_command(["redraw", *TOGETHER[name], "--together", str(drawn)], CATALOGUE) == OK
    before, after = ((each.parent / f"{each.name}.svg").read_text() for each in (ROOT / name, drawn))
    if f"Matplotlib v{matplotlib.__version__}," in before:
        assert after == before
    else:
        assert words(after) == words(before)
    assert (tmp_path / f"{drawn.name}.png").stat().st_size > 10_000


def test_a_picture_of_several_tables_names_and_shows_each(tmp_path, capsys):
    """A column of panels a table, titled with network and data; a protocol where two are of the same."""
    fc, conv2 = (copied(f"mask-criteria-{each}-short", tmp_path) for each in ("fc-mnist", "conv2-cifar10"))
    asked = ["redraw", str(fc), str(conv2), "--together", str(tmp_path / "both"), "--format", "svg"]
    assert run_command(asked, CATALOGUE) == OK
    assert capsys.readouterr().out == f"{tmp_path / 'both.svg'}: drawn anew\n"
    svg = (tmp_path / "both.svg").read_text()
    text = " ".join(words(svg))
    for csv, title in ((fc, "FC on MNIST"), (conv2, "Conv2 on CIFAR-10")):
        assert text.count(f"{title}: the top of it") == 1
        (caption,) = re.findall(r"<dc:description>([^<]*)</dc:description>", csv.with_suffix(".svg").read_text())
        assert caption.startswith(f"{title} · protocol short")
        assert all(part in text for part in caption.split(" · "))
        assert caption in svg, "the metadata have it in one piece"
    for label in ("unpruned, trained", "small_init_small_final", "random"):
        assert words(svg).count(label) == 1, "one legend serves all"
    assert run_command(asked, CATALOGUE) == OK
    assert "the same as before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ending", "kind"), [("svg", "an SVG picture"), ("png", "a PNG picture"), ("pdf", "a PDF file")]
)
def test_a_picture_replaces_no_file_of_another_kind(ending, kind, tmp_path, capsys):
    both = [str(copied(f"mask-criteria-{each}-short", tmp_path)) for each in ("fc-mnist", "conv2-cifar10")]
    for name, arguments in (("both", [*both, "--together", str(tmp_path / "both")]), (Path(both[0]).stem, both[:1])):
        mine = tmp_path / f"{name}.{ending}"
        original = mine.read_bytes() if mine.exists() else None
        if ending != "svg" or original is None:  # a table's SVG has its caption, and is read first
            mine.write_text("my own notes\n")
            assert run_command(["redraw", *arguments, "--format", ending], CATALOGUE) == MISUSED
            assert f"{str(mine)!r} is there and is not {kind}" in capsys.readouterr().err
            assert mine.read_text() == "my own notes\n"
            mine.unlink() if original is None else mine.write_bytes(original)


def test_panels_of_several_tables_have_their_own_numbers():
    figure = CATALOGUE["mask-criteria"].load()
    names = ("mask-criteria-fc-mnist-short", "mask-criteria-conv2-cifar10-short")
    parts = [
        Part(GALLERY / f"{n}.csv", (GALLERY / f"{n}.csv").read_text(), "The same on both · protocol p: x")
        for n in names
    ]
    frame = SCREEN.frame("a caption")
    with matplotlib.rc_context(frame_settings(frame)):
        picture = draw_together(figure, parts, frame, lambda part: nullcontext())
    titles = [axes.get_title("left").replace("\n", " ") for axes in picture.axes]
    assert titles == ["The same on both, protocol p"] * 2 + ["The same on both, protocol p: the top of it"] * 2
    for name, axes in zip(names * 2, picture.axes, strict=True):
        table = pd.read_csv(GALLERY / f"{name}.csv")
        own = table[table["criterion"].isin(["random", "unpruned"])].groupby("round")["test_accuracy"].mean()
        (line,) = (line for line in axes.get_lines() if line.get_label() == "random")
        assert line.get_ydata() == pytest.approx(100 * own)


SEVERAL = ("mask-criteria-fc-mnist-short", "mask-criteria-conv2-cifar10-short")


@pytest.mark.parametrize(
    ("tables", "name", "said"),
    [
        (SEVERAL[:1], "both", "together is given with 1 table alone; allowed: two or more of one figure"),
        (
            (SEVERAL[0], ONE),
            "both",
            "together is given with 2 tables of mask-1-actions and mask-criteria; allowed: two",
        ),
        (SEVERAL, "both.svg", "both.svg'; allowed: a name without .svg, which format adds"),
        (
            ("dsd-fc-mnist-short", "dsd-conv2-cifar10-short"),
            "both",
            "with tables of dsd; allowed: those of mask-criteria",
        ),
    ],
)
def test_what_cannot_stand_together_is_refused(tables, name, said, tmp_path, capsys):
    files = [str(copied(each, tmp_path)) for each in tables]
    before = sorted(tmp_path.iterdir())
    assert run_command(["redraw", *files, "--together", str(tmp_path / name)], CATALOGUE) == MISUSED
    assert said in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_a_damaged_table_among_several_is_named(tmp_path, capsys):
    files = [copied(each, tmp_path) for each in SEVERAL]
    files[1].write_text(files[1].read_text().replace("criterion,", "treatment,", 1))
    assert run_command(["redraw", *map(str, files), "--together", str(tmp_path / "both")], CATALOGUE) == MISUSED
    error = capsys.readouterr().err
    assert f"file {files[1]} is no table of the figure mask-criteria: it has no column 'criterion'" in error
    assert error.count("\n") == 1


def test_a_table_from_a_spreadsheet_is_read_or_refused_never_drawn_otherwise(tmp_path, capsys):
    csv = copied(ONE, tmp_path)
    picture, content = csv.with_suffix(".svg").read_bytes(), csv.read_bytes()
    csv.write_bytes(b"\xef\xbb\xbf" + content)
    assert run_command(["redraw", str(csv)], CATALOGUE) == OK
    assert "\ufeff" not in csv.with_suffix(".svg").read_text()
    csv.with_suffix(".svg").write_bytes(picture)
    table = pd.read_csv(io.BytesIO(content))
    for decimal, separator, name in ((",", ",", "test_accuracy"), (",", ";", "test_accuracy"), (".", ";", "dataset")):
        table.to_csv(csv, index=False, decimal=decimal, sep=separator)
        assert run_command(["redraw", str(csv)], CATALOGUE) == MISUSED
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "decimal comma" in said or "semicolons" in said, name
        assert csv.with_suffix(".svg").read_bytes() == picture
    csv.write_bytes(content + b'"' + b"x" * 200_000)
    assert run_command(["redraw", str(csv)], CATALOGUE) == MISUSED
    assert "is no table: field larger" in capsys.readouterr().err
    csv.write_bytes(content.decode().encode("utf-16"))
    assert run_command(["redraw", str(csv)], CATALOGUE) == MISUSED
    assert "is not UTF-8" in capsys.readouterr().err


def test_a_changed_table_is_drawn_anew_with_the_same_caption(tmp_path, capsys):
    csv = copied(ONE, tmp_path)
    svg = csv.with_suffix(".svg")
    before, picture = svg.read_text(), csv.with_suffix(".png").read_bytes()
    table = pd.read_csv(csv)
    table["test_accuracy"] = 1 - table["test_accuracy"]
    table.to_csv(csv, index=False)
    assert run_command(["redraw", str(csv)], CATALOGUE) == OK
    assert "drawn anew" in capsys.readouterr().out
    after = svg.read_text()
    (caption,) = re.findall(r"<dc:description>([^<]*)</dc:description>", before)
    assert " · supermask " in caption
    assert f"<dc:description>{caption}</dc:description>" in after
    assert caption.split(" · ")[0] in " ".join(words(after)), "and it is seen"
    assert after != before
    assert csv.with_suffix(".png").read_bytes() != picture


def no_picture(csv: Path) -> None:
    csv.with_suffix(".svg").unlink()
    csv.with_suffix(".png").unlink()


def another_picture(csv: Path) -> None:
    csv.with_suffix(".svg").write_text("<svg><text>mine</text></svg>")


def a_caption_of_codes(csv: Path) -> None:
    svg = csv.with_suffix(".svg").read_text()
    csv.with_suffix(".svg").write_text(svg.replace(" · supermask ", " · supermask \x1b[31m", 1))


def no_table(csv: Path) -> None:
    csv.write_text("a,b\n1,2\n")


def an_empty_table(csv: Path) -> None:
    csv.write_text("")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (no_picture, "cannot be read"),
        (another_picture, "is no picture that this toolkit drew"),
        (a_caption_of_codes, "is no picture that this toolkit drew"),
        (no_table, "is no table of the figure mask-1-actions"),
        (an_empty_table, "is no table of the figure mask-1-actions"),
        (Path.unlink, "cannot be read"),
    ],
)
def test_what_cannot_be_redrawn_is_named_and_left_as_it_was(damage, said, tmp_path, capsys):
    csv = copied(ONE, tmp_path)
    damage(csv)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert run_command(["redraw", str(csv)], CATALOGUE) in (MISUSED, FAILED)
    error = capsys.readouterr().err
    assert said in error
    assert csv.stem in error
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "column", "values", "said"),
    [
        (
            "mask-criteria-fc-mnist-short",
            "criterion",
            [f"c{n}" for n in range(300)],
            "the picture would have 300 lines",
        ),
        ("mask-criteria-fc-mnist-short", "criterion", list(range(300)), "the picture would have 300 lines"),
        ("learned-masks-seen-fc-mnist-short", "label", [f"l{n}" for n in range(300)], "would have 301 panels"),
        ("learned-masks-seen-fc-mnist-short", "row", [9**6], "row and column are allowed from 0 to 4095"),
        (
            "mask-criteria-fc-mnist-short",
            "criterion",
            None,
            "has no rows; allowed: a first line that names all columns",
        ),
    ],
)
def test_more_than_can_be_drawn_is_refused(name, column, values, said, tmp_path, capsys):
    """A table of a megabyte would otherwise take hours, or the memory of a hundred machines."""
    csv = copied(name, tmp_path)
    table = pd.read_csv(csv)
    chosen = table.index[table[column] != "unpruned"] if values else []
    table = table.astype({column: object})
    table.loc[chosen, column] = [values[n % len(values)] for n in range(len(chosen))] if values else []
    (table if values else table[:0]).to_csv(csv, index=False)
    before = csv.with_suffix(".svg").read_bytes()
    assert run_command(["redraw", str(csv)], CATALOGUE) == MISUSED
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert csv.with_suffix(".svg").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("criteria-plane-fc-mnist-paper", lambda table: table[:1], "Attempting to set identical"),
        (
            "structure-over-time-fc-mnist-short",
            lambda table: table[table["layer"] == "all"],
            "No artists with labels found",
        ),
    ],
)
def test_what_matplotlib_doubts_is_refused(name, change, said, tmp_path, capsys):
    """It would draw something, and warn in the terminal in words of its own."""
    csv = copied(name, tmp_path)
    change(pd.read_csv(csv)).to_csv(csv, index=False)
    before = csv.with_suffix(".svg").read_bytes()
    assert run_command(["redraw", str(csv)], CATALOGUE) == MISUSED
    error = capsys.readouterr().err
    assert error.startswith(f"supermask: error: file {csv} is no table of the figure ")
    assert said in error
    assert error.count("\n") == 1
    assert csv.with_suffix(".svg").read_bytes() == before


SMALL = sorted(TABLES, key=lambda name: (GALLERY / f"{name}.csv").stat().st_size)[:6]


@settings(max_examples=15)
@given(st.sampled_from(SMALL), st.data())
def test_whatever_rows_and_cells_a_table_has_it_is_drawn_or_refused_in_one_line(tmp_path_factory, name, data):
    csv = copied(name, tmp_path_factory.mktemp("forged"))
    table = pd.read_csv(csv, dtype=str, keep_default_na=False)
    rows = data.draw(st.lists(st.integers(0, len(table) - 1), min_size=1, max_size=12))
    table = table.iloc[rows].reset_index(drop=True)
    for column in data.draw(st.lists(st.sampled_from(list(table.columns)), max_size=2)):
        cells = st.sampled_from(
            ["0", "1", "-1", "0.5", "1e-300", "1e300", "9007199254740991", "", "x", "$x$", "_", "\n"]
        )
        table[column] = data.draw(st.lists(cells, min_size=len(table), max_size=len(table)) | cells)
    table.to_csv(csv, index=False)
    error = io.StringIO()
    with redirect_stderr(error), redirect_stdout(io.StringIO()):
        status = run_command(["redraw", str(csv)], CATALOGUE)
    assert (status, error.getvalue().count("\n")) in ((OK, 0), (MISUSED, 1)), error.getvalue()


@pytest.mark.parametrize(("nodes", "size"), [(10**9, 1), (0, 1), (10, 0), (-3, 2)])
def test_a_wiring_of_impossible_size_is_refused(nodes, size):
    row = {"setting": "static", "moment": "first", "group_size": size, "nodes": nodes, "from": 0, "to": 0, "edges": 1}
    table = pd.DataFrame(
        [row | {"inputs": 1, "features": 1, "kept_from_start": 1.0, "kept_to_end": 1.0, "reached": 1.0}]
    )
    with pytest.raises(UsageError, match=f"nodes is {nodes} in groups of {size}; allowed: 1 to 4,096 groups"):
        CATALOGUE["wiring"].load().draw(table, SCREEN.frame("a caption"))


@pytest.mark.parametrize("size", [10_000, 100_000, 2**31 - 1])
def test_a_huge_picture_is_read_for_its_caption_alone(size, tmp_path, capsys):
    """A few bytes may say that they are ten thousand million pixels."""
    csv = copied(ONE, tmp_path)
    csv.with_suffix(".svg").unlink()
    content = bytearray(csv.with_suffix(".png").read_bytes())
    content[16:24] = size.to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    csv.with_suffix(".png").write_bytes(content)
    status = run_command(["redraw", str(csv)], CATALOGUE)
    said = capsys.readouterr().err
    assert status == (OK if size == 10_000 else MISUSED)
    assert said == "" if status == OK else f"{csv.stem}.png, whose caption" in said


@pytest.mark.parametrize("name", ["notes.csv", "mask-1-actions.csv", f"{ONE}.svg"])
def test_a_file_that_is_no_figures_table_is_refused_before_any_is_drawn(name, tmp_path, capsys):
    good = copied(ONE, tmp_path)
    good.write_text(good.read_text().replace("0.98", "0.97"))
    before = good.with_suffix(".svg").read_bytes()
    assert run_command(["redraw", str(good), str(tmp_path / name)], CATALOGUE) == MISUSED
    error = capsys.readouterr().err
    assert name in error
    assert "mask-criteria" in error, "what is allowed is said"
    assert good.with_suffix(".svg").read_bytes() == before


def lines_of(csv: Path) -> list[str]:
    return csv.read_text().splitlines()


def put(csv: Path, line: int, column: str, cell: str) -> None:
    """Another cell, in a line counted from 1."""
    lines = lines_of(csv)
    at = lines[0].split(",").index(column)
    cells = lines[line - 1].split(",")
    cells[at] = cell
    csv.write_text("\n".join([*lines[: line - 1], ",".join(cells), *lines[line:]]) + "\n")


WRONG = [
    *(("round", cell, "a whole number from 0 on") for cell in ("-1", "1.5", "NaN", "inf", "", "one", "1_0", "٣")),
    *(("seed", cell, "a whole number from 0 on") for cell in ("-3", "0.25", "nan")),
    *(("early_stop_step", cell, "a whole number from 0 on, or nothing") for cell in ("-100", "2.5", "inf")),
    *(("test_accuracy", cell, "a number from 0 to 1, or nothing") for cell in ("1.5", "-0.1", "nan", "98%", "high")),
    *(("weights_remaining", cell, "a number from 0 to 1, or nothing") for cell in ("-inf", "100", "N/A")),
    *(("test_loss", cell, "a finite number, or nothing") for cell in ("inf", "-Infinity", "1e999", "null", "-")),
]


def test_a_cell_that_is_not_what_its_column_holds_is_refused_by_its_place(tmp_path, capsys):
    """Most of these were drawn: a mean without the row, a column of words, an axis that ends elsewhere."""
    csv, other = copied(ONE, tmp_path), copied("mask-criteria-fc-mnist-short", tmp_path)
    other.write_text(other.read_text().replace("0.98", "0.97"))
    text = csv.read_text()
    for column, cell, allowed in WRONG:
        csv.write_text(text)
        put(csv, 7, column, cell)
        with pytest.raises(UsageError) as error:
            check_cells(csv, csv.read_text())
        assert str(error.value) == f"file {csv}, line 7, column {column!r} has {cell!r}; allowed: {allowed}"
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert run_command(["redraw", str(other), str(csv)], CATALOGUE) == MISUSED
    assert "line 7, column 'test_loss' has '-'" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before, "not even the one that is right"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("kept,", "seed,", 1), "names column 'seed' 2 times; allowed: once"),
        (lambda text: text.replace("kept,", ",", 1), "a column has no name; allowed: a first line that names all"),
        (
            lambda text: text.replace("treatment,", "handling,", 1),
            "it has no column 'treatment'; its columns are dataset",
        ),
        (lambda text: text.replace("test_accuracy,", "accuracy,", 1), "it has no column 'test_accuracy'; its columns"),
        (
            lambda text: text.replace("\nmnist,fc,", "\nmnist,x,", 1),
            "line 3, column 'network' has 'fc'; allowed: 'x', as",
        ),
        (lambda text: text.replace("\nmnist,", "\ndigits,", 1), "column 'dataset' has 'mnist'; allowed: 'digits', as"),
        (lambda text: text + "mnist,fc,short\n", "has 3 cells; allowed: 22, one for each column"),
        (lambda text: text.replace("mnist,fc", "mnist,fc,fc", 1), "line 2 has 23 cells; allowed: 22"),
    ],
)
def test_a_table_with_other_columns_is_refused_and_says_which(change, said, tmp_path, capsys):
    csv = copied(ONE, tmp_path)
    csv.write_text(change(csv.read_text()))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert run_command(["redraw", str(csv)], CATALOGUE) == MISUSED
    error = capsys.readouterr().err
    assert said in error
    assert f"file {csv}" in error
    assert error.count("\n") == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_every_table_of_the_gallery_has_what_its_columns_hold():
    for name in TABLES:
        check_cells(GALLERY / f"{name}.csv", (GALLERY / f"{name}.csv").read_text())
