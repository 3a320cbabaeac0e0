"""Faults that the explorer's page once had, each with its kind: what is shown is one thing, and is said as it is."""

import csv
import io
import re

import numpy as np
import pytest
from explorer_pages import BEST, LONGER, OPENED, right, settled, with_curves
from explorer_site import PAGE, serving
from PIL import Image


def percents(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"([\d.]+)%", text)]


def shown_everywhere(page) -> None:
    """Headline, chart and status speak of one network."""
    settled(page)
    assert (
        page.locator(".now text").text_content() == page.locator("#accuracy").inner_text() == f"{right(page) / 10:.1f}%"
    )


def test_whoever_changes_anything_ends_what_plays(at):
    page = at("mask=round")
    for change in ("input[name=criterion][value=movement]", "input[name=pruned][value=initial]", "#tour-start"):
        pressed = page.evaluate(
            """(change) => {
              const [play, other] = ["#round-play", change].map((each) => document.querySelector(each));
              return [play, other].map((each) => each.click() ?? play.getAttribute("aria-pressed"));
            }""",
            change,
        )
        assert pressed == ["true", "false"], change
        after = settled(page)
        page.wait_for_timeout(LONGER)
        assert page.evaluate("location.hash") == after, "and nothing goes on by itself"
    page.locator("#tour-end").click()
    shown_everywhere(page)


def test_the_tour_answers_for_the_network_that_is_shown(at):
    page = at(BEST)
    page.locator("#tour-start").click()
    page.locator("#tour-options label").nth(0).click()
    page.locator("#level").fill("70")
    page.locator("input[name=criterion][value=small_init]").check()
    assert page.locator("#accuracy").inner_text() == "?"
    page.locator("#tour-next").click()
    page.wait_for_selector("#tour-answer:has-text('%')")
    shown_everywhere(page)
    assert page.locator("#accuracy").inner_text() in page.locator("#tour-answer").inner_text()
    assert not page.locator("#tour-changed").is_visible()
    page.locator("#level").fill("20")
    assert page.locator("#tour-changed").is_visible(), "the answer is no longer about what is shown, and says so"
    page.locator("#tour-return").click()
    shown_everywhere(page)
    assert page.locator("#accuracy").inner_text() in page.locator("#tour-answer").inner_text()
    page.locator("#tour-next").click()
    assert page.get_attribute("#level", "class") == "changed", "the control that a step changed"


def test_weights_that_a_draw_has_chosen_are_said_to_be(at, quick):
    """Of 41% kept weights that 'changed their sign', most kept it: there are no more that did."""
    page = at("criterion=large_final_diff_sign&level=4")
    run = quick.runs[0]
    kernels = [(np.asarray(run.initial[n]["kernel"]), np.asarray(run.final[n]["kernel"])) for n in run.initial]
    flipped = sum(int((np.sign(i) != np.sign(f)).sum()) for i, f in kernels) / sum(i.size for i, _ in kernels)
    kept, meant, drawn = percents(page.locator("#explanation").inner_text())
    assert meant == pytest.approx(100 * flipped, abs=0.06)
    assert kept == pytest.approx(meant + drawn, abs=0.11)
    assert "kept their sign" in page.locator("#explanation").inner_text()
    page.locator("input[name=criterion][value=large_final]").check()
    settled(page)
    assert len(percents(page.locator("#explanation").inner_text())) == 1
    page.locator("input[name=criterion][value=painted]").check()
    page.locator("#paint-clear").click()
    settled(page)
    assert "no weight at all" in page.locator("#explanation").inner_text()


STILL = "() => { const before = window.before; window.before = scrollY; return before === scrollY; }"
"""Whether the page is where it was when this was last asked."""


def test_a_swipe_over_the_plane_scrolls_and_a_tap_moves_the_boundary(open_page):
    page = open_page("criterion=large_final&level=10", size="phone", has_touch=True)
    before = settled(page)
    plane = page.locator("#plane-canvas")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    x, y = box["x"] + 60, box["y"] + 150
    touch = page.context.new_cdp_session(page)

    def swipe(dx: float, dy: float) -> float:
        at = page.evaluate("scrollY")
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        for step in range(1, 9):
            point = {"x": x + dx * step / 8, "y": y + dy * step / 8}
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.wait_for_timeout(400)
        page.wait_for_function(STILL, polling=250)  # a tap on a page that still rolls on stops it, and no more
        return page.evaluate("scrollY") - at

    assert swipe(0, -120) > 50, "the page scrolls"
    assert settled(page) == before, "and the boundary stays"
    plane.scroll_into_view_if_needed()
    page.wait_for_function(STILL, polling=250)
    box = plane.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 20)
    page.wait_for_function("before => location.hash !== before", arg=before, timeout=20_000)
    assert page.evaluate("getComputedStyle(document.querySelector('#plane-canvas')).touchAction") == "pan-y"
    page.locator("input[name=criterion][value=painted]").check()
    settled(page)
    assert page.evaluate("getComputedStyle(document.querySelector('#plane-canvas')).touchAction") == "none"


