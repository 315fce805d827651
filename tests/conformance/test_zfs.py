"""What is ZFS's own: datasets, their mounts, and the words of the tool when it refuses."""

import errno
import os
import subprocess
import tempfile

import pytest

from lamina.drivers.zfs import ZfsDriver, probe, tool
from lamina.errors import DriverNotSupported, LaminaError, ProgramMissing
from lamina.testing.driver_bench import Bench


@pytest.fixture
def bench(zfs):
    driver = ZfsDriver(os.path.join(tempfile.mkdtemp(dir=zfs), "zfs"))
    return Bench(driver, f"{driver.home}.scratch")


def datasets(parent, kind="filesystem"):
    command = ["zfs", "list", "-H", "-o", "name", "-t", kind, "-r", parent]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.split()


def test_a_removed_layer_leaves_no_dataset_no_snapshot_and_no_mount(bench):
    layer = bench.layer("f a 1")
    top = bench.layer("f b 1", layer)
    where = bench.driver.location(top)
    assert f"{bench.driver.parent}/{top}" in datasets(bench.driver.parent)
    for doomed in (top, layer):
        bench.driver.remove(doomed, bench.trash)
    for kind in ("filesystem", "snapshot"):
        assert not any(layer in name or top in name for name in datasets(bench.driver.parent, kind))
    with open("/proc/self/mountinfo") as table:
        assert where not in table.read()
    assert os.listdir(os.path.dirname(where)) == []


def test_a_layer_with_children_is_not_removed(bench):
    layer = bench.layer("f a 1")
    bench.layer("f b 1", layer)
    with pytest.raises(LaminaError, match="zfs destroy"):
        bench.driver.remove(layer, bench.trash)
    assert bench.tree(layer) == ["f a 1 644 0:0"]


def test_a_layer_is_mounted_again_after_the_machine_was_off(bench):
    layer = bench.layer("f a 1")
    subprocess.run(["zfs", "unmount", f"{bench.driver.parent}/{layer}"], check=True)
    assert os.listdir(bench.driver.location(layer)) == []
    assert bench.tree(layer) == ["f a 1 644 0:0"]


def test_a_committed_layer_cannot_be_written(bench):
    layer = bench.layer("f a 1")
    with pytest.raises(OSError, match="Read-only") as raised:
        open(f"{bench.driver.location(layer)}/a", "w")
    assert raised.value.errno == errno.EROFS


def test_layers_of_another_store_on_the_same_dataset_are_not_ours(bench, zfs):
    layer = bench.layer("f a 1")
    other = ZfsDriver(os.path.join(tempfile.mkdtemp(dir=zfs), "zfs"))
    assert other.parent == bench.driver.parent
    assert list(other.layers()) == []
    assert list(bench.driver.layers()) == [layer]


def test_layers_lie_on_the_dataset_that_is_named(zfs, tmp_path):
    named = f"{tool.dataset_of(zfs)}/named"
    subprocess.run(["zfs", "create", "-o", "mountpoint=none", named], check=True)
    driver = ZfsDriver(str(tmp_path / "zfs"), {"zfs.fsname": named})
    bench = Bench(driver, str(tmp_path / "scratch"))
    layer = bench.layer("f a 1")
    assert datasets(named) == [named, f"{named}/{layer}"]
    assert bench.tree(layer) == ["f a 1 644 0:0"]
    driver.remove(layer, bench.trash)
    assert dict(driver.status())["Parent Dataset"] == named


def test_usage_of_a_container_is_what_it_wrote(bench):
    layer = bench.writable(bench.layer("f big " + "x" * 5000 + "\nf small 1"))

    def write(root):
        with open(f"{root}/new", "w") as file:
            file.write("12345")
        os.link(f"{root}/new", f"{root}/again")

    bench.inside(layer, write, writable=True)
    usage = bench.driver.usage(layer)
    assert (usage.size, usage.entries) == (5, 2)


def test_another_file_system_is_said_by_its_name(tmp_path):
    found = probe(str(tmp_path / "zfs"))
    assert not found.works
    assert "not on zfs" in found.reason
    with pytest.raises(DriverNotSupported, match="not on zfs"):
        ZfsDriver(str(tmp_path / "zfs"))


def test_a_pool_that_is_not_there_is_said_in_the_tools_words(zfs, tmp_path):
    options = {"zfs.fsname": "nosuchpool/layers"}
    found = probe(str(tmp_path / "zfs"), options)
    assert not found.works
    assert "dataset does not exist" in found.reason
    driver = ZfsDriver(str(tmp_path / "zfs"), options)
    bench = Bench(driver, str(tmp_path / "scratch"))
    with pytest.raises(LaminaError, match=r"zfs create nosuchpool/layers/.*: cannot create"):
        bench.layer("f a 1")


def test_a_missing_program_names_its_package(bench, monkeypatch):
    monkeypatch.setattr(tool, "PATH", "/nowhere")
    found = probe(bench.driver.home)
    assert not found.works
    assert "install the package zfsutils-linux" in found.reason
    with pytest.raises(ProgramMissing, match="no program zfs"):
        bench.layer("f a 1")


def test_the_probe_leaves_nothing_behind(bench):
    before = datasets(bench.driver.parent)
    assert probe(bench.driver.home).works
    assert datasets(bench.driver.parent) == before
