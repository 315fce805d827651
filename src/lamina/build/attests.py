"""What `--attest` and its short forms ask to be said of an image, as a value. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from lamina.build.provenance import BUILDER, MAX, MIN
from lamina.errors import UsageError

PROVENANCE, SBOM = "provenance", "sbom"
_OPTIONS = {
    PROVENANCE: ("mode", "builder-id", "version", "reproducible"),
    SBOM: ("generator",),
}
_YES, _NO = ("true", "1", ""), ("false", "0")


class Attests(NamedTuple):
    """Whether provenance is wanted, in which `mode` ("": none) and by whom; and an SBOM."""

    mode: str = ""
    builder: str = BUILDER
    sbom: bool = False

    @property
    def kinds(self) -> frozenset[str]:
        """What is wanted, by its kinds."""
        return frozenset(
            kind for kind, is_so in ((PROVENANCE, self.mode), (SBOM, self.sbom)) if is_so
        )


def parse_attests(
    texts: Sequence[str], provenance: str | None = None, sbom: str | None = None
) -> Attests:
    """`type=provenance,mode=max`, `type=sbom`, and what the short forms hold (None: not said).

    Of two of a kind the later counts. Raises `UsageError`.
    """
    short = ((PROVENANCE, provenance), (SBOM, sbom))
    wanted = Attests()
    for option, fields in [
        *((f"--attest {text!r}", _fields(text, f"--attest {text!r}")) for text in texts),
        *((f"--{kind}={text}", _of_short(kind, text)) for kind, text in short if text is not None),
    ]:
        wanted = _with(wanted, option, fields)
    return wanted


def _of_short(kind: str, text: str) -> dict[str, str]:
    if text.lower() in _YES:
        return {"type": kind}
    if text.lower() in _NO:
        return {"type": kind, "disabled": "true"}
    return {"type": kind, **_fields(text, f"--{kind}={text}")}


def _fields(text: str, option: str) -> dict[str, str]:
    fields = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"{option}: {part!r} is not KEY=VALUE")
        fields[key.strip().lower()] = value
    return fields


def _with(wanted: Attests, option: str, fields: dict[str, str]) -> Attests:
    kind = fields.pop("type", "")
    if kind not in _OPTIONS:
        known = " or ".join(_OPTIONS)
        raise UsageError(f"{option}: there is no type {kind!r}", hint=f"it is {known}")
    is_wanted = fields.pop("disabled", "false").lower() not in _YES
    for key in fields:
        if key not in _OPTIONS[kind]:
            hint = f"it has {', '.join(_OPTIONS[kind])}"
            raise UsageError(f"{option} has an unknown field {key!r}", hint=hint)
    if kind == SBOM:
        return _with_sbom(wanted, option, fields, is_wanted=is_wanted)
    mode = fields.get("mode", MIN).replace("full", MAX)
    if mode not in (MIN, MAX):
        raise UsageError(f"{option}: there is no mode {mode!r}", hint="it is min or max")
    if fields.get("version", "v1") != "v1":
        raise UsageError(f"{option}: the provenance is SLSA v1", hint="leave out version=")
    builder = fields.get("builder-id", BUILDER)
    return wanted._replace(mode=mode if is_wanted else "", builder=builder)


def _with_sbom(wanted: Attests, option: str, fields: dict[str, str], *, is_wanted: bool) -> Attests:
    if fields.get("generator"):
        raise UsageError(
            f"{option}: the SBOM is made here, and no generator is run",
            hint="`lamina sbom attach` keeps one that another program made",
        )
    return wanted._replace(sbom=is_wanted)
