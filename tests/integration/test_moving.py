"""`migrate --to`: from each driver to each other one, with images and containers."""

import hashlib
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile

import pytest

import lamina
from lamina.drivers.catalog import entry
from lamina.drivers.zfs.tool import dataset_of
from lamina.execution.traces import Traces
from lamina.fs.inroot import Root
from tests.cli.rig import Lamina, assert_complaint, tree
from tests.conftest import DRIVERS, SMALL

pytestmark = [pytest.mark.usefixtures("needs_root", "needs_mounts"), pytest.mark.matrix]

PAIRS = list(itertools.permutations(DRIVERS, 2))
# Layers that add, change, delete, link, replace, and hold the same name twice.
DOCKERFILE = """\
FROM base
RUN mkdir -p /d/e && echo one > /d/a && ln /d/a /d/b && chmod 4755 /d/a && mkfifo /d/p
RUN rm -r /d/e && echo two > /d/c && ln -s c /d/s && chown 3:4 /d/c
RUN rm -r /d && mkdir -m 700 /d && echo three > /d/f
"""
CHANGE = """\
echo more >> /d/f; rm /etc/group; mkdir -p /new/deep; echo x > /new/deep/file
ln /new/deep/file /new/link; chown 5:6 /new/deep/file; ln -s nowhere /new/s
rm -r /root; mkdir /root; echo y > /root/y; chmod 711 /etc; mv /etc/passwd /etc/moved
"""
TWICE = "twice"  # a tar that names a file twice: what it held first is in no tree


class Mover:
    """A store on a file system where every driver works, and the options each one needs."""

    def __init__(self, folder, dataset):
        self.lamina = Lamina(folder)
        self.lamina.env["SOURCE_DATE_EPOCH"] = "1600000000"
        self._dataset = dataset

    def options(self, driver):
        own = {"zfs": (f"zfs.fsname={self._dataset}",), "devicemapper": SMALL}
        return tuple(part for each in own.get(driver, ()) for part in ("--storage-opt", each))

    def on(self, driver):
        """The command on the store as it is on that driver."""

        def run(*words):
            return self.lamina.ok("--driver", driver, *self.options(driver), *words)

        return run

    def move(self, source, target, *words):
        return self.lamina(
            *self.options(source), "migrate", "--to", target, *self.options(target), *words
        )


@pytest.fixture
def mover_of(request, btrfs, tmp_path):
    made = []

    def make(*drivers):
        for driver in drivers:
            if driver == "erofs":
                request.getfixturevalue("needs_erofs")
            if driver == "devicemapper":
                request.getfixturevalue("needs_thin_pools")
            if driver == "fuse-overlayfs":
                request.getfixturevalue("needs_program")(driver)
        dataset = None
        if "zfs" in drivers:
            dataset = dataset_of(request.getfixturevalue("zfs"))
        folder = tempfile.mkdtemp(dir=btrfs)
        made.append(folder)
        return Mover(folder, dataset)

    yield make
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


def twice_tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for text in (b"first", b"second, and longer"):
            info = tarfile.TarInfo("t/file")
            info.size, info.mtime = len(text), 1600000000
            archive.addfile(info, io.BytesIO(text))
    return buffer.getvalue()


def filled(mover, driver, busybox_tar):
    """A store with images that share layers, and containers that changed something."""
    run = mover.on(driver)
    run("import", busybox_tar, "base")
    mover.lamina.write("Dockerfile", DOCKERFILE)
    run("build", "-q", "-t", "built", mover.lamina.folder)
    run("import", mover.lamina.write("twice.tar", twice_tar()), TWICE)
    assert run("run", "--network", "none", "--name", "changed", "built", "sh", "-c", CHANGE) == ""
    run("create", "--name", "fresh", "base", "true")
    return run


