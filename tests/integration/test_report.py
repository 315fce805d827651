"""`lamina report` in real Chromium: what is drawn, by keys, in both colour schemes, from hostile
images.
"""

import io
import json
import os
import re
import tarfile

import pytest

from lamina.testing.sample_images import as_tar, classic, sample
from tests.cli.rig import Lamina, assert_complaint, nothing_left
from tests.integration.browser import Browser

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
EVIL = "</script ><script>document.title='owned'</script><img src=x onerror=alert(1)>"
TURNED = "photo\u202egnp.exe"


@pytest.fixture
def browser(needs_program, tmp_path):
    with Browser(needs_program("chromium"), f"{tmp_path}/profile") as opened:
        yield opened


@pytest.fixture(scope="module")
def one_and_two(tmp_path_factory):
    made = Lamina(str(tmp_path_factory.mktemp("one-and-two")))
    lower = "\n".join(f"f usr/lib/file{number} {'x' * 400}" for number in range(30))
    lower += f"\nf etc/big {'y' * 9000}\nf opt/data {'z' * 3000}"
    for name, upper in (("one:1", f"f app/new {'n' * 2000}"), ("two:1", f"f etc/big {'w' * 8000}")):
        history = [{"created_by": "ADD rootfs.tar"}, {"created_by": "RUN echo '<b>&amp;</b>'"}]
        archive = as_tar(classic(sample(lower, upper, names=[name], history=history)))
        made.ok("load", "-q", stdin=archive)
    return made.root


@pytest.fixture
def lamina(tmp_path, one_and_two):
    """A store with `one` and `two`, which share a layer; the second wastes bytes."""
    made = Lamina(str(tmp_path))
    made.begin_as(one_and_two)
    return made


def written(lamina, *names):
    path = f"{lamina.folder}/report.html"
    assert lamina.ok("report", "-o", path, *names) == ""
    return path


def test_it_is_one_file_that_says_the_same_each_time_and_needs_nothing(lamina):
    with nothing_left(lamina):
        path = written(lamina, "one:1", "two:1")
        with open(path, encoding="utf-8") as file:
            content = file.read()
        assert lamina.ok("report", "-o", "-", "one:1", "two:1") == content
    assert "3 layers are stored for 4" in content
    urls = set(re.findall(r"[a-z]+://[^\"'` ]+", content))
    assert urls == {"http://www.w3.org/2000/svg"}  # a name, which nobody fetches
    assert "default-src 'none'" in content
    assert "unsafe" not in content
    assert (
        "RUN echo &#x27;&lt;b&gt;&amp;amp;&lt;/b&gt;&#x27;" in content
    )  # without its program, too


def test_the_figures_are_those_of_waste_and_add_up(lamina):
    with open(written(lamina, "two:1"), encoding="utf-8") as file:
        content = file.read()
    found = json.loads(lamina.ok("waste", "--json", "two:1"))
    (told,) = re.findall(r'<script type="application/json">(.*?)</script>', content)
    root = json.loads(told)["root"]
    assert root[1] == found["Stored"]

    def hidden(area):
        return sum(map(hidden, area[5:])) if area[5:] else area[1] * area[3]

    assert hidden(root) == found["Wasted"] == 9000
    assert 'value="9000"' in content


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_browser_draws_it_in_both_schemes_and_asks_for_nothing(lamina, browser, dark):
    path = written(lamina, "one:1", "two:1")
    browser.open(path, dark=dark)
    assert browser.complaints == []
    assert browser.requests == [f"file://{path}"]
    assert browser.ask("document.querySelectorAll('.strata g').length") == 3
    assert browser.ask("document.querySelectorAll('.canvas svg').length") == 2
    ground, ink = browser.ask(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        ".map((each) => each.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0))"
    )
    assert (ground < 150 and ink > 600) if dark else (ground > 700 and ink < 150)
    assert browser.ask("document.documentElement.scrollWidth <= innerWidth")
    drawn = browser.ask(
        "[...document.querySelectorAll('.canvas .cell')]"
        ".map((each) => getComputedStyle(each).fill).filter((fill) => fill.startsWith('oklch'))"
        ".length"
    )
    assert drawn > 4
    browser.picture(f"{lamina.folder}/report.png", whole=True)
    assert os.path.getsize(f"{lamina.folder}/report.png") > 20_000


