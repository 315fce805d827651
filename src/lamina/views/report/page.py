"""The page itself. It asks for nothing else: its program and style are in it, by their digests.

The same images give the same bytes.
"""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from lamina import __version__
from lamina.analyze.portrait import Portrait
from lamina.views.report import growth, image, strata
from lamina.views.report.colours import colours
from lamina.views.report.markup import name, share, size, text


def page(portraits: Sequence[Portrait]) -> str:
    """The report of images, in the order given, at least one."""
    style, program = _resource("style.css"), _resource("program.js")
    policy = (
        f"default-src 'none'; script-src {_source(program)}; style-src {_source(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    colour = colours(portraits)
    title = ", ".join(each.name for each in portraits[:3])
    title += f" and {len(portraits) - 3} more" if len(portraits) > 3 else ""
    body = [strata.section(portraits, colour)]
    if len(portraits) > 1:
        body.append(growth.section(portraits, colour))
    body += [image.section(number, each, colour) for number, each in enumerate(portraits)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<meta name="generator" content="Lamina {text(__version__)}">'
        f"<title>{text(title)}: where the bytes are</title><style>{style}</style></head>\n<body>"
        f'<a class="skip" href="#main">To the content</a>{_header(title, portraits)}'
        f'<main id="main">{"".join(body)}</main>'
        f"<footer>Lamina {text(__version__)}. Bytes are those that layers store: no holes, hard "
        f"links once, before compression.</footer><script>{program}</script></body></html>\n"
    )


def _resource(called: str) -> str:
    return files(__package__).joinpath(called).read_text(encoding="utf-8")


def _source(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _header(title: str, portraits: Sequence[Portrait]) -> str:
    counted = strata.shared(portraits)
    stored, wasted = counted.stored_bytes, strata.hidden(portraits)
    several = len(portraits) > 1
    figures = [
        ("Stored", size(stored), f"in {counted.stored} layers"),
        ("Seen", size(stored - wasted), text(share(stored - wasted, stored))),
        ("Wasted", size(wasted), f"{text(share(wasted, stored))}, seen in no image"),
    ]
    if several:
        saved = text(f"by sharing {counted.asked - counted.stored} of {counted.asked} layers")
        figures.append(("Saved", size(counted.saved_bytes), saved))
    drawn = "".join(
        f"<div><dt>{term}</dt><dd>{value}<small>{note}</small></dd></div>"
        for term, value, note in figures
    )
    links = f'<nav aria-label="Images">{_links(portraits)}</nav>' if several else ""
    return (
        f'<header><p class="brand">Where the bytes are</p><h1>{name(title)}</h1>'
        f'<dl class="figures">{drawn}</dl>{links}</header>'
    )


def _links(portraits: Sequence[Portrait]) -> str:
    return "".join(
        f'<a href="#image{number}">{name(each.name)}</a>' for number, each in enumerate(portraits)
    )
