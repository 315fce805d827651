"""The whole command in a user namespace: its root is nobody's root outside."""

import io
import os
import resource
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile

import pytest

from lamina.testing import userns

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
USER = 61_234  # of nobody; root inside
CHANGE = "rm /gone; rm -r /old; mkdir /old; echo 1 > /old/new; chown bob /old/new"
DOCKERFILE = """\
FROM base
RUN mkdir /old && echo 0 > /old/file && echo 0 > /gone && chown bob /gone
COPY Dockerfile /copied
"""


class Rootless:
    """The command, run as root of a fresh user namespace each time."""

    ids = userns.OTHERS

    def __init__(self, folder, python, root, driver=None, isolation=None):
        self.folder, self.python, self.root = folder, python, root
        places = {"LAMINA_ROOT": f"{folder}/root", "LAMINA_RUN_ROOT": f"{folder}/run"}
        self.env = {**os.environ, **places, "HOME": folder, "PYTHONPATH": ":".join(sys.path)}
        self.env |= {"LAMINA_DRIVER": driver} if driver else {}
        self.env |= {"LAMINA_ISOLATION": isolation} if isolation else {}

    def __call__(self, *words):
        command = [self.python, "-m", "lamina", *words]
        places = {"env": self.env, "cwd": self.folder}
        return userns.run(command, **places, root=self.root, others=self.ids)

    def ok(self, *words):
        said = self(*words)
        assert said.code == 0, said
        return said.out


@pytest.fixture
def folder(busybox_tar):
    """A folder that anybody may reach, with an image's tar and a Dockerfile in it."""
    with tempfile.TemporaryDirectory(prefix="lamina-rootless-", dir="/var/tmp") as path:
        shutil.copy(busybox_tar, f"{path}/base.tar")
        with open(f"{path}/Dockerfile", "w") as file:
            file.write(DOCKERFILE)
        os.chmod(path, 0o755)
        yield path


def the_whole_way(lamina):
    lamina.ok("import", "base.tar", "base")
    lamina.ok("build", "-q", "-t", "built", ".")
    assert lamina.ok("run", "--rm", "built", "stat", "-c", "%U %u", "/gone") == "bob 1000\n"
    lamina.ok("run", "--name", "try", "built", "sh", "-c", CHANGE)
    assert lamina.ok("diff", "try") == "D /gone\nC /old\nD /old/file\nA /old/new\n"
    lamina.ok("commit", "try", "changed")
    assert lamina.ok("run", "--rm", "changed", "ls", "/old") == "new\n"
    assert lamina.ok("run", "--rm", "changed", "stat", "-c", "%u", "/old/new") == "1000\n"
    lamina.ok("save", "-o", "saved.tar", "changed")
    lamina.ok("rm", "try")
    lamina.ok("rmi", "changed", "built")
    lamina.ok("load", "-i", "saved.tar")
    assert lamina.ok("run", "--rm", "changed", "ls", "/old") == "new\n"
    assert lamina.ok("check", "--full") == "clean\n"


PAIRS = (("overlay2", "crun"), ("fuse-overlayfs", "runc"), ("overlay2", "chroot"))
OTHERS = (("overlay2", "runc"), ("fuse-overlayfs", "crun"), ("fuse-overlayfs", "chroot"))


@pytest.mark.parametrize(
    ("driver", "isolation"),
    [*PAIRS, *(pytest.param(*pair, marks=pytest.mark.matrix) for pair in OTHERS)],
)
def test_the_whole_way(driver, isolation, site, folder, needs_program):
    site(driver)
    if isolation != "chroot":
        needs_program(isolation)
    the_whole_way(Rootless(folder, sys.executable, 0, driver, isolation))


@pytest.mark.parametrize("isolation", ["crun", "runc", "chroot"])
def test_a_namespace_of_one_user_alone(isolation, folder, needs_program):
    """As `unshare --map-root-user` makes it, without a range in /etc/subuid."""
    if isolation != "chroot":
        needs_program(isolation)
    lamina = Rootless(folder, sys.executable, 0, "overlay2", isolation)
    lamina.ids = 0
    lamina.ok("import", "base.tar", "base")
    assert lamina.ok("run", "--rm", "base", "id", "-u") == "0\n"


