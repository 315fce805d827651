"""What differs between two images."""

from lamina.analyze.compare import (
    FileChange,
    PackageChange,
    common_layers,
    files,
    folders,
    packages,
    settings,
)
from lamina.analyze.packages import Package
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import DiffID
from tests.unit.analyze.rig import merged


def test_files_differ_by_what_they_are_and_not_by_how_they_came():
    one = merged("f a text\nf gone 1\nd d\nf d/in 333\nf x 1", "f x 22")
    other = merged("f x 22\nf a text 600 5:6\nf new 55555\nl d -> a")
    assert files(one, other) == (
        FileChange("C", b"a", ("mode", "owner"), 4, 4),
        FileChange("C", b"d", ("type",), 0, 0),
        FileChange("D", b"d/in", (), 3, 0),
        FileChange("D", b"gone", (), 1, 0),
        FileChange("A", b"new", (), 0, 5),
    )
    assert files(one, one) == ()


def test_content_links_and_devices_are_compared():
    one = merged("f a 1\nl l -> a\nc n 1:3")
    other = merged("f a 2\nl l -> b\nc n 1:5")
    assert [(each.path, each.what) for each in files(one, other)] == [
        (b"a", ("content",)),
        (b"l", ("content",)),
        (b"n", ("content",)),
    ]


def test_a_link_has_no_mode():
    assert files(merged("l l -> a 777"), merged("l l -> a 644")) == ()


def test_a_time_alone_is_no_difference():
    from lamina.testing.trees import tar_of

    assert files(merged(tar_of("f a 1", mtime=1)), merged(tar_of("f a 1", mtime=2))) == ()


def config(**inner):
    return ImageConfig.of({"architecture": "amd64", "os": "linux", "config": inner})


def test_settings_are_compared_one_by_one():
    one = config(Env=["A=1", "B=2"], Cmd=["x"], Labels={"k": "v"}, User="")
    other = config(Env=["B=3", "A=1"], Cmd=["x", "y"], Labels={"k": "v", "n": "1"})
    assert settings(one, other) == (
        ("Cmd", '["x"]', '["x", "y"]'),
        ("Env.B", '"2"', '"3"'),
        ("Labels.n", None, '"1"'),
    )
    assert settings(one, one) == ()


def test_layers_are_common_from_below():
    a, b, c = (DiffID("sha256:" + each * 64) for each in "abc")
    assert common_layers((a, b, c), (a, c, b)) == 1
    assert common_layers((a, b), (a, b, c)) == 2
    assert common_layers((), (a,)) == 0


def test_packages_come_go_and_change():
    one = [Package("deb", "a", "amd64", "1"), Package("deb", "b", "amd64", "1")]
    other = [
        Package("deb", "b", "amd64", "2"),
        Package("pip", "b", "", "1"),
        Package("pip", "b", "", "2"),
    ]
    assert packages(one, other) == (
        PackageChange("deb", "a", "amd64", ("1",), ()),
        PackageChange("deb", "b", "amd64", ("1",), ("2",)),
        PackageChange("pip", "b", "", (), ("1", "2")),
    )


def test_bytes_are_summed_by_folders_two_names_deep():
    changes = [
        FileChange("A", b"usr/lib/a/b", (), 0, 70),
        FileChange("C", b"usr/lib/c", ("content",), 50, 20),
        FileChange("C", b"usr/lib/same", ("mode",), 9, 9),
        FileChange("D", b"top", (), 5, 0),
        FileChange("C", b"etc/quiet", ("owner",), 3, 3),
    ]
    assert folders(changes) == [(b"usr/lib", 70, 30, 3), (b"", 0, 5, 1)]
