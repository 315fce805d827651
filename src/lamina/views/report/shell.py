"""What all pages are made of. They ask for nothing else: what runs and colours them is in them."""

import base64
import hashlib
from collections.abc import Iterable
from importlib.resources import files

from lamina import __version__
from lamina.views.report.markup import text

_BYTES = "Bytes are those that layers store: no holes, hard links once, before compression."


def whole(title: str, header: str, body: Iterable[str], called: str, note: str = _BYTES) -> str:
    """A page of ready parts; `called` is the file of its program."""
    style, program = _resource("style.css"), _resource(called)
    policy = (
        f"default-src 'none'; script-src {_source(program)}; style-src {_source(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<meta name="generator" content="Lamina {text(__version__)}">'
        f"<title>{text(title)}</title><style>{style}</style></head>\n<body>"
        f'<a class="skip" href="#main">To the content</a>{header}'
        f'<main id="main">{"".join(body)}</main>'
        f"<footer>Lamina {text(__version__)}. {note}</footer>"
        f"<script>{program}</script></body></html>\n"
    )


def figures(shown: Iterable[tuple[str, str, str]]) -> str:
    """The large figures of a header: what each is, its ready value, a ready note."""
    drawn = "".join(
        f"<div><dt>{term}</dt><dd>{value}<small>{note}</small></dd></div>"
        for term, value, note in shown
    )
    return f'<dl class="figures">{drawn}</dl>'


def _resource(called: str) -> str:
    return files(__package__).joinpath(called).read_text(encoding="utf-8")


def _source(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
