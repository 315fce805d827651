"""What only a store on erofs can show: its mounts come and go, its tars are its layers."""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lamina.kernel.mountinfo import mounts
from tests.cli.rig import Lamina
from tests.conftest import loop_mounted


@pytest.fixture
def store(on: Callable[[str], Lamina]) -> Lamina:
    return on("erofs")


@contextmanager
def running(store: Lamina, image: str = "base") -> Iterator[subprocess.Popen[bytes]]:
    """A container that says that it runs, until its input ends."""
    command = store.command("run", "-i", "--rm", image, "sh", "-c", "echo up; cat")
    with subprocess.Popen(
        command, env=store.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process


def lines(store: Lamina) -> list[bytes]:
    """What this process's mount table has of the store."""
    folder = os.fsencode(store.folder) + b"/"
    return [each.target for each in mounts() if folder in each.target]


def shared(store: Lamina) -> str:
    (name,) = os.listdir(f"{store.folder}/run")
    return f"{store.folder}/run/{name}/shared"


def layer(store: Lamina, image: str = "bare") -> dict[str, str]:
    """Where the one layer of an image lies."""
    data = json.loads(store.ok("inspect", image))[0]["GraphDriver"]["Data"]
    assert isinstance(data, dict)
    return data


def test_the_mount_table_has_two_lines_while_anything_runs(store: Lamina) -> None:
    assert lines(store) == []
    with running(store):
        with running(store, "bare"):
            place = os.fsencode(shared(store))
            assert lines(store) == [place, place + b"/ns"]
            store.ok("images")
            assert len(lines(store)) == 2
        store.ok("images")
        assert len(lines(store)) == 2
    assert lines(store) == []


def test_after_a_kill_the_next_command_takes_the_mounts_down(store: Lamina) -> None:
    with running(store) as engine:
        engine.send_signal(signal.SIGKILL)
    with open(f"{shared(store)}/hold", "rb") as hold:
        fcntl.flock(hold, fcntl.LOCK_EX)  # had once nothing of the container is left
    assert len(lines(store)) == 2
    store.ok("images")
    assert lines(store) == []


@pytest.mark.usefixtures("needs_root", "needs_erofs")
def test_a_disk_can_be_unmounted_when_nothing_runs(
    busybox_tar: str, tmp_path: os.PathLike[str]
) -> None:
    with loop_mounted(["mkfs.ext4", "-q"], "64M") as disk:  # its end is an unmount
        store = Lamina(str(tmp_path))
        store.root, store.driver = f"{disk}/root", "erofs"
        store.ok("import", busybox_tar, "base")
        assert store.ok("run", "--rm", "base", "echo", "there") == "there\n"


def test_a_layers_tar_is_its_file(store: Lamina, busybox_tar: str) -> None:
    with open(layer(store)["Tar"], "rb") as kept, open(busybox_tar, "rb") as came:
        digest = hashlib.file_digest(kept, "sha256").hexdigest()
        assert digest == hashlib.file_digest(came, "sha256").hexdigest()
    (document,) = json.loads(store.ok("inspect", "bare"))
    assert document["RootFS"]["Layers"] == [f"sha256:{digest}"]


def test_a_removed_layer_leaves_while_others_run(store: Lamina) -> None:
    store.ok("run", "--name", "changing", "base", "touch", "/new")
    store.ok("commit", "changing", "other")
    store.ok("rm", "changing")
    with running(store):
        gone = layer(store, "other")
        assert os.path.exists(gone["Tar"])
        store.ok("run", "--rm", "other", "ls", "/new")  # so that it is mounted beside the others
        store.ok("rmi", "other")
        assert not os.path.exists(gone["Tar"])
        assert len(lines(store)) == 2


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda data: os.truncate(data["Tar"], os.path.getsize(data["Tar"]) - 512), "layer.tar"),
        (lambda data: os.unlink(data["Tar"]), "layer.tar"),
        (lambda data: os.unlink(data["Image"]), "layer.erofs"),
        (lambda data: os.truncate(data["Image"], 100), "layer.erofs"),
    ],
    ids=["tar cut off", "tar gone", "image gone", "image cut off"],
)
def test_a_pair_that_does_not_fit_is_one_clear_error(
    store: Lamina, damage: Callable[[dict[str, str]], None], word: str
) -> None:
    data = layer(store)
    for name in ("Tar", "Image"):
        os.chmod(data[name], 0o600)
    damage(data)
    said = store("run", "--rm", "bare", "true")
    assert said.code != 0
    assert word in said.err
    assert "Traceback" not in said.err
    assert "damaged" in store("check", "--full").out
    store.ok("images")


def test_a_changed_byte_anywhere_is_found(store: Lamina) -> None:
    assert store.ok("check", "--full") == "clean\n"
    data = layer(store)
    for name in ("Tar", "Image"):
        at = os.path.getsize(data[name]) // 2
        change(data[name], at)
        assert "damaged" in store("check", "--full").out, name
        change(data[name], at)
        assert store.ok("check", "--full") == "clean\n"


def change(path: str, at: int) -> None:
    """Turn the bits of one byte; twice, and it is what it was."""
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 255]))


def test_info_says_how_images_are_mounted(store: Lamina) -> None:
    said = store.ok("info")
    assert "Images Mounted: by files" in said
    assert "Mounts Shared: true" in said
    assert lines(store) == []
