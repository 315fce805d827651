"""Which image names a user means who writes one, a part of one, or docker's pattern of many.

Knows no image and no store.
"""

from collections.abc import Iterable

from lamina.values.reference import Reference

_WILD = frozenset("*?[")


def meant(names: Iterable[str], pattern: str) -> list[str]:
    """Those of stored names that a name (with a tag or without) or a pattern means.

    In a pattern `*` and `?` cross no slash; it is held against names as docker shows them, with
    their tag and without. Raises `InvalidReference` for what is neither.
    """
    if not _WILD.isdisjoint(pattern):
        return [name for name in names if _fits(Reference.stored(name), pattern)]
    wanted = Reference.parse(pattern)
    return [name for name in names if _is(Reference.stored(name), wanted)]


def _is(reference: Reference, wanted: Reference) -> bool:
    return reference.name == wanted.name and wanted.tag in (None, reference.tag)


def _fits(reference: Reference, pattern: str) -> bool:
    shown = (reference.familiar, reference.familiar_name, str(reference), reference.name)
    return any(_fits_each_part(text, pattern) for text in shown)


def _fits_each_part(text: str, pattern: str) -> bool:
    from fnmatch import fnmatchcase  # its regular expressions are dear where none is asked for

    parts, wanted = text.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
