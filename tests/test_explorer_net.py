"""The drawn network: it follows mask, image and training, and finds weights in the plane and the other way round."""

import re

import pytest
from explorer_pages import BEST, settled

PICTURE = """(c) => new Promise((done) => {
  requestAnimationFrame(() => requestAnimationFrame(() => done(c.toDataURL())));
})"""
"""What is drawn; the network is drawn a frame after all else."""


@pytest.mark.slow
def test_the_drawn_network_and_the_plane_find_each_other(open_page):
    page = open_page(BEST, size="tall", reduced_motion="reduce")
    settled(page)
    net = page.locator("#net-canvas")
    reading = page.locator("#net-reading")
    assert re.fullmatch(
        r"The network takes this for a \d\. Of the \d+ weights drawn, \d+ are kept\.", reading.inner_text()
    )
    before = net.evaluate(PICTURE)
    page.locator("#strip button").nth(7).click()
    assert "image=" in settled(page)
    assert page.locator("#strip button").nth(7).get_attribute("aria-pressed") == "true"
    another = net.evaluate(PICTURE)
    assert another != before, "another image"
    page.locator("input[name=pruned][value=initial]").check()
    settled(page)
    assert net.evaluate(PICTURE) != another, "other values"
    page.locator("#level").fill("90")
    settled(page)
    kept = [int(found) for found in re.findall(r"(\d+) (?:weights drawn|are kept)", reading.inner_text())]
    assert 0 < kept[1] < kept[0] / 10, "as few are kept of the sample as of all"

    net.focus()
    page.keyboard.press("ArrowDown")
    assert "Left" not in reading.inner_text()
    assert re.match(r"hidden unit \d+ puts out [\d.]+\. At the left", reading.inner_text())
    page.keyboard.press(" ")
    said = reading.inner_text()
    assert re.match(r"Weight from the pixel in row \d+, column \d+ to hidden unit \d+: started at", said)
    assert page.locator("#plane-canvas").get_attribute("data-marked") == "true", "the weight's place in the plane"
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    assert page.locator("#plane-canvas").get_attribute("data-marked") == "false", "the plane shows another layer"
    page.keyboard.press("Enter")
    assert "layer=hidden2" in settled(page)
    assert page.locator("#plane-canvas").get_attribute("data-marked") == "true"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert "seen=unit" in settled(page), "a unit's field is kept among the pictures"
    page.locator("input[name=layer][value='0']").check()
    settled(page)

    plain = net.evaluate(PICTURE)
    plane = page.locator("#plane-canvas")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    lit = False
    for row in range(6):
        page.mouse.move(box["x"] + box["width"] * (0.55 + 0.02 * row), box["y"] + box["height"] * 0.46)
        lit = lit or net.evaluate(PICTURE) != plain
    assert lit, "weights of the cell that is pointed at are drawn bold"
    net.scroll_into_view_if_needed()
    box = net.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 - 40, box["y"] + box["height"] / 2 - 40)
    for step in range(60):
        page.mouse.move(box["x"] + box["width"] / 2 - 40, box["y"] + box["height"] / 2 - 40 + step)
        if reading.inner_text().startswith("Weight from"):
            break
    assert reading.inner_text().startswith("Weight from"), "by mouse"


def test_a_hidden_unit_that_is_pointed_at_shows_the_pixels_it_looks_at(at):
    """In the image's place: another picture for every unit, and the image again once none is pointed at."""
    page = at(BEST, size="tall", reduced_motion="reduce")
    net = page.locator("#net-canvas")
    left = """canvas => {
      const part = document.createElement("canvas");
      [part.width, part.height] = [0.2 * canvas.width, canvas.height];
      part.getContext("2d").drawImage(canvas, 0, 0);
      return part.toDataURL();
    }"""
    net.focus()
    image = net.evaluate(left)
    page.keyboard.press("ArrowDown")
    fields = [net.evaluate(left)]
    page.keyboard.press("ArrowDown")
    fields.append(net.evaluate(left))
    assert len({image, *fields}) == 3
    page.keyboard.press("ArrowRight")
    assert net.evaluate(left) == image, "units further on have no pixels of their own"
