"""What a request means, looked at before anything is done: tags, times, rights, how many at once.

Pure, but for the number of processors.
"""

import os
from collections.abc import Callable, Mapping, Sequence

from lamina.build.api import BuildRequest
from lamina.build.executor import Target
from lamina.build.image import platform_of
from lamina.build.interpret import INSECURE, Scope
from lamina.build.near import suggestion
from lamina.build.plan import Plan
from lamina.errors import UsageError
from lamina.spec.imageconfig import ImageConfig
from lamina.values.platform import Platform
from lamina.values.reference import Reference, refuse_ambiguous

_EPOCH = "SOURCE_DATE_EPOCH"
_ENTITLEMENTS = (INSECURE, "network.host")  # the second is what every RUN has here
_INLINE = "BUILDKIT_INLINE_CACHE"
CHECK = "BUILDKIT_DOCKERFILE_CHECK"  # the argument that speaks for `# check=`
_OPEN = 256  # descriptors that a stage may need: its sources, what it stands on, what it writes
_EPOCH_LIMIT = 1 << 33  # seconds: what eleven octal digits of a tar header hold


def scope_of(request: BuildRequest, plan: Plan, say: Callable[[str], None]) -> Scope:
    """What is the same for all instructions; raises `UsageError`."""
    if request.network not in ("default", "host", "none"):
        raise UsageError(
            f"there is no network {request.network!r} for a build", hint="use host or none"
        )
    return Scope(
        build_args=request.build_args,
        globals=plan.arguments,
        escape=plan.escape,
        network=request.network,
        warn=say,
        allow=_allowed(request),
    )


def anew(request: BuildRequest, plan: Plan, say: Callable[[str], None]) -> Callable[[str], bool]:
    """Whether a stage is to be built without asking the cache, by its name or number."""
    titles = {stage.title for stage in plan.stages}
    for name in sorted(request.no_cache_stages - titles):
        near = suggestion(name, titles)
        say(f"no stage {name!r} is built" + (f"; {near}" if near else ""))
    return lambda title: request.no_cache or title in request.no_cache_stages


def targets_of(request: BuildRequest, host: Platform) -> list[Target]:
    """What is built, in the order asked for; this machine's platform when none is.

    Raises `UsageError`.
    """
    asked = [
        host if text == "local" else Platform.parse(text, host=host) for text in request.platforms
    ]
    if not asked:
        return [Target(host)]
    several = len({each.normalised() for each in asked}) > 1
    targets = {
        each.normalised(): Target(each, str(each), title=str(each) if several else "")
        for each in asked
    }
    return list(targets.values())


def refuse_unplaced(request: BuildRequest, targets: Sequence[Target]) -> None:
    """Raise `UsageError` for an annotation that has no place in what is built."""
    if request.annotations:
        from lamina.build.annotations import refuse_unplaced

        platforms = [each.platform for each in targets]
        has_index = len(platforms) > 1 or bool(request.attests)
        refuse_unplaced(request.annotations, platforms, has_index=has_index)


def annotates_descriptor(request: BuildRequest) -> bool:
    """Whether something is said that only a layout or an index has a place for."""
    return any(each.level == "manifest-descriptor" for each in request.annotations)


def said_of_manifest(request: BuildRequest, config: ImageConfig) -> Mapping[str, str]:
    """What the manifest of the image in the store is annotated with."""
    if not request.annotations:
        return {}
    from lamina.build.annotations import MANIFEST, at_level

    return at_level(request.annotations, MANIFEST, platform_of(config))


def numbered(targets: Sequence[Target], plans: Sequence[Plan]) -> list[Target]:
    """The targets with their steps' numbers: those of each after those of the one before."""
    total, before, found = sum(plan.total for plan in plans), 0, []
    for target, plan in zip(targets, plans, strict=True):
        found.append(target._replace(before=before, total=total))
        before += plan.total
    return found


def fitting(platforms: Sequence[Platform], host: Platform) -> int:
    """Which of several platforms is this machine's; the first where none is."""
    found = (at for at, each in enumerate(platforms) if each.matches(host))
    return next(found, 0)


def wants_inline(request: BuildRequest) -> bool:
    """Whether the image's config is to hold the cache: as wished, or by docker's argument."""
    return request.inline_cache or request.build_args.get(_INLINE, "").lower() in ("1", "true")


def jobs_of(request: BuildRequest) -> int:
    """How many stages are worked on at once; a command that only waits is no work.

    Not more than have descriptors enough for the directories that each keeps open.
    """
    if request.jobs is None:
        processors, limit = len(os.sched_getaffinity(0)), os.sysconf("SC_OPEN_MAX")
        return max(2, processors if limit < 0 else min(processors, limit // _OPEN))
    if request.jobs < 1:
        raise UsageError(f"{request.jobs} stages at once are none", hint="give 1 or more jobs")
    return request.jobs


def _allowed(request: BuildRequest) -> frozenset[str]:
    for each in request.allow:
        if each not in _ENTITLEMENTS:
            raise UsageError(
                f"--allow {each!r} is unknown", hint=f"it is {' or '.join(_ENTITLEMENTS)}"
            )
    return request.allow


def platform_arguments(host: Platform, target: Platform) -> dict[str, str]:
    """The automatic arguments: BUILDPLATFORM, TARGETARCH and their like."""
    return {
        f"{side}{name}": value
        for side, platform in (("BUILD", host), ("TARGET", target))
        for name, value in (
            ("PLATFORM", str(platform)),
            ("OS", platform.os),
            ("OSVERSION", ""),
            ("ARCH", platform.architecture),
            ("VARIANT", platform.variant),
        )
    }


def tag_of(text: str) -> Reference:
    """A name that the image is to get; raises `InvalidReference` or `UsageError`."""
    name = Reference.parse(text)
    if name.digest is not None:
        raise UsageError(
            f"the tag {text!r} holds a digest", hint="an image's digest follows from it"
        )
    refuse_ambiguous(name)
    return name.with_default_tag()


def epoch_of(request: BuildRequest) -> int | None:
    """SOURCE_DATE_EPOCH, as a build argument or as the caller's own."""
    text = request.build_args.get(_EPOCH, "")
    if not text:
        found = request.source_date_epoch
    elif text.isascii() and text.isdigit() and len(text) < 12:
        found = int(text)
    else:
        raise UsageError(f"{_EPOCH}={text!r} is no number of seconds since 1970")
    if found is not None and not 0 <= found < _EPOCH_LIMIT:
        raise UsageError(f"{_EPOCH}={found} is out of range")
    return found
