"""Properties of EROFS layers: one tree with every other driver, and what GNU tar extracts."""

import io
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lamina.archive import header
from lamina.archive.apply import OVERLAY
from lamina.archive.entry import BLOCK, CHAR, DIR, FIFO, FILE, HARDLINK, SYMLINK, Entry
from lamina.archive.erofs import format as erofs
from lamina.archive.erofs.layer import write_layer
from lamina.archive.erofs.reader import check_image
from lamina.archive.erofs.writer import image_uuid
from lamina.archive.reader import read
from lamina.archive.writer import head, write
from lamina.errors import BadArchive, LaminaError, StoreDamaged
from lamina.fs.erofs import Erofs, mount_image
from lamina.fs.mounting import (
    MountPlan,
    Overlay,
    Stacked,
    attach,
    in_private_namespace,
    open_trees,
)
from lamina.fs.tree import StackedTree
from lamina.testing.facts import facts
from lamina.testing.trees import describe, tar_of
from tests.property.test_archive import applied, layers, paths

pytestmark = pytest.mark.usefixtures("needs_root", "needs_erofs")

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
SLOW = settings(
    max_examples=int(os.environ.get("LAMINA_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

links = st.builds(lambda path, to: f"h {path} -> {to}", paths, paths)
linked = st.lists(st.tuples(layers, st.lists(links, max_size=2)), min_size=1, max_size=2).map(
    lambda pairs: [text + "\n" + "\n".join(more) for texts, more in pairs for text in texts]
)


@SLOW
@given(linked)
@example(["f a/x 1\nf b/x 1", "h c -> a/x\nl a -> b"])
@example(["d a\nf a/x 1\nl b -> a", "w a/x\nf b/y 1", "o a\nh a/q -> b/y"])
def test_an_image_is_what_overlay2_would_have_written(texts):
    """The same members over the same layers: two forms, united by the same kernel, one tree."""
    folder = tempfile.mkdtemp()
    try:
        _compare(folder, texts)
    finally:
        shutil.rmtree(folder)


def _compare(folder, texts):
    uppers, images = [], []
    for number, text in enumerate(texts):
        outcomes = {
            _applied_to_directory(f"{folder}/{number}", text, uppers),
            _applied_to_image(f"{folder}/{number}.image", text, images),
        }
        assert len(outcomes) == 1, (text, outcomes)
        if outcomes == {"refused"}:
            return
    for name in "muw":
        os.mkdir(f"{folder}/{name}")
    upper, work = f"{folder}/u", f"{folder}/w"
    first = Overlay(tuple(reversed(uppers)), upper, work, ())
    second = Stacked(tuple(reversed(images)), upper, work)
    assert _seen(first, f"{folder}/m") == _seen(second, f"{folder}/m")


def _applied_to_directory(upper, text, uppers):
    os.mkdir(upper)
    lower = StackedTree([os.open(each, _DIRECTORY) for each in reversed(uppers)])
    try:
        applied(upper, tar_of(text), lower=lower, form=OVERLAY)
    except BadArchive:
        return "refused"
    finally:
        lower.close()
    uppers.append(upper)
    return "applied"


def _applied_to_image(folder, text, images):
    os.makedirs(f"{folder}/tree")
    lower = StackedTree(open_trees(tuple(reversed(images)))) if images else None
    try:
        write_layer(folder, read(io.BytesIO(tar_of(text))), lower, None)
    except BadArchive:
        return "refused"
    finally:
        if lower is not None:
            lower.close()
    names = [f"{folder}/layer.tar", f"{folder}/layer.data"]
    devices = tuple(name for name in names if os.path.exists(name))
    images.append(Erofs(f"{folder}/layer.erofs", devices, f"{folder}/tree", None))
    return "applied"


def _seen(root, target):
    def look():
        attach(MountPlan(root), target)
        return describe(target), times(target)

    return in_private_namespace(look)


def times(root):
    """The mtime of everything but the root, whose first layer's a directory gets from the clock."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = os.lstat(path).st_mtime_ns
    return found


# --- one layer beside GNU tar -----------------------------------------------------------------

names = st.one_of(
    st.binary(min_size=1, max_size=255),
    st.sampled_from([b"!x", b"+a", b"-b", b"...", b"n" * 255, b"\xff", b"a b", b"\n"]),
).filter(lambda name: name not in (b".", b"..") and not {0, 47} & set(name) and name[:4] != b".wh.")
sizes = st.one_of(
    st.sampled_from([0, 1, 511, 512, 513, 4095, 4096, 4097, 70000]), st.integers(0, 3000)
)
attributes = st.dictionaries(
    st.builds(
        lambda prefix, name: prefix + name,
        st.sampled_from([b"user.", b"trusted."]),
        st.binary(min_size=1, max_size=60).filter(lambda name: not {0, 61} & set(name)),
    ),
    st.binary(max_size=900),
    max_size=3,
).map(lambda found: tuple(sorted(found.items())))
members = st.builds(
    lambda where, name, kind, mode, owner, mtime, size, xattrs, target: (
        where,
        name,
        Entry(b"", kind, mode, *owner, size, mtime, target, 1, 300, xattrs),
    ),
    st.integers(0, 50),
    names,
    st.sampled_from([FILE, FILE, FILE, DIR, DIR, SYMLINK, CHAR, BLOCK, FIFO, HARDLINK]),
    st.integers(0, 0o7777),
    st.tuples(st.integers(0, 2**32 - 2), st.integers(0, 2**32 - 2)),
    st.integers(-(2**31 - 2) * 10**9, 2**33 * 10**9),
    sizes,
    attributes,
    st.one_of(st.binary(min_size=1, max_size=120), st.binary(min_size=300, max_size=2000)).map(
        lambda target: target.replace(b"\0", b"x")
    ),
)


def placed(drawn):
    """The drawn members in the directories that there are, no name twice, folder by folder."""
    folders, found = [b""], {}
    for where, name, entry in drawn:
        folder = folders[where % len(folders)]
        path = folder + b"/" + name if folder else name
        if path in found or len(path) > 3000:
            continue
        found[path] = entry._replace(name=path)
        if entry.kind == DIR:
            folders.append(path)
    files, fitted = [], []
    for path in sorted(found, key=lambda path: path.split(b"/")):
        entry = fitting(found[path], files)
        if entry is not None:
            fitted.append(entry)
            files += [path] if entry.kind != DIR else []
    return fitted


def fitting(entry, files):
    """The member with what its kind can have; a hard link to one of `files`."""
    if entry.kind == HARDLINK:
        if not files:
            return None
        return entry._replace(link=files[entry.size % len(files)], size=0, xattrs=())
    if entry.kind not in (FILE, DIR):
        kept = tuple(pair for pair in entry.xattrs if pair[0].startswith(b"trusted."))
        entry = entry._replace(xattrs=kept)
    if entry.kind not in (CHAR, BLOCK):
        entry = entry._replace(devmajor=0, devminor=0)
    return entry._replace(
        size=entry.size if entry.kind == FILE else 0,
        link=entry.link if entry.kind == SYMLINK else b"",
    )


def body_of(entry):
    """A descriptor of some bytes that no other file of another name has."""
    made = os.memfd_create("body")
    os.write(made, (entry.name * (1 + entry.size // len(entry.name)))[: entry.size])
    os.lseek(made, 0, os.SEEK_SET)
    return made


def packed(entries):
    out = io.BytesIO()
    write(((each, lambda each=each: body_of(each)) for each in entries), out.write)
    return out.getvalue()


@contextmanager
def layer_of(tar, lower=None):
    """The folder of a layer, removed in the end."""
    folder = tempfile.mkdtemp()
    try:
        write_layer(folder, read(io.BytesIO(tar)), lower, None)
        yield folder
    finally:
        shutil.rmtree(folder)


def checked(folder):
    data = f"{folder}/layer.data"
    check_image(
        f"{folder}/layer.erofs", f"{folder}/layer.tar", data if os.path.exists(data) else None
    )


def seen(folder):
    """What the kernel shows of a layer's image."""
    devices = [f"{folder}/{name}" for name in ("layer.tar", "layer.data")]
    found = tuple(each for each in devices if os.path.exists(each))
    mounted = mount_image(f"{folder}/layer.erofs", found).descriptor
    try:
        return facts(f"/proc/self/fd/{mounted}/.")
    finally:
        os.close(mounted)


@SLOW
@given(st.lists(members, max_size=25).map(placed))
@example([Entry(b"d", DIR, 0o755), *(Entry(b"d/%0240d" % n, FILE, 0o644) for n in range(700))])
def test_a_mounted_image_is_what_gnu_tar_extracts(entries):
    root = Entry(b"", DIR, 0o750, 3, 4, 0, 1_234_567_890_123_456_789)
    tar = packed([root, *entries])
    with layer_of(tar) as folder:
        checked(folder)
        os.mkdir(f"{folder}/gnu")
        subprocess.run(
            ["tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", "-"],
            cwd=f"{folder}/gnu",
            input=tar,
            check=True,
            capture_output=True,
        )
        assert seen(folder) == facts(f"{folder}/gnu")
        with open(f"{folder}/layer.tar", "rb") as file:
            assert file.read() == tar


@SLOW
@given(st.lists(members, max_size=12).map(placed), st.randoms(use_true_random=False))
def test_an_image_is_of_the_tree_and_not_of_the_order(entries, random):
    """Files without a body, so that they lie nowhere in the tar."""
    entries = [each._replace(size=0) for each in entries if each.kind != HARDLINK]
    shuffled = sorted(entries, key=lambda each: (each.kind != DIR, random.random()))
    images = []
    for order in (entries, shuffled):
        with layer_of(packed(order)) as folder, open(f"{folder}/layer.erofs", "rb") as file:
            images.append(file.read())
    assert images[0] == images[1]


# --- hostile input ----------------------------------------------------------------------------

hostile = st.builds(
    lambda entry, name, change: entry._replace(name=name, **change),
    members.map(lambda drawn: drawn[2]),
    st.lists(st.sampled_from([b"a", b"b", b"c", b"n" * 300, b".wh.a"]), min_size=1, max_size=3).map(
        b"/".join
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "link": st.sampled_from([b"a", b"a/b", b"", b"/", b"t" * 5000]),
            "xattrs": st.sampled_from(
                [
                    ((b"user.a", b"x" * 70_000),),
                    ((b"bogus", b""),),
                    tuple((b"trusted.%d" % n, b"x" * 60_000) for n in range(6)),
                    ((b"trusted.overlay.opaque", b"y"),),
                ]
            ),
            "devmajor": st.sampled_from([0, 4096, 2**31]),
            "devminor": st.sampled_from([0, 2**20, 2**31]),
            "uid": st.sampled_from([0, 2**32 - 1, 2**40]),
            "mtime_ns": st.sampled_from([0, 2**60 * 10, -(2**60) * 10]),
        },
    ),
)


@SLOW
@given(st.lists(hostile, max_size=10), st.data())
def test_a_hostile_tar_is_refused_or_gives_a_sound_image(entries, data):
    tar = bytearray(b"".join(stored(each) for each in entries) + bytes(1024))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(tar) - 1))
        tar[at] = data.draw(st.integers(0, 255))
        block = at - at % header.BLOCK
        if tar[block + 257 : block + 262] == b"ustar":  # still a header, with the right sum
            tar[block + 148 : block + 156] = b" " * 8
            total = sum(tar[block : block + header.BLOCK])
            tar[block + 148 : block + 156] = b"%06o\0 " % total
    try:
        with layer_of(bytes(tar)) as folder:
            checked(folder)
            seen(folder)
    except LaminaError:
        pass


