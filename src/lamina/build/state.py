"""What a stage is at one point of its Dockerfile: config, variables, chain and history.

A value: every instruction gives a new state. Config documents are patched as JSON, so that what
Lamina does not know of a base image survives. Nothing here reads a file or a clock; times are
filled in when the image is finished (`lamina.build.image`).
"""

import posixpath
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lamina.images import edit
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.strictjson import Json
from lamina.values.digest import ChainID, DiffID

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")
COMMENT = "buildkit.dockerfile.v0"


class Line(NamedTuple):
    """One new line of history; `created` in seconds since the epoch, None for config edits."""

    created_by: str
    created: float | None
    empty: bool


class State(NamedTuple):
    """One stage between two instructions.

    `variables` are what RUN and expansion see: ENV and ARG in the order they were first set.
    `arguments` are the ARGs in scope that have a value. `lines` is the history made here, on
    top of that of the base, which `document` still holds. The next step stands on `chain`, which is
    that of `diff_ids`.
    """

    document: Mapping[str, Json]
    config: Mapping[str, Json]
    variables: tuple[tuple[str, str], ...]
    arguments: tuple[tuple[str, str], ...] = ()
    diff_ids: tuple[DiffID, ...] = ()
    lines: tuple[Line, ...] = ()
    command_set: bool = False
    chain: ChainID | None = None

    @property
    def own_layers(self) -> int:
        """How many of its layers, the topmost, are not of the base."""
        return sum(1 for line in self.lines if not line.empty)

    @property
    def told(self) -> tuple[str, ...]:
        """The commands that its history tells, those of the base first."""
        before = self.document.get("history")
        lines = before if isinstance(before, list) else []
        return (
            *(_text(line, "created_by") for line in lines if isinstance(line, dict)),
            *(line.created_by for line in self.lines),
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables that expansion sees."""
        return dict(self.variables)

    @property
    def workdir(self) -> str:
        """The working directory, absolute."""
        return _text(self.config, "WorkingDir") or "/"

    @property
    def user(self) -> str:
        """The user as written; empty for root."""
        return _text(self.config, "User")

    @property
    def shell(self) -> tuple[str, ...]:
        """What runs shell-form commands."""
        return _texts(self.config, "Shell") or DEFAULT_SHELL

    @property
    def has_own_shell(self) -> bool:
        """Whether SHELL was set."""
        return bool(_texts(self.config, "Shell"))

    # --- where a stage begins -----------------------------------------------------------

    @classmethod
    def scratch(cls, *, os_name: str, architecture: str, variant: str = "") -> "State":
        """An empty image for that platform."""
        document: dict[str, Json] = {"architecture": architecture, "os": os_name}
        if variant:
            document["variant"] = variant
        return cls(document, {"WorkingDir": "/"}, ())._with_path()

    @classmethod
    def over(cls, image: ImageConfig) -> "State":
        """A stage that begins with an image; its triggers are taken out (they run by plan)."""
        document = edit.as_base(image.document)
        config = dict(document.get("config") or {})  # type: ignore[arg-type]
        config.pop("OnBuild", None)
        variables = tuple(_pair(item) for item in image.config.env or ())
        return cls(
            document, config, variables, diff_ids=image.diff_ids, chain=image.top_chain
        )._with_path()

    def continued(self) -> "State":
        """A stage that begins with this one: all of it, but CMD counts as inherited."""
        config = {key: value for key, value in self.config.items() if key != "OnBuild"}
        return self._replace(config=config, command_set=False)

    def _with_path(self) -> "State":
        if "PATH" in self.environment:
            return self
        return self.with_env([("PATH", DEFAULT_PATH)])

    # --- variables ----------------------------------------------------------------------

    def with_env(self, pairs: Iterable[tuple[str, str]]) -> "State":
        """ENV: set in the image, and for what follows."""
        pairs = list(pairs)
        image = dict(_pair(item) for item in _texts(self.config, "Env"))
        image.update(pairs)
        env: list[Json] = [f"{key}={value}" for key, value in image.items()]
        return self.edited(Env=env)._replace(variables=_set(self.variables, pairs))

    def with_argument(self, name: str, value: str) -> "State":
        """ARG with a value: for what follows in this stage, not in the image."""
        return self._replace(
            variables=_set(self.variables, [(name, value)]),
            arguments=_set(self.arguments, [(name, value)]),
        )

    # --- the config ---------------------------------------------------------------------

    def edited(self, **fields: Json) -> "State":
        """Set fields of the config; None takes one away."""
        config = {**self.config, **fields}
        return self._replace(
            config={key: value for key, value in config.items() if value is not None}
        )

    def with_labels(self, pairs: Iterable[tuple[str, str]]) -> "State":
        """LABEL: merged with those of the base."""
        pairs = list(pairs)
        if not pairs:
            return self
        return self.edited(Labels={**_mapping(self.config, "Labels"), **dict(pairs)})

    def with_keys(self, field: str, names: Iterable[str]) -> "State":
        """EXPOSE and VOLUME: names added to a set-like object."""
        added: dict[str, Json] = {name: {} for name in names}
        if not added:
            return self
        return self.edited(**{field: {**_mapping(self.config, field), **added}})

    def with_command(self, argv: list[Json]) -> "State":
        """CMD; an empty list clears it."""
        return self.edited(Cmd=argv or None)._replace(command_set=True)

    def with_entrypoint(self, argv: list[Json]) -> "State":
        """ENTRYPOINT: a CMD that this stage did not set itself is cleared."""
        state = self if self.command_set else self.edited(Cmd=None)
        return state.edited(Entrypoint=argv or None)

    def with_trigger(self, text: str) -> "State":
        """ONBUILD."""
        return self.edited(OnBuild=[*_texts(self.config, "OnBuild"), text])

    def with_author(self, name: str) -> "State":
        """MAINTAINER."""
        return self._replace(document={**self.document, "author": name})

    # --- layers and history -------------------------------------------------------------

    def noted(self, created_by: str) -> "State":
        """A line of history for an instruction that makes no layer."""
        return self._replace(lines=(*self.lines, Line(created_by, None, True)))

    def stacked(self, created_by: str, diff_id: DiffID | None, created: float) -> "State":
        """The result of a step: a layer, or (None) no change, made at `created`."""
        lines = (*self.lines, Line(created_by, created, diff_id is None))
        if diff_id is None:
            return self._replace(lines=lines)
        chain = ChainID.extend(self.chain, diff_id)
        return self._replace(diff_ids=(*self.diff_ids, diff_id), lines=lines, chain=chain)

    def absolute(self, path: str) -> str:
        """A path as the stage sees it: relative ones start at the working directory.

        A trailing slash, which makes a destination a directory, is kept.
        """
        joined = posixpath.join(self.workdir, path)
        ends = path.endswith("/") or path.rpartition("/")[2] in ("", ".", "..")
        clean = posixpath.normpath("/" + joined.lstrip("/"))
        return clean + "/" if ends and clean != "/" else clean


def _set(
    known: tuple[tuple[str, str], ...], pairs: Iterable[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """Later values replace earlier ones in their place; new names come last."""
    merged = dict(known)
    merged.update(pairs)
    return tuple(merged.items())


def _pair(item: str) -> tuple[str, str]:
    key, _, value = item.partition("=")
    return key, value


def _text(config: Mapping[str, Json], key: str) -> str:
    value = config.get(key)
    return value if isinstance(value, str) else ""


def _texts(config: Mapping[str, Json], key: str) -> tuple[str, ...]:
    value = config.get(key)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _mapping(config: Mapping[str, Json], key: str) -> dict[str, Json]:
    value = config.get(key)
    return dict(value) if isinstance(value, dict) else {}
