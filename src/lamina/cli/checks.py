"""What the build checks found, as docker prints it."""

from lamina.dockerfile.lint import Checked, Warned

_RULER = "-" * 20


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
    rows = [
        f"\nWARNING: {warned.rule} - {warned.url}",
        warned.detail,
        f"{place.file}:{place.first}",
        _RULER,
    ]
    more = 2 if place.first == place.last else 1
    for number in range(max(place.first - more, 1), min(place.last + more, len(lines)) + 1):
        mark = ">>>" if place.first <= number <= place.last else "   "
        rows.append(f" {number:3d} | {mark} {_printable(lines[number - 1])}")
    return "\n".join([*rows, _RULER]) + "\n"


def _printable(text: str) -> str:
    """Without what would steer a terminal."""
    return "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in text)
