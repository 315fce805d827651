"""What an author says of a stage or an argument: `# NAME description`, right above it. Pure.

Other comments may stand there, too, such as `# check=`.
"""

from collections.abc import Iterator, Sequence


def description(lines: Sequence[str], first: int, name: str) -> str:
    """What the comments right above line `first` (from one) say of `name`; "" for nothing.

    Of several that begin with the name the first counts, as with BuildKit.
    """
    found = ""
    for comment in _above(lines, first):
        word, _, rest = comment.partition(" ")
        if word == name:
            found = rest.strip() or found
    return found


def _above(lines: Sequence[str], first: int) -> Iterator[str]:
    """The comments right above a line, the nearest first, up to one that says nothing."""
    for line in reversed(lines[: first - 1]):
        comment = line.strip()
        if not comment.startswith("#") or not comment[1:].strip():
            return
        yield comment[1:].strip()
