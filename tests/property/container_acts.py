"""What a container does to its tree, drawn at random, and which of it means one thing everywhere.

A sequence is rehearsed on one flat directory. What that refuses is left out, and so is what
overlayfs is known to do otherwise: a name of a lower file with several names is only ever removed
(with index=off each name is copied up for itself; pinned by a test of its own). What is left,
every driver's tree must take.
"""

import errno
import os
import shutil
import stat
import subprocess

from hypothesis import strategies as st

PATHS = ["a", "b", "c", "a/x", "a/y", "b/x", "b/y", "b/y/z", "a/x/q"]
_paths = st.sampled_from(PATHS)


def _write(path, text):
    with open(path, "w") as file:
        file.write(text)


def _append(path, text):
    with open(path, "a") as file:
        file.write(text)


def _write_back_in_time(path, text):
    """The same time and mostly the same size, so that only the content tells."""
    before = os.stat(path)
    with open(path, "r+") as file:
        file.write(text[: before.st_size])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _remove(path, _):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _make_again(path, _):
    """A directory removed and made anew is opaque to overlayfs; nothing of the old may return."""
    status = os.lstat(path)
    os.listdir(path)  # raises for what is no directory; rmtree would open a FIFO, and wait
    shutil.rmtree(path)
    os.mkdir(path, 0o755)
    os.chmod(path, stat.S_IMODE(status.st_mode))
    _write(f"{path}/x", "again")


def _move(path, other):
    """As mv(1), which copies where rename(2) says EXDEV: a lower directory on overlayfs."""
    try:
        os.rename(path, other)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        subprocess.run(["mv", "-T", path, other], check=True, capture_output=True)


def _unset(path, _):
    for name in os.listxattr(path, follow_symlinks=False):
        os.removexattr(path, name, follow_symlinks=False)


TEXTS = {
    "write": _write,
    "append": _append,
    "write back in time": _write_back_in_time,
    "cut": lambda path, text: os.truncate(path, len(text)),
    "grow": lambda path, text: os.truncate(path, 5000 + len(text)),
    "chmod": lambda path, text: os.chmod(path, (0o711, 0o4755, 0o1777, 0o600)[len(text) % 4]),
    "chown": lambda path, text: os.lchown(path, 7, 8 + len(text)),
    "attribute": lambda path, text: os.setxattr(
        path, "trusted.x", text.encode(), follow_symlinks=False
    ),
    "symlink": lambda path, text: os.symlink(text or "a", path),
}
ALONE = {
    "remove": _remove,
    "make again": _make_again,
    "mkdir": lambda path, _: os.mkdir(path, 0o755),
    "fifo": lambda path, _: os.mkfifo(path, 0o640),
    "device": lambda path, _: os.mknod(path, stat.S_IFCHR | 0o620, os.makedev(1, 3)),
    "socket": lambda path, _: os.mknod(path, stat.S_IFSOCK | 0o600),
    "no attributes": _unset,
}
PAIRS = {
    "move": _move,
    "link": lambda path, other: os.link(path, other, follow_symlinks=False),
}
ACTS = {**TEXTS, **ALONE, **PAIRS}
_FOLLOWING = ("write", "append", "write back in time", "cut", "grow", "chmod")  # a link at the end
_WRITING = _FOLLOWING[:-1]
_COPIES_UP = ("link", "attribute", "no attributes", "chmod", "chown", "move")
_TEXT = st.sampled_from(["", "1", "22", "/b", "a longer text"])

acts = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(sorted(TEXTS)), _paths, _TEXT),
        st.tuples(st.sampled_from(sorted(ALONE)), _paths, st.just("")),
        st.tuples(st.sampled_from(sorted(PAIRS)), _paths, _paths),
    ),
    max_size=10,
)


def perform(root, act):
    """One act in the tree at `root`."""
    name, path, other = act
    ACTS[name](f"{root}/{path}", f"{root}/{other}" if name in PAIRS else other)


def rehearsed(root, chosen, *, plain=False):
    """The acts that the flat tree at `root` takes; they are done to it.

    When `plain`, only regular files and directories get second names and other metadata, no FIFO
    and no device is moved, and no directory that stands where another thing was removed:
    fuse-overlayfs 1.10 shows the lower one again once the one above it is moved away.
    """
    gone: set[str] = set()
    shared = {
        status.st_ino
        for status in map(os.lstat, _everything(root))
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)
    }
    taken = []
    for act in chosen:
        if plain and not _is_plain(f"{root}/{act[1]}", act[0]):
            continue
        if plain and act[0] == "move" and any(_within(each, act[1]) for each in gone):
            continue
        if not _stays_inside(root, act) or _is_left_out(root, act, shared):
            continue
        try:
            perform(root, act)
        except (OSError, subprocess.CalledProcessError):
            continue
        taken.append(act)
        if act[0] in ("remove", "make again", "move"):
            gone.add(act[1])
    return taken


def _within(path, folder):
    return path == folder or path.startswith(f"{folder}/")


def _is_plain(path, act):
    """Whether an act copies up nothing but regular files and directories (moving: and links)."""
    if act not in _COPIES_UP or not os.path.lexists(path):
        return True
    moved = _everything(path) if act == "move" and not os.path.islink(path) else []
    kinds = {stat.S_IFMT(os.lstat(each).st_mode) for each in (path, *moved)}
    return kinds <= {stat.S_IFREG, stat.S_IFDIR, *([stat.S_IFLNK] if act == "move" else [])}


def _everything(root):
    return [
        os.path.join(folder, name)
        for folder, folders, files in os.walk(root)
        for name in [*folders, *files]
    ]


def _stays_inside(root, act):
    """Whether its paths stay in the tree for us, who are not confined to it as a container is."""
    name, path, other = act
    places = [path if name in _FOLLOWING else os.path.dirname(path)]
    if name in PAIRS:
        places.append(os.path.dirname(other))
    top = f"{os.path.realpath(root)}/"
    return all(f"{os.path.realpath(f'{root}/{place}')}/".startswith(top) for place in places)


def _is_left_out(root, act, shared):
    """Whether it would hang, or does more than remove a name of a file that has others below."""
    name, path, _ = act
    place = f"{root}/{path}"
    if name in ("remove", "make again"):
        return False
    if name == "move" and os.path.isdir(place) and not os.path.islink(place):
        return _has_names_elsewhere(place) or any(
            os.lstat(each).st_ino in shared for each in _everything(place)
        )
    try:
        status = os.stat(place) if name in _FOLLOWING else os.lstat(place)
    except OSError:
        return False
    if name in _WRITING and not stat.S_ISREG(status.st_mode):
        return True  # a FIFO would wait for a reader
    return status.st_ino in shared


def _has_names_elsewhere(folder):
    """A directory that is copied takes a file out of the company of its names outside."""
    inside = {}
    for each in _everything(folder):
        status = os.lstat(each)
        if not stat.S_ISDIR(status.st_mode):
            count, _ = inside.get(status.st_ino, (0, 0))
            inside[status.st_ino] = (count + 1, status.st_nlink)
    return any(count != links for count, links in inside.values())
