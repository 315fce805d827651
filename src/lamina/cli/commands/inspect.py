"""`lamina inspect`."""

import sys

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import document
from lamina.cli.session import engine
from lamina.engine import Engine
from lamina.errors import LaminaError, NotFound
from lamina.views.containers import container_document
from lamina.views.images import image_document

USAGE = Usage(
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "Show everything of images and containers as JSON",
    (
        Flag("format", "f", "FORMAT", "json, or a Go template over each document"),
        Flag("type", "", "TYPE", "image or container"),
        Flag("size", "s", "", "accepted for docker's sake"),
    ),
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Show each that there is; 1 when one is missing."""
    found: list[dict[str, object]] = []
    errors: list[str] = []
    with engine(context) as opened:
        for name in given.operands:
            try:
                found.append(_document(opened, name, given.one("type")))
            except LaminaError as error:
                errors.append(str(error))
    format_ = given.one("format")
    if format_:
        for each in found:
            print(document(each, format_), end="")
    else:
        print(document(found, None), end="")
    for sentence in errors:
        print(f"lamina: {sentence}", file=sys.stderr)
    return 1 if errors else 0


def _document(opened: Engine, name: str, kind: str | None) -> dict[str, object]:
    if kind in (None, "container"):
        try:
            return container_document(opened.containers.get(name), opened.driver.name)
        except NotFound:
            if kind == "container":
                raise
    try:
        return image_document(opened.images.get(name), opened.driver.name)
    except NotFound:
        if kind == "image":
            raise
    raise NotFound(
        f"no such image or container: {name}", hint="see `lamina images`, `lamina ps -a`"
    )
