"""Pictures: formats, widths, titles and styles that are asked for; lines that every eye tells apart; ticks."""

import io
import re
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.transforms import Bbox
from PIL import Image

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import MISUSED, OK
from supermask.analysis.drawing import plots, styles
from supermask.analysis.drawing.figure import render
from supermask.analysis.drawing.frame import WIDTHS, Frame, Look, look, parse_width, read_style, settings, wrapped
from supermask.analysis.drawing.redraw import figure_name
from supermask.analysis.system.errors import UsageError
from supermask.figures.catalogue import CATALOGUE

GALLERY = Path(__file__).parents[1] / "figures" / "gallery"
TABLES = {figure_name(path, CATALOGUE): path for path in sorted(GALLERY.glob("*.csv"))}
"""One table of each figure that the gallery has."""

ONE = TABLES["mask-1-actions"]
CAPTION = "FC on MNIST · protocol short: 3 epochs a round, 24 rounds · 5 seeds · supermask 0.1.0 (0123456)"


def drawn(name: str, frame: Frame):
    """A figure of the gallery, laid out; and its axes that have spines."""
    with matplotlib.rc_context(settings(frame)):
        picture = CATALOGUE[name].load().draw(pd.read_csv(TABLES[name]), frame)
        picture.canvas.draw()
    return picture


def extent(artist, picture) -> Bbox:
    """Where it is, in inches."""
    return artist.get_window_extent(picture.canvas.get_renderer()).transformed(picture.dpi_scale_trans.inverted())


@pytest.mark.parametrize("name", TABLES)
def test_at_a_columns_width_nothing_collapses_and_nothing_overlaps(name):
    frame = Frame(CAPTION, WIDTHS["column"], title=False)
    picture = drawn(name, frame)
    width, height = picture.get_size_inches()
    assert width == pytest.approx(WIDTHS["column"])
    assert picture._suptitle is None
    around = [*picture.texts, *picture.legends]
    panels = [axes for axes in picture.axes if axes.get_visible()]
    for axes in panels:
        box = axes.get_position()
        assert box.width * width > 0.6 or axes.get_label() == "<colorbar>", axes.get_title("left")
        assert box.height * height > 0.6 or axes.get_label() == "<colorbar>", axes.get_title("left")
        tight = axes.get_tightbbox(picture.canvas.get_renderer()).transformed(picture.dpi_scale_trans.inverted())
        assert tight.x0 > -0.05
        assert tight.x1 < width + 0.05
        for each in around:
            assert tight.y0 > extent(each, picture).y1 - 0.05, "legend and caption are below the panels"
    for each in around:
        box = extent(each, picture)
        assert box.x0 > -0.01
        assert box.x1 < width + 0.01
        assert box.y0 > -0.01
    assert smallest_letters(picture) >= 4.9


def smallest_letters(picture) -> float:
    return min(text.get_fontsize() for text in picture.findobj(matplotlib.text.Text) if text.get_text().strip())


@pytest.mark.parametrize("name", TABLES)
def test_what_bands_bars_and_dots_are_is_in_the_picture(name):
    picture = drawn(name, Frame(CAPTION))
    (words,) = [text.get_text() for text in picture.texts if " · supermask " in text.get_text().replace("\xa0", " ")]
    told = words.replace("\n", " ").replace("\xa0", " ")
    assert CAPTION in told
    bands = [each for axes in picture.axes for each in axes.collections if "FillBetween" in type(each).__name__]
    assert ("Bands: from the least to the greatest seed." in told) == bool(bands)
    if name != "criteria-plane":
        assert re.search(r"seeds?\. ", told), "means are told from single seeds"


def rendered(chosen: Look, base: str = "x") -> dict[str, bytes]:
    return render(CATALOGUE["mask-1-actions"].load(), ONE.read_text(), CAPTION, base, chosen)


