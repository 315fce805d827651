"""`lamina build`: what was built, written to where `-o` says and pushed under its names."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from lamina.build import BuildResult
from lamina.cli.buildflags import Order
from lamina.cli.streams import written
from lamina.engine.building import exporter, push_index
from lamina.engine.engine import Engine
from lamina.values.events import Sink

if TYPE_CHECKING:  # of few builds
    from lamina.archive.packing import Packing
    from lamina.build.exporters import Predicates
    from lamina.build.outputs import Output
    from lamina.engine.registries import Registries


def deliver(
    opened: Engine, result: BuildResult, order: Order, registries: "Registries", events: Sink
) -> list[str]:
    """Carry an order out; gives the digests of what is there, "" for what has none.

    Raises `RegistryError`, a `StorageError` or `UsageError`.
    """
    said = _said_of(opened, result, order)
    digests = [_export(opened, result, each, order, said) for each in order.outputs if each.dest]
    if order.is_pushed:
        push = _pusher(opened, result, order, said, registries, events)
        digests += [push(each) for each in order.names]
    return digests


def _said_of(opened: Engine, result: BuildResult, order: Order) -> "Predicates":
    if order.attests is None:
        return ()
    from lamina.engine.attesting import said_of

    return said_of(opened, order.request, result, order.attests, order.names)


def _export(
    opened: Engine, result: BuildResult, output: "Output", order: Order, said: "Predicates"
) -> str:
    writer = exporter(opened, said)
    if output.folder:
        return writer.folder(result.images, output, order.names, output.dest)
    with written(output.dest) as write:
        return writer.archive(result.images, output, order.names, write)


def _pusher(
    opened: Engine,
    result: BuildResult,
    order: Order,
    said: "Predicates",
    registries: "Registries",
    events: Sink,
) -> Callable[[str], str]:
    """What pushes under a name, and gives the digest there: the one image, or an index."""
    packing = next(_packings(order.outputs), None)
    if len(result.images) == 1 and not said:
        kind, level = packing or (None, None)
        return lambda name: (
            opened.images.push(
                name,
                compression=kind,
                compression_level=level,
                registries=registries,
                events=events,
            ).digest
        )
    annotations = order.request.annotations
    return lambda name: push_index(
        opened, result, name, registries, order.names, annotations, said, packing
    )


def _packings(outputs: "Sequence[Output]") -> "Iterator[Packing]":
    for each in outputs:
        if each.is_stored and each.packing is not None:
            yield each.packing
