"""`lamina migrate`."""

from collections.abc import Sequence

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import show
from lamina.cli.session import engine, warn
from lamina.engine import Engine
from lamina.engine.moveplan import Plan
from lamina.errors import UsageError
from lamina.transfer.takeover import Planned
from lamina.values.events import Event, LayerProgress
from lamina.values.size import human

USAGE = Usage(
    "[OPTIONS] --from STORE [IMAGE...] | --to DRIVER | --abort",
    "Take over images from another engine's store, or move this store to another driver",
    (
        Flag("from", "", "STORE", "docker:DIR or containers-storage:DIR, which is only read"),
        Flag("to", "", "DRIVER", "move all layers and containers of this store to that driver"),
        Flag("abort", "", "", "give up a move that is under way, and remove its copies"),
        Flag("storage-opt", "", "KEY=VALUE", "with --to: an option of the new driver", many=True),
        Flag("dry-run", "n", "", "show what would be done, and why"),
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
_MOVE_COLUMNS = (
    ("Kind", "WHAT"),
    ("ID", "ID"),
    ("Owners", "OF"),
    ("Size", "SIZE"),
    ("Reason", "TO DO"),
)


def run(context: Context, given: Parsed) -> int:
    """Show the plan, or carry it out and say what came."""
    asked = [name for name in ("from", "to", "abort") if given.one(name) is not None]
    if len(asked) != 1:
        raise UsageError(
            "one of --from, --to and --abort is to be given",
            hint="try --from docker:/var/lib/docker, or --to overlay2",
        )
    if asked != ["from"] and given.operands:
        raise UsageError("a store moves as a whole: no image can be named")
    with engine(context) as opened:
        if given.one("abort") is not None:
            _abandon(opened, given)
        elif given.one("to") is not None:
            _move(opened, given)
        else:
            _take_over(opened, given)
    return 0


def _take_over(opened: Engine, given: Parsed) -> None:
    source = given.one("from") or ""
    if given.has("dry-run"):
        planned = opened.migration.plan(source, given.operands)
        print(show(_rows(planned), _COLUMNS, given.one("format")), end="")
        return
    for each in opened.migration.take_over(source, given.operands):
        names = ", ".join(each.names)
        _say(given, f"Took over {names}" if names else f"Took over image ID: {each.image.id}")


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


def _move(opened: Engine, given: Parsed) -> None:
    target, options = given.one("to") or "", given.all("storage-opt")
    if given.has("dry-run"):
        plan = opened.migration.plan_move(target, options)
        print(show(_move_rows(plan), _MOVE_COLUMNS, given.one("format")), end="")
        if given.one("format") is None:
            print(_sum(plan))
        return

    def progress(event: Event) -> None:
        if isinstance(event, LayerProgress):
            _say(given, f"Copying layer {event.layer} ({event.current} of {event.total})")
        warn(event)

    moved = opened.migration.move(target, options, events=progress)
    if moved.source == moved.target:
        _say(given, f"The store is on {target} already")
    else:
        _say(
            given,
            f"Moved from {moved.source} to {moved.target}: "
            f"{_counted(moved.layers, 'layer')}, {_counted(moved.containers, 'container')}",
        )


def _move_rows(plan: Plan) -> list[dict[str, str]]:
    return [
        {
            "Kind": each.kind,
            "ID": each.id,
            "Owners": ", ".join(each.owners),
            "Size": human(each.size),
            "Reason": each.reason,
        }
        for each in plan.items
    ]


def _sum(plan: Plan) -> str:
    if plan.source == plan.target:
        return f"The store is on {plan.target} already"
    return (
        f"From {plan.source} to {plan.target}: {human(plan.size)} to copy, {human(plan.free)} free"
    )


def _abandon(opened: Engine, given: Parsed) -> None:
    target = opened.migration.abandon()
    if target is None:
        _say(given, "No migration is under way")
    elif target == opened.driver.name:
        _say(given, f"The move to {target} was decided already, and what it left is removed now")
    else:
        _say(given, f"The migration to {target} is given up; its copies are removed")


def _say(given: Parsed, text: str) -> None:
    if not given.has("quiet"):
        print(text, flush=True)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
