"""`make docs`: what the documentation says of the project is held against the project.

Links lead somewhere, `lamina` commands and `make` targets in examples exist, Python examples
compile, the index names every page, the code map names every folder of the package, and the
command's reference is what the command's own parsers say now.
"""

import ast
import os
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

from lamina.cli.main import GROUPS, VERBS
from scripts.cli_reference import PAGE, reference

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:^|[|;&(`]|\$ )\s*(?:\.venv/bin/)?lamina ([a-z]+)", re.MULTILINE)
_TARGET = re.compile(r"(?:^|`|\$ )make ([a-z][a-z-]*)", re.MULTILINE)


class Page(NamedTuple):
    """One Markdown file: its path in the checkout and its text."""

    path: str
    text: str


def main() -> int:
    """List what does not hold; status 1 when there is anything."""
    pages = list(_pages())
    complaints = [f"{page.path}: {text}" for page in pages for text in _complaints(page)]
    complaints += _index_gaps(pages)
    complaints += _map_gaps()
    if _read(PAGE) != reference():
        complaints.append(f"{PAGE}: the command has changed; write it anew with `make reference`")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    print(f"docs: {len(pages)} pages, {len(complaints)} complaints")
    return 1 if complaints else 0


def _pages() -> Iterator[Page]:
    names = [name for name in sorted(os.listdir(CHECKOUT)) if name.endswith(".md")]
    for folder, _, files in sorted(os.walk(os.path.join(CHECKOUT, "docs"))):
        within = os.path.relpath(folder, CHECKOUT)
        names += [os.path.join(within, name) for name in sorted(files) if name.endswith(".md")]
    for name in names:
        yield Page(name, _read(name))


def _read(name: str) -> str:
    with open(os.path.join(CHECKOUT, name), encoding="utf-8") as file:
        return file.read()


def _complaints(page: Page) -> Iterator[str]:
    for link in _LINK.findall(_FENCE.sub("", page.text)):
        if not _leads_somewhere(page, link):
            yield f"the link {link} leads nowhere"
    for verb in _COMMAND.findall(page.text):
        if verb not in VERBS and verb not in GROUPS:
            yield f"there is no command `lamina {verb}`"
    for target in _TARGET.findall(page.text):
        if target not in _targets():
            yield f"there is no `make {target}`"
    for language, code in _FENCE.findall(page.text):
        if language == "python":
            yield from _syntax_errors(code)


def _leads_somewhere(page: Page, link: str) -> bool:
    if "://" in link or link.startswith("mailto:"):
        return True
    name, _, anchor = link.partition("#")
    path = os.path.join(os.path.dirname(page.path), name) if name else page.path
    if not os.path.exists(os.path.join(CHECKOUT, path)):
        return False
    return not anchor or anchor in _anchors(_read(path))


def _anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as Markdown renderers name them."""
    heads = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", head.lower()) for head in heads)
    return {head.strip().replace(" ", "-") for head in kept}


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", _read("Makefile"), re.MULTILINE))


def _syntax_errors(code: str) -> Iterator[str]:
    try:
        ast.parse(code)
    except SyntaxError as error:
        yield f"a Python example does not compile: {error}"


def _index_gaps(pages: list[Page]) -> list[str]:
    """Pages below docs/ that docs/README.md does not link."""
    index = _read("docs/README.md")
    linked = {os.path.normpath(os.path.join("docs", link)) for link in _LINK.findall(index)}
    below = (page.path for page in pages if page.path.startswith("docs" + os.sep))
    return [
        f"docs/README.md: does not name {path}"
        for path in below
        if path != os.path.join("docs", "README.md") and path not in linked
    ]


def _map_gaps() -> list[str]:
    """Folders of the package that the code map of ARCHITECTURE.md leaves out."""
    architecture = _read("ARCHITECTURE.md")
    package = os.path.join(CHECKOUT, "src", "lamina")
    folders = [
        entry.name
        for entry in os.scandir(package)
        if os.path.exists(os.path.join(entry.path, "__init__.py"))
    ]
    return [
        f"ARCHITECTURE.md: does not name {folder}/"
        for folder in sorted(folders)
        if f"`{folder}/`" not in architecture
    ]


if __name__ == "__main__":
    sys.exit(main())
