"""The report's page: images in the order given. The same images give the same bytes."""

from collections.abc import Sequence

from lamina.analyze.portrait import Portrait
from lamina.views.report import growth, image, strata
from lamina.views.report.colours import colours
from lamina.views.report.markup import name, share, size, text
from lamina.views.report.shell import figures, whole


def page(portraits: Sequence[Portrait]) -> str:
    """The report of images, in the order given, at least one."""
    colour = colours(portraits)
    title = ", ".join(each.name for each in portraits[:3])
    title += f" and {len(portraits) - 3} more" if len(portraits) > 3 else ""
    body = [strata.section(portraits, colour)]
    if len(portraits) > 1:
        body.append(growth.section(portraits, colour))
    body += [image.section(number, each, colour) for number, each in enumerate(portraits)]
    return whole(f"{title}: where the bytes are", _header(title, portraits), body, "program.js")


def _header(title: str, portraits: Sequence[Portrait]) -> str:
    counted = strata.shared(portraits)
    stored, wasted = counted.stored_bytes, strata.hidden(portraits)
    several = len(portraits) > 1
    shown = [
        ("Stored", size(stored), f"in {counted.stored} layers"),
        ("Seen", size(stored - wasted), text(share(stored - wasted, stored))),
        ("Wasted", size(wasted), f"{text(share(wasted, stored))}, seen in no image"),
    ]
    if several:
        saved = text(f"by sharing {counted.asked - counted.stored} of {counted.asked} layers")
        shown.append(("Saved", size(counted.saved_bytes), saved))
    links = f'<nav aria-label="Images">{_links(portraits)}</nav>' if several else ""
    return (
        f'<header><p class="brand">Where the bytes are</p><h1>{name(title)}</h1>'
        f"{figures(shown)}{links}</header>"
    )


def _links(portraits: Sequence[Portrait]) -> str:
    return "".join(
        f'<a href="#image{number}">{name(each.name)}</a>' for number, each in enumerate(portraits)
    )
