"""An image that is wanted: the one that is here, or what a registry has under its name.

As docker's `--pull` says. What speaks to registries is loaded only when one is spoken to.
"""

from typing import NamedTuple

from lamina.engine.parts import Parts
from lamina.engine.platforms import platform_of
from lamina.errors import ImageNotFound, InvalidReference, RegistryError, UsageError
from lamina.values.digest import ImageID
from lamina.values.events import Caution, Notice, Sink
from lamina.values.reference import Reference

POLICIES = ("missing", "always", "newer", "never")


class Had(NamedTuple):
    """An image that is here now, and the name that means it."""

    image: ImageID
    name: str


def have(
    store: Parts,
    text: str,
    *,
    pull: str = "missing",
    platform: str | None = None,
    verify_tls: bool = True,
    events: Sink,
) -> Had:
    """The image that `text` means, pulled first where `pull` wants it: one of `POLICIES`.

    `newer` is `always`, but makes do with what is here when a registry gives nothing. With a
    `platform`, what is here for another one is missing. Raises `UsageError`, `ImageNotFound`,
    `RegistryError` or what a pull raises.
    """
    if pull not in POLICIES:
        raise UsageError(f"{pull!r} is no way to pull", hint=f"there are {', '.join(POLICIES)}")
    here = _here(store, text, platform)
    if isinstance(here, ImageNotFound):
        if pull == "never":
            raise here
        return _brought(store, text, here, platform, verify_tls, events)
    if pull in ("missing", "never"):
        return here
    try:
        return _pulled(store, here.name, platform, verify_tls, events)
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
    from lamina.values.platform import Platform

    wanted = Platform(*platform_of(platform)).normalised()
    config = store.image_store.config(had.image)
    has = Platform(config.os, config.architecture, config.variant).normalised()
    return has[:2] == wanted[:2] and wanted.variant in ("", has.variant)


def _brought(
    store: Parts,
    text: str,
    missing: ImageNotFound,
    platform: str | None,
    verify_tls: bool,
    events: Sink,
) -> Had:
    try:
        name = Reference.parse(text).with_default_tag()
    except InvalidReference:
        raise missing from None  # an ID, of which no registry knows
    events(Notice(f"Unable to find image '{name.familiar}' locally"))
    try:
        return _pulled(store, text, platform, verify_tls, events)
    except (ImageNotFound, RegistryError) as error:
        brief = f"{missing.brief}, and it cannot be pulled: {error.brief}"
        raise type(error)(brief, hint=error.hint) from error


def _pulled(store: Parts, text: str, platform: str | None, verify_tls: bool, events: Sink) -> Had:
    from lamina.engine.registries import Registries

    registries = Registries(store, verify_tls=verify_tls)
    name, pulled = registries.search(text, platform_of(platform), events)
    is_plain = name == Reference.parse(text).with_default_tag()
    return Had(pulled.image, text if is_plain else name.familiar)
