"""`lamina commit`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine

USAGE = Usage(
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Make an image of what a container changed",
    (
        Flag("author", "a", "TEXT", "its author"),
        Flag("change", "c", "INSTRUCTION", "apply a Dockerfile instruction to the config", True),
        Flag("message", "m", "TEXT", "the comment in its history"),
        Flag("pause", "p", "", "hold a running container still meanwhile (default true)"),
    ),
    1,
    2,
)


def run(context: Context, given: Parsed) -> int:
    """Commit, and print the image's ID."""
    container, *name = given.operands
    with engine(context) as opened:
        image = opened.containers.get(container).commit(
            name[0] if name else None,
            message=given.one("message") or "",
            author=given.one("author") or "",
            changes=given.all("change"),
            pause=given.one("pause") != "false",
        )
        print(image.id)
    return 0
