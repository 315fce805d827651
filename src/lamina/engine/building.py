"""Putting a builder together from an engine's stores; imported only when something is built."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from lamina import __version__
from lamina.build import Builder, BuildRequest, BuildResult
from lamina.build.cache import StoreCache
from lamina.build.once import Once
from lamina.build.wishes import tag_of
from lamina.engine.config import Config
from lamina.engine.having import have
from lamina.engine.inside import Inside
from lamina.engine.parts import Parts
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import ImageID
from lamina.values.events import Sink
from lamina.values.reference import Reference

if TYPE_CHECKING:  # only what runs, fetches, looks inside or writes elsewhere loads it
    from lamina.analyze.merged import MergedTree
    from lamina.analyze.packages import Package
    from lamina.archive.packing import Packing
    from lamina.build.annotations import Annotations
    from lamina.build.api import MountStore, Runner
    from lamina.build.exporters import Exporter, Predicates
    from lamina.build.fetch import Answer, Ask
    from lamina.build.named import Layout
    from lamina.build.stage import Stage
    from lamina.dockerfile import Dockerfile
    from lamina.engine.registries import Logins, Registries
    from lamina.registry.transport import Transport
    from lamina.runtime.isolation import Isolation

__all__ = [
    "BuildRequest",
    "assembled",
    "builder",
    "exporter",
    "push_index",
]

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def _asking(config: Config) -> "Ask":
    """Requests to any host; the HTTP library is loaded by the first."""
    transports: list[Transport] = []

    def ask(url: str, headers: Mapping[str, str]) -> "Answer":
        if not transports:
            from lamina.registry.hosts import Settings
            from lamina.registry.transport import Transport

            settings = Settings(proxies=_proxies(config))
            transports.append(Transport(settings, f"lamina/{__version__}"))
        return transports[0].ask("GET", url, headers)

    return ask


def _proxies(config: Config) -> dict[str, str]:
    names = [spelt for name in _PROXIES for spelt in (name, name.upper())]
    return {name: config.environ[name] for name in names if config.environ.get(name)}


def assembled(stage: "Stage") -> "Dockerfile":
    """What a Dockerfile of the same would be read as; raises `UsageError`."""
    from lamina.build import stages  # most builds have a Dockerfile

    return stages.assembled(stage)


def _take_in(engine: Parts, layout: "Layout") -> str:
    from lamina.build.layouts import take_in
    from lamina.engine.platforms import host_platform

    return take_in(layout, engine.image_store, engine.layers, host_platform())


def _annotate(
    engine: Parts,
    bases: "Bases",
    config: ImageConfig,
    names: tuple[Reference, ...],
    annotations: Mapping[str, str],
) -> bool:
    from lamina.transfer.ends.stored import store_annotated

    images, layers = engine.image_store, engine.layers
    return store_annotated(config, names, annotations, images, layers, bases.events)


class Bases:
    """The images that one build names: each looked for once, so that it stays the same one."""

    def __init__(
        self,
        engine: Parts,
        pull: str,
        verify_tls: bool,
        events: Sink,
        logins: "Logins | None" = None,
    ) -> None:
        self._engine = engine
        self._logins = logins
        self._pull = pull
        self._verify_tls = verify_tls
        self.events = events
        self._found: dict[tuple[str, str], ImageID] = {}

    def __call__(self, reference: str, platform: str) -> ImageID:
        """The image for a platform ("": this machine's); raises what `have` raises."""
        found = self._found.get((reference, platform))
        if found is None:
            found = self._found[reference, platform] = have(
                self._engine,
                reference,
                pull=self._pull,
                platform=platform or None,
                verify_tls=self._verify_tls,
                logins=self._logins,
                events=self.events,
            ).image
        return found


def builder(engine: Parts, bases: Bases, isolation: str = "") -> Builder:
    """A builder over the engine's layers and images; raises `UsageError`, `ProgramMissing`."""
    return Builder(
        engine.layers,
        engine.image_store,
        StoreCache(engine.layers.root),
        Once(partial(_runner, engine, _isolation(isolation))),
        Once(lambda: _mount_store(engine)),
        bases=bases,
        ask=_asking(engine.config),
        annotate=partial(_annotate, engine, bases),
        layouts=lambda layout: _take_in(engine, layout),
        proxies=_proxies(engine.config),
    )


def _isolation(named: str) -> "Isolation | None":
    """What is to keep RUN apart; None for what the store's containers have."""
    if named in ("", "default"):
        return None
    from lamina.runtime.isolation import choose, runtime

    return runtime() if named == "oci" else choose(named)


def _runner(engine: Parts, isolation: "Isolation | None") -> "Runner":
    from lamina.build.runner import LayerRunner

    return LayerRunner(
        engine.layers, isolation or engine.container_store.isolation, engine.run_root
    )


def _mount_store(engine: Parts) -> "MountStore":
    from lamina.build.cachemounts import StoreMounts

    return StoreMounts(engine.layers)


class BuiltInside(Inside):
    """The inside of what was just built, also where it is no image of the store."""

    def __init__(self, engine: Parts, config: ImageConfig) -> None:
        self._layers = engine.layers
        self._config = config

    @property
    def config(self) -> ImageConfig:
        """Its config."""
        return self._config

    def tree(self) -> "MergedTree":
        """Its merged tree with every path's past."""
        from lamina.analyze.indexed import merged_tree

        return merged_tree(self._layers, self._layers.chain(self._config.top_chain))

    def packages(self, tree: "MergedTree") -> "tuple[Package, ...]":
        """The packages that the databases in its tree tell."""
        from lamina.engine.packages import installed

        return installed(self._layers, self._config.top_chain, tree)

    def release(self, tree: "MergedTree") -> bytes:
        """Its os-release file; none where it has none."""
        from lamina.engine.packages import released

        return released(self._layers, self._config.top_chain, tree)


def push_index(
    engine: Parts,
    result: BuildResult,
    name: str,
    registries: "Registries",
    names: list[str],
    annotations: "Annotations" = (),
    predicates: "Predicates" = (),
    packing: "Packing | None" = None,
) -> str:
    """Push what was built as an index under one of its names; gives the index's digest.

    Raises `InvalidReference`, `RegistryError` or a `StorageError`.
    """
    target = tag_of(name)
    place = registries.repository(target)
    return exporter(engine, predicates).push(
        result.images, engine.image_store, place, target, names, annotations, packing
    )


def exporter(engine: Parts, predicates: "Predicates" = ()) -> "Exporter":
    """What writes the engine's images to files and folders, with what is said of them."""
    from lamina.build.exporters import Exporter

    return Exporter(engine.layers, predicates)
