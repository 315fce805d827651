"""Whether two documents have one shape: the same keys, the same kinds of values beneath them."""

from typing import Any

_KINDS = {bool: "truth", int: "number", float: "number", str: "text", list: "list", dict: "object"}


def differences(theirs: Any, ours: Any, where: str = "") -> list[str]:
    """What of their document is missing in ours, or is of another kind; null fits lists and objects.

    What ours has beyond theirs is no difference: clients pass over it.
    """
    if theirs is None or ours is None:
        is_kin = theirs is ours or isinstance(theirs if ours is None else ours, list | dict)
        return [] if is_kin else [f"{where}: {theirs!r} and {ours!r}"]
    if _KINDS[type(theirs)] != _KINDS[type(ours)]:
        return [f"{where}: {theirs!r} and {ours!r}"]
    if isinstance(theirs, dict):
        missing = [f"{where}.{key} is missing" for key in theirs if key not in ours]
        both = [key for key in theirs if key in ours]
        return missing + [
            told for key in both for told in differences(theirs[key], ours[key], f"{where}.{key}")
        ]
    if isinstance(theirs, list) and theirs and ours:
        return differences(_first(theirs), _first(ours), f"{where}[0]")
    return []


def _first(found: list[Any]) -> Any:
    """The first of them; of mounts, which have no order, the one that any order would put first."""
    if isinstance(found[0], dict) and "Destination" in found[0]:
        return min(found, key=lambda each: str(each["Destination"]))
    return found[0]
