"""The HTML page in a browser: the filter and the graph are driven, and hostile names stay text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kit.command import Command
from kit.elf import GLIBC, ElfSpec, Undefined
from kit.require import require
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.systems

CHROMIUM = require("chromium", "Debian: chromium")
DRIVER = require("chromedriver", "Debian: chromium-driver")
webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium (PyPI: selenium) to drive a browser")

HOSTILE = "<img src=x onerror=document.title='owned'>\n\"'<script>document.title='owned'</script>\x1b[2J.so"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    flags = (
        "--headless",
        "--no-sandbox",  # it runs as root
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,1000",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    )
    for flag in flags:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.chrome.service.Service(DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """The browser with the page of a wheel whose library has a hostile name."""
    scene = Scene(tmp_path)
    deep = wants("GLIBC_2.27", soname="libdeep.so.2")
    scene.system.library("/usr/lib/libdeep.so.2", deep)
    scene.system.library("/usr/lib/libfoo.so.1", wants("GLIBC_2.5", needed=("libdeep.so.2",), soname="libfoo.so.1"))
    evil = ElfSpec(needed=(HOSTILE, GLIBC), undefined=(Undefined(HOSTILE, "GLIBC_2.14", GLIBC),))
    wheel = scene.wheel({CORE: wants("GLIBC_2.14", needed=("libfoo.so.1",)), 'demo/"><svg onload=1>.so': evil})
    file = tmp_path / "page.html"
    Command(capsys)("show", wheel, "--sysroot", scene.root, "--format", "html", "-o", file, "--exclude", "*owned*")
    browser.get(file.as_uri())
    return browser


def find(page: Any, selector: str) -> Any:
    return page.find_element("css selector", selector)


def count(page: Any, selector: str) -> int:
    return len(page.find_elements("css selector", selector))


def node(page: Any, name: str) -> Any:
    (found,) = (
        each for each in page.find_elements("css selector", ".node") if name in each.get_attribute("aria-label")
    )
    return found


def test_hostile_names_are_text_and_nothing_of_them_runs(page: Any) -> None:
    assert page.title.startswith("deloc8 show: demo-1.0-")
    assert count(page, "script") == 1
    assert count(page, "img") == 0
    text = page.execute_script("return document.body.textContent")
    assert "<img src=x onerror=document.title='owned'>\\n" in text
    assert "\x1b" not in text
    assert page.get_log("browser") == []


def test_the_policy_of_the_page_lets_no_other_script_run(page: Any) -> None:
    page.execute_script(
        "const script = document.createElement('script'); script.textContent = \"document.title = 'owned'\";"
        "document.body.append(script);"
    )
    assert page.title != "owned"
    assert any("Content Security Policy" in row["message"] for row in page.get_log("browser"))


def test_the_filter_hides_rows_and_counts_them(page: Any) -> None:
    total = count(page, ".symbols tbody tr")
    output = find(page, "output")
    assert output.text == f"{total} of {total}"
    find(page, "input[type=search]").send_keys("libdeep 2.27")
    assert output.text == f"1 of {total}"
    assert count(page, ".symbols tbody tr:not([hidden])") == 1
    find(page, "input[type=search]").send_keys("\ue009a\ue009", "\ue017")  # Control+a, Delete
    assert output.text == f"{total} of {total}"
    find(page, "input[type=checkbox]").click()
    assert output.text == f"{count(page, 'tr.barring')} of {total}"


def test_a_library_shows_its_chain_by_mouse_and_by_keyboard(page: Any) -> None:
    deep = node(page, "libdeep.so.2")
    deep.find_element("css selector", "rect").click()
    story = find(page, ".story")
    assert story.text.startswith(f"{CORE} \u2192 libfoo.so.1 \u2192 libdeep.so.2 (")
    assert count(page, ".node.lit") == 3
    assert count(page, ".edge.lit") == 2
    assert deep.get_attribute("aria-pressed") == "true"
    deep.send_keys("\ue00c")  # Escape
    assert not story.is_displayed()
    assert count(page, ".lit") == 0
    node(page, "libfoo.so.1").send_keys("\ue007")  # Enter
    assert count(page, ".node.lit") == 2


def test_the_graph_is_zoomed_and_moved(page: Any) -> None:
    svg = find(page, ".graph svg")

    def view() -> list[float]:
        return [float(number) for number in svg.get_dom_attribute("viewBox").split()]

    whole = view()
    find(page, "[data-zoom=in]").click()
    assert view()[2] == pytest.approx(whole[2] / 1.4)
    actions = webdriver.ActionChains(page)
    actions.move_to_element(svg).click_and_hold().move_by_offset(40, 20).release().perform()
    moved = view()
    assert moved[0] < whole[0] + whole[2] * (1 - 1 / 1.4) / 2
    assert moved[2] == pytest.approx(whole[2] / 1.4)
    find(page, "[data-zoom=out]").click()
    assert view()[2] == pytest.approx(whole[2])
    find(page, "[data-zoom=fit]").click()
    assert view() == whole


def test_without_scripts_the_tables_are_there(page: Any) -> None:
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.refresh()
        assert find(page, ".symbols").is_displayed()
        assert not find(page, ".filter").is_displayed()
        assert not find(page, ".tools").is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(page: Any, scheme: str) -> None:
    """The contrast of text is at least 4.5 (WCAG 2.2, criterion 1.4.3)."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for front, back in (
        ("--ink", "--paper"),
        ("--soft", "--paper"),
        ("--soft", "--sheet"),
        ("--good", "--good-paper"),
        ("--bad", "--bad-paper"),
        ("--warn", "--warn-paper"),
        ("--link", "--paper"),
        *(("--soft", kind) for kind in ("--inside", "--graft", "--missing", "--other", "--system")),
    ):
        assert contrast(color(page, front), color(page, back)) >= 4.5, (front, back)


def color(page: Any, name: str) -> tuple[float, ...]:
    text = page.execute_script(
        "return getComputedStyle(document.documentElement).getPropertyValue(arguments[0]).trim()", name
    )
    return tuple(int(text[at : at + 2], 16) / 255 for at in (1, 3, 5))


def contrast(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def luminance(channels: tuple[float, ...]) -> float:
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_on_paper_all_is_open_but_the_rests_of_lists_in_the_table(page: Any) -> None:
    def closed(selector: str) -> int:
        return int(page.execute_script(f"return document.querySelectorAll('{selector}:not([open])').length"))

    page.execute_script("for (const each of document.querySelectorAll('details')) each.open = false")
    before = closed(":not(td) > details"), closed("td > details")
    assert min(before) > 0
    page.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert (closed(":not(td) > details"), closed("td > details")) == (0, before[1])
    page.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert (closed(":not(td) > details"), closed("td > details")) == before
