"""What a registry's answers say: errors in its own words, pages, ranges. Pure."""

import json
import re

from lamina.registry.address import joined

_LONGEST = 300  # characters of somebody else's words in one of our sentences
_LINK = 2048  # characters of a Link header that are looked at
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?')
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def complaint(body: bytes, reason: str) -> str:
    """What a registry says of a refusal: its error document's words, else the status line's."""
    try:
        document = json.loads(body)
        errors = document.get("errors") or [document]
        words = [_words(each) for each in errors if isinstance(each, dict)]
    except (ValueError, AttributeError, TypeError, RecursionError):
        words = []
    text = "; ".join(word for word in words if word) or reason
    return "".join(each if each.isprintable() else " " for each in text)[:_LONGEST]


def _words(error: dict[str, object]) -> str:
    for key in ("message", "details", "code"):
        value = error.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def next_page(link: str | None, url: str) -> str | None:
    """Where the next page of a listing is, by its Link header (RFC 8288)."""
    found = _NEXT.search((link or "")[:_LINK])
    return joined(url, found[1]) if found else None


def begins_at(content_range: str | None) -> int | None:
    """The offset at which a partial answer begins, by its Content-Range header."""
    found = _RANGE.fullmatch((content_range or "").strip())
    return int(found[1]) if found else None


def seconds_to_wait(retry_after: str | None) -> float | None:
    """How long a registry asks for, by its Retry-After header; a date is not understood."""
    text = (retry_after or "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