def test_a_narrow_screen_is_no_wider_than_it_is(lamina, browser):
    browser.open(written(lamina, "one:1", "two:1"), width=380, height=800)
    assert browser.ask("document.documentElement.scrollWidth") <= 380


FOCUSED = "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"


def test_keys_go_into_folders_and_back_and_the_table_goes_along(lamina, browser):
    browser.open(written(lamina, "two:1"))
    browser.ask("document.querySelector('.canvas g[role=button]').focus()")
    assert browser.ask(FOCUSED) == "etc/, 17 kB, 53.1 % of this folder, 9 kB hidden"
    seen = {browser.ask(FOCUSED)}
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        browser.press(key)
        seen.add(browser.ask(FOCUSED))
    assert {each.partition(",")[0] for each in seen} == {"etc/", "usr/", "opt/"}
    browser.ask("document.querySelector('.canvas g[role=button]').focus()")
    browser.press("Enter")
    crumbs = "[...document.querySelectorAll('.crumbs button')].map((each) => each.textContent)"
    assert browser.ask(crumbs) == ["/", "etc"]
    assert browser.ask(FOCUSED).startswith("big, 17 kB, 100.0 %")
    assert "9 kB of it hidden" in browser.ask("document.querySelector('.readout').textContent")
    rows = "[...document.querySelectorAll('.map tbody tr')].map((each) => each.innerText)"
    assert browser.ask("document.querySelector('.map details').open = true; " + rows) == [
        "big\t17 kB\t100.0 %\t9 kB"
    ]
    browser.press("Escape")
    assert browser.ask(crumbs) == ["/"]
    assert browser.ask(FOCUSED).startswith("etc/,")
    assert browser.complaints == []


def test_every_control_is_reached_by_tab_alone(lamina, browser):
    browser.open(written(lamina, "one:1", "two:1"))
    reached = set()
    for _ in range(40):
        browser.press("Tab")
        reached.add(browser.ask("document.activeElement.tagName.toLowerCase()"))
    assert reached >= {"a", "g", "button", "summary"}


