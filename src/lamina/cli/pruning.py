"""What the `prune` commands share: the question, the removals, the bytes given back."""

import sys
import time
from collections.abc import Callable, Sequence

from lamina.cli.flags import Flag, Parsed
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.engine import Engine
from lamina.errors import UsageError
from lamina.values.moments import moment
from lamina.values.narrowing import Narrowing
from lamina.values.size import human

FORCE = Flag("force", "f", "", "do not ask")
FILTER = Flag("filter", "", "KEY=VALUE", "until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]", True)
FLAGS = (
    Flag("all", "a", "", "all images that no container uses, not only those without a name"),
    FILTER,
    FORCE,
)

Prune = Callable[[Engine, Parsed], int]


def prune_containers(opened: Engine, given: Parsed) -> int:
    """all stopped containers"""
    sizes = {each.id: each.size for each in opened.containers.list(everything=True)}
    gone = opened.containers.prune(narrowing(given))
    for container in gone:
        print(f"Deleted container: {container.id}")
    return sum(sizes[container.id] for container in gone)


def prune_volumes(opened: Engine, given: Parsed) -> int:
    """all volumes without a name (with -a: with one, too) that no container uses"""
    gone = opened.volumes.prune(named=given.has("all"), only=narrowing(given))
    for name, _ in gone:
        print(f"Deleted volume: {name}")
    return sum(size for _, size in gone)


def prune_anonymous(opened: Engine, given: Parsed) -> int:
    """all volumes without a name that no container uses"""
    gone = opened.volumes.prune(only=narrowing(given))
    for name, _ in gone:
        print(f"Deleted volume: {name}")
    return sum(size for _, size in gone)


def prune_images(opened: Engine, given: Parsed) -> int:
    """all images without a name (with -a: without a container)"""
    pruned = opened.images.prune(unused=given.has("all"), only=narrowing(given))
    for removed in pruned.removed:
        print(f"{removed.what}: {removed.subject}")
    return pruned.size


def prune_cache(opened: Engine, given: Parsed) -> int:
    """all of the build cache"""
    only = narrowing(given)
    if only.labels or only.without:
        return 0  # no step has a label, or is without one that it could have
    return opened.system.prune_cache(only.until)


def narrowing(given: Parsed) -> Narrowing:
    """What --filter says; raises `UsageError`."""
    said: dict[str, list[str]] = {"until": [], "label": [], "label!": []}
    for text in given.all("filter"):
        key, equals, value = text.partition("=")
        if key not in said or not equals or not value:
            raise UsageError(
                f"Invalid filter {text[:60]!r}", hint="there are until=, label=, label!="
            )
        said[key].append(value)
    now = time.time()
    times = [found for text in said["until"] if (found := moment(text, now)) is not None]
    return Narrowing(min(times, default=None), tuple(said["label"]), tuple(said["label!"]))


def reported(context: Context, given: Parsed, steps: Sequence[Prune]) -> int:
    """Ask unless forced, take the steps, say what was given back."""
    narrowing(given)  # a wrong filter is told before anybody is asked
    if not given.has("force") and not _agreed(steps, given.all("filter")):
        return 0
    with engine(context) as opened:
        size = sum(step(opened, given) for step in steps)
    print(f"Total reclaimed space: {human(size)}")
    return 0


def _agreed(steps: Sequence[Prune], filters: Sequence[str]) -> bool:
    print("WARNING! This will remove:", file=sys.stderr)
    for step in steps:
        print(f"  - {step.__doc__}", file=sys.stderr)
    if filters:
        print(f"  as far as these fit: {', '.join(filters)}", file=sys.stderr)
    print("Are you sure you want to continue? [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)  # nobody has ended the line of the question
    return answer.strip().lower() in ("y", "yes")
