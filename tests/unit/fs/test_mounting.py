import errno
import os

import pytest

from lamina.errors import StorageError
from lamina.fs import overlay as overlays
from lamina.fs.mounting import (
    Bind,
    MountPlan,
    Overlay,
    attach,
    in_private_namespace,
    open_detached,
)
from lamina.fs.overlay import CLASSIC, DESCRIPTORS, NAMES, TEXT, WAYS, attach_overlay, open_overlay
from lamina.kernel import mount as kernel
from lamina.kernel.mountinfo import mounts
from tests.conftest import lacking

pytestmark = pytest.mark.usefixtures("needs_mounts")


class Site:
    """Lower directories `<folder>/<name>`, each with one file named by its place in the order."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.target = self._made("target")

    def _made(self, path: str) -> str:
        full = os.path.join(self.base, path)
        os.makedirs(full, exist_ok=True)
        return full

    def lowers(self, *names: str) -> tuple[str, ...]:
        paths = tuple(self._made(name) for name in names)
        for place, path in enumerate(paths):
            for name in ("same", f"file{place}"):
                with open(f"{path}/{name}", "w", encoding="ascii") as file:
                    file.write(str(place))
        return paths

    def overlay(self, lowers: tuple[str, ...], suffix: str = "") -> Overlay:
        return Overlay(lowers, self._made(f"upper{suffix}"), self._made(f"work{suffix}"), ())

    def use(self, overlay: Overlay, ways: tuple[str, ...] = WAYS) -> str:
        """Mount it, check what it unites in which order, write; gives the kernel's options."""
        count = len(overlay.lowers)

        def work() -> str:
            attach_overlay(overlay, self.target, ways)
            assert len(os.listdir(self.target)) == count + 1
            with open(f"{self.target}/same", encoding="ascii") as file:
                assert file.read() == "0"
            if overlay.upper is not None:
                os.unlink(f"{self.target}/file0")
            (entry,) = (each for each in mounts() if each.target == os.fsencode(self.target))
            return os.fsdecode(entry.super_options)

        options = in_private_namespace(work)
        if overlay.upper is not None:
            assert os.listdir(overlay.upper) == ["file0"]
            os.unlink(f"{overlay.upper}/file0")
        return options


@pytest.fixture
def site(memory):
    return Site(memory)


@pytest.fixture
def known(memory):
    """A function that skips where this kernel does not know a way at all."""

    def check(way: str) -> None:
        plain = Site(f"{memory}/known")
        try:
            os.close(open_overlay(Overlay(plain.lowers("a", "b"), None, None, ()), (way,)))
        except OSError as error:
            lacking(f"this kernel does not take {way}: {error}")

    return check


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["plain", "a:b", "a,b", "a\\b", "a b", "a\\:b", "ä\udcff"])
def test_every_way_takes_every_name(site, known, way, name):
    known(way)
    overlay = site.overlay(site.lowers(f"{name}1", f"{name}2"), suffix=name)
    site.use(overlay, (way,))


@pytest.mark.parametrize("way", [DESCRIPTORS, NAMES, CLASSIC])
@pytest.mark.parametrize("folder", ["many", f"{'l' * 250}/{'m' * 100}"], ids=["short", "long"])
@pytest.mark.parametrize("count", [128, 300, 500])
def test_many_lower_directories(site, known, way, folder, count):
    known(way)
    lowers = site.lowers(*(f"{folder}/{number}" for number in range(count)))
    site.use(site.overlay(lowers), (way,))


def test_mount_tables_stay_readable_where_names_are_short(site):
    overlay = site.overlay(site.lowers("l/ONE", "l/TWO"))
    assert "lowerdir=l/ONE:l/TWO,upperdir=upper,workdir=work" in site.use(overlay, (CLASSIC,))


def test_one_text_is_for_few_directories(site):
    lowers = site.lowers(*(f"many/{number}" for number in range(128)))
    with pytest.raises(OSError, match="too long"):
        in_private_namespace(lambda: attach_overlay(site.overlay(lowers), site.target, (TEXT,)))


@pytest.mark.parametrize("way", WAYS)
def test_without_an_upper_directory_nothing_can_be_written(site, known, way):
    known(way)
    overlay = Overlay(site.lowers("a", "b"), None, None, ())

    def write() -> None:
        attach_overlay(overlay, site.target, (way,))
        open(f"{site.target}/new", "w").close()

    with pytest.raises(OSError) as caught:
        in_private_namespace(write)
    assert caught.value.errno == errno.EROFS
    assert len(os.listdir(f"{site.base}/a")) == 2


@pytest.mark.parametrize("way", WAYS)
def test_a_detached_union_is_in_no_mount_table(site, known, way):
    known(way)
    descriptor = open_overlay(site.overlay(site.lowers("a", "b")), (way,))
    try:
        assert site.base not in str(mounts())  # others mount and unmount meanwhile
        assert sorted(os.listdir(descriptor)) == ["file0", "file1", "same"]
        made = os.open("made", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor)
        os.close(made)
    finally:
        os.close(descriptor)
    assert os.listdir(f"{site.base}/upper") == ["made"]


def test_a_detached_plain_directory_is_itself(site):
    (path,) = site.lowers("a")
    descriptor = open_detached(MountPlan(Bind(path, True)))
    assert os.fstat(descriptor).st_ino == os.stat(path).st_ino
    os.close(descriptor)


def _refusing(monkeypatch, name: str, number: int) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(number, f"{name}: {os.strerror(number)}")

    monkeypatch.setattr(kernel, name, refuse)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM], ids=["unknown", "filtered"])
