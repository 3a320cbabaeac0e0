"""The page with a slider over a wiring while it is trained: what it holds, and what a browser makes of it."""

import numpy as np
import pytest

from supermask.analysis.drawing.films import Film, film_page


def some_film(name: str, groups: int = 5, evaluations: int = 4) -> Film:
    random = np.random.default_rng(groups)
    counts = random.integers(0, 300, (evaluations, groups, groups)).astype(np.uint16)
    steps, accuracy = 10 * np.arange(evaluations), np.linspace(0.1, 0.7, evaluations)
    return Film(name, 2 * groups, 2, 3, steps, accuracy, counts)


FILMS = [some_film("static"), some_film("continuous", groups=7, evaluations=6)]


@pytest.fixture
def shown(offline_page, tmp_path):
    path = tmp_path / "film.html"
    path.write_text(film_page("A wiring <b>", 'graphs & "more" </script>', FILMS), encoding="utf-8")
    offline_page.goto(path.as_uri())
    return offline_page


def told(film: Film, frame: int) -> str:
    return (
        f"step {film.steps[frame]:,}: {film.counts[frame].sum(dtype=int):,} edges, "
        f"{100 * film.accuracy[frame]:.1f}% of validation images right"
    )


def greys(page, film: Film) -> np.ndarray:
    """The red part of each cell's middle, away from the lines: 255 for no edges."""
    script = """groups => { const shown = document.querySelector('canvas'), side = shown.width;
      const copy = document.createElement('canvas');
      copy.width = copy.height = side;
      const pen = copy.getContext('2d'), inside = i => Math.floor((i + 0.4) * side / groups);
      pen.drawImage(shown, 0, 0);
      const pixels = pen.getImageData(0, 0, side, side).data;
      const at = i => 4 * (inside(Math.floor(i / groups)) * side + inside(i % groups));
      return [...Array(groups * groups).keys()].map(i => pixels[at(i)]); }"""
    groups = film.counts.shape[1]
    return np.array(page.evaluate(script, groups)).reshape(groups, groups)


def expected_greys(film: Film, frame: int) -> np.ndarray:
    shade = np.floor(215 * (1 - film.counts[frame] / film.counts.max()) + 0.5)
    return np.where(film.counts[frame] == 0, 255, shade)


def test_a_slider_moves_through_the_evaluations(shown):
    film = FILMS[0]
    slider = shown.get_by_label("training")
    assert shown.locator("output").text_content() == told(film, 0)
    np.testing.assert_array_equal(greys(shown, film), expected_greys(film, 0))
    slider.press("End")  # by keyboard
    assert shown.locator("output").text_content() == told(film, 3)
    assert slider.get_attribute("aria-valuetext") == told(film, 3)
    np.testing.assert_array_equal(greys(shown, film), expected_greys(film, 3))
    slider.press("ArrowLeft")
    assert shown.locator("output").text_content() == told(film, 2)


def test_another_setting_is_another_film_and_play_goes_to_its_end(shown):
    shown.get_by_label("continuous").check()
    film = FILMS[1]
    assert shown.locator("output").text_content() == told(film, 0)
    np.testing.assert_array_equal(greys(shown, film), expected_greys(film, 0))
    shown.get_by_role("button", name="Play").click()
    shown.get_by_role("button", name="Stop").wait_for()
    shown.get_by_role("button", name="Play").wait_for(timeout=20_000)
    assert shown.locator("output").text_content() == told(film, 5)


def test_names_are_names_and_nothing_serious_bars_anyone(shown):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    assert shown.locator("h1").text_content() == "A wiring <b>"
    assert shown.locator("footer").text_content() == 'graphs & "more" </script>'
    found = axe.Axe().run(shown).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    shown.set_viewport_size({"width": 320, "height": 640})
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_film_has_as_many_steps_as_frames():
    film = FILMS[0]
    with pytest.raises(ValueError, match="steps, accuracy and counts have 3, 4 and 4 evaluations"):
        Film("static", 10, 2, 3, film.steps[:3], film.accuracy, film.counts)
    with pytest.raises(ValueError, match="have 0, 0 and 0 evaluations"):
        Film("static", 10, 2, 3, film.steps[:0], film.accuracy[:0], film.counts[:0])
