"""A tiny language for file trees: one line per entry, to state a layer and to compare trees.

    d usr/lib                   a directory              (755 0:0 unless said)
    f etc/hosts "text" 600 1:2  a regular file, mode and owner
    l bin/sh -> busybox         a symbolic link
    h etc/b -> etc/a            a hard link
    c dev/null 1:3              a character device       p run/fifo  a FIFO
    w etc/old                   a whiteout               o etc       an opaque marker

`tar_of` makes the lines into a tar with Python's own tarfile, which knows nothing of ours;
`describe` says what a real directory holds in the same lines, sorted; a socket, which no tar can
hold, as `s run/socket`.
"""

import io
import os
import shlex
import stat
import tarfile
from collections.abc import Iterator

_TIME = 1_000_000_000


def tar_of(text: str, *, mtime: float = _TIME) -> bytes:
    """The tar of the entries that `text` states, in its order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for line in _lines(text):
            info, body = _member(line)
            info.mtime = mtime
            archive.addfile(info, io.BytesIO(body))
    return out.getvalue()


def _lines(text: str) -> Iterator[str]:
    return (line.strip() for line in text.strip().splitlines() if line.strip())


def _member(line: str) -> tuple[tarfile.TarInfo, bytes]:
    kind, name, *words = shlex.split(line)
    info = tarfile.TarInfo(name)
    info.mode = 0o755 if kind == "d" else 0o644
    body = b""
    if kind in "lh":
        info.type = tarfile.SYMTYPE if kind == "l" else tarfile.LNKTYPE
        info.linkname = words[1]
        words = words[2:]
    elif kind == "f":
        body = words[0].encode() if words else b""
        words = words[1:]
    elif kind == "c":
        info.type = tarfile.CHRTYPE
        info.devmajor, info.devminor = (int(part) for part in words[0].split(":"))
        words = words[1:]
    else:
        info.type, info.name = _special(kind, name)
    info.size = len(body)
    _attributes(info, words)
    return info, body


def _special(kind: str, name: str) -> tuple[bytes, str]:
    folder, _, base = name.rpartition("/")
    prefix = f"{folder}/" if folder else ""
    return {
        "d": (tarfile.DIRTYPE, name),
        "p": (tarfile.FIFOTYPE, name),
        "w": (tarfile.REGTYPE, f"{prefix}.wh.{base}"),
        "o": (tarfile.REGTYPE, f"{name}/.wh..wh..opq" if name != "." else ".wh..wh..opq"),
    }[kind]


def _attributes(info: tarfile.TarInfo, words: list[str]) -> None:
    for word in words:
        if ":" in word:
            info.uid, info.gid = (int(part) for part in word.split(":"))
        else:
            info.mode = int(word, 8)


def describe(root: str) -> list[str]:
    """What the directory `root` holds, in the language, sorted by path; the root itself not."""
    lines = []
    links: dict[tuple[int, int], str] = {}
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = os.path.join(folder, name)
            lines.append(_line(path, os.path.relpath(path, root), links))
    return sorted(lines, key=lambda line: line.split()[1])


def _line(path: str, name: str, links: dict[tuple[int, int], str]) -> str:
    status = os.lstat(path)
    tail = f"{stat.S_IMODE(status.st_mode):o} {status.st_uid}:{status.st_gid}"
    if stat.S_ISLNK(status.st_mode):
        return f"l {name} -> {os.readlink(path)}"
    if stat.S_ISDIR(status.st_mode):
        return f"d {name} {tail}"
    first = links.setdefault((status.st_dev, status.st_ino), name)
    if first != name and status.st_nlink > 1:
        return f"h {name} -> {first}"
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            text = file.read().decode("utf-8", "surrogateescape")
        return f"f {name} {shlex.quote(text)} {tail}"
    if stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode):
        return f"{'p' if stat.S_ISFIFO(status.st_mode) else 's'} {name} {tail}"
    device = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return f"c {name} {device} {tail}"
