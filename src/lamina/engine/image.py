"""One image of the store, as a value that can be looked into."""

from typing import TYPE_CHECKING, NamedTuple

from lamina.engine.inside import Inside
from lamina.engine.parts import Parts
from lamina.errors import InvalidReference
from lamina.images.store import NamedImage
from lamina.layers.layer import Layer
from lamina.spec.imageconfig import ImageConfig, parse_time
from lamina.values.digest import ChainID, ImageID
from lamina.values.reference import Reference, refuse_ambiguous

if TYPE_CHECKING:  # a listing of images must not pay for what looks into them
    from lamina.analyze.listing import FileFacts
    from lamina.analyze.merged import MergedTree
    from lamina.analyze.packages import Package
    from lamina.archive.entry import Write


class HistoryRow(NamedTuple):
    """One line of an image's history, newest first; `size` in bytes, `image` where it is known."""

    image: ImageID | None
    created: float
    created_by: str
    size: int
    comment: str


class Image(Inside):
    """One image; what it shows is what was true when it was got."""

    def __init__(self, store: Parts, named: NamedImage) -> None:
        self._store = store
        self._row = named.row
        self.names = named.names

    def __repr__(self) -> str:
        return f"<Image: {', '.join(self.tags) or self.short_id}>"

    @property
    def id(self) -> ImageID:
        """The digest of the config."""
        return self._row.id

    @property
    def short_id(self) -> str:
        """Twelve digits of the ID."""
        return self._row.id.short

    @property
    def tags(self) -> list[str]:
        """The names that point at it, as docker shows them."""
        return [Reference.stored(name).familiar for name in self.names]

    @property
    def repo_digests(self) -> list[str]:
        """`name@digest` for each repository, when it came with a manifest."""
        if self._row.manifest is None:
            return []
        names = {Reference.stored(name).familiar_name for name in self.names}
        return [f"{name}@{self._row.manifest}" for name in sorted(names)]

    @property
    def created(self) -> float:
        """When it was made, in seconds since the epoch."""
        return self._row.created

    @property
    def size(self) -> int:
        """Apparent bytes of all its layers."""
        return self._row.size

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self.config.config.labels or {})

    @property
    def config(self) -> ImageConfig:
        """Its config, read anew."""
        return self._store.image_store.config(self.id)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its layers, lowest first."""
        return self._store.layers.chain(self._row.top_chain)

    @property
    def layer_count(self) -> int:
        """How many layers it has."""
        return self._row.layers

    @property
    def graph_driver(self) -> tuple[tuple[str, str], ...]:
        """Where its topmost layer lies, as the driver tells it."""
        if self._row.top_chain is None:
            return ()
        layers = self._store.layers
        return layers.driver.data(layers.resolve(self._row.top_chain))

    def history(self) -> list[HistoryRow]:
        """How it came to be, newest first."""
        config = self.config
        sizes = [layer.size for layer in self.layers][::-1]
        rows: list[HistoryRow] = []
        for entry in reversed(config.history):
            size = 0 if entry.empty_layer or not sizes else sizes.pop(0)
            created = parse_time(entry.created)
            first = self.id if not rows else None
            rows.append(HistoryRow(first, created, entry.created_by, size, entry.comment))
        return rows

    def tag(self, name: str) -> None:
        """Let one more name point at it; raises `InvalidReference`."""
        self._store.image_store.tag(self.id, tag_reference(name))

    def tree(self) -> "MergedTree":
        """Its merged tree with every path's past, by its layers' indexes."""
        from lamina.analyze.indexed import merged_tree
        from lamina.errors import StoreDamaged

        try:
            return merged_tree(self._store.layers, self.layers)
        except StoreDamaged:
            self._store.image_store.row(self.id)  # or is it just being removed?
            raise

    def shared(self) -> frozenset[ChainID]:
        """The chains of layers that another image of the store has, too."""
        from lamina.engine.analysis import chains_of_others

        return chains_of_others(self._store, self.id)

    def packages(self, tree: "MergedTree") -> "tuple[Package, ...]":
        """The packages that the databases in its tree tell."""
        from lamina.engine.packages import installed

        return installed(self._store.layers, self._row.top_chain, tree)

    def release(self, tree: "MergedTree") -> bytes:
        """Its os-release file; none where it has none."""
        from lamina.engine.packages import released

        return released(self._store.layers, self._row.top_chain, tree)

    def listdir(self, path: str = "/") -> "tuple[FileFacts, ...]":
        """What a directory of it holds, sorted by name; raises `PathNotFound`."""
        from lamina.engine.looking import listing

        return listing(self._store.layers, self._row.top_chain, path)

    def read(self, path: str, out: "Write") -> None:
        """Write what a file of it holds, links followed inside; raises `PathNotFound`."""
        from lamina.engine.looking import content

        content(self._store.layers, self._row.top_chain, path, out)

    def save(self, out: "Write") -> None:
        """Write it as a docker archive, with all its names."""
        from lamina.transfer.save import save

        names = self.tags or [str(self.id)]
        save(names, self._store.image_store, self._store.layers, out)


def tag_reference(name: str) -> Reference:
    """A name to give to an image: with a tag or without, never with a digest."""
    reference = Reference.parse(name)
    if reference.digest is not None:
        raise InvalidReference(
            f"invalid reference {name!r}: an image cannot be given a digest as its name"
        )
    refuse_ambiguous(reference)
    return reference.with_default_tag()
