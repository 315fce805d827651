"""What is said of what was just built: its provenance and its packages, as a build asked for it."""

import json

from lamina import __version__
from lamina.build import BuildRequest, BuildResult
from lamina.build.attests import Attests
from lamina.build.provenance import Builder, provenance
from lamina.build.wishes import epoch_of
from lamina.build.witness import ImageUsed
from lamina.engine.building import BuiltInside
from lamina.engine.parts import Parts
from lamina.engine.platforms import this_machine
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.intoto import SPDX, Predicate
from lamina.spec.strictjson import Json
from lamina.values.digest import BlobDigest, Digest

Said = tuple[tuple[Predicate, ...], ...]


def said_of(
    engine: Parts, request: BuildRequest, result: BuildResult, wanted: Attests, names: list[str]
) -> Said:
    """What is said of each of a build's images, in their order; raises a `StorageError`."""
    if not wanted.kinds:
        return ()
    return tuple(
        (
            *((_provenance(engine, request, result, wanted, number),) if wanted.mode else ()),
            *((_sbom(engine, image, names),) if wanted.sbom else ()),
        )
        for number, image in enumerate(result.images)
    )


def _provenance(
    engine: Parts, request: BuildRequest, result: BuildResult, wanted: Attests, number: int
) -> Predicate:
    assert result.witness is not None, "a build that is to attest its provenance has a witness"
    builder = Builder(wanted.builder, __version__, this_machine())
    return provenance(
        request,
        result.witness,
        number,
        builder,
        lambda used: _digest(engine, used),
        mode=wanted.mode,
        epoch=epoch_of(request),
    )


def _digest(engine: Parts, used: ImageUsed) -> Digest:
    """The manifest an image came with; its ID where it never had one."""
    return engine.image_store.row(used.image).row.manifest or BlobDigest(used.image)


def _sbom(engine: Parts, image: ImageConfig, names: list[str]) -> Predicate:
    name = names[0] if names else str(image.id)
    document: dict[str, Json] = json.loads(BuiltInside(engine, image).sbom(name))
    return Predicate(SPDX, document)