def load_evil(lamina):
    """An image whose names and history would be markup, or turn the text around them."""
    names = [f"app/{EVIL}/x", f"app/{TURNED}", "app/<!--<script>", "app/\u2028line"]
    lower = io.BytesIO()
    with tarfile.open(fileobj=lower, mode="w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 5000
            tar.addfile(member, io.BytesIO(name.encode().ljust(5000)))
    history = [{"created_by": f"RUN {EVIL}{TURNED}"}]
    archive = as_tar(classic(sample(lower.getvalue(), names=["evil:1"], history=history)))
    lamina.ok("load", "-q", stdin=archive)


def test_names_in_images_are_text_and_nothing_else(lamina, browser):
    load_evil(lamina)
    path = written(lamina, "evil:1")
    browser.open(path)
    assert browser.complaints == []
    assert browser.requests == [f"file://{path}"]
    assert browser.ask("document.title") == "evil:1: where the bytes are"
    assert browser.ask("document.querySelectorAll('img, script').length") == 2
    with open(path, encoding="utf-8") as file:
        content = file.read()
    assert "\u202e" not in content
    assert "\u2028" not in content
    browser.ask("document.querySelector('.canvas g[role=button]').focus()")
    browser.press("Enter")
    shown = browser.ask(
        "document.querySelector('.map details').open = true;"
        "document.querySelector('.map table').innerText"
    )
    assert "photo\\u202egnp.exe" in shown
    assert browser.ask("document.title") == "evil:1: where the bytes are"


def test_an_image_elsewhere_and_one_without_bytes_are_shown(lamina, browser):
    lamina.ok("load", "-q", stdin=as_tar(classic(sample("d a", names=["empty:1"]))))
    lamina.ok("save", "-o", f"{lamina.folder}/one.tar", "one:1")
    browser.open(written(lamina, "empty:1", f"docker-archive:{lamina.folder}/one.tar"))
    assert browser.complaints == []
    assert "0 B" in browser.ask("document.querySelector('#image0').parentElement.innerText")


def test_what_is_not_there_is_said_and_no_file_is_left(lamina):
    path = f"{lamina.folder}/none.html"
    assert_complaint(lamina("report", "none", "-o", path), "no such image: none")
    assert not os.path.exists(path)
    assert_complaint(lamina("report", "one:1", "-o", f"{lamina.folder}/no/x.html"), "no/x.html")


# --- compare --html ---------------------------------------------------------------------


def compared(lamina, *words):
    path = f"{lamina.folder}/compare.html"
    assert lamina.ok("compare", "--html", path, *words) == ""
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_of_two_images_says_what_compare_says(lamina, browser, dark):
    path = compared(lamina, "one:1", "two:1")
    browser.open(path, dark=dark)
    assert (browser.complaints, browser.requests) == ([], [f"file://{path}"])
    told = json.loads(lamina.ok("compare", "--json", "one:1", "two:1"))
    rows = browser.ask(
        "[...document.querySelectorAll('#files ~ .narrowed tbody tr')]"
        ".map((row) => [row.querySelector('th').innerText, row.querySelector('.kind').innerText])"
    )
    words = {"A": "added", "D": "removed", "C": "changed"}
    wanted = [[each["Path"], words[each["Kind"]]] for each in told["Files"]]
    assert sorted(rows) == sorted(wanted)
    assert "1 only in the first" in browser.ask("document.body.innerText")
    assert browser.ask("document.documentElement.scrollWidth <= innerWidth")
    kind = "getComputedStyle(document.querySelector('.kind.A'), '::before').backgroundColor"
    assert browser.ask(kind).startswith("oklch")
    with open(path, "rb") as first, open(compared(lamina, "one:1", "two:1"), "rb") as second:
        assert first.read() == second.read()


def test_the_tables_of_the_page_are_narrowed_by_keys(lamina, browser):
    browser.open(compared(lamina, "one:1", "two:1"), width=380, height=800)
    assert browser.ask("document.documentElement.scrollWidth") <= 380
    shown = (
        "[...document.querySelectorAll('#files ~ .narrowed tbody tr:not([hidden]) th')]"
        ".map((each) => each.innerText)"
    )
    everything = browser.ask(shown)
    assert everything == ["/app/new", "/etc/big", "/app"]
    browser.ask("document.querySelector('#files ~ .narrowed input').focus()")
    for key in "big":
        browser.press(key)
    assert browser.ask(shown) == ["/etc/big"]
    status = "document.querySelector('#files ~ .narrowed [role=status]').innerText"
    assert browser.ask(status) == "1 of 3 shown"
    browser.press("Escape")
    assert browser.ask(shown) == everything
    browser.press("Tab", "Enter")
    assert browser.ask("document.activeElement.getAttribute('aria-pressed')") == "false"
    assert len(browser.ask(shown)) < 3
    browser.press("Tab", "Tab")
    assert browser.ask("document.activeElement.getAttribute('role')") == "region"


def test_names_in_compared_images_are_text_and_nothing_else(lamina, browser):
    load_evil(lamina)
    path = compared(lamina, "one:1", "evil:1")
    browser.open(path)
    assert (browser.complaints, browser.requests) == ([], [f"file://{path}"])
    assert browser.ask("document.title") == "one:1 and evil:1: what differs"
    assert browser.ask("document.querySelectorAll('img, script').length") == 1
    with open(path, encoding="utf-8") as file:
        content = file.read()
    assert not {"\u202e", "\u2028"}.intersection(content)
    browser.ask("document.querySelector('#files ~ .narrowed input').focus()")
    for key in "202e":
        browser.press(key)
    assert "photo\\u202egnp.exe" in browser.ask("document.body.innerText")


def test_two_images_that_are_the_same_have_a_page_too(lamina):
    with open(compared(lamina, "--exit-code", "one:1", "one:1"), encoding="utf-8") as file:
        content = file.read()
    assert "All layers are the same." in content
    assert content.count("Nothing differs.") == 4
    assert lamina("compare", "--exit-code", "--html", "-", "one:1", "two:1").code == 1