def seen(mover, driver):
    """All that a user can see of images and containers, the layers bit for bit."""
    options = mover.options(driver)[1::2]
    with lamina.open(
        mover.lamina.root,
        run_root=mover.lamina.env["LAMINA_RUN_ROOT"],
        driver=driver,
        storage_opts=options,
    ) as engine:
        assert engine.system.check(full=True) == []
        facts = {layer.chain_id: exported(engine, layer) for layer in engine.layers.all()}
        for container in engine.containers.list(everything=True):
            facts[container.name] = [(c.kind, c.path) for c in container.diff()]
            facts[f"files of {container.name}"] = told(container)
        return facts | {"images": [(image.id, image.tags) for image in engine.images.list()]}


def exported(engine, layer):
    digest = hashlib.sha256()
    engine.layers.export(layer.chain_id, digest.update)
    assert f"sha256:{digest.hexdigest()}" == layer.diff_id
    return layer.size, layer.entries


def told(container):
    """Every member of a container's tree, but for times, which some file systems round."""
    buffer = io.BytesIO()
    container.export(buffer.write)
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as archive:
        return [
            (m.name, m.mode, m.uid, m.gid, m.type, m.linkname, hash_of(archive, m))
            for m in archive
            if not m.name.startswith("bin/")
        ]


def hash_of(archive, member):
    return archive.extractfile(member).read() if member.isreg() else b""


def homes(root):
    """The homes of drivers that are there."""
    return {name for name in DRIVERS if os.path.lexists(f"{root}/{entry(name).home}")}


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_store_moves_between_any_two_drivers(mover_of, source, target, busybox_tar):
    mover = mover_of(source, target)
    root = mover.lamina.root
    filled(mover, source, busybox_tar)
    before = seen(mover, source)
    said = mover.move(source, target)
    assert said.code == 0, said
    assert said.out.endswith(f"Moved from {source} to {target}: 5 layers, 2 containers\n")
    assert seen(mover, target) == before
    assert homes(root) == {target}
    assert os.listdir(f"{root}/trash") == os.listdir(f"{root}/staging") == []
    assert not [name for name in os.listdir(f"{root}/index") if source in name or target in name]
    run = mover.on(target)
    assert f"Storage Driver: {target}\n" in run("info")
    run("commit", "changed", "kept")
    run("rm", "changed", "fresh")
    assert (
        run("run", "--rm", "--network", "none", "kept", "cat", "/new/link", "/root/y") == "x\ny\n"
    )
    run("rmi", "kept", "built", "base", TWICE)
    assert entry(target).layers(root) == []
    assert os.listdir(f"{root}/index") == []


@pytest.fixture
def mover(mover_of, busybox_tar):
    """A filled store on overlay2 that may go to vfs."""
    made = mover_of("overlay2", "vfs")
    filled(made, "overlay2", busybox_tar)
    return made


def kept(mover):
    """Every path of the store but lock files, which stay until they are of no use."""
    return [path for path in tree(mover.lamina.root) if "/locks/" not in path]


def test_the_plan_says_what_and_how_much_and_writes_nothing(mover):
    before = kept(mover)
    said = mover.move("overlay2", "vfs", "--dry-run")
    assert said.code == 0, said
    rows = said.out.splitlines()
    assert rows[0].split() == ["WHAT", "ID", "OF", "SIZE", "TO", "DO"]
    assert len([row for row in rows if row.startswith("layer ") and "to be copied" in row]) == 5
    assert len([row for row in rows if row.startswith("container ")]) == 2
    assert rows[-1].startswith("From overlay2 to vfs: ")
    assert kept(mover) == before
    bytes_of = "{{.Kind}} {{.Owners}} {{.Reason}}"
    assert (
        "container fresh to be copied"
        in mover.move("overlay2", "vfs", "--dry-run", "--format", bytes_of).out.splitlines()
    )


