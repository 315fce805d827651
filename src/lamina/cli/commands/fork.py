"""`lamina fork`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.numbers import count
from lamina.cli.session import engine

USAGE = Usage(
    "[OPTIONS] CONTAINER",
    "Make containers like another one, each with a copy of all that it has written",
    (
        Flag("count", "n", "NUMBER", "how many (1)"),
        Flag("detach", "d", "", "start them"),
        Flag("name", "", "NAME", "the container's name; of more than one NAME, NAME-2 ..."),
    ),
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Fork, and print the new containers' IDs."""
    number = count(given.one("count"), "--count")
    with engine(context) as opened:
        container = opened.containers.get(given.operands[0])
        for each in container.fork(number, name=given.one("name")):
            if given.has("detach"):
                each.start()
            print(each.id, flush=True)
    return 0
