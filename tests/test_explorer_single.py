"""The page in one file: from the disk, in a frame without an origin, and only over its own earlier self."""

import re

import pytest
from browsers import chromium

from supermask.analysis.explorer.single import check_page, single_page, write_page
from supermask.analysis.explorer.site import site_files
from supermask.analysis.system.errors import UsageError


def test_one_file_is_written_over_itself_alone(tmp_path):
    site = site_files({"bundle.json": b"{}", "images.bin": b"\x00\xff"})
    path = tmp_path / "page.html"
    assert write_page(site, path) == path.stat().st_size
    write_page(site, path)
    mine = tmp_path / "thesis.html"
    mine.write_text("<p>mine")
    for other, words in (
        (mine, "is another file"),
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "p.html", "not a folder"),
    ):
        with pytest.raises(UsageError, match=words):
            check_page(other)
    html = path.read_text()
    assert not re.findall(r"(?:src|href)=\"(?!data:)[^#\"]", html), "nothing is loaded from beside it"
    assert "connect-src" not in html, "and nothing asked for"
    assert "import {" not in html.replace("supermaskUse", "")
    with pytest.raises(ValueError, match=r"core/odd\.js holds"):
        single_page(site | {"core/odd.js": b'import odd from "./other.js";\n'})


@pytest.mark.slow
def test_one_file_works_from_the_disk_and_in_a_frame_without_an_origin(browser, quick, tmp_path):
    chromium()
    path = tmp_path / "page.html"
    assert write_page(quick.site, path) < 8_000_000
    for framed in (False, True):
        page = browser.new_page()
        trouble: list[str] = []
        page.on("pageerror", lambda error, trouble=trouble: trouble.append(str(error)))
        if framed:
            page.set_content('<iframe sandbox="allow-scripts" width="1300" height="900"></iframe>')
            page.evaluate("html => { document.querySelector('iframe').srcdoc = html; }", path.read_text())
        else:
            page.goto(path.as_uri())
        shown = page.frame_locator("iframe") if framed else page
        shown.locator("#accuracy[data-right]").wait_for(timeout=60_000)
        shown.locator("#best").click()
        shown.locator("#explanation:has-text('one constant')").wait_for(timeout=60_000)
        assert int(shown.locator("#accuracy").get_attribute("data-right")) > 600
        shown.locator("input[name=lab][value=weights]").check()
        shown.locator("#lab-reading:has-text('step 0')").wait_for(timeout=60_000)
        shown.locator("#lab-step").click()
        shown.locator("#lab-reading:has-text('step 1')").wait_for(timeout=60_000)
        assert not shown.locator("#trouble").is_visible()
        assert not trouble
        page.close()
