"""Files of an image, and what became of them layer by layer, as rows."""

import stat
from collections.abc import Sequence

from lamina.analyze.find import Found, Seen, Taken
from lamina.analyze.instruction import Step
from lamina.analyze.listing import FileFacts
from lamina.analyze.paths import readable
from lamina.spec.imageconfig import format_time
from lamina.values.size import human

Document = dict[str, object]


def file_rows(files: Sequence[FileFacts]) -> list[Document]:
    """One row a file, as `ls -l` has them; `Name` is the last part of `Path`."""
    return [_file(each) for each in files]


def _file(file: FileFacts) -> Document:
    path = readable(file.path)
    numbers = f"{file.device[0]}, {file.device[1]}" if file.device is not None else ""
    link = f" -> {readable(file.link)[1:]}" if file.link else ""
    return {
        "Path": path,
        "Name": path.rpartition("/")[2],
        "Shown": path.rpartition("/")[2] + link,
        "Mode": stat.filemode(file.mode),
        "Links": file.names,
        "Uid": file.uid,
        "Gid": file.gid,
        "Size": file.size,
        "SizeOrDevice": numbers or ("-" if stat.S_ISDIR(file.mode) else str(file.size)),
        "Modified": _time(file.mtime_ns),
        "Target": readable(file.link)[1:] if file.link else "",
    }


def _time(nanoseconds: int) -> str:
    return format_time(nanoseconds // 1_000_000_000)


def found_document(found: Found, steps: Sequence[Step]) -> Document:
    """A path with every layer that had to do with it; layers are counted from 1."""
    return {
        "Path": readable(found.path),
        "Present": found.present,
        "Versions": [_version(each, steps) for each in found.versions],
    }


def _version(seen: Seen, steps: Sequence[Step]) -> Document:
    """The layer below all of them, number 0, is the empty root."""
    step = steps[seen.layer] if seen.layer >= 0 else Step("", "")
    return {
        "Layer": seen.layer + 1,
        "CreatedBy": f"{step.verb} {step.text}".strip(),
        "Change": seen.change,
        "Kind": seen.kind,
        "Mode": f"{seen.mode:04o}" if seen.kind else "",
        "Uid": seen.uid,
        "Gid": seen.gid,
        "Size": seen.size,
        "Modified": _time(seen.mtime_ns) if seen.kind else "",
        "Target": readable(seen.link)[1:] if seen.link else "",
        "Digest": f"sha256:{seen.digest}" if seen.digest else "",
    }


def taken_rows(taken: Sequence[Taken], *, exact: bool) -> list[Document]:
    """What directories take up; with `exact` in bytes."""
    return [
        {
            "Path": readable(each.path),
            "Size": str(each.size) if exact else human(each.size, 4),
            "Bytes": each.size,
            "Entries": each.entries,
        }
        for each in taken
    ]
