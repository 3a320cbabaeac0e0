"""What a class needs of the explorer's page: its language, challenges, a test set of one's own, parts for a lecture."""

import re
from pathlib import Path

import numpy as np
import pytest
from explorer_pages import BEST, LONGER, OPENED, SIZES, draw_a_one, right, settled, with_curves
from explorer_site import asked_in_node, serving

from supermask.analysis.command.cli import run_command
from supermask.figures.catalogue import CATALOGUE

DIGITS = {"digits": True, "names": [], "sizes": [784, 300, 100, 10], "dataset": "MNIST"}
CLOTHES = {"digits": False, "names": ["T-shirt", "bag"], "sizes": [784, 300, 100, 2], "dataset": "Fashion-MNIST"}


# Words ----------------------------------------------------------------------------------------------------------------


def test_every_language_has_every_word_and_says_it_itself():
    tables = asked_in_node("words.mjs", Path(), [["words", DIGITS], ["words", CLOTHES]])
    for table in tables:
        english, german = table["en"], table["de"]
        assert set(english) == set(german)
        assert {n for n, text in english.items() if text == "function"} == {
            n for n, text in german.items() if text == "function"
        }
        same = {n for n, text in english.items() if text == german[n] and text not in ("", "function")}
        allowed = r"article\.papers\.\d\.1|seen\.keys.*|.*\.cell|tries\.heads\.0"
        assert {n for n in same if not re.fullmatch(allowed, n)} == set()
    for language in ("en", "de"):
        said = " ".join(tables[1][language].values())
        for digit in ("digit", "Ziffer", "handwritten", "handgeschrieben"):
            assert digit not in said, "of other images nobody says that they are digits"
        assert "T-shirt" in said


def test_the_article_is_short_and_leads_to_its_sources(at):
    page = at()
    text = page.locator("#article-text").inner_text()
    assert 600 <= len(text.split("Sources")[0].split()) <= 900
    assert "266,200" in text, "the numbers are this network's"
    links = page.locator("#article-text a")
    assert links.count() == 4
    for at in range(links.count()):
        assert re.match(r"https://(arxiv\.org|doi\.org)/", links.nth(at).get_attribute("href"))
        assert links.nth(at).get_attribute("rel") == "noopener noreferrer"


@pytest.mark.parametrize("how", ["mouse", "keyboard"])
def test_terms_are_explained_where_they_appear(how, at):
    page = at()
    terms = page.locator("#terms .term")
    assert terms.all_inner_texts() == ["weight", "mask", "criterion", "supermask", "rewind", "sign"]
    for at in range(terms.count()):
        meaning = page.locator(f"#{terms.nth(at).get_attribute('popovertarget')}")
        assert not meaning.is_visible()
        if how == "mouse":
            terms.nth(at).click()
        else:
            terms.nth(at).focus()
            page.keyboard.press("Enter")
        assert meaning.is_visible()
        assert len(meaning.inner_text()) > 40
        page.keyboard.press("Escape")
        assert not meaning.is_visible()


@pytest.mark.slow
def test_the_page_speaks_german(open_page):
    page = open_page(BEST, search="?lang=de")
    with_curves(page)
    settled(page)
    assert page.evaluate("document.documentElement.lang") == "de"
    assert page.title() == "Nullen, Vorzeichen und die Supermaske"
    accuracy = f"{right(page) / 10:.1f}".replace(".", ",")
    assert page.locator("#headline").inner_text() == (
        f"Ein untrainiertes Netz erkennt {accuracy}\u00a0% der handgeschriebenen Ziffern."
    )
    for english in (" the ", "weights", "Accuracy", "accuracy", "Keep ", "undefined"):
        assert english not in page.locator("main").inner_text().split("Quellen")[0], english
    page.locator("#tour-start").click()
    page.wait_for_selector("#tour-step:has-text('Schritt 1 von 10')")
    page.locator("#tour-options label").first.click()
    page.locator("#tour-next").click()
    page.wait_for_selector("#tour-answer:has-text('%')")
    assert re.match(r"(Richtig\. |Die Antwort: )", page.locator("#tour-answer").inner_text())
    page.locator("#language").select_option("en")
    page.wait_for_selector("h1:has-text('Zeros, signs')")
    assert "lang=en" in page.evaluate("location.search")
    assert "lang=xx" not in open_page(search="?lang=xx").locator("h1").inner_text()