def stored(entry):
    """A member's header and body, whether or not they make sense."""
    body = bytes(range(256)) * (1 + entry.stored // 256)
    return head(entry) + body[: entry.stored] + bytes(-entry.stored % header.BLOCK)


@SLOW
@given(st.lists(members, min_size=1, max_size=8).map(placed), st.data())
def test_a_damaged_image_is_found_out(entries, data):
    with layer_of(packed(entries)) as folder:
        path = f"{folder}/layer.erofs"
        os.chmod(path, 0o600)
        with open(path, "r+b") as file:
            image = bytearray(file.read())
            at = data.draw(st.integers(0, len(image) - 1))
            image[at] ^= data.draw(st.integers(1, 255))
            file.seek(0)
            file.write(image)
        with pytest.raises(StoreDamaged):
            checked(folder)


@SLOW
@given(st.lists(members, min_size=1, max_size=8).map(placed), st.data())
def test_a_forged_image_is_refused_or_mounts(entries, data):
    """Damage that was sealed again, so that only the structure can give it away."""
    with layer_of(packed(entries)) as folder:
        path = f"{folder}/layer.erofs"
        os.chmod(path, 0o600)
        with open(path, "r+b") as file:
            image = bytearray(file.read())
            for _ in range(data.draw(st.integers(1, 3))):
                at = data.draw(st.integers(erofs.SUPER_AT + erofs.BLOCK, len(image) - 1))
                image[at] ^= data.draw(st.integers(1, 255))
            file.seek(0)
            file.write(image)
            file.flush()
            seal(file.fileno())
        try:
            checked(folder)
        except StoreDamaged:
            return
        try:
            seen(folder)
        except OSError:
            pass  # the kernel may be stricter still; it must not do worse


def seal(descriptor):
    """Give an image the name and the checksum that its bytes have now."""
    block = bytearray(os.pread(descriptor, erofs.BLOCK, erofs.SUPER_AT))
    block[erofs.CHECKSUM_AT : erofs.CHECKSUM_AT + 4] = bytes(4)
    block[erofs.UUID_AT : erofs.UUID_AT + 16] = bytes(16)
    block[erofs.UUID_AT : erofs.UUID_AT + 16] = image_uuid(descriptor, bytes(block))
    checksum = erofs.crc32c(bytes(block)).to_bytes(4, "little")
    block[erofs.CHECKSUM_AT : erofs.CHECKSUM_AT + 4] = checksum
    os.pwrite(descriptor, block, erofs.SUPER_AT)
