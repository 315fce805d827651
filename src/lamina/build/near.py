"""`did you mean ...?`, for whatever was misspelt."""

from collections.abc import Iterable


def suggestion(wrong: str, names: Iterable[str]) -> str:
    """A hint with the names that look like `wrong`; empty when none does."""
    from difflib import get_close_matches

    near = get_close_matches(wrong, sorted(set(names)), 2)
    return f"did you mean {' or '.join(near)}?" if near else ""