# Challenges -----------------------------------------------------------------------------------------------------------


def test_challenges_stand_in_an_address_and_are_met_by_more_than_chance():
    texts = ("any-80-2", "untrained-62.5-9.25", "paint")
    wrong = ("any-0-2", "any-80", "any-80-200", "untrained-80-x", "trained-80-2", "", "paint-1", "any-100-2")
    found = asked_in_node("words.mjs", Path(), [["challenge", text] for text in texts + wrong])
    assert found == [*texts, *[None] * len(wrong)]
    few = {"accuracy": 0.801, "remaining": 0.0199, "trained": True, "painted": False}
    region = {"accuracy": 0.54, "remaining": 0.3, "trained": False, "painted": True}
    cases = [
        (["any-80-2", few, 0, 1000], True),
        (["untrained-80-2", few, 0, 1000], False),
        (["untrained-80-2", few | {"trained": False}, 0, 1000], True),
        (["any-80-2", few | {"accuracy": 0.8}, 0, 1000], False),
        (["any-80-2", few | {"remaining": 0.02}, 0, 1000], False),
        (["paint", region, 0.49, 1000], True),
        (["paint", region, 0.50, 1000], False),
        (["paint", region | {"painted": False}, 0.1, 1000], False),
    ]
    assert asked_in_node("words.mjs", Path(), [["met", each] for each, _ in cases]) == [met for _, met in cases]


@pytest.mark.slow
def test_a_challenge_comes_by_link_and_its_best_answers_are_links(open_page):
    page = open_page("challenge=untrained-70-20")
    settled(page)
    assert page.locator("#challenge-choice option:checked").inner_text() == (
        "more than 70% right with under 20% of the weights, untrained"
    )
    assert page.locator("#challenge-result").inner_text().startswith("Not yet: ")
    assert page.locator("#challenge-empty").is_visible()
    for criterion, level in (("large_final_same_sign", 40), ("large_final_same_sign", 32), ("random", 40)):
        page.locator(f"input[name=criterion][value={criterion}]").check()
        page.locator("input[name=kept][value=constant]").check()
        page.locator("#level").fill(str(level))
        settled(page)
        page.wait_for_timeout(LONGER)
    assert page.locator("#challenge-result").inner_text().startswith("Not yet: "), "a random mask meets none"
    answers = page.locator("#challenge-answers a")
    assert answers.count() == 2, "those that met it"
    said = [float(re.match(r"([\d.]+)%", text)[1]) for text in answers.all_inner_texts()]
    assert said == sorted(said, reverse=True)
    assert min(said) > 70
    answers.first.click()
    page.wait_for_function("best => document.querySelector('#accuracy').textContent === best", arg=f"{said[0]:.1f}%")
    assert page.locator("#challenge-result").inner_text().startswith("Done: ")
    assert page.get_attribute("#challenge-link", "href").endswith("challenge=untrained-70-20")
    page.reload()
    page.wait_for_selector(OPENED)
    assert page.locator("#challenge-answers a").count() == 2, "they are kept"
    page.locator("#challenge-forget").click()
    assert page.locator("#challenge-answers a").count() == 0
    page.locator("#challenge-choice").select_option("paint")
    assert "Choose “paint your own”" in page.locator("#challenge-result").inner_text()
    page.locator("#level").fill("20")
    settled(page)
    page.locator("input[name=criterion][value=painted]").check()
    page.wait_for_selector("#challenge-result:has-text('your region gets')")
    page.locator("#challenge-choice").select_option("")
    assert not page.locator("#challenge-more").is_visible()
    assert "challenge" not in settled(page)