def test_every_format_is_what_it_says_carries_the_caption_and_comes_out_the_same_again():
    chosen = Look(("pdf", "svg", "png"), WIDTHS["column"])
    first, again = rendered(chosen), rendered(chosen)
    assert list(first) == [".pdf", ".svg", ".png"]
    assert first == again
    assert first[".pdf"].startswith(b"%PDF")
    assert b"/Type /Font /Subtype /Type0" in first[".pdf"], "letters as letters, which publishers ask for"
    assert first[".png"].startswith(b"\x89PNG")
    assert CAPTION in first[".svg"].decode()
    with Image.open(io.BytesIO(first[".png"])) as image:
        assert image.info["Description"] == CAPTION
    assert float(re.search(r'<svg [^>]*width="([0-9.]+)pt"', first[".svg"].decode())[1]) == pytest.approx(234)


def test_without_a_title_there_is_none():
    title = "Where kept weights restart"
    assert title in "".join(re.findall(r"<text[^>]*>([^<]*)", rendered(Look(("svg",)))[".svg"].decode()))
    bare = rendered(Look(("svg",), title=False))[".svg"].decode()
    assert title not in "".join(re.findall(r"<text[^>]*>([^<]*)", bare))


def test_a_style_of_ones_own_goes_on_top(tmp_path):
    style = tmp_path / "mine.mplstyle"
    style.write_text('lines.linewidth: 3.21\naxes.facecolor: "#123456"\n')
    assert read_style(style) == {"lines.linewidth": 3.21, "axes.facecolor": "#123456"}
    svg = rendered(Look(("svg",), style=style))[".svg"].decode()
    assert "stroke-width: 3.21" in svg
    assert "#123456" in svg
    assert "#123456" not in rendered(Look(("svg",)))[".svg"].decode(), "nothing of it stays"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("lines.width: 3", "is no Matplotlib style"),
        ("lines.linewidth: thick", "is no Matplotlib style"),
        ("just words", "is no Matplotlib style"),
        (b"\xff\xfe", "is no Matplotlib style"),
        ("backend: tkagg", "sets backend, which is no matter of style"),
        (None, "it is no file"),
    ],
)
def test_what_is_no_style_is_refused(content, said, tmp_path):
    path = tmp_path / "mine.mplstyle"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=said):
        look(None, None, True, path)


def test_widths_and_formats_are_checked():
    assert [parse_width(text) for text in ("column", "page", "5.5")] == [3.25, 6.75, 5.5]
    for text in ("colum", "", "nan", "inf", "0", "-3", "1.9", "41"):
        with pytest.raises(UsageError, match="allowed: column, page, or inches from 2 to 40"):
            parse_width(text)
    assert look("pdf, svg,pdf", None, True, None).formats == ("pdf", "svg")
    with pytest.raises(UsageError, match=r"format 'pdff' is unknown \(did you mean pdf"):
        look("pdff", None, True, None)


def test_redraw_takes_looks_and_writes_only_what_is_asked_for(tmp_path, capsys):
    table = tmp_path / ONE.name
    table.write_bytes(ONE.read_bytes())
    table.with_suffix(".png").write_bytes(ONE.with_suffix(".png").read_bytes())
    asked = ["redraw", str(table), "--format", "pdf", "--width", "column", "--no-title"]
    assert run_command(asked, CATALOGUE) == OK, "the caption is the PNG's, where there is no SVG"
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".pdf", ".png"]
    assert "drawn anew" in capsys.readouterr().out
    assert table.with_suffix(".png").read_bytes() == ONE.with_suffix(".png").read_bytes()
    assert run_command(asked, CATALOGUE) == OK
    assert "the same as before" in capsys.readouterr().out
    assert run_command(["redraw", str(table), "--width", "tiny"], CATALOGUE) == MISUSED
    table.with_suffix(".png").write_bytes(b"\x89PNG no more")
    assert run_command(asked, CATALOGUE) == MISUSED
    assert "cannot be read" in capsys.readouterr().err


PAIRED = ("large_final", "magnitude_increase", "magnitude_increase_{}_strict")