def test_the_saved_picture_keeps_the_planes_shape_and_the_dashes(at, tmp_path):
    page = at(BEST, color_scheme="light")
    with_curves(page)
    with page.expect_download() as download:
        page.locator("#save-picture").click()
    download.value.save_as(tmp_path / "mask.png")
    picture = np.asarray(Image.open(tmp_path / "mask.png").convert("RGB")).astype(int)
    line = np.abs(picture - [139, 145, 155]).max(axis=2) < 40  # the frame of the plane, in the theme's colour --line
    left, top = 2 * 40, 2 * 130
    column = line[top - 4 : 2 * 720, left - 2 : left + 3].any(axis=1)
    bottom = top - 4 + np.flatnonzero(column).max()
    box = page.locator("#plane-canvas").bounding_box()
    assert (bottom - top) / (2 * 560) == pytest.approx(box["height"] / box["width"], rel=0.03)
    dashes = page.locator(".curve-line.random").get_attribute("stroke-dasharray")
    assert dashes == "2 4"
    assert "setLineDash([...DASHES[look]])" in (PAGE / "view" / "save.js").read_text(), "one table for both"


def test_the_list_holds_tries_alone_and_each_keeps_its_number(open_page):
    page = open_page(BEST)
    settled(page)
    for look in ("input[name=layer][value='2']", "input[name=seen][value=unit]"):
        page.locator(look).click()
        settled(page)
    page.locator("#pin").click()
    settled(page)
    assert page.locator("#tries tbody tr").count() == 1, "another look at the same network is no try"
    page.locator("input[name=pruned][value=initial]").check()
    settled(page)
    assert page.locator("#tries tbody tr").count() == 2
    page.locator("#tries tbody tr:last-child button").click()
    assert "pin=" in settled(page), "going back to a network leaves all else as it is"
    assert "layer=output" in page.evaluate("location.hash")
    assert page.locator("#tries tbody tr td:first-child").all_inner_texts() == ["3", "2", "1"]
    with page.expect_download() as download:
        page.locator("#save-table").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert [row["try"] for row in rows] == ["1", "2", "3"]
    answer = page.evaluate(
        """async () => {
          const { Tries } = await import("/view/tries.js");
          const manifest = { seeds: [{ seed: 0 }], layers: [], labels: [1] };
          const tries = new Tries(document.createElement("table"), manifest, () => {});
          const mask = { source: "criterion", criterion: "random", level: 0 };
          const setting = { ...mask, seed: 0, kept: "initial", signs: true, pruned: "zero", flipped: [] };
          for (let at = 0; at < 250; at++) tries.add({ address: String(at), setting, remaining: 1, accuracy: 0 });
          const { all, body } = tries;
          return [all.length, all[0].number, all.at(-1).number, body.rows.length, body.rows[0].cells[0].textContent];
        }"""
    )
    assert answer == [200, 51, 250, 200, "250"], "numbers stay, in the list and in the table"


def test_the_slider_shows_what_is_kept_and_never_leaves_a_mode_by_itself(at):
    page = at("mask=round&round=2")
    assert page.locator("#level").is_disabled()
    assert "round decides" in page.locator("#level-note").inner_text()
    kept = percents(page.locator("#level-value").inner_text())[0]
    at_knob = page.evaluate(
        """async () => {
          const { levels } = await (await fetch("bundle/bundle.json")).json();
          const total = (counts) => counts.reduce((sum, each) => sum + each, 0);
          return (100 * total(levels[document.querySelector("#level").value / 4])) / total(levels[0]);
        }"""
    )
    assert at_knob == pytest.approx(kept, rel=0.15), "the knob stands where its label says"
    page.locator("input[name=criterion][value=painted]").check()
    settled(page)
    assert page.locator("#level").is_disabled()
    assert "painted region decides" in page.locator("#level-note").inner_text()
    page.locator("input[name=criterion][value=movement]").check()
    assert page.locator("#level").is_enabled()


def test_the_focus_is_never_lost(at):
    page = at(BEST)
    focus = "document.activeElement.className || document.activeElement.id || document.activeElement.tagName"
    page.locator("#pin").focus()
    page.keyboard.press("Enter")
    assert page.evaluate(focus) == "pin-name"
    page.locator("input[name=pruned][value=initial]").check()
    page.locator("#pin").focus()
    page.keyboard.press("Enter")
    page.locator(".pins .pin-name").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(focus) == "pin-name", "showing a kept curve"
    page.locator(".pins .small-button").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(focus) == "pin-name", "removing the first of two"
    page.locator(".pins .small-button").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "pin", "removing the last"


