"""HTML as text, escaped where it is put together. What comes from an image is hostile."""

import html
import json

from lamina.analyze.paths import printable
from lamina.values.size import human


def text(value: object) -> str:
    """Any text as content or as an attribute; what steers a terminal or a reader is spelt out."""
    return html.escape(printable(str(value)), quote=True)


def name(value: str) -> str:
    """A name from an image, kept from turning the text around it."""
    return f"<bdi>{text(value)}</bdi>"


def size(value: int) -> str:
    """Bytes for people, the exact number at hand."""
    return f'<data value="{value}" title="{value:,} bytes">{spaced(value)}</data>'


def spaced(value: int) -> str:
    """Bytes for people, in three digits."""
    told = human(value, 3)
    digits = told.rstrip("BkMGTPE")
    return f"{digits} {told[len(digits) :]}"


def change(value: int) -> str:
    """A difference in bytes for people, with its sign."""
    sign = "+" if value > 0 else "\N{MINUS SIGN}" if value < 0 else "±"
    return f'<data value="{value}" title="{value:+,} bytes">{sign}{spaced(abs(value))}</data>'


def share(part: int, whole: int) -> str:
    """A part in percent, never shown as nothing when it is something."""
    if not part or not whole:
        return "0 %"
    percent = part * 100 / whole
    return f"{percent:.1f} %" if percent >= 0.05 else "<0.1 %"


def data(document: object) -> str:
    """A document for the page's own program: nothing in it ends the element it stands in."""
    told = json.dumps(document, separators=(",", ":"), ensure_ascii=True)
    return told.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def table(
    caption: str, headers: list[tuple[str, bool]], rows: list[list[str]], *, long: bool = False
) -> str:
    """A table of ready cells; a header says whether its column holds numbers.

    One that is `long` scrolls by itself, by keys too.
    """
    kinds = [' class="number"' if is_number else "" for _, is_number in headers]
    head = "".join(
        f'<th scope="col"{kind}>{text(title)}</th>'
        for (title, _), kind in zip(headers, kinds, strict=True)
    )
    body = "".join(f"<tr>{_cells(row, kinds)}</tr>\n" for row in rows)
    moved = f' tabindex="0" role="region" aria-label="{text(caption)}"' if long else ""
    return (
        f'<div class="scroll"{moved}><table><caption>{text(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
    )


def _cells(row: list[str], kinds: list[str]) -> str:
    first, *rest = row
    cells = "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(rest, kinds[1:], strict=True))
    return f'<th scope="row"{kinds[0]}>{first}</th>{cells}'
