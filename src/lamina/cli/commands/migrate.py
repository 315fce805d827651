"""`lamina migrate`."""

from collections.abc import Sequence

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import show
from lamina.cli.session import engine
from lamina.errors import UsageError
from lamina.transfer.takeover import Planned
from lamina.values.size import human

USAGE = Usage(
    "[OPTIONS] --from STORE [IMAGE...]",
    "Take over images from another engine's store, as they lie on disk",
    (
        Flag("from", "", "STORE", "docker:DIR or containers-storage:DIR, which is only read"),
        Flag("dry-run", "n", "", "show what would be taken, and why"),
        Flag("format", "", "FORMAT", "with --dry-run: table, json or a Go template"),
        Flag("quiet", "q", "", "print nothing"),
    ),
    0,
    None,
)

_COLUMNS = (
    ("Image", "IMAGE"),
    ("ID", "IMAGE ID"),
    ("Size", "SIZE"),
    ("Layers", "LAYERS"),
    ("Reason", "TO DO"),
)


def run(context: Context, given: Parsed) -> int:
    """Show the plan, or carry it out and say what came."""
    source = given.one("from")
    if source is None:
        raise UsageError("it is not said whence", hint="try --from docker:/var/lib/docker")
    with engine(context) as opened:
        if given.has("dry-run"):
            planned = opened.migration.plan(source, given.operands)
            print(show(_rows(planned), _COLUMNS, given.one("format")), end="")
            return 0
        taken = opened.migration.take_over(source, given.operands)
    for each in taken:
        if not given.has("quiet"):
            names = ", ".join(each.names)
            print(f"Took over {names}" if names else f"Took over image ID: {each.image.id}")
    return 0


def _rows(planned: Sequence[Planned]) -> list[dict[str, str]]:
    return [
        {
            "Image": ", ".join(name.familiar for name in each.source.image.names) or "<none>",
            "ID": each.source.image.config.id.short,
            "Size": human(each.source.size),
            "Layers": str(each.layers),
            "Reason": each.reason,
        }
        for each in planned
    ]