def test_columns_are_seen_in_the_order_in_which_they_are_reached(at):
    page = at()
    for width in (800, 1100, 1300):
        page.set_viewport_size({"width": width, "height": 800})
        boxes = [page.locator(f"#{part}").bounding_box() for part in ("which", "values", "reads")]
        places = [(round(box["y"]), round(box["x"])) for box in boxes]
        assert places == sorted(places), width


def test_at_400_percent_there_is_room_beneath_the_headline(at):
    page = at(size="zoomed")
    page.evaluate("scrollTo(0, 2000)")
    fixed = page.locator(".sticky").bounding_box()
    assert fixed["y"] + fixed["height"] <= 0, "it scrolls away with the rest"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.set_viewport_size({"width": 390, "height": 844})
    assert 0 <= page.locator(".sticky").bounding_box()["y"] < 5, "on a phone it stays in sight"


def test_what_can_be_done_is_written_on_the_page(at):
    page = at(BEST)
    for digit in page.locator("#strip img").all():
        box = digit.bounding_box()
        assert box["width"] == pytest.approx(box["height"], abs=1), "a test image keeps its shape"
    assert "Drag the boundary" in page.locator("#plane-help").inner_text()
    assert "Click the chart" in page.locator("#reads").inner_text()
    assert "no clear difference" not in page.locator("#curve-reading").inner_text().lower()
    for mode in ("pixels", "unit", "difference"):
        page.locator(f"input[name=seen][value={mode}]").click()
        page.wait_for_selector(f"#seen-legend[data-mode={mode}]")
        assert len(page.locator("#seen-legend span").all_inner_texts()) == 3
    assert page.locator("input[name=layer]:checked").get_attribute("value") == "0", "where most weights are"
    words = page.locator("#rounds-words").inner_text()
    assert "lowest validation loss" in words, "two accuracies of one network, and why they differ"
    page.locator("input[name=criterion][value=random]").check()
    with_curves(page)
    settled(page)
    assert "No clear difference from: random mask" in page.locator("#curve-reading").inner_text()
    assert page.locator(".band").get_attribute("points")
    assert page.locator(".curve-line.thin").count() == 1, "the other seed"


def test_undo_redo_and_the_browsers_own_buttons_are_one_thing(open_page):
    page = open_page(BEST)
    first = settled(page)
    page.locator("input[name=criterion][value=movement]").check()
    second = settled(page)
    page.locator("input[name=pruned][value=initial]").check()
    third = settled(page)
    page.go_back()
    page.wait_for_function("address => location.hash === address", arg=second)
    assert settled(page) == second
    page.locator("#redo").click()
    assert settled(page) == third
    page.locator("#undo").click()
    page.locator("#undo").click()
    assert settled(page) == first
    page.wait_for_function("address => location.hash === address", arg=first)
    assert page.locator("#undo").is_disabled()
    page.go_forward()
    page.wait_for_function("address => location.hash === address", arg=second)
    page.keyboard.press("Control+Shift+Z")
    assert settled(page) == third
    page.locator("#level").fill("40")
    settled(page)
    assert page.locator("#redo").is_disabled(), "a new change has nothing to redo"


def test_a_failing_worker_and_a_missing_origin_are_said(browser, quick):
    site = dict(quick.site)
    look = site["worker.js"].decode()
    site["worker.js"] = look.replace("look(engine, {", "look(engine, { fail = engine.none.at(),", 1).encode()
    with serving(site) as server:
        broken = browser.new_page()
        broken.goto(server.url)
        broken.wait_for_selector("#trouble:not([hidden])", timeout=60_000)
        assert "out of date" in broken.locator("#trouble").inner_text()
        broken.close()
    html = (PAGE / "index.html").read_text()
    assert "frame without an origin" in html, "said without a script, for there none is run"


def test_loading_shows_how_far_it_is(browser, quick):
    """While the last file is awaited, the share that has come; then the page."""
    with serving(quick.site) as server:
        page = browser.new_page()
        held = []
        page.route("**/bundle/seed-1.bin", lambda route: held.append(route))
        page.goto(server.url)
        page.wait_for_selector("#loading:has-text('Loading the network … ')")
        page.wait_for_function("() => /[1-9][0-9.]*%/.test(document.querySelector('#loading').textContent)")
        share = percents(page.locator("#loading").inner_text())[0]
        assert 0 < share < 100
        assert not page.locator("#app").is_visible()
        held[0].continue_()
        page.wait_for_selector(OPENED, timeout=60_000)
        assert not page.locator("#loading").is_visible()
        page.close()


def test_every_sentence_is_in_one_table_and_old_words_are_gone(at):
    page = at(BEST)
    text = page.locator("body").inner_text()
    for old in ("by lot", "read right", "it reads", "large_final", "a layer,", "the 0% of"):
        assert old not in text, old
    bare = page.evaluate(
        "[...document.querySelectorAll('[data-words]')].filter((each) => !each.textContent.trim()).length"
    )
    assert bare == 0
