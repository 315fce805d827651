"""The whole way of an image through the command, on every driver: the same bytes come out."""

import io
import json
import os
import secrets
import subprocess
import tarfile

import pytest

from lamina.drivers.api import SharesMounts
from lamina.drivers.catalog import entry
from lamina.testing.filesystems import until_done
from tests.cli.rig import until_told

DOCKERFILE = """\
FROM base
COPY context.txt /data/context.txt
RUN mkdir /made && echo one > /made/file && rm /etc/motd && chmod 700 /data
RUN mv /made/file /made/moved && rm -r /opt && mkdir /opt && echo new > /opt/new
"""


def built(lamina):
    """The ID of an image built on `base`."""
    folder = os.path.join(lamina.folder, "context")
    os.makedirs(folder)
    for name, text in (("Dockerfile", DOCKERFILE), ("context.txt", "text\n")):
        with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    lamina.ok("build", "-q", "-t", "built", folder)
    return json.loads(lamina.ok("inspect", "built"))[0]["Id"]


def test_a_build_gives_the_same_image_as_on_overlay2(on, other_driver):
    assert built(on(other_driver)) == built(on("overlay2"))


def test_an_image_is_run_committed_saved_and_removed(on, driver):
    lamina = on(driver)
    script = "echo more >> /etc/motd; rm /etc/passwd; echo x > /new; cat /etc/motd"
    assert lamina.ok("run", "--name", "cc", "base", "sh", "-c", script) == "hi\nmore\n"
    assert lamina.ok("diff", "cc") == "C /etc\nC /etc/motd\nD /etc/passwd\nA /new\n"
    lamina.ok("commit", "cc", "again")
    lamina.ok("save", "-o", f"{lamina.folder}/again.tar", "again")
    script = "cat /etc/motd /new; ls /etc/passwd"
    assert lamina("run", "--rm", "again", "sh", "-c", script).out == "hi\nmore\nx\n"
    lamina.ok("cp", "cc:/new", f"{lamina.folder}/new")
    assert lamina.ok("check", "--full") == "clean\n"
    lamina.ok("rm", "cc")
    lamina.ok("rmi", "again", "base", "bare")
    assert lamina.ok("check", "--full") == "clean\n"
    assert entry(driver).layers(lamina.root) == []
    lamina.ok("load", "-i", f"{lamina.folder}/again.tar")
    assert lamina.ok("run", "--rm", "again", "cat", "/new") == "x\n"


def test_a_stray_layer_is_set_aside(on, driver):
    lamina = on(driver)
    used = entry(driver)
    made = used.make(f"{lamina.root}/{used.home}", f"{lamina.folder}/run")
    stray = type(next(made.layers())).from_random(secrets.token_bytes(32))
    made.create(stray, None)
    made.commit(stray)
    left = set(made.layers()) - {stray}
    if isinstance(made, SharesMounts):
        made.close()
    said = lamina("check", "--repair")
    assert said.code == 1, said
    assert f"stray: layer {stray.short}" in said.out
    assert lamina.ok("check", "--full") == "clean\n"
    assert set(entry(driver).layers(lamina.root)) == left


@pytest.mark.parametrize("driver", ["btrfs", "overlay2", "erofs"])
def test_a_container_is_held_to_its_size(on, driver):
    lamina = on(driver)
    write = "dd if=/dev/urandom of=/f bs=1M count=8"
    said = lamina("run", "--rm", "--storage-opt", "size=4m", "base", "sh", "-c", write)
    assert said.code != 0
    assert "Disk quota exceeded" in said.err or "No space left on device" in said.err
    assert lamina("run", "--rm", "--storage-opt", "size=64m", "base", "sh", "-c", write).code == 0


LIMITED = ("--network", "none", "--storage-opt", "size=16m")