def lab(colour: str, sight: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of a colour as seen by eyes that mix linear red, green and blue so."""
    rgb = np.array(to_rgb(colour))
    linear = np.clip(sight @ np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92), 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ linear / (to_xyz @ np.ones(3))
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


SIGHT = {
    "any": np.eye(3),
    "no red cones": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "no green cones": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "no blue cones": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
"""Machado, Oliveira & Fernandes 2009, table 1, severity 1."""


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("name", ["large_final_{}", "magnitude_increase_{}", "magnitude_increase_{}_strict"])
def test_same_and_different_sign_are_told_apart_by_every_eye(name, sight):
    same, different = (styles.CRITERIA[name.format(f"{kind}_sign")] for kind in ("same", "diff"))
    apart = lab(same.colour, SIGHT[sight]) - lab(different.colour, SIGHT[sight])
    assert np.linalg.norm(apart) > 20
    assert same.hollow != different.hollow


@pytest.mark.parametrize("name", CATALOGUE)
def test_no_two_lines_of_a_figure_differ_by_their_dash_alone(name):
    """In one panel, that is: `sanity` has one for each criterion, with the same lines in each."""
    figure = CATALOGUE[name].load()
    panels = defaultdict(list)
    for label in figure.names:
        if label in figure.styles:
            panels[label.split(", ")[0] if name == "sanity" else ""].append(figure.styles[label])
    for shown in panels.values():
        assert len({(style.colour, style.marker, style.hollow) for style in shown}) == len(shown)


LINES = ("mask-criteria", "mask-1-actions", "mask-0-actions", "sign-criteria", "supermasks-at-init")
MORE_LINES = (
    "rewinding",
    "transfer",
    "permutations",
    "sanity",
    "learned-supermasks",
    "signed-supermasks",
    "lottery-tickets",
    "sparse-training",
)


@pytest.mark.parametrize("name", LINES + MORE_LINES)
def test_every_line_has_a_style(name):
    """A label that is renamed takes its style along, or is missed here: it does not turn grey."""
    figure = CATALOGUE[name].load()
    assert set(figure.names) - set(figure.styles) <= {"other starts"}, "which have no line of their own"


@given(st.floats(1e-7, 100), st.floats(1e-7, 100), st.integers(3, 10))
def test_ticks_are_there_for_any_range_and_have_room(one, other, room):
    least, most = min(one, other) / 1.08, max(one, other) * 1.08
    ticks = plots.remaining_ticks(least, most, room)
    assert 1 <= len(ticks) <= max(room, 9)
    assert all(least <= tick <= most for tick in ticks)
    if most / least > 10.1:
        assert len(ticks) > 1


def test_below_a_tenth_of_a_percent_there_are_ticks_in_plain_numbers():
    table = pd.DataFrame({"weights_remaining": [1.0, 2e-5]})
    _, (axes,) = plots.new_picture(1, Frame())
    plots.remaining_axis(axes, table)
    labels = [axes.xaxis.get_major_formatter()(tick, None) for tick in axes.get_xticks()]
    assert labels == ["100", "30", "10", "3", "1", "0.3", "0.1", "0.03", "0.01", "0.003"]
    plots.remaining_axis(axes, pd.DataFrame({"weights_remaining": [1.0, 0.5, 0.0]}))
    assert axes.get_xlim() == pytest.approx((108, 50 / 1.08)), "no weight left has no place on a log axis"


def test_lines_end_where_they_should():
    assert wrapped("one two three", 100) == "one two three"
    assert wrapped("a · b", 0.01).split("\n") == ["a · b"]
    long = "a_rather_long_name of a thing · and more of it"
    for width in (1.0, 1.5, 2.0, 9.0):
        lines = wrapped(long, width).split("\n")
        assert not any(line.startswith(("·", " ")) for line in lines)
        assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", long)


def test_axes_are_matplotlibs():
    _, panels = plots.new_picture(3, Frame(width=3.25))
    assert all(isinstance(axes, Axes) for axes in panels)
    assert len({round(axes.get_position().x0, 3) for axes in panels}) == 1, "one below the other"