def test_a_running_container_keeps_the_driver_until_it_ends(mover):
    run = mover.on("overlay2")
    words = (
        "run",
        "-i",
        "--network",
        "none",
        "--name",
        "busy",
        "base",
        "sh",
        "-c",
        "echo up; read x",
    )
    with subprocess.Popen(
        mover.lamina.command(*words),
        env=mover.lamina.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as busy:
        assert busy.stdout.readline() == b"up\n"
        while "busy" not in run("ps", "--format", "{{.Names}}"):
            pass  # its row is written once it has started
        plan = mover.move("overlay2", "vfs", "--dry-run", "--format", "{{.Owners}}: {{.Reason}}")
        assert "busy: must end before the switch\n" in plan.out
        assert_complaint(mover.move("overlay2", "vfs"), "cannot be switched over: busy;")
        assert "Storage Driver: overlay2\n" in run("info")
        assert run("check", "--full") == "clean\n"
        assert_complaint(mover.move("overlay2", "erofs"), "a migration to vfs is under way")
        busy.communicate(b"\n")
    before = seen(mover, "overlay2")
    said = mover.move("overlay2", "vfs")
    assert said.code == 0, said
    assert "Copying" not in said.out  # all of it was there
    assert seen(mover, "vfs") == before


def test_a_store_that_others_have_open_is_switched_when_they_are_done(mover):
    with lamina.open(mover.lamina.root, run_root=mover.lamina.env["LAMINA_RUN_ROOT"]) as other:
        assert_complaint(mover.move("overlay2", "vfs"), "other commands have the store open")
        assert len(other.images.list()) == 3
    assert mover.move("overlay2", "vfs").code == 0


def test_what_changes_between_copy_and_switch_is_copied_again(mover):
    run = mover.on("overlay2")
    with lamina.open(mover.lamina.root, run_root=mover.lamina.env["LAMINA_RUN_ROOT"]):
        assert mover.move("overlay2", "vfs").code == 1
    run("cp", mover.lamina.write("late", "late"), "changed:/d/late")
    run("rm", "fresh")
    run("rmi", TWICE)
    run("create", "--name", "young", "base", "true")
    run("import", mover.lamina.write("more.tar", twice_tar()), TWICE)
    before = seen(mover, "overlay2")
    assert mover.move("overlay2", "vfs").code == 0
    assert seen(mover, "vfs") == before
    assert "A /d/late" in mover.on("vfs")("diff", "changed")


def test_a_migration_that_is_given_up_leaves_nothing(mover):
    before = seen(mover, "overlay2")
    there = kept(mover)
    with lamina.open(mover.lamina.root, run_root=mover.lamina.env["LAMINA_RUN_ROOT"]):
        assert mover.move("overlay2", "vfs").code == 1
    assert homes(mover.lamina.root) == {"overlay2", "vfs"}
    assert "The migration to vfs is given up" in mover.lamina.ok("migrate", "--abort")
    assert seen(mover, "overlay2") == before
    assert kept(mover) == there
    assert mover.lamina.ok("migrate", "--abort") == "No migration is under way\n"


def test_what_is_somebodys_in_a_drivers_home_stays(mover):
    root = mover.lamina.root
    os.makedirs(f"{root}/vfs/mine")
    os.makedirs(f"{root}/overlay2/theirs/deep")
    for path in (f"{root}/vfs/mine/file", f"{root}/overlay2/theirs/deep/file"):
        with open(path, "x", encoding="ascii"):
            pass
    with lamina.open(root, run_root=mover.lamina.env["LAMINA_RUN_ROOT"]):
        assert mover.move("overlay2", "vfs").code == 1
    mover.lamina.ok("migrate", "--abort")
    assert tree(f"{root}/vfs") == [f"{root}/vfs/mine", f"{root}/vfs/mine/file"]
    os.makedirs(f"{root}/overlay2/.probe-0badcafe/lower1")  # of a prober that was killed
    said = mover.move("overlay2", "vfs")
    assert (said.code, said.err) == (0, ""), said
    assert [x.removeprefix(root) for x in tree(f"{root}/overlay2")] == [
        "/overlay2/theirs",
        "/overlay2/theirs/deep",
        "/overlay2/theirs/deep/file",
    ]
    assert mover.on("vfs")("check", "--full") == "clean\n"


INTERRUPTED = """\
import sys
import lamina
root, run_root = sys.argv[1:]
with lamina.open(root, run_root=run_root) as engine:
    try:
        engine.migration.move("vfs")
    except KeyboardInterrupt:
        engine.containers.create("base", ["true"], name="after")
        print(engine.driver.name)
"""


def stopped_at_the_switch(mover, command):
    """A process that has just switched the store over, and stands still."""
    env = {**mover.lamina.env, "LAMINA_TEST_STOP": "switched"}
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    return process


def test_an_engine_that_is_interrupted_after_the_switch_goes_on_with_the_new_driver(mover):
    places = (mover.lamina.root, mover.lamina.env["LAMINA_RUN_ROOT"])
    with stopped_at_the_switch(mover, [sys.executable, "-c", INTERRUPTED, *places]) as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        assert process.communicate() == ("vfs\n", "")
    assert mover.lamina.ok("check", "--full") == "clean\n"
    assert homes(mover.lamina.root) == {"vfs"}
    assert set(mover.lamina.ok("ps", "-a", "--format", "{{.Names}}").split()) == {
        "after",
        "changed",
        "fresh",
    }


@pytest.mark.usefixtures("needs_erofs")
def test_an_index_that_cannot_be_put_in_its_place_is_told_and_still_found(mover):
    index = f"{mover.lamina.root}/index"
    before = seen(mover, "overlay2")
    command = mover.lamina.command("migrate", "--to", "erofs")
    with stopped_at_the_switch(mover, command) as process:
        assert any(name.endswith(".erofs") for name in os.listdir(index))
        subprocess.run(["chattr", "+i", index], check=True)
        try:
            process.send_signal(signal.SIGCONT)
            _, errors = process.communicate()
            assert (process.returncode, "an index stays beside" in errors) == (0, True), errors
        finally:
            subprocess.run(["chattr", "-i", index], check=True)
    assert seen(mover, "erofs") == before
    assert homes(mover.lamina.root) == {"erofs"}


def test_what_a_killed_start_left_in_a_root_is_taken_back_before_the_move(mover):
    with lamina.open(mover.lamina.root, run_root=mover.lamina.env["LAMINA_RUN_ROOT"]) as engine:
        (row,) = (each.row for each in engine.container_store.all() if each.row.name == "changed")
        upper = engine.driver.writable_root(row.layer_id)
        before = engine.containers.get("changed").diff()
        room = os.path.join(engine.run_root, row.id)
        os.mkdir(room)
        with open(f"{room}/upper", "w", encoding="ascii") as file:
            file.write(upper)
        root = Root.at(upper)
        Traces(root, room).lent_file(b"root/y", b"lent")
        Traces(root, room).empty_file(b"point")
        root.close()
        assert engine.migration.move("vfs").target == "vfs"
        assert engine.containers.get("changed").diff() == before
        with open(f"{engine.driver.writable_root(row.layer_id)}/root/y", encoding="ascii") as file:
            assert file.read() == "y\n"
        assert not os.path.lexists(room)


def test_a_damaged_layer_stops_it_and_nothing_is_switched(mover):
    places = [x for x in tree(f"{mover.lamina.root}/overlay2") if x.endswith("/diff/d/f")]
    for place in places:
        if os.path.getsize(place) == len("three\n"):  # the container's has more
            with open(place, "w", encoding="utf-8") as file:
                file.write("other\n")
    assert_complaint(mover.move("overlay2", "vfs"), "d/f", "was changed")
    assert "Storage Driver: overlay2\n" in mover.lamina.ok("info")
    mover.lamina.ok("migrate", "--abort")
    assert homes(mover.lamina.root) == {"overlay2"}


def test_a_limit_that_the_new_driver_cannot_keep_is_said(mover_of, busybox_tar):
    mover = mover_of("btrfs", "vfs", "zfs")
    run = mover.on("btrfs")
    run("import", busybox_tar, "base")
    run("create", "--name", "small", "--storage-opt", "size=8m", "base", "true")
    assert_complaint(mover.move("btrfs", "vfs"), "container small: vfs cannot limit the size")
    run("migrate", "--abort")
    assert mover.move("btrfs", "zfs").code == 0
    (found,) = json.loads(mover.on("zfs")("inspect", "small"))
    dataset = dict(found["GraphDriver"]["Data"])["Dataset"]
    command = ["zfs", "get", "-Hp", "-o", "value", "quota", dataset]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == str(8 << 20)


def test_what_cannot_be_is_refused_in_a_sentence(mover):
    assert_complaint(mover.move("overlay2", "what"), "no storage driver is called 'what'")
    assert_complaint(mover.move("overlay2", "devicemapper"), "devicemapper cannot be used")
    assert_complaint(mover.lamina("migrate"), "one of --from, --to and --abort")
    said = mover.lamina("migrate", "--to", "vfs", "base")
    assert_complaint(said, "no image can be named")
    assert mover.lamina.ok("migrate", "--to", "overlay2") == "The store is on overlay2 already\n"
    os.makedirs(f"{mover.lamina.root}/vfs/dir/{'0' * 64}")
    assert_complaint(mover.move("overlay2", "vfs"), "vfs holds layers")
    assert os.listdir(f"{mover.lamina.root}/vfs/dir") == ["0" * 64]


def test_an_old_body_that_cannot_be_removed_is_told_and_goes_later(mover):
    names = entry("overlay2").layers(mover.lamina.root)
    place = next(f"{mover.lamina.root}/overlay2/{x}/work" for x in names if has_work(mover, x))
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    try:
        said = mover.move("overlay2", "vfs")
        assert said.code == 0, said
        assert "what is left on overlay2 cannot be removed yet" in said.err
        said = mover.lamina("check")
        assert "unfinished: migration to vfs: what it left on overlay2 could not" in said.out
    finally:
        path = next(
            x for x in tree(mover.lamina.root) if x.endswith("/work") and os.path.ismount(x)
        )
        subprocess.run(["umount", path], check=True)
    assert mover.lamina.ok("check", "--full") == "clean\n"
    assert homes(mover.lamina.root) == {"vfs"}
    assert os.listdir(f"{mover.lamina.root}/trash") == []


def has_work(mover, layer):
    return os.path.isdir(f"{mover.lamina.root}/overlay2/{layer}/work")


@pytest.mark.parametrize("target", ["fuse-overlayfs", "vfs", "erofs"])
def test_a_layer_that_stands_on_an_earlier_one_moves_to_what_is_below_both(mover_of, target):
    mover = mover_of("overlay2", target)
    context = f"{mover.lamina.folder}/context"
    os.makedirs(f"{context}/files")
    for number in range(1010):
        write(f"{context}/files/{number}", str(number))
    write(f"{context}/Dockerfile", "FROM scratch\nCOPY files /files\n")
    run = mover.on("overlay2")
    for text, gone in (("one", "8"), ("two", "9")):
        write(f"{context}/files/7", text)
        os.unlink(f"{context}/files/{gone}")
        run("build", "-q", "-t", text, context)
    ids = run("images", "-aq", "--no-trunc")
    said = mover.move("overlay2", target)
    assert said.code == 0, said
    run = mover.on(target)
    assert run("check", "--full") == "clean\n"
    assert run("images", "-aq", "--no-trunc") == ids
    assert [run("cat", f"{text}:/files/7") for text in ("one", "two")] == ["one", "two"]
    assert len(run("ls", "two:/files").split()) == len(run("ls", "one:/files").split()) - 1
    run("rmi", "one")
    assert run("check", "--full") == "clean\n"
    run("rmi", "two")
    assert entry(target).layers(mover.lamina.root) == []


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
