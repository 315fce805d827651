"""What every storage driver must do, as one class of pytest tests.

A driver hooks in by a subclass with one fixture:

    class TestMine(DriverSuite):
        @pytest.fixture
        def make(self, tmp_path):
            return lambda: MyDriver(str(tmp_path / "mine"))

Each case states layers in the language of `lamina.testing.trees`, applies them, and looks at
the merged tree as a process inside the mount would. The field's famous failures keep the
numbers under which they were reported.
"""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator

import pytest

from lamina.drivers.api import Driver
from lamina.errors import BadArchive, DriverNotSupported
from lamina.testing.driver_bench import Bench
from lamina.testing.trees import tar_of
from lamina.values.ids import LayerID


def _fill(root: str) -> int:
    """Write 16 MiB, as far as that goes; gives the errno that stopped it, or 0."""
    try:
        with open(f"{root}/big", "wb", buffering=0) as file:
            for _ in range(128):
                file.write(os.urandom(1 << 17))
                os.fsync(file.fileno())
    except OSError as error:
        return error.errno or -1
    return 0


class DriverSuite:
    """The contract, case by case."""

    @pytest.fixture
    def make(self) -> Callable[[], Driver]:
        raise NotImplementedError("a suite needs a fixture `make` that gives a driver")

    @pytest.fixture
    def bench(self, make: Callable[[], Driver]) -> Iterator[Bench]:
        driver = make()
        made = Bench(driver, f"{driver.home}.scratch")
        yield made
        made.close()

    # --- one layer ----------------------------------------------------------------------

    def test_an_empty_layer_is_an_empty_root_of_mode_755(self, bench: Bench) -> None:
        layer = bench.layer("")
        assert bench.tree(layer) == []
        mode = bench.inside(layer, lambda path: os.stat(path).st_mode & 0o7777, writable=False)
        assert mode == 0o755

    def test_modes_owners_and_kinds_are_kept(self, bench: Bench) -> None:
        layer = bench.layer("d a 1777 1:2\nf a/s x 4711 3:4\nl a/l -> s\nh a/h -> a/s\np a/p 600")
        assert bench.tree(layer) == [
            "d a 1777 1:2",
            "f a/h x 4711 3:4",
            "l a/l -> s",
            "p a/p 600 0:0",
            "h a/s -> a/h",
        ]

    def test_the_root_entry_sets_the_roots_own_mode(self, bench: Bench) -> None:
        layer = bench.layer("d . 1711 5:6\nf a x")

        def root(path: str) -> tuple[int, int, int]:
            status = os.stat(path)
            return status.st_mode & 0o7777, status.st_uid, status.st_gid

        assert bench.inside(layer, root, writable=False) == (0o1711, 5, 6)

    def test_times_are_kept_below_the_second(self, bench: Bench) -> None:
        assert self.time_of(bench, 1_000_000_000.5) == 1_000_000_000_500_000_000

    def time_of(self, bench: Bench, mtime: float) -> object:
        """What a file of that time has in the mounted tree, in nanoseconds."""
        layer = bench.layer_of_tar(tar_of("f a 1", mtime=mtime))
        return bench.inside(layer, lambda path: os.stat(f"{path}/a").st_mtime_ns, writable=False)

    # --- layers upon each other ---------------------------------------------------------

    def test_a_child_shows_all_of_its_parent(self, bench: Bench) -> None:
        assert bench.tree(bench.stack("f a 1\nd d\nf d/b 2", "f d/c 3")) == [
            "f a 1 644 0:0",
            "d d 755 0:0",
            "f d/b 2 644 0:0",
            "f d/c 3 644 0:0",
        ]

    def test_the_textbook_case(self, bench: Bench) -> None:
        top = bench.stack(
            "f File1 one\nf File2 two\nf File3 three", "f File1 new\nw File2\nf File4 4"
        )
        assert bench.tree(top) == [
            "f File1 new 644 0:0",
            "f File3 three 644 0:0",
            "f File4 4 644 0:0",
        ]

    def test_an_opaque_directory_hides_what_lies_below_and_only_that(self, bench: Bench) -> None:
        for order in ("o d\nf d/new 1", "f d/new 1\no d"):
            top = bench.stack("d d\nf d/old 0\nd d/sub\nf d/sub/x 0", f"d d\n{order}")
            assert bench.tree(top) == ["d d 755 0:0", "f d/new 1 644 0:0"]

    def test_a_whiteout_before_the_same_name_leaves_the_new_one(self, bench: Bench) -> None:
        top = bench.stack("d d 700\nf d/old 0", "w d\nd d 711\nf d/new 1")
        assert bench.tree(top) == ["d d 711 0:0", "f d/new 1 644 0:0"]

    def test_a_whiteout_after_the_same_name_removes_it(self, bench: Bench) -> None:
        assert bench.tree(bench.stack("f a 0", "f a 1\nf b 1\nw a\nw b")) == []

    def test_a_whiteout_of_nothing_changes_nothing(self, bench: Bench) -> None:
        assert bench.tree(bench.stack("f a 0", "w nothing\nw a/nothing")) == ["f a 0 644 0:0"]

    def test_kinds_replace_each_other(self, bench: Bench) -> None:
        base = "d x\nf x/in 0\nf y 0\nl z -> y"
        top = bench.stack(base, "f x 1\nd y\nd z\nf z/in 1")
        assert bench.tree(top) == [
            "f x 1 644 0:0",
            "d y 755 0:0",
            "d z 755 0:0",
            "f z/in 1 644 0:0",
        ]

    def test_a_directory_over_a_file_over_a_directory_is_empty(self, bench: Bench) -> None:
        top = bench.stack("d x\nf x/old 0", "f x 1\nd x 700")
        assert bench.tree(top) == ["d x 700 0:0"]

    def test_implied_parents_keep_what_the_lower_directory_was(self, bench: Bench) -> None:
        top = bench.stack("d a 700 7:8\nd a/b 711 9:9", "f a/b/c 1\nf n/m 1")
        assert bench.tree(top) == [
            "d a 700 7:8",
            "d a/b 711 9:9",
            "f a/b/c 1 644 0:0",
            "d n 755 0:0",
            "f n/m 1 644 0:0",
        ]

    def test_a_lower_symlink_on_the_way_is_followed_inside_the_root(self, bench: Bench) -> None:
        top = bench.stack("d usr\nd usr/lib 711\nl lib -> /usr/lib", "f lib/x 1")
        assert bench.tree(top) == [
            "l lib -> /usr/lib",
            "d usr 755 0:0",
            "d usr/lib 711 0:0",
            "f usr/lib/x 1 644 0:0",
        ]

    def test_a_symlink_that_climbs_stays_inside(self, bench: Bench) -> None:
        top = bench.stack("l up -> ../../..", "f up/etc/x 1")
        assert "f etc/x 1 644 0:0" in bench.tree(top)
        assert not os.path.exists("/etc/x")

    def test_a_hard_link_to_a_lower_file_shares_its_content(self, bench: Bench) -> None:
        top = bench.stack("f a data 640 1:1", "h b -> a")
        assert bench.tree(top) == ["f a data 640 1:1", "h b -> a"]

    def test_a_file_below_that_was_only_linked_to_is_hidden_like_any_other(
        self, bench: Bench
    ) -> None:
        """A union copies it up for the link; the opaque marker means it all the same."""
        base = bench.layer("d c\nd c/d\nf c/d/y data\nf c/z 0")
        for order in ("h a -> c/d/y\no c", "h a -> c/d/y\nw c/z\no c"):
            assert bench.tree(bench.layer(order, base)) == ["f a data 644 0:0", "d c 755 0:0"]
        top = bench.layer("h a -> c/d/y\no .\nf b 1", base)
        assert bench.tree(top) == ["f a data 644 0:0", "f b 1 644 0:0"]

    def test_a_file_linked_to_and_then_brought_stays(self, bench: Bench) -> None:
        base = bench.layer("d c\nf c/y data\nf c/z 0")
        top = bench.layer("h a -> c/y\nf c/y new\no c", base)
        assert bench.tree(top) == ["f a data 644 0:0", "d c 755 0:0", "f c/y new 644 0:0"]

    def test_a_hard_link_to_nothing_or_to_a_directory_is_refused(self, bench: Bench) -> None:
        base = bench.layer("d d")
        for text in ("h x -> missing", "h x -> d"):
            with pytest.raises(BadArchive, match="x"):
                bench.layer(text, base)

    def test_names_that_climb_are_refused(self, bench: Bench) -> None:
        for name in ("../x", "a/../../x"):
            with pytest.raises(BadArchive):
                bench.layer(f"f {name} 1")

    def test_many_layers(self, bench: Bench) -> None:
        """Docker stops at 125 (moby#26380); a chain here may be as deep as the kernel's."""
        top = bench.stack(*(f"f f{number} {number}\nf same {number}" for number in range(140)))
        tree = bench.tree(top)
        assert len(tree) == 141
        assert "f same 139 644 0:0" in tree

    # --- what a container changes -------------------------------------------------------

    def test_changes_of_the_textbook_case(self, bench: Bench) -> None:
        base = bench.layer("d d\nf d/File1 one\nf d/File2 two\nf d/File3 three")
        layer = bench.writable(base)

        def change(root: str) -> None:
            with open(f"{root}/d/File1", "a", encoding="utf-8") as file:
                file.write("more")
            os.unlink(f"{root}/d/File2")
            with open(f"{root}/d/File4", "w", encoding="utf-8") as file:
                file.write("4")

        bench.inside(layer, change, writable=True)
        assert bench.changes(layer, base) == ["C /d", "C /d/File1", "D /d/File2", "A /d/File4"]
        assert bench.tree(base)[1] == "f d/File1 one 644 0:0"

    def test_nothing_done_is_no_change(self, bench: Bench) -> None:
        base = bench.layer("d d\nf d/a 1\nl l -> d")
        layer = bench.writable(base)

        def look(root: str) -> None:
            with open(f"{root}/d/a", "r+", encoding="utf-8"):
                pass  # opened for writing, so copied up; nothing written

        bench.inside(layer, look, writable=True)
        assert bench.changes(layer, base) == []

    def test_a_file_made_and_removed_again_is_no_change(self, bench: Bench) -> None:
        base = bench.layer("d d")
        layer = bench.writable(base)

        def work(root: str) -> None:
            with open(f"{root}/d/tmp", "w", encoding="utf-8"):
                pass
            os.unlink(f"{root}/d/tmp")

        bench.inside(layer, work, writable=True)
        assert bench.changes(layer, base) == []

    def test_a_socket_in_the_place_of_something_is_its_removal(self, bench: Bench) -> None:
        """No layer can hold a socket, and what it replaced is not there any more."""
        base = bench.layer("f file one\nd dir\nf dir/in two\nf kept three")
        layer = bench.writable(base)

        def work(root: str) -> None:
            os.unlink(f"{root}/file")
            os.unlink(f"{root}/dir/in")
            os.rmdir(f"{root}/dir")
            for name in ("file", "dir", "new"):
                os.mknod(f"{root}/{name}", stat.S_IFSOCK | 0o600)

        bench.inside(layer, work, writable=True)
        assert bench.changes(layer, base) == ["D /dir", "D /file"]

    def test_the_same_size_and_time_is_still_a_change(self, bench: Bench) -> None:
        base = bench.layer("f a one")
        layer = bench.writable(base)

        def rewrite(root: str) -> None:
            before = os.stat(f"{root}/a")
            with open(f"{root}/a", "r+", encoding="utf-8") as file:
                file.write("two")
            os.utime(f"{root}/a", ns=(before.st_atime_ns, before.st_mtime_ns))

        bench.inside(layer, rewrite, writable=True)
        assert bench.changes(layer, base) == ["C /a"]

    def test_a_directory_removed_and_made_again_lists_what_vanished(self, bench: Bench) -> None:
        """moby#25244: the new directory is opaque; the old content must not come back."""
        base = bench.layer("d d\nf d/old 0\nd d/sub\nf d/sub/x 0")
        layer = bench.writable(base)

        def again(root: str) -> None:
            os.unlink(f"{root}/d/sub/x")
            os.rmdir(f"{root}/d/sub")
            os.unlink(f"{root}/d/old")
            os.rmdir(f"{root}/d")
            os.mkdir(f"{root}/d", 0o755)
            with open(f"{root}/d/new", "w", encoding="utf-8"):
                pass

        bench.inside(layer, again, writable=True)
        assert bench.changes(layer, base) == ["C /d", "A /d/new", "D /d/old", "D /d/sub"]

    def test_a_container_cannot_fake_an_opaque_directory(self, bench: Bench) -> None:
        """Any container may set user attributes; none of them may make lower files vanish."""
        base = bench.layer("d d\nf d/a 1")
        layer = bench.writable(base)

        def fake(root: str) -> None:
            os.chmod(f"{root}/d", 0o700)  # a real change, so that the directory is copied up
            try:
                os.setxattr(f"{root}/d", "user.overlay.opaque", b"y")
            except OSError:
                return  # the kernel refuses it: so much the better

        bench.inside(layer, fake, writable=True)
        assert bench.changes(layer, base) == ["C /d"]
        assert "f d/a 1 644 0:0" in bench.tree(layer)

    def test_a_chown_alone_is_a_change_and_leaves_the_lower_file(self, bench: Bench) -> None:
        base = bench.layer("f a 1 600 1:1")
        layer = bench.writable(base)
        bench.inside(layer, lambda root: os.chown(f"{root}/a", 7, 7), writable=True)
        assert bench.changes(layer, base) == ["C /a"]
        assert bench.tree(base) == ["f a 1 600 1:1"]
        assert bench.tree(layer) == ["f a 1 600 7:7"]

    def test_a_layer_over_nothing_can_be_written(self, bench: Bench) -> None:
        layer = bench.writable(None)
        bench.inside(layer, lambda root: os.mkdir(f"{root}/d"), writable=True)
        assert bench.changes(layer, None) == ["A /d"]

    def test_a_size_limits_what_is_written_or_is_refused(self, bench: Bench) -> None:
        """The base counts for nothing; where a limit cannot be held, nothing is made."""
        base = bench.layer("f base " + "x" * 3000)
        layer = LayerID.from_random(secrets.token_bytes(32))
        try:
            bench.driver.create_rw(layer, base, 4 << 20)
        except DriverNotSupported:
            assert list(bench.driver.layers()) == [base]
            return
        assert bench.inside(layer, _fill, writable=True) in (errno.EDQUOT, errno.ENOSPC)

    # --- reading without a mount, removing ----------------------------------------------

    def test_the_view_is_what_a_mount_shows(self, bench: Bench) -> None:
        top = bench.stack(
            "d d\nf d/a 1\nf d/b 1\nd o\nf o/x 1\nl s -> d", "w d/a\no o\nf o/y 2\nf d/c 3"
        )
        view = bench.driver.view(top)
        try:
            assert view.listdir(b"") == [b"d", b"o", b"s"]
            assert view.listdir(b"d") == [b"b", b"c"]
            assert view.listdir(b"o") == [b"y"]
            assert view.lstat(b"d/a") is None
            assert view.readlink(b"s") == b"d"
            assert view.resolve(b"s/c", follow_last=True) == b"d/c"
        finally:
            view.close()

    def test_usage_counts_apparent_bytes_with_hard_links_once(self, bench: Bench) -> None:
        layer = bench.layer("f a 12345\nh b -> a")
        assert bench.driver.usage(layer).size == 5

    def test_removing_is_idempotent_and_thorough(self, bench: Bench) -> None:
        base = bench.layer("d d 0\nf d/x 1")
        layer = bench.writable(base)
        bench.inside(layer, lambda root: os.mkdir(f"{root}/e"), writable=True)
        assert set(bench.driver.layers()) == {base, layer}
        for doomed in (layer, layer, base):
            bench.driver.remove(doomed, bench.trash)
        assert list(bench.driver.layers()) == []
        assert os.listdir(bench.trash) == []

    def test_removing_a_layer_that_was_never_made_is_nothing(self, bench: Bench) -> None:
        bench.driver.remove(LayerID.from_random(secrets.token_bytes(32)), bench.trash)