@pytest.fixture(params=["crun", "runc", "chroot"])
def alone(request, folder, needs_program):
    """In a namespace of one user, with an image."""
    if request.param != "chroot":
        needs_program(request.param)
    lamina = Rootless(folder, sys.executable, 0, "overlay2", request.param)
    lamina.ids = 0
    lamina.ok("import", "base.tar", "base")
    return lamina


def test_nothing_of_the_hosts_sys_can_be_written_to(alone):
    """Not the control groups below it either, which come along where no sysfs can be mounted."""
    mounts = alone.ok("run", "--rm", "base", "cat", "/proc/mounts")
    rows = [line.split() for line in mounts.splitlines()]
    below = {row[1]: row[3].split(",")[0] for row in rows if f"{row[1]}/".startswith("/sys/")}
    assert set(below.values()) == {"ro"}, below


def test_devices_that_every_container_has(alone):
    script = "echo x >/dev/null; head -c1 /dev/zero | wc -c; ls /dev"
    said = alone.ok("run", "--rm", "base", "sh", "-c", script).split()
    assert {"full", "null", "random", "tty", "urandom", "zero", "ptmx"} <= set(said)
    assert said[0] == "1"


def test_a_privileged_container_has_this_namespaces_devices(alone, needs_fuse):
    script = "stat -c %t:%T /dev/fuse; exec 3</dev/fuse && echo opened"
    said = alone.ok("run", "--rm", "--privileged", "base", "sh", "-c", script)
    assert said.split() == ["a:e5", "opened"]
    assert "tmpfs" in alone.ok("run", "--rm", "--ipc", "host", "base", "cat", "/proc/mounts")


def test_what_a_namespace_of_one_user_cannot_do_is_refused(folder, alone):
    """unshare(1) forbids it to set groups."""
    flags = (("--group-add", "5"), ("--ulimit", "nofile=1048576"), ("--oom-score-adj", "-999"))
    script = ";".join(f"python -m lamina run {' '.join(words)} base true" for words in flags)
    script = script.replace("python", alone.python)
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    said = subprocess.run(
        command,
        env=alone.env,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 2048)),
    )
    assert said.stderr.count("lamina: ") == 3
    for words in ("the groups 5 cannot be added", "only go to 2048", "OOM score -999"):
        assert words in said.stderr


def test_an_ordinary_user_comes_as_far(folder, needs_program):
    """All of it belongs to that user and its range of IDs; the driver is found by trying."""
    needs_program("crun")
    python = _python_for_everybody()
    os.chown(folder, USER, USER)
    lamina = Rootless(folder, python, USER)
    the_whole_way(lamina)
    assert "Storage Driver: overlay2" in lamina.ok("info")
    assert "userxattr: true" in lamina.ok("info")
    assert os.stat(f"{folder}/root").st_uid == USER


def _python_for_everybody():
    """An interpreter of our version that a stranger may run, or a skip."""
    version = "{}.{}".format(*sys.version_info)
    for python in (sys.executable, f"/usr/bin/python{version}"):
        script = "import lamina.cli.main"
        env = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
        words = [python, "-c", script]
        if os.path.exists(python) and userns.run(words, env=env, cwd="/", root=USER).code == 0:
            return python
    pytest.skip("no Python here that another user may run with this checkout")


