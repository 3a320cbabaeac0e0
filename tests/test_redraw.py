"""A picture is its table and its caption: the gallery's come out again to the byte, and bad input changes nothing."""

import io
import re
import shutil
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import pandas as pd
import pytest

from analysis.command.cli import run_command
from analysis.command.commands import FAILED, MISUSED, OK
from figures.catalogue import CATALOGUE

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "figures" / "gallery"
TABLES = sorted(path.stem for path in GALLERY.glob("*.csv"))
ONE = "mask-1-actions-fc-mnist-short"


def copied(name: str, folder: Path) -> Path:
    for ending in ("csv", "svg", "png"):
        shutil.copy(GALLERY / f"{name}.{ending}", folder)
    return folder / f"{name}.csv"


def words(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


@pytest.mark.parametrize("name", TABLES)
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
        assert "decimal comma" in said or "is no table of the figure" in said, name
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


def no_table(csv: Path) -> None:
    csv.write_text("a,b\n1,2\n")


def an_empty_table(csv: Path) -> None:
    csv.write_text("")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (no_picture, "cannot be read"),
        (another_picture, "is no picture that this toolkit drew"),
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
