"""What a build may be told beyond its context, as keywords with types."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lamina.build import BuildRequest
from lamina.build.annotations import parse_annotation
from lamina.build.named import parse_named
from lamina.engine.building import assembled
from lamina.engine.platforms import this_machine
from lamina.engine.wishes import Around, Limited
from lamina.values.events import Sink

if TYPE_CHECKING:
    from lamina.archive.compress import ByteStream
    from lamina.build.secrets import Secret
    from lamina.build.stage import Stage
    from lamina.build.surroundings import Surroundings


_AROUND = Limited.__optional_keys__ | Around.__optional_keys__


class BuildWishes(Limited, Around, total=False):
    """All of them have docker's defaults.

    `dockerfile` is the path of a Dockerfile, `dockerfile_text` what one holds, `ignore_file` the
    path of one that stands for the context's own. What FROM and COPY
    --from name is pulled (`pull`) when it is `missing`, `always`, `newer` or `never`, with TLS
    verified (`verify_tls`). `secrets` and `agents` (sockets of ssh agents) are by ID, for `RUN
    --mount`; `allow` names what RUN may have beyond the usual (`security.insecure`). `contexts` are
    directories, repositories, URLs of tars, `docker-image://` and `oci-layout://` by the name of
    the stage or image they stand for; with `squash` all that the build adds is one layer. `jobs`
    stages are worked on at once (None: as many as there are processors, two at least). With
    `no_cache` all steps are carried out anew, else those of `no_cache_stages`. `cache_from` and
    `cache_to` are as for `lamina build`: caches to ask and to write. `source_date_epoch` is in
    seconds: no time in the image is later. `annotations` are as for `lamina build`, of the image's
    manifest. It is made for each of `platforms`. What RUN may use is said as of a container
    (`mem_limit`, `ulimits`, `shm_size`, `security_opt` and their like); `extra_hosts` are
    `NAME:ADDRESS`; `isolation` is as for `lamina build`.
    """

    dockerfile: str | None
    dockerfile_text: bytes | None
    ignore_file: str | None
    tags: Sequence[str]
    build_args: Mapping[str, str] | None
    target: str | None
    labels: Mapping[str, str] | None
    network: str
    no_cache: bool
    source_date_epoch: int | None
    pull: str
    verify_tls: bool
    secrets: "Mapping[str, Secret] | None"
    agents: Mapping[str, str] | None
    allow: Sequence[str]
    contexts: Mapping[str, str] | None
    squash: bool
    jobs: int | None
    no_cache_stages: Sequence[str]
    cache_from: Sequence[str]
    cache_to: Sequence[str]
    platforms: Sequence[str]
    annotations: Sequence[str]
    isolation: str
    events: Sink | None


def request_of(
    context: "str | ByteStream | None", stage: "Stage | None", wishes: BuildWishes
) -> BuildRequest:
    """The build that is wished for; raises `UsageError`."""
    named = (wishes.get("contexts") or {}).items()
    return BuildRequest(
        context=context,
        dockerfile=wishes.get("dockerfile"),
        dockerfile_text=wishes.get("dockerfile_text"),
        tags=tuple(wishes.get("tags", ())),
        build_args=dict(wishes.get("build_args") or {}),
        ignore_file=wishes.get("ignore_file"),
        target=wishes.get("target"),
        labels=dict(wishes.get("labels") or {}),
        network=wishes.get("network", "default"),
        no_cache=wishes.get("no_cache", False),
        source_date_epoch=wishes.get("source_date_epoch"),
        secrets=dict(wishes.get("secrets") or {}),
        agents=dict(wishes.get("agents") or {}),
        allow=frozenset(wishes.get("allow", ())),
        squash=wishes.get("squash", False),
        jobs=wishes.get("jobs"),
        no_cache_stages=frozenset(each.lower() for each in wishes.get("no_cache_stages", ())),
        platforms=tuple(wishes.get("platforms", ())),
        contexts=dict(parse_named(f"{name}={value}") for name, value in named),
        stages=None if stage is None else assembled(stage),
        annotations=tuple(
            one
            for text in wishes.get("annotations", ())
            for one in parse_annotation(text, this_machine())
        ),
        surroundings=_surroundings(wishes),
    )


def _surroundings(wishes: BuildWishes) -> "Surroundings | None":
    if not _AROUND & wishes.keys():
        return None
    from lamina.engine.surrounding import surroundings

    return surroundings(wishes, wishes)