def test_the_tour_gives_no_answer_away_by_a_challenge(at):
    page = at("challenge=any-50-90&tour=5.0")
    page.wait_for_timeout(LONGER)
    assert page.locator("#challenge-result").inner_text() == ""
    assert page.locator("#challenge-answers a").count() == 0


# A test set of one's own ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_drawn_digits_are_kept_as_a_test_set(open_page):
    page = open_page(BEST)
    assert page.locator("#mine-keep").is_disabled(), "nothing is drawn yet"
    for label in ("1", "7"):
        draw_a_one(page)
        page.locator("#mine-label").select_option(label)
        page.locator("#mine-keep").click()
        page.locator("#own-clear").click()
    page.wait_for_selector("#mine-reading:has-text('Of your 2, this network gets 1 right (50.0%)')")
    assert page.locator("#mine-list .guess").all_inner_texts() == ["1 ✓", "1 ✗"]
    page.locator("input[name=criterion][value=small_final]").check()
    settled(page)
    page.wait_for_selector("#mine-reading:has-text('Of your 2')")
    page.locator("input[name=lab][value=weights]").check()
    settled(page)
    assert "Of your 2" in page.locator("#mine-reading").inner_text(), "a network in training answers, too"
    page.locator("input[name=lab][value=off]").check()
    page.reload()
    page.wait_for_selector(OPENED)
    page.wait_for_selector("#mine-reading:has-text('Of your 2')")
    page.locator("#mine-list button").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.parentElement.id") == "mine-list"
    page.locator("#mine-list button").first.click()
    assert page.locator("#mine-reading").inner_text() == "Nothing is kept yet."
    assert page.evaluate("document.activeElement.id") == "own-canvas"


@pytest.mark.slow
def test_nonsense_in_the_browsers_memory_is_passed_over(open_page):
    page = open_page("challenge=paint")
    about = page.evaluate("fetch('bundle/bundle.json').then((a) => a.json()).then(({ about }) => about.dataset)")
    for nonsense in ("{", "7", '[[1, "!"], [99, "AA"], null, ["x", 3]]'):
        page.evaluate("([at, text]) => localStorage.setItem(at, text)", [f"drawn {about}", nonsense])
        page.evaluate("([at, text]) => localStorage.setItem(at, text)", ["answers paint", nonsense])
        page.reload()
        page.wait_for_selector(OPENED)
        settled(page)
        assert page.locator("#mine-reading").inner_text() == "Nothing is kept yet."
        assert page.locator("#challenge-empty").is_visible()


# Parts for a lecture --------------------------------------------------------------------------------------------------

PARTS = {"which", "values", "reads", "net", "lab", "own", "seen", "confused"} | {
    *("rounds", "tried", "table", "challenge", "article")
}


@pytest.mark.parametrize(
    ("search", "shown"),
    [
        ("?show=lab,net", {"lab", "net"}),
        ("?hide=article,table", PARTS - {"article", "table"}),
        ("?show=lab,article&hide=article", {"lab"}),
        ("?show=nonsense", PARTS),
    ],
)
def test_a_lecturers_link_shows_parts_and_hides_others(search, shown, open_page):
    page = open_page(BEST, search=search)
    assert {part for part in PARTS if page.locator(f"#{part}").is_visible()} == shown
    assert settled(page), "what is hidden works all the same"


def test_text_is_larger_for_a_projector(open_page, at):
    size = "parseFloat(getComputedStyle(document.documentElement).fontSize)"
    page = at(size="projector")
    usual, large = page.evaluate(size), open_page(search="?size=large", size="projector").evaluate(size)
    assert large > 1.2 * usual
    page.locator("#size").check()
    assert page.evaluate(size) == large
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for width in (1280, 768, 360):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    page.locator("#size").uncheck()