def asked(lamina, name):
    """What every command tells of a container's files."""
    lamina.ok("cp", f"{name}:/data", f"{lamina.folder}/copied")
    with open(f"{lamina.folder}/copied", encoding="utf-8") as file:
        copied = file.read()
    lamina.ok("export", "-o", f"{lamina.folder}/exported.tar", name)
    with tarfile.open(f"{lamina.folder}/exported.tar") as exported:
        data = exported.extractfile("data").read().decode()
    lamina.ok("commit", name, "committed")
    layers = json.loads(lamina.ok("inspect", "committed"))[0]["RootFS"]["Layers"]
    lamina.ok("rmi", "committed")
    assert "Containers" in lamina.ok("df")
    return copied, data, layers[-1], lamina.ok("diff", name)


@pytest.mark.parametrize("driver", ["overlay2", "erofs"])
def test_a_limited_container_is_looked_into_while_it_runs_and_after(on, driver):
    lamina = on(driver)
    images = set(entry(driver).layers(lamina.root))
    script = "echo one > /data; rm /etc/motd; echo up; read x; echo two > /late"
    words = ("run", "-i", "--name", "cc", *LIMITED, "base", "sh", "-c", script)
    with subprocess.Popen(
        lamina.command(*words), env=lamina.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdout.readline() == b"up\n"
        until_told(lamina, "cc")
        inside = asked(lamina, "cc")
        assert inside[:2] == ("one\n", "one\n")
        assert set(inside[3].splitlines()) == {"A /data", "C /etc", "D /etc/motd"}
        running.communicate(b"\n")
    lamina.write("late", "three")
    lamina.ok("cp", f"{lamina.folder}/late", "cc:/late")
    assert lamina.ok("diff", "cc") == "A /data\nC /etc\nD /etc/motd\nA /late\n"
    lamina.ok("rm", "cc")
    assert lamina.ok("check", "--full") == "clean\n"
    assert set(entry(driver).layers(lamina.root)) == images


@pytest.mark.parametrize("driver", ["overlay2", "erofs"])
def test_a_killed_command_leaves_no_limited_container_mounted(on, driver):
    lamina = on(driver)
    words = (
        "run",
        "-i",
        "--name",
        "cc",
        *LIMITED,
        "base",
        "sh",
        "-c",
        "echo x > /x; echo up; read x",
    )
    with subprocess.Popen(
        lamina.command(*words), env=lamina.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdout.readline() == b"up\n"
        running.kill()
        running.communicate()
    until_done("sh", "-c", f"! losetup -n -O BACK-FILE | grep -q {lamina.root}")
    assert lamina.ok("diff", "cc") == "A /x\n"
    until_done("sh", "-c", f"! losetup -n -O BACK-FILE | grep -q {lamina.root}")
    lamina.ok("rm", "-f", "cc")
    assert lamina.ok("check", "--full") == "clean\n"


def test_options_of_the_driver_are_known_by_their_names(on):
    lamina = on("btrfs")
    least = ("--storage-opt", "btrfs.min_space=1g")
    said = lamina(*least, "create", "--storage-opt", "size=4m", "base", "true")
    assert said.code != 0
    assert "storage size cannot be less than 1GiB" in said.err
    said = lamina("--storage-opt", "btrfs.what=1", "images")
    assert said.code != 0
    assert "btrfs: unknown option btrfs.what" in said.err


def test_a_store_on_btrfs_is_found_again_without_its_name(on):
    lamina = on("btrfs")
    lamina.driver = None
    assert "Storage Driver: btrfs" in lamina.ok("info")
    assert "layers already" in lamina.ok("info", "--why")


def test_a_tar_that_holds_a_file_twice_leaves_as_it_came(on, driver):
    lamina = on(driver)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for text in (b"first", b"second, and longer"):
            info = tarfile.TarInfo("d/file")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    lamina.ok("import", lamina.write("twice.tar", buffer.getvalue()), "twice")
    lamina.ok("save", "-o", f"{lamina.folder}/saved.tar", "twice")
    (inspected,) = json.loads(lamina.ok("inspect", "twice"))
    with tarfile.open(f"{lamina.folder}/saved.tar") as saved:
        layers = [saved.extractfile(each) for each in saved if each.size == len(buffer.getvalue())]
        assert [each.read() for each in layers] == [buffer.getvalue()]
    assert len(inspected["RootFS"]["Layers"]) == 1
    assert lamina.ok("check", "--full") == "clean\n"