def test_a_kernel_without_the_new_calls(site, monkeypatch, number):
    """Linux before 5.2, or a seccomp filter that is older than the calls."""
    _refusing(monkeypatch, "fsopen", number)
    assert "lowerdir=a:b" in site.use(site.overlay(site.lowers("a", "b")))


def test_a_kernel_that_takes_no_descriptors(site, known, monkeypatch):
    """As Linux 6.12 answers."""
    known(NAMES)
    _refusing(monkeypatch, "fsconfig_fd", errno.EINVAL)
    assert "lowerdir+=" in site.use(site.overlay(site.lowers("a", "b")))


@pytest.mark.parametrize("count", [2, 300])
def test_a_kernel_that_takes_one_text_alone(site, monkeypatch, count):
    """As Linux 6.1 answers: it refuses `lowerdir+` when it makes the mount, not before."""
    _refusing(monkeypatch, "fsconfig_fd", errno.EOPNOTSUPP)
    take = kernel.fsconfig_string

    def string(context: int, key: str, value: str) -> None:
        if key == "lowerdir+":
            raise OSError(errno.EINVAL, "mount: Invalid argument")
        take(context, key, value)

    monkeypatch.setattr(kernel, "fsconfig_string", string)
    lowers = site.lowers(*(f"l/{number}" for number in range(count)))
    assert "lowerdir=" in site.use(site.overlay(lowers))


def test_features_that_change_an_upper_directory_are_switched_off(site, monkeypatch):
    """A kernel may be built or booted with them on; this one's answer must not matter."""
    asked = []
    take = kernel.fsconfig_string

    def string(context: int, key: str, value: str) -> None:
        asked.append(f"{key}={value}")
        take(context, key, value)

    monkeypatch.setattr(kernel, "fsconfig_string", string)
    site.use(site.overlay(site.lowers("a", "b")))
    assert {"index=off", "redirect_dir=off", "metacopy=off"} <= set(asked)


@pytest.mark.parametrize("way", [DESCRIPTORS, CLASSIC])
def test_a_kernel_that_has_no_such_features(site, known, monkeypatch, way):
    known(way)
    take = kernel.fsconfig_string
    mount = kernel.mount

    def string(context: int, key: str, value: str) -> None:
        if value == "off":
            raise OSError(errno.EINVAL, "unknown parameter")
        take(context, key, value)

    def classic(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
        if "index=off" in options:
            raise OSError(errno.EINVAL, "mount: Invalid argument")
        mount(source, target, kind, flags, options)

    monkeypatch.setattr(kernel, "fsconfig_string", string)
    monkeypatch.setattr(kernel, "mount", classic)
    site.use(site.overlay(site.lowers("a", "b")), (way,))


def _refused(overlay: Overlay | Bind, target: str) -> str:
    with pytest.raises(StorageError) as caught:
        in_private_namespace(lambda: attach(MountPlan(overlay), target))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_too_many_lower_directories(site):
    lowers = site.lowers(*(f"l/{number}" for number in range(501)))
    assert "501 layers are more than the 500" in _refused(site.overlay(lowers), site.target)


def test_one_directory_alone_is_no_union(site):
    assert "two directories" in _refused(Overlay(site.lowers("a"), None, None, ()), site.target)


def test_an_upper_directory_needs_a_work_directory(site):
    (lower, upper) = site.lowers("a", "b")
    assert "together" in _refused(Overlay((lower,), upper, None, ()), site.target)


@pytest.mark.parametrize("old", [False, True])
def test_the_directory_that_is_missing_is_named(site, monkeypatch, old):
    if old:
        _refusing(monkeypatch, "fsopen", errno.ENOSYS)
    gone = f"{site.base}/gone"
    words = _refused(site.overlay((*site.lowers("a"), gone)), site.target)
    assert words == f"mounting {site.target}: {gone}: No such file or directory"


def test_a_missing_source_of_a_bind_is_named(site):
    assert f"{site.base}/gone: No such file" in _refused(Bind(f"{site.base}/gone", True), "/mnt")


def test_the_kernels_own_words_are_told(site, known):
    known(NAMES)  # overlayfs has words since it knows this way
    overlay = Overlay(site.lowers("a", "b"), None, None, ("nonesuch=1",))
    assert "Unknown parameter 'nonesuch'" in _refused(overlay, site.target)


def test_where_the_kernel_says_nothing_its_log_is_named(site):
    overlay = Overlay(site.lowers("a"), "/proc", f"{site.base}/a", ())
    assert "dmesg" in _refused(overlay, site.target)


def test_options_that_mount_would_cut_are_refused(site):
    """The kernel would take the first page of them, and mount what is named there."""
    overlay = Overlay(site.lowers("a", "b"), None, None, (f"context={'c' * 4100}",))
    with pytest.raises(OSError, match="would be cut off"):
        in_private_namespace(lambda: attach_overlay(overlay, site.target, (CLASSIC,)))


def test_a_read_only_bind_keeps_what_the_mount_below_forbids(site):
    (path,) = site.lowers("a")

    def work() -> bytes:
        kernel.mount("tmpfs", path, "tmpfs", kernel.MS_NODEV | kernel.MS_NOSUID, "")
        attach(MountPlan(Bind(path, True)), site.target)
        return next(each.options for each in mounts() if each.target == site.target.encode())

    assert {b"ro", b"nodev", b"nosuid"} <= set(in_private_namespace(work).split(b","))


def test_the_ways_are_tried_from_the_newest(site):
    assert overlays.WAYS == (DESCRIPTORS, NAMES, TEXT, CLASSIC)
