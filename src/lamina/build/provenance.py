"""SLSA provenance (v1.1) of a build: what was built, of what, from when to when. Pure.

`docs/format/provenance.md` is what its build type means. No secret's value is in it, and no proxy;
the values of build arguments, labels and the Dockerfile's text are only where `max` is asked for.
https://slsa.dev/spec/v1.1/provenance
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import NamedTuple

from lamina.build.api import BuildRequest
from lamina.build.operation import PROXY_NAMES
from lamina.build.witness import CommitUsed, FileUsed, ImageUsed, Material, Witness
from lamina.spec import packageurl
from lamina.spec.imageconfig import format_time
from lamina.spec.intoto import PROVENANCE, Predicate
from lamina.spec.strictjson import Json
from lamina.values.digest import Digest
from lamina.values.platform import Platform
from lamina.values.reference import Reference

BUILD_TYPE = "urn:lamina:build:dockerfile:v1"
BUILDER = "urn:lamina:builder"
MIN, MAX = "min", "max"


class Builder(NamedTuple):
    """Who builds: as a URI, by which version, and on which machine."""

    id: str
    version: str
    platform: Platform


Digests = Callable[[ImageUsed], Digest]
"""What names an image for others: its manifest, or its config where it has none."""


def provenance(
    request: BuildRequest,
    witness: Witness,
    number: int,
    builder: Builder,
    digests: Digests,
    *,
    mode: str,
    epoch: int | None,
) -> Predicate:
    """The provenance of one of a build's images; no time in it is later than `epoch`."""
    found = [*witness.materials[number], *witness.sources.values()]
    told = (_material(each, digests, builder.platform) for each in found)
    materials = {str(each["uri"]): each for each in told}
    parameters: dict[str, Json] = {
        "configSource": _config_source(witness, digests, builder.platform),
        "request": _request(request, witness, mode),
    }
    own: dict[str, Json] = {"builderPlatform": str(builder.platform)}
    if mode == MAX:
        source = b64encode(witness.text.encode()).decode()
        own["dockerfile"] = {"filename": witness.file, "data": source}
    return Predicate(
        PROVENANCE,
        {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters,
                "internalParameters": own,
                "resolvedDependencies": [materials[uri] for uri in sorted(materials)],
            },
            "runDetails": {
                "builder": {"id": builder.id, "version": {"lamina": builder.version}},
                "metadata": {
                    "startedOn": _time(witness.started, epoch),
                    "finishedOn": _time(witness.finished, epoch),
                },
            },
        },
    )


def _time(seconds: float, epoch: int | None) -> str:
    return format_time(float(epoch) if epoch is not None and epoch < seconds else int(seconds))


def _config_source(witness: Witness, digests: Digests, host: Platform) -> dict[str, Json]:
    said: dict[str, Json] = {"path": witness.file}
    away = witness.sources.get("")
    return said if away is None else said | _material(away, digests, host)


def _request(request: BuildRequest, witness: Witness, mode: str) -> dict[str, Json]:
    named = (f"context:{name}" for name in request.contexts if name not in witness.sources)
    own = () if "" in witness.sources or request.context is None else ("context",)
    locals_: list[Json] = [{"name": name} for name in (*own, *sorted(named))]
    said: dict[str, Json] = {"frontend": "dockerfile.v0", "args": _arguments(request, mode)}
    if locals_:
        said["locals"] = locals_
    if mode == MAX:
        said["secrets"] = [{"id": each} for each in sorted(request.secrets)]
        said["ssh"] = [{"id": each} for each in sorted(request.agents)]
    return said


def _arguments(request: BuildRequest, mode: str) -> dict[str, Json]:
    """What was asked for, in the words of BuildKit's frontend."""
    said = {
        "target": request.target or "",
        "platform": ",".join(request.platforms),
        "no-cache": "true" if request.no_cache else "",
        "force-network-mode": "" if request.network == "default" else request.network,
    }
    found: dict[str, Json] = {key: value for key, value in said.items() if value}
    if mode == MAX:
        found |= _prefixed("build-arg", request.build_args) | _prefixed("label", request.labels)
    return found


def _prefixed(kind: str, values: Mapping[str, str]) -> dict[str, Json]:
    return {f"{kind}:{key}": text for key, text in values.items() if key not in PROXY_NAMES}


def _material(used: Material, digests: Digests, host: Platform) -> dict[str, Json]:
    match used:
        case ImageUsed():
            found = digests(used)
            digest: dict[str, Json] = {found.algorithm: found.hex}
            return {"uri": _uri(used, host), "digest": digest}
        case FileUsed(url, digits):
            return {"uri": url, "digest": {"sha256": digits}}
        case CommitUsed(url, commit):
            return {"uri": url, "digest": {"sha256" if len(commit) == 64 else "sha1": commit}}


def _uri(used: ImageUsed, host: Platform) -> str:
    """An image by its name; one that is known by its ID alone, by that."""
    if used.reference.startswith("sha256:"):
        return f"pkg:oci/image@{used.reference.replace(':', '%3A')}"
    platform = Platform.parse(used.platform, host=host) if used.platform else None
    return packageurl.of_image(Reference.parse(used.reference), platform)