def test_its_store_is_by_default_the_users_own(folder):
    python = _python_for_everybody()
    os.chown(folder, USER, USER)
    lamina = Rootless(folder, python, USER)
    for name in ("LAMINA_ROOT", "LAMINA_RUN_ROOT", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
        lamina.env.pop(name, None)
    lamina.env["XDG_RUNTIME_DIR"] = f"{folder}/volatile"
    assert f"Lamina Root Dir: {folder}/.local/share/lamina\n" in lamina.ok("info")


def _tar(path, *members):
    with tarfile.open(path, "w") as archive:
        for info in members:
            archive.addfile(info, io.BytesIO(bytes(info.size)))


def _member(name, **fields):
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def test_devices_are_left_out_and_their_layer_leaves_as_it_came(folder):
    """No right makes them there; docker and podman leave them out, too."""
    device = _member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)
    _tar(f"{folder}/devices.tar", device, _member("file", size=3))
    lamina = Rootless(folder, sys.executable, 0, "overlay2")
    lamina.ok("import", "devices.tar", "devices")
    lamina.ok("save", "-o", "saved.tar", "devices")
    with tarfile.open(f"{folder}/saved.tar") as saved:
        layer = next(m for m in saved if m.size == os.stat(f"{folder}/devices.tar").st_size)
        with open(f"{folder}/devices.tar", "rb") as file:
            assert saved.extractfile(layer).read() == file.read()


def test_an_owner_that_is_not_mapped_is_named(folder):
    _tar(f"{folder}/far.tar", _member("file", uid=70_000))
    lamina = Rootless(folder, sys.executable, 0, "overlay2")
    said = lamina("import", "far.tar", "far")
    assert said.code == 1
    assert "its owner 70000:0 is not among the IDs of this user namespace" in said.err
    assert "/etc/subuid" in said.err
    assert lamina.ok("images", "-q") == ""


def test_a_store_is_not_read_as_something_else(folder):
    """What hides files there are attributes that overlayfs does not look at outside, and back."""
    inside = Rootless(folder, sys.executable, 0, "overlay2")
    inside.ok("import", "base.tar", "base")
    outside = Outside(folder, inside.env)
    said = outside("images")
    assert said.code == 1
    assert "would mean something else here" in said.err
    assert "opaque: user.overlay.opaque before, trusted.overlay.opaque now" in said.err
    assert "base" in inside.ok("images")


class Outside(Rootless):
    """The same store, by the host's root."""

    def __init__(self, folder, env):
        self.folder, self.env = folder, env

    def __call__(self, *words):
        done = subprocess.run(
            [sys.executable, "-m", "lamina", *words],
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        return userns.Said(done.returncode, done.stdout, done.stderr)


def test_no_device_but_whiteouts_lies_in_its_layers(folder):
    lamina = Rootless(folder, sys.executable, 0, "overlay2")
    lamina.ok("import", "base.tar", "base")
    lamina.ok("build", "-q", "-t", "built", ".")
    lamina.ok("run", "--name", "try", "built", "sh", "-c", CHANGE)
    lamina.ok("commit", "try", "changed")
    found = []
    for at, _, names in os.walk(f"{folder}/root/overlay2"):
        found += [os.lstat(f"{at}/{name}") for name in names]
    devices = [each.st_rdev for each in found if stat.S_ISCHR(each.st_mode)]
    assert devices
    assert set(devices) == {0}


@pytest.mark.parametrize("isolation", ["crun", "chroot"])
def test_volumes_and_flags(isolation, folder, needs_program):
    if isolation == "crun":
        needs_program("crun")
    lamina = Rootless(folder, sys.executable, 0, "overlay2", isolation)
    with open(f"{folder}/Dockerfile", "w") as file:
        file.write(
            "FROM base\nRUN mkdir /data && echo seed >/data/f && chown bob /data\nVOLUME /data\n"
        )
    lamina.ok("import", "base.tar", "base")
    lamina.ok("build", "-q", "-t", "built", ".")
    shown = ("-v", "kept:/data", "--tmpfs", "/t", "--read-only", "--cap-drop", "ALL", "--init")
    script = "stat -c %U /data; cat /data/f; touch /t/x; grep CapEff /proc/self/status"
    said = lamina.ok("run", "--rm", *shown, "built", "sh", "-c", script)
    assert said.split() == ["bob", "seed", "CapEff:", "0" * 16]
    lamina.ok("run", "--rm", "built", "true")
    assert lamina.ok("volume", "ls", "-q") == "kept\n"
    lamina.ok("volume", "rm", "kept")
    assert os.listdir(f"{folder}/root/volumes") == []
    assert (
        lamina("run", "--rm", "--ulimit", "nofile=100", "built", "sh", "-c", "ulimit -n").out
        == "100\n"
    )
