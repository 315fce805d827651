"""What the build checks found, as docker prints it."""

from lamina.dockerfile.excerpt import Passage, excerpt
from lamina.dockerfile.lint import Checked, Warned


def shown(checked: Checked) -> str:
    """The count, then each warning with its rule, its page and its lines."""
    count = len(checked.warnings)
    said = "no warnings found." if not count else f"{count} warnings have been found!"
    if count == 1:
        said = "1 warning has been found!"
    parts = [f"Check complete, {said}\n"]
    parts += [_one(each, checked.lines) for each in checked.warnings]
    return "".join(parts)


def _one(warned: Warned, lines: tuple[str, ...]) -> str:
    place = warned.position
    shown = excerpt(f"{place.file}:{place.first}", Passage(lines, place.first, place.last))
    return f"\nWARNING: {warned.rule} - {warned.url}\n{warned.detail}\n{shown}\n"
