"""An image that is wanted: the one that is here, or what a registry has under its name.

As docker's `--pull` says. What speaks to registries is loaded only when one is spoken to.
"""

from typing import TYPE_CHECKING, NamedTuple

from lamina.engine.parts import Parts
from lamina.engine.platforms import host_platform, platform_of
from lamina.errors import ImageNotFound, InvalidReference, RegistryError, UsageError
from lamina.values.digest import ImageID
from lamina.values.events import Caution, Notice, Sink
from lamina.values.reference import Reference

if TYPE_CHECKING:  # loaded by what speaks to them
    from lamina.engine.registries import Logins

POLICIES = ("missing", "always", "newer", "never")


class Had(NamedTuple):
    """An image that is here now, and the name that means it."""

    image: ImageID
    name: str


class _Manner(NamedTuple):
    """How registries are spoken to."""

    verify_tls: bool
    logins: "Logins | None"


def have(
    store: Parts,
    text: str,
    *,
    pull: str = "missing",
    platform: str | None = None,
    verify_tls: bool = True,
    logins: "Logins | None" = None,
    events: Sink,
) -> Had:
    """The image that `text` means, pulled first where `pull` wants it: one of `POLICIES`.

    `newer` is `always`, but makes do with what is here when a registry gives nothing. With a
    `platform`, what is here for another one is missing. Registries are spoken to as `logins` say,
    else as files do. Raises `UsageError`, `ImageNotFound`, `RegistryError` or what a pull raises.
    """
    if pull not in POLICIES:
        raise UsageError(f"{pull!r} is no way to pull", hint=f"there are {', '.join(POLICIES)}")
    here = _here(store, text, platform)
    if isinstance(here, ImageNotFound):
        if pull == "never":
            raise here
        return _brought(store, text, here, platform, _Manner(verify_tls, logins), events)
    if pull in ("missing", "never"):
        return here
    try:
        return _pulled(store, here.name, platform, _Manner(verify_tls, logins), events)
    except (ImageNotFound, RegistryError) as error:
        if pull != "newer":
            raise
        events(Caution(f"the image {text} is used as it is here: {error.brief}"))
        return here


def _here(store: Parts, text: str, platform: str | None) -> Had | ImageNotFound:
    found = _known(store, text)
    if isinstance(found, Had) and platform is not None and not _is_for(store, found, platform):
        return ImageNotFound(f"no such image: {text} for {platform}")
    return found


def _known(store: Parts, text: str) -> Had | ImageNotFound:
    """What the text means by itself, or with a registry that short names are looked for in."""
    try:
        return Had(store.image_store.resolve(text), text)
    except ImageNotFound as error:
        missing = error
    from lamina.registry import registriesconf, sources

    try:
        names = sources.meant(text, registriesconf.read(store.config.environ).search)
    except InvalidReference:
        return missing
    for name in map(str, names):
        found = store.image_store.pointed_at(name)
        if found is not None:
            return Had(found, name)
    return missing


def _is_for(store: Parts, had: Had, platform: str) -> bool:
    from lamina.images.platforms import runs_on

    return runs_on(_platform(store, had), platform_of(platform))


def _platform(store: Parts, had: Had) -> tuple[str, str, str]:
    config = store.image_store.config(had.image)
    return config.os, config.architecture, config.variant


def refuse_other(store: Parts, had: Had, platform: str) -> None:
    """Raise `ImageNotFound` unless an image runs on the platform that was asked for.

    A registry that has but one image gives that one, whatever it is for.
    """
    if not _is_for(store, had, platform):
        found = "/".join(part for part in _platform(store, had) if part)
        raise ImageNotFound(f"the image {had.name} is for {found}, not for {platform}")


def warn_of_other(store: Parts, had: Had, events: Sink) -> None:
    """Say so where an image is for another platform than this machine's and nobody asked for it."""
    said, here = _platform(store, had), host_platform()
    if said[:2] in (here, ("", "")):
        return
    from lamina.images.platforms import runs_on

    if not runs_on(said, here):
        found = "/".join(part for part in said if part)
        events(
            Caution(
                f"the image {had.name} is for {found}, this machine is {'/'.join(here)},"
                " and no platform was asked for"
            )
        )


def _brought(
    store: Parts,
    text: str,
    missing: ImageNotFound,
    platform: str | None,
    manner: "_Manner",
    events: Sink,
) -> Had:
    try:
        name = Reference.parse(text).with_default_tag()
    except InvalidReference:
        raise missing from None  # an ID, of which no registry knows
    events(Notice(f"Unable to find image '{name.familiar}' locally"))
    try:
        return _pulled(store, text, platform, manner, events)
    except (ImageNotFound, RegistryError) as error:
        brief = f"{missing.brief}, and it cannot be pulled: {error.brief}"
        raise type(error)(brief, hint=error.hint) from error


def _pulled(store: Parts, text: str, platform: str | None, manner: "_Manner", events: Sink) -> Had:
    from lamina.engine.registries import Registries

    registries = Registries(store, verify_tls=manner.verify_tls, logins=manner.logins)
    name, pulled = registries.search(text, platform_of(platform), events)
    is_plain = name == Reference.parse(text).with_default_tag()
    return Had(pulled.image, text if is_plain else name.familiar)
