"""Places whose files an image can do without: package caches, leftovers, what only builds need.

A table, matched by directories: exact paths from the root, or the end of a path where the place
lies in a home. Paths are those of the tools' own documentation. Knows names; looks at nothing.
"""

import re
from typing import Literal, NamedTuple

Need = Literal["cache", "build-tool"]


class Place(NamedTuple):
    """A kind of place, and what to do about it in one clause."""

    need: Need
    title: str
    repair: str


_MOUNT = "or keep it out of the image with RUN --mount=type=cache,target="
_APT_LISTS = Place(
    "cache",
    "apt's package lists",
    "end the RUN that updates them with `&& rm -rf /var/lib/apt/lists/*`",
)
_APT = Place(
    "cache",
    "apt's package cache",
    f"end that RUN with `&& apt-get clean`, {_MOUNT}/var/cache/apt",
)
_APK = Place("cache", "apk's cache", "use `apk add --no-cache`")
_YUM = Place("cache", "yum's and dnf's cache", "end that RUN with `&& dnf clean all`")
_PIP = Place("cache", "pip's cache", f"use `pip install --no-cache-dir`, {_MOUNT}/root/.cache/pip")
_NPM = Place(
    "cache",
    "npm's cache",
    f"end that RUN with `&& npm cache clean --force`, {_MOUNT}/root/.npm",
)
_YARN = Place("cache", "yarn's cache", "end that RUN with `&& yarn cache clean`")
_GO = Place("cache", "Go's build and module cache", "build in a stage that is left behind")
_CARGO = Place("cache", "cargo's registry", "build in a stage that is left behind")
_CONDA = Place("cache", "conda's package cache", "end that RUN with `&& conda clean -afy`")
_OTHER = Place("cache", "a program's cache", "remove it in the RUN that makes it")
_TEMPORARY = Place("cache", "temporary files", "remove them in the RUN that makes them")
_TOOLS = Place(
    "build-tool",
    "compilers and headers",
    "build in a stage of its own and COPY --from it only what runs",
)

_EXACT = {
    b"var/lib/apt/lists": _APT_LISTS,
    b"var/cache/apt": _APT,
    b"var/cache/apk": _APK,
    b"etc/apk/cache": _APK,
    b"var/cache/yum": _YUM,
    b"var/cache/dnf": _YUM,
    b"var/cache/libdnf5": _YUM,
    b"usr/local/share/.cache/yarn": _YARN,
    b"go/pkg/mod/cache": _GO,
    b"usr/local/cargo/registry": _CARGO,
    b"opt/conda/pkgs": _CONDA,
    b"tmp": _TEMPORARY,
    b"var/tmp": _TEMPORARY,
    b"usr/include": _TOOLS,
    b"usr/lib/gcc": _TOOLS,
    b"usr/libexec/gcc": _TOOLS,
    b"usr/local/go": _TOOLS,
    b"usr/local/rustup": _TOOLS,
}
_IN_HOMES = {
    b".cache": _OTHER,
    b".cache/pip": _PIP,
    b".cache/uv": _PIP,
    b".npm/_cacache": _NPM,
    b".cache/yarn": _YARN,
    b".cache/go-build": _GO,
    b"go/pkg/mod": _GO,
    b".cargo/registry": _CARGO,
}
_HOME = re.compile(rb"(?:root|home/[^/]+)/(.+)", re.DOTALL)
_PROGRAM = re.compile(
    rb"usr/bin/(?:[\w-]+-linux-\w+-)?"
    rb"(?:gcc|g\+\+|c\+\+|cpp|clang|clang\+\+|ld|ld\.bfd|ld\.gold|as|dwp|gdb|make|cmake|lto-dump)(?:-\d+)?"
)


def directory(path: bytes, above: Place | None) -> Place | None:
    """The place that a directory is, or lies in (`above`)."""
    found = _EXACT.get(path)
    if found is None and path.startswith((b"root/", b"home/")):
        inside = _HOME.fullmatch(path)
        found = _IN_HOMES.get(inside[1]) if inside is not None else None
    return found or above


def program(path: bytes) -> Place | None:
    """The place that a file in `usr/bin` stands for by its name."""
    return _TOOLS if _PROGRAM.fullmatch(path) else None