def test_letters_in_charts_are_as_large_as_the_pages(open_page):
    """Whatever room a chart has: on a phone, on a projector, and where text is large."""
    page = open_page("lab=weights", size="phone")
    page.wait_for_selector("html[data-lab=resting]", timeout=60_000)
    for size in ("phone", "projector"):
        page.set_viewport_size(dict(zip(("width", "height"), SIZES[size], strict=True)))
        for large in (False, True):
            page.locator("#size").set_checked(large)
            page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
            rem = page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
            for chart in ("#curve", "#lab-course"):
                found = page.evaluate(
                    "(chart) => { const svg = document.querySelector(`${chart} svg`); "
                    "return parseFloat(getComputedStyle(svg).fontSize) * svg.getScreenCTM().a; }",
                    chart,
                )
                assert found == pytest.approx(0.78 * rem, rel=0.03), (size, large, chart)
            boxes = [page.locator(f"#lab-course .{line}-words").bounding_box() for line in ("accuracy", "loss")]
            first, second = sorted(boxes, key=lambda box: (box["y"], box["x"]))
            beside, below = first["x"] + first["width"] <= second["x"], first["y"] + first["height"] <= second["y"] + 2
            assert beside or below, "the words of the two lines do not overlap"


# Own images -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_network_of_ones_own_images_has_their_classes_names(browser, tmp_path, monkeypatch):
    """The whole way: a file of images in three named classes, the command's export, and the page in Chromium."""
    monkeypatch.setattr("supermask.analysis.system.platform.set_up_jax", lambda devices=None: None)
    random = np.random.default_rng(0)
    labels = np.arange(600) % 3
    images = (random.integers(0, 60, (600, 28, 28)) * (random.random((600, 28, 28)) < 0.3)).astype(np.uint8)
    images[np.arange(600), 8 * labels + 4] = 200  # a bright row tells the class
    names = ["T-shirt", "ankle boot", "bag"]
    arrays = {"x_train": images, "y_train": labels, "x_test": images[:120], "y_test": labels[:120]}
    np.savez(tmp_path / "clothes.npz", **arrays, class_names=np.array(names))
    own = ["--dataset", str(tmp_path / "clothes.npz"), "--epochs", "3", "--rounds", "1"]
    folder = ["--results", str(tmp_path / "results"), "--export", str(tmp_path / "site")]
    assert run_command(["explore", *own, *folder], CATALOGUE) == 0
    paths = (path for path in (tmp_path / "site").rglob("*") if path.is_file())
    site = {str(path.relative_to(tmp_path / "site")): path.read_bytes() for path in paths}
    with serving(site) as server:
        page = browser.new_page()
        page.goto(f"{server.url}#{BEST}")
        page.wait_for_selector(OPENED, timeout=60_000)
        settled(page)
        with_curves(page)
        text = page.locator("body").inner_text()
        assert "digit" not in text.split("Sources")[0].lower()
        assert page.locator(".height.chance text").text_content() == "chance 33.3%"
        assert page.locator("#classes").inner_text() == "Classes: 0 T-shirt · 1 ankle boot · 2 bag."
        rows = page.locator("#confusion tbody th")
        assert rows.all_inner_texts() == [f"{at} {name}" for at, name in enumerate(names)]
        heads = page.locator("#confusion thead th")
        assert heads.all_inner_texts() == ["class", "0", "1", "2", "right"]
        assert [heads.nth(at + 1).get_attribute("aria-label") for at in range(3)] == names
        assert page.locator("#own-bars .name").all_inner_texts() == names
        assert page.locator("#mine-label option").all_inner_texts() == names
        assert re.match(rf"The network takes this for ({'|'.join(names)})\.", page.locator("#net-reading").inner_text())
        page.locator("input[name=lab][value=weights]").check()
        page.wait_for_selector("#lab-reading:has-text('step 0 of')", timeout=60_000)
        page.locator("#lab-train").click()
        page.wait_for_selector("#lab-reading:has-text('step 27 of 27')", timeout=60_000)
        settled(page)
        assert right(page) > 110, "a network in training learns them, too"
        page.close()
