"""`did you mean ...?`, for whatever was misspelt."""

from collections.abc import Iterable

from lamina.errors import NotFound, RegistryError

_LONGEST = 64  # characters of a name: comparing takes the square of them
_MOST = 500  # names that are compared with one


def suggestion(wrong: str, names: Iterable[str]) -> str:
    """A hint with the names that look like `wrong`; empty when none does."""
    from difflib import get_close_matches

    if len(wrong) > _LONGEST:
        return ""
    known = sorted({name for name in names if len(name) <= _LONGEST})
    near = get_close_matches(wrong, known[:_MOST], 2)
    return f"did you mean {' or '.join(near)}?" if near else ""


def perhaps_a_stage(
    error: NotFound | RegistryError, wrong: str, stages: Iterable[str]
) -> NotFound | RegistryError:
    """The error of an image that cannot be had; where a stage is called nearly so, it asks."""
    meant = suggestion(wrong, stages)
    if not meant:
        return error
    return type(error)(error.brief, hint=f"{meant[:-1]}, a stage of this Dockerfile?")
