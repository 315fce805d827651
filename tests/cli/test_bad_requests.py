"""Requests that cannot be met, Dockerfiles that are wrong, disks and stores that say no."""

import io
import os
import re
import shutil
import subprocess
import tarfile

import pytest

from lamina.testing.trees import tar_of
from tests.cli.rig import EXCERPT, Lamina, assert_complaint, nothing_left, tree

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
SMALL = tar_of("d d\nf d/a text")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store for many tests: what leaves nothing behind disturbs no other."""
    made = Lamina(str(tmp_path_factory.mktemp("vfs")), "vfs")
    made.ok("import", made.write("small.tar", SMALL), "small")
    os.mkdir(f"{made.folder}/folder")
    yield made
    assert made.ok("check", "--full") == "clean\n"


# --- names --------------------------------------------------------------------------------

UNKNOWN = [
    (["run", "--pull=never", "nope", "true"], 125, "no such image: nope"),
    (["run", "--pull=never", "small:2", "true"], 125, "no such image: small:2"),
    (["create", "--pull=never", "nope"], 1, "no such image: nope"),
    (["history", "nope"], 1, "no such image: nope"),
    (["save", "nope"], 1, "no such image: nope"),
    (["save", "small", "nope"], 1, "no such image: nope"),
    (["tag", "nope", "y"], 1, "no such image: nope"),
    (["rmi", "nope"], 1, "no such image: nope"),
    (["inspect", "nope"], 1, "no such image or container: nope"),
    (["export", "nope"], 1, "no such container: nope"),
    (["diff", "nope"], 1, "no such container: nope"),
    (["commit", "nope", "x"], 1, "no such container: nope"),
    (["rm", "nope"], 1, "no such container: nope"),
    (["cp", "nope:/x", "."], 1, "no such container: nope"),
    (["tag", "small", "UPPER"], 1, "invalid reference 'UPPER': the name must be in lower case"),
    (["import", "small.tar", "UPPER"], 1, "invalid reference 'UPPER'"),
    (["build", "-t", "UPPER", "."], 1, "invalid reference 'UPPER'"),
    (["import", "/does/not/exist"], 1, "/does/not/exist: No such file or directory"),
    (["import", "http://a.example/x"], 1, "curl -fL http://a.example/x | lamina import -"),
    (["load", "-i", "/does/not/exist"], 1, "/does/not/exist: No such file or directory"),
    (["load", "-i", "/proc/self"], 1, "neither a docker archive nor an OCI layout"),
    (["build", "/does/not/exist"], 1, "there is no build context /does/not/exist"),
    (["build", "-f", "/does/not/exist", "."], 1, "there is no Dockerfile /does/not/exist"),
    (["build", "small.tar"], 1, "small.tar is not a directory"),
    (["save", "-o", "/does/not/exist", "small"], 1, "/does/not/exist: No such file or dir"),
    (["save", "-o", "folder", "small"], 1, "folder: Is a directory"),
    (["images", "--bogus"], 125, "unknown flag: --bogus"),
    (["build", "--buildarg=a=b", "."], 125, "--buildarg; did you mean --build-arg?"),
    (["build", "-f", "nope", "--tga", "x", "."], 125, "unknown flag: --tga; did you mean --tag?"),
    (["run", "--env-file=no", "small", "x"], 125, "lamina: reading no: No such file or directory"),
    (["images", "--root", "x"], 125, "--root; it stands before the command: lamina --root DIR"),
    (["ps", "-f", "age=3"], 1, "Invalid filter 'age'; there are ancestor, before"),
    (["ps", "-n", "many"], 1, "--last 'many' is no number of containers"),
    (["tag", "small", "sha256:abc"], 1, "sha256 begins a digest, and is no name"),
    (["build", "-t", "sha256:abc", "."], 1, "sha256 begins a digest, and is no name"),
    (["run", "--bogus", "small"], 125, "unknown flag: --bogus"),
    (["frobnicate"], 1, "'frobnicate' is not a lamina command"),
    (["imges"], 1, "did you mean 'images'?"),
    (["image", "lss"], 1, "did you mean 'image ls'?"),
    (["logs", "nope"], 1, "no such container: nope"),
    (["container", "exec", "nope"], 1, "'lamina container exec' takes at least 2 arguments"),
    (["-x"], 125, "unknown shorthand flag: 'x'; see 'lamina --help'"),
    (["tag", "small"], 1, "takes exactly 2 arguments, and 1 was given"),
    (["container", "prune", "-af"], 125, "unknown shorthand flag: 'a'"),
    (["images", "--format", "{{.Nope"], 1, "template parsing error"),
    (["--config", "/does/not/exist", "images"], 1, "/does/not/exist does not exist"),
]


@pytest.mark.parametrize(("words", "code", "reason"), UNKNOWN, ids=lambda it: str(it)[:60])
def test_a_request_that_cannot_be_met(store, words, code, reason):
    with nothing_left(store):
        assert_complaint(store(*words), reason, code=code)


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        ("nope", "no storage driver is called 'nope'"),
        ("aufs", "removed from the field"),
    ],
)
def test_a_driver_that_is_not_to_be_had(lamina, driver, reason):
    lamina.driver = driver
    assert_complaint(lamina("images"), reason)


def test_an_iidfile_that_cannot_be_written(store):
    store.write("empty/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")
    said = store("build", "-q", "--iidfile", "/does/not/exist", f"{store.folder}/empty")
    assert_complaint(said, "writing /does/not/exist: No such file or directory")


# --- Dockerfiles --------------------------------------------------------------------------

DOCKERFILES = {
    "a comment in a line": (
        "FROM scratch #comment",
        1,
        "a comment must start its line",
        "#comment",
    ),
    "an unknown word": ("FROM scratch\nFRUM x", 2, "unknown instruction: FRUM", "FRUM"),
    "too few words": ("FROM scratch\nCOPY a", 2, "COPY requires at least two arguments", ""),
    "no FROM": ("RUN x", 1, "RUN stands before the first FROM", "RUN"),
    "an unknown flag": ("FROM scratch\nCOPY --chmood=1 a b", 2, "--chmood; did you", "--chmood"),
    "a heredoc without end": ("FROM scratch\nRUN <<EOF\nx", 2, "unterminated heredoc", "<<"),
    "ENV without a value": ("FROM scratch\nENV a", 2, "ENV must have two arguments", ""),
    "a bad substitution": ("FROM scratch\nENV a=${b!c}", 2, "unsupported modifier (!)", ""),
    "a bad port": ("FROM scratch\nEXPOSE 8o", 2, "invalid port in EXPOSE '8o'", ""),
    "lines below": ("FROM scratch\n\n# x\n\nENV \\\n a", 5, "ENV must have two", ""),
}


@pytest.mark.parametrize("name", DOCKERFILES)
def test_a_bad_dockerfile_is_shown_with_a_caret(store, name):
    text, line, reason, at = DOCKERFILES[name]
    store.write("bad/Dockerfile", text + "\n")
    with nothing_left(store):
        said = store("build", f"{store.folder}/bad")
    assert_complaint(said, f"lamina: Dockerfile:{line}: ", reason)
    (file, shown, rows), *_ = EXCERPT.findall(said.err)
    assert (file, int(shown)) == ("Dockerfile", line)
    marked = [row for row in rows.split("\n") if " | >>> " in row]
    assert marked[0] == f" {line:3d} | >>> {text.splitlines()[line - 1]}".rstrip()
    carets = [row for row in rows.split("\n") if row.startswith("     |     ")]
    start = carets[0].index("^") if at else 0
    assert [marked[0][start : start + each.count("^")] for each in carets] == [at] * bool(at)


STEPS = {
    "an empty file": ("", "Dockerfile: file with no instructions"),
    "no UTF-8": (b"FROM scratch\n\xff\xfe\n", "Dockerfile: it is not UTF-8 text"),
    "an unknown base": ("FROM nope", "Dockerfile:1: no such image: nope"),
    "a base that is no name": ("FROM Debian", "Dockerfile:1: invalid reference 'Debian': the name"),
    "a base without its tag": (
        "ARG T\nFROM small:$T",
        "Dockerfile:2: invalid reference 'small:': '' is no tag; give its ARG a default or",
    ),
    "an unknown stage": ("FROM scratch\nCOPY --from=later a b", "Dockerfile:2: no such image: la"),
    "a source that is not there": ("FROM scratch\nCOPY nope /x", "Dockerfile:2: the build context"),
    "a source above": ("FROM scratch\nCOPY ../x /x", "the build context has no '../x'"),
    "a stage misspelt": ("FROM scratch AS build\nFROM biuld", "biuld; did you mean build, a stage"),
    "a stage misspelt by COPY": (
        "FROM scratch AS build\nFROM scratch\nCOPY --from=biuld a b",
        "Dockerfile:3: no such image: biuld; did you mean build, a stage of this Dockerfile?",
    ),
    "an unknown user": ("FROM small\nCOPY --chown=bob small.tar /x", "Dockerfile:2: "),
    "a program that is not there": ("FROM small\nRUN true", "Dockerfile:2: cannot run '/bin/sh'"),
    "an unknown target": ("FROM small AS a", "the Dockerfile has no stage 'later'; it has a"),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.usefixtures("needs_root", "needs_mounts")
def test_a_step_that_cannot_be_carried_out(store, name):
    text, reason = STEPS[name]
    store.write("step/Dockerfile", text)
    target = ("--target", "later") if name == "an unknown target" else ()
    with nothing_left(store):
        said = store("build", "--pull=never", "-t", "x", *target, f"{store.folder}/step")
        assert_complaint(said, reason)
    place = re.match("Dockerfile:([0-9]+): ", said.err.splitlines()[-1].removeprefix("lamina: "))
    if place is not None:
        ((file, line, rows),) = EXCERPT.findall(said.err)
        assert (file, line) == ("Dockerfile", place[1])
        assert f" {int(line):3d} | >>> {text.splitlines()[int(line) - 1]}\n" in rows


def test_a_platform_that_is_none_has_its_place(base):
    base.write("c/Dockerfile", "FROM --platform=foo base\n")
    said = base("build", f"{base.folder}/c")
    assert "Dockerfile:1: 'foo' is no platform; platforms look like linux/amd64" in said.err
    assert ">>> FROM --platform=foo base" in said.err


@pytest.mark.usefixtures("needs_root", "needs_mounts")
def test_a_command_that_fails_is_named_and_leaves_nothing(base):
    base.write("c/Dockerfile", "FROM base\nRUN echo about to fail; exit 3\n")
    with nothing_left(base):
        said = base("build", f"{base.folder}/c")
        assert_complaint(said, "lamina: Dockerfile:2: the command ", "ended with exit status 3")
        quiet = base("build", "-q", f"{base.folder}/c")
    assert quiet.out == ""
    assert EXCERPT.sub("", quiet.err).startswith("about to fail\nlamina: Dockerfile:2: ")
    shown = (
        "Dockerfile:2\n{0}\n   1 |     FROM base\n   2 | >>> RUN echo about to fail; exit 3\n{0}\n"
    )
    for each in (said, quiet):
        assert shown.format("-" * 20) in each.err
    title = "[2/2] RUN echo about to fail; exit 3"
    assert f"------\n > {title}:\nabout to fail\n------\nDockerfile:2\n" in said.err


# --- disks --------------------------------------------------------------------------------


def big_tar(size):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("a")
        info.size = size
        archive.addfile(info, io.BytesIO(b"\x5a" * size))
    return out.getvalue()


@pytest.fixture(params=["vfs", "overlay2"])
def small_disk(request, lamina, ext4):
    """A store on a file system of 24 MB."""
    lamina.driver = request.param
    lamina.root = f"{ext4(24 << 20)}/root"
    return lamina


@pytest.mark.usefixtures("needs_root", "needs_mounts")
def test_a_full_disk(small_disk, busybox_tar):
    lamina = small_disk
    lamina.ok("import", busybox_tar, "small")
    big = lamina.write("big/big.tar", big_tar(30 << 20))
    lamina.write("big/Dockerfile", "FROM small\nCOPY big.tar /\n")
    lamina.write("run/Dockerfile", "FROM small\nRUN dd if=/dev/zero of=/big bs=1M count=40\n")
    full = "No space left on device"
    with nothing_left(lamina):
        assert_complaint(lamina("import", big, "big"), full, "free some space")
        assert_complaint(lamina("build", "-t", "big", f"{lamina.folder}/big"), full)
        failed = lamina("build", "-q", "-t", "big", f"{lamina.folder}/run")
        assert failed.code == 1
        assert full in failed.err
    assert lamina.ok("check", "--full") == "clean\n"
    assert lamina.ok("images", "--format", "{{.Repository}}") == "small\n"
    lamina.ok("rmi", "small")


@pytest.mark.usefixtures("needs_root", "needs_mounts")
def test_load_onto_a_full_disk(small_disk):
    other = Lamina(f"{small_disk.folder}/other", "vfs")
    os.mkdir(other.folder)
    other.ok("import", other.write("big.tar", big_tar(30 << 20)), "big")
    other.ok("save", "-o", f"{other.folder}/saved.tar", "big")
    small_disk.ok("images")
    with nothing_left(small_disk):
        said = small_disk("load", "-i", f"{other.folder}/saved.tar")
        assert_complaint(said, "No space left on device")


@pytest.mark.parametrize("words", [["images"], ["import", "small.tar", "y"], ["rmi", "x"]])
@pytest.mark.usefixtures("needs_root", "needs_mounts")
def test_a_read_only_store(lamina, words):
    lamina.driver = "vfs"
    lamina.ok("import", lamina.write("small.tar", SMALL), "x")
    mounted = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    with nothing_left(lamina):
        said = lamina(*words, prefix=("unshare", "-m", "sh", "-c", mounted, lamina.root))
        assert_complaint(said, lamina.root, "Read-only file system", "remount it read-write")


def test_standard_output_that_is_full(store):
    for words in (["images"], ["inspect", "small"], ["save", "small"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                store.command(*words),
                stdout=full,
                stderr=subprocess.PIPE,
                env=store.env,
                check=False,
            )
        assert done.returncode == 1
        assert b"No space left on device" in done.stderr
        assert b"internal error" not in done.stderr
        assert done.stderr.count(b"\n") == 1


# --- rights -------------------------------------------------------------------------------


@pytest.fixture
def shared_folder():
    """A folder that everybody reaches; pytest's own are closed to others."""
    path = f"/tmp/lamina-test-{os.getpid()}"
    os.mkdir(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def somebody(shared_folder, needs_program):
    """A store of root's, for somebody else to come to."""
    needs_program("setpriv")
    made = Lamina(shared_folder, "vfs")
    made.env["HOME"] = shared_folder
    made.ok("import", made.write("small.tar", SMALL), "small")
    return made


@pytest.mark.usefixtures("needs_root")
def test_a_store_of_somebody_else(somebody):
    path = f"{somebody.folder}/small.tar"
    with nothing_left(somebody):
        for words, code in (
            (["images"], 1),
            (["import", path], 1),
            (["run", "small", "true"], 125),
        ):
            said = somebody(*words, prefix=NOBODY)
            assert_complaint(said, f"the store {somebody.root}: Permission denied", code=code)


@pytest.mark.usefixtures("needs_root")
def test_a_place_where_nothing_may_be_made(somebody):
    somebody.root = f"{somebody.folder}/new"
    said = somebody("images", prefix=NOBODY)
    assert_complaint(said, f"{somebody.root}: Permission denied", "run as root")
    assert not os.path.exists(somebody.root)


@pytest.mark.usefixtures("needs_root")
def test_a_source_that_may_not_be_read(somebody):
    somebody.root = f"{somebody.folder}/his"
    os.mkdir(somebody.root)
    os.chown(somebody.root, 65534, 65534)
    somebody("images", prefix=NOBODY)
    path = somebody.write("closed/file", SMALL)
    somebody.write("closed/Dockerfile", "FROM scratch\nCOPY file /\n")
    os.chmod(path, 0o600)
    with nothing_left(somebody):
        for words in (["import", path], ["load", "-i", path]):
            assert_complaint(somebody(*words, prefix=NOBODY), f"reading {path}: Permission denied")
        said = somebody("build", f"{somebody.folder}/closed", prefix=NOBODY)
        assert_complaint(said, "reading file: Permission denied")
        said = somebody("save", "-o", f"{somebody.folder}/x.tar", "small", prefix=NOBODY)
        assert_complaint(said, f"writing {somebody.folder}/x.tar: Permission denied")


# --- stores -------------------------------------------------------------------------------


@pytest.fixture
def damaged(lamina):
    lamina.driver = "vfs"
    lamina.ok("import", lamina.write("small.tar", SMALL), "x")
    return lamina


def _without(lamina):
    os.unlink(f"{lamina.root}/lamina.db")


def _of_another_store(lamina):
    other = Lamina(f"{lamina.folder}/other", "vfs")
    os.mkdir(other.folder)
    other.ok("images")
    shutil.copy(f"{other.root}/lamina.db", f"{lamina.root}/lamina.db")


def _older(lamina):
    shutil.copy(f"{lamina.root}/lamina.db", f"{lamina.folder}/older")
    lamina.ok("import", lamina.write("more.tar", tar_of("f more 1")), "more")
    shutil.copy(f"{lamina.folder}/older", f"{lamina.root}/lamina.db")


def _garbage(lamina):
    lamina.write(f"{lamina.root}/lamina.db", b"garbage" * 1000)


def _cut(lamina):
    os.truncate(f"{lamina.root}/lamina.db", 8192)


def _empty(lamina):
    os.truncate(f"{lamina.root}/lamina.db", 0)


def _no_identity(lamina):
    os.unlink(f"{lamina.root}/store")


def _bad_identity(lamina):
    lamina.write(f"{lamina.root}/store", "not this")


DAMAGED = [
    (_without, "lamina.db is missing"),
    (_of_another_store, "belongs to another store"),
    (_older, "is older than the objects beside it"),
    (_garbage, "file is not a database"),
    (_cut, "malformed"),
    (_empty, "is not a database of Lamina"),
    (_no_identity, "holds the database of a store but not its identity"),
    (_bad_identity, "is not the identity of a Lamina store"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGED, ids=lambda it: getattr(it, "__name__", ""))
def test_a_damaged_store_is_never_an_empty_one(damaged, damage, reason):
    damage(damaged)
    before = damaged.inventory()
    for words in (["images"], ["import", f"{damaged.folder}/small.tar", "y"]):
        assert_complaint(damaged(*words), damaged.root, reason)
    assert damaged.inventory() == before


def test_a_folder_of_something_else_is_left_alone(lamina):
    lamina.write("root/letter.txt", "dear")
    assert_complaint(lamina("images"), "is not a Lamina store and is not empty", "'letter.txt'")
    assert tree(lamina.root) == [f"{lamina.root}/letter.txt"]


def test_a_root_that_is_a_file(lamina):
    lamina.write("root", "x")
    assert_complaint(lamina("images"), f"opening the store {lamina.root}: ")
