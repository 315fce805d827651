"""`build --call`: what a Dockerfile tells without being built, for people or (`format=json`) in the
documents that BuildKit's frontend gives.

https://github.com/moby/buildkit/tree/master/frontend/subrequests
"""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from lamina.cli.buildflags import Call, request_of
from lamina.cli.cells import harmless
from lamina.cli.flags import Parsed
from lamina.engine.engine import Engine
from lamina.spec.strictjson import Json

if TYPE_CHECKING:  # each call loads what it asks for
    from lamina.build import BuildRequest
    from lamina.build.outline import Needed, Outline
    from lamina.dockerfile.lint import Checked, Warned
    from lamina.dockerfile.position import Position
    from lamina.dockerfile.targets import Goal, Goals
    from lamina.errors import DockerfileError


def called(opened: Engine, given: Parsed, call: Call) -> int:
    """Show what is called for; gives the exit status. Raises `DockerfileError`."""
    request = request_of(given, (), stored=True, kept=False)
    return _CALLS[call.what](opened, request, call)


def _check(opened: Engine, request: "BuildRequest", call: Call) -> int:
    """1 when there is anything to be said, as docker."""
    from lamina.cli.checks import shown

    checked = opened.images.check(request)
    print(_dumped(_of_check(checked)) if call.is_json else shown(checked), end="")
    if checked.error is not None:
        raise checked.error
    return 1 if checked.warnings and not call.ignores_status else 0


def _targets(opened: Engine, request: "BuildRequest", call: Call) -> int:
    """The stages, as docker lists them; in a table only those that a `--target` can name."""
    found = opened.images.targets(request)
    if call.is_json:
        print(_dumped(_of_targets(found)), end="")
        return 0
    shown = [each for each in found.stages if each.name or each.is_default]
    _table(
        2,
        ("TARGET", "DESCRIPTION"),
        [(" ".join(filter(None, (each.name, _default(each)))), each.description) for each in shown],
    )
    return 0


def _outline(opened: Engine, request: "BuildRequest", call: Call) -> int:
    found = opened.images.outline(request)
    if call.is_json:
        print(_dumped(_of_outline(found)), end="")
        return 0
    if found.name or found.description:
        said = [("DESCRIPTION:", found.description)] if found.description else []
        _table(1, ("TARGET:", found.name or "(default)"), said)
        print()
    arguments = [(each.name, each.value, each.description) for each in found.arguments]
    _titled(("BUILD ARG", "VALUE", "DESCRIPTION"), arguments)
    _titled(("SECRET", "REQUIRED"), map(_needed, found.secrets))
    _titled(("SSH", "REQUIRED"), map(_needed, found.agents))
    return 0


_CALLS: dict[str, Callable[[Engine, "BuildRequest", Call], int]] = {
    "check": _check,
    "outline": _outline,
    "targets": _targets,
}


def _default(goal: "Goal") -> str:
    return "(default)" if goal.is_default else ""


def _needed(each: "Needed") -> tuple[str, str]:
    return each.name, "true" if each.is_required else ""


def _titled(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """A table and an empty line; nothing where it has no rows."""
    shown = list(rows)
    if shown:
        _table(3, titles, shown)
        print()


def _table(gap: int, titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    shown = [tuple(map(harmless, row)) for row in (titles, *rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = (f"{cell:<{width + gap}}" for cell, width in zip(row, widths, strict=True))
        print("".join(cells).rstrip())


# --- as documents -----------------------------------------------------------------------


def _dumped(document: dict[str, Json]) -> str:
    return json.dumps(document, indent=2) + "\n"


def _of_outline(found: "Outline") -> dict[str, Json]:
    arguments: list[Json] = [
        _said(
            {"name": each.name, "description": each.description, "value": each.value},
            each.position,
        )
        for each in found.arguments
    ]
    document: dict[str, Json] = {
        "name": found.name,
        "description": found.description,
        "args": arguments,
        "secrets": [_of_needed(each) for each in found.secrets],
        "ssh": [_of_needed(each) for each in found.agents],
        "sources": [_source(found.text)],
    }
    return {key: value for key, value in document.items() if value}


def _of_needed(each: "Needed") -> Json:
    return _said({"name": each.name, "required": each.is_required}, each.position)


def _of_targets(found: "Goals") -> dict[str, Json]:
    stages: list[Json] = [
        _said(
            {
                "name": each.name,
                "default": each.is_default,
                "description": each.description,
                "base": each.base,
                "platform": each.platform,
            },
            each.position,
        )
        for each in found.stages
    ]
    return {"targets": stages, "sources": [_source(found.text)]}


def _of_check(checked: "Checked") -> dict[str, Json]:
    source: dict[str, Json] = {
        "filename": checked.filename,
        "language": "Dockerfile",
        "data": _source(checked.text),
    }
    document: dict[str, Json] = {
        "warnings": [_of_warning(each) for each in checked.warnings],
        "sources": [source],
    }
    if checked.error is not None:
        document["buildError"] = _of_error(checked.error)
    return document


def _of_warning(each: "Warned") -> Json:
    return _said({"ruleName": each.rule, "url": each.url, "detail": each.detail}, each.position)


def _of_error(error: "DockerfileError") -> Json:
    return {"message": error.brief, "location": _ranges([error.line] if error.line else [])}


def _said(fields: dict[str, Json], position: "Position | None") -> dict[str, Json]:
    """The fields that say anything, and where it stands."""
    document: dict[str, Json] = {key: value for key, value in fields.items() if value}
    if position is not None:
        document["location"] = _ranges(range(position.first, position.last + 1))
    return document


def _ranges(lines: Iterable[int]) -> dict[str, Json]:
    """Lines as BuildKit tells them: each is a range of its own."""
    ranges: list[Json] = [{"start": {"line": line}, "end": {"line": line}} for line in lines]
    return {"ranges": ranges}


def _source(text: str) -> str:
    return b64encode(text.encode()).decode()
