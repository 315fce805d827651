import errno
import os

import pytest

from lamina.fs.mounting import in_private_namespace
from lamina.kernel import mount
from lamina.kernel.mountinfo import mounts, parse

pytestmark = pytest.mark.usefixtures("needs_mounts")


def _tmpfs(*options: tuple[str, str]) -> int:
    context = mount.fsopen("tmpfs")
    try:
        for key, value in options:
            mount.fsconfig_string(context, key, value)
        mount.fsconfig_create(context)
        return mount.fsmount(context, mount.MOUNT_ATTR_RDONLY)
    finally:
        os.close(context)


def test_a_detached_mount_is_in_no_table_and_ends_with_its_descriptor():
    before = mounts()
    made = _tmpfs(("size", "64k"))
    assert mounts() == before
    assert os.listdir(f"/proc/self/fd/{made}") == []
    assert not os.get_inheritable(made)
    os.close(made)


@pytest.mark.parametrize("by", ["path", "descriptor"])
def test_a_detached_mount_can_be_attached(tmp_path, by):
    def work() -> list[bytes]:
        place = os.open(tmp_path, os.O_PATH)
        made = _tmpfs()
        if by == "path":
            mount.move_mount(made, str(tmp_path))
        else:
            mount.move_mount_to(made, place)
        os.close(made)
        os.close(place)
        attached = [each.target for each in mounts() if each.target == bytes(tmp_path)]
        mount.umount(str(tmp_path))
        assert bytes(tmp_path) not in [each.target for each in mounts()]
        return attached

    assert in_private_namespace(work) == [bytes(tmp_path)]


def test_the_kernels_own_words_are_in_the_error():
    with pytest.raises(OSError) as caught:
        _tmpfs(("nonesuch", "1"))
    assert caught.value.errno == errno.EINVAL
    assert "Unknown parameter 'nonesuch'" in str(caught.value.strerror)
    assert caught.value.strerror.startswith("fsconfig nonesuch: Invalid argument (")


def test_words_are_given_once():
    context = mount.fsopen("tmpfs")
    with pytest.raises(OSError):
        mount.fsconfig_string(context, "nonesuch", "1")
    assert mount.context_log(context) == ""
    os.close(context)


def test_an_unknown_file_system():
    with pytest.raises(OSError) as caught:
        mount.fsopen("nonesuch")
    assert (caught.value.errno, caught.value.filename) == (errno.ENODEV, "nonesuch")


@pytest.mark.parametrize(("length", "refused"), [(4094, False), (4095, True), (5000, True)])
def test_options_that_the_kernel_would_cut_never_reach_it(tmp_path, length, refused):
    options = "size=64k,mode=755".ljust(length, ",")

    def work() -> int | None:
        try:
            mount.mount("tmpfs", str(tmp_path), "tmpfs", 0, options)
        except OSError as error:
            assert [each for each in mounts() if each.target == bytes(tmp_path)] == []
            return error.errno
        return None

    assert in_private_namespace(work) == (errno.E2BIG if refused else None)


def test_a_clone_can_be_made_read_only_without_touching_its_origin(tmp_path):
    (tmp_path / "file").touch()
    clone = mount.open_tree_clone(str(tmp_path))
    mount.mount_setattr(clone, mount.MOUNT_ATTR_RDONLY)
    with pytest.raises(OSError, match="Read-only"):
        os.open("file", os.O_WRONLY, dir_fd=clone)
    os.close(clone)
    (tmp_path / "file").write_text("still writable")


def test_errors_name_what_they_are_about(tmp_path):
    gone = str(tmp_path / "gone")
    for call in (
        lambda: mount.umount(gone),
        lambda: mount.open_tree_clone(gone),
        lambda: mount.mount("tmpfs", gone, "tmpfs"),
    ):
        with pytest.raises(FileNotFoundError) as caught:
            call()
        assert caught.value.filename == gone


def test_a_line_of_the_mount_table():
    entry = parse(
        rb"36 35 98:0 /a\040b /mnt/\134x\012 rw,noatime shared:7 master:1 - ext4 /dev/sd\040a rw,x"
        b"\n"
    )
    assert entry == (
        36, 35, "98:0", b"/a b", b"/mnt/\\x\n", b"rw,noatime", "ext4", b"/dev/sd a", b"rw,x"
    )  # fmt: skip


def test_a_line_that_is_none():
    with pytest.raises(ValueError):
        parse(b"36 35 98:0 / /mnt rw\n")


def test_long_lines_are_read_whole(tmp_path):
    lowers = [tmp_path / f"{'long' * 10}{number}" for number in range(400)]
    for path in lowers:
        path.mkdir()
    (tmp_path / "target with space").mkdir()

    def work() -> bytes:
        context = mount.fsopen("overlay")
        for path in lowers:
            mount.fsconfig_string(context, "lowerdir+", str(path))
        mount.fsconfig_create(context)
        made = mount.fsmount(context)
        mount.move_mount(made, str(tmp_path / "target with space"))
        os.close(made)
        os.close(context)
        (entry,) = (each for each in mounts() if each.target.endswith(b"target with space"))
        return entry.super_options

    try:
        options = in_private_namespace(work)
    except OSError as error:
        pytest.skip(f"this kernel names lower directories otherwise: {error.strerror}")
    assert options.count(b"lowerdir+=") == 400
    assert bytes(lowers[-1]) in options
