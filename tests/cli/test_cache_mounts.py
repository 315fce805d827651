"""`lamina cache mount`: what RUN's cache mounts hold, listed, carried away, brought back, removed."""

import json
import os
import subprocess
import tarfile

import pytest

import lamina as library
from lamina.errors import NotFound
from tests.cli.rig import build_app

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

TEXT = (
    "FROM base\nRUN --mount=type=cache,target=/a echo one >/a/x\n"
    "RUN --mount=type=cache,id=b,target=/b,mode=0700 echo two >/b/x\n"
)
LOOKS = "FROM base\nRUN --mount=type=cache,target=/a cat /a/x >/seen\n"


def ids(lamina):
    return lamina.ok("cache", "mount", "ls", "-q").split()


@pytest.fixture
def filled(base):
    """A store with the cache mounts `/a` and `b`."""
    build_app(base, TEXT)
    return base


def test_they_are_listed_with_what_they_hold(filled):
    assert ids(filled) == ["/a", "b"]
    row, _ = map(json.loads, filled.ok("cache", "mount", "ls", "--format", "json").splitlines())
    assert (row["ID"], row["Size"], row["InUse"]) == ("/a", "4B", "false")
    assert filled.ok("cache", "mount", "ls").startswith("ID   SIZE")


def test_what_was_saved_comes_back(filled):
    archive = f"{filled.folder}/mounts.tar"
    filled.ok("cache", "mount", "save", "-o", archive)
    again = filled.ok("cache", "mount", "load", "-i", archive)
    assert again.count("It is here already") == 2
    filled.ok("cache", "mount", "rm", "/a", "b")
    assert ids(filled) == []
    assert filled.ok("cache", "mount", "load", "-i", archive) == (
        "Loaded cache mount: /a\nLoaded cache mount: b\n"
    )
    build_app(filled, LOOKS)
    assert filled.ok("cat", "app:/seen") == "one\n"
    assert filled.ok("check", "--full") == "clean\n"


def test_some_go_through_a_pipe(filled):
    command = filled.command("cache", "mount", "save", "b")
    saved = subprocess.run(command, env=filled.env, capture_output=True, check=True).stdout
    filled.ok("prune", "-a", "-f")
    assert filled.ok("cache", "mount", "load", stdin=saved) == "Loaded cache mount: b\n"


def test_a_build_takes_them_from_the_archive(filled):
    archive = f"{filled.folder}/mounts.tar"
    filled.ok("cache", "mount", "save", "-o", archive, "/a")
    filled.ok("cache", "mount", "rm", "/a")
    filled.write("Dockerfile", LOOKS)
    origin = f"type=local,src={archive}"
    filled.ok("build", "-q", "-t", "app", "--cache-from", origin, filled.folder)
    assert filled.ok("cat", "app:/seen") == "one\n"


def test_what_is_not_there(filled):
    done = filled("cache", "mount", "rm", "none", "/a")
    assert (done.code, done.out) == (1, "/a\n")
    assert "there is no cache mount 'none'" in done.err
    out = f"{filled.folder}/out.tar"
    assert filled("cache", "mount", "save", "-o", out, "none").code == 1
    assert not os.path.exists(out)
    done = filled("cache", "mount", "load", "-i", filled.write("no.tar", "no archive"))
    assert done.code == 1
    assert "no.tar: " in done.err


def test_the_library_has_the_same(filled, tmp_path):
    """Two stores, and one archive of what the first has."""
    path = str(tmp_path / "mounts.tar")
    with library.open(filled.root, run_root=filled.env["LAMINA_RUN_ROOT"]) as engine:
        with open(path, "wb") as file:
            assert engine.cache_mounts.save(file.write, ["b"]) == ("b",)
        with pytest.raises(NotFound):
            engine.cache_mounts.save(print, ["none"])
    with library.open(str(tmp_path / "other"), run_root=str(tmp_path / "run2")) as engine:
        assert engine.cache_mounts.list() == ()
        with open(path, "rb") as file:
            assert engine.cache_mounts.load(file) == (("b", True),)
        assert engine.cache_mounts.load(path) == (("b", False),)
        (mount,) = engine.cache_mounts.list()
        assert (mount.title, mount.size, mount.in_use) == ("b", 4, False)
        assert engine.cache_mounts.remove("b") == 1
        assert engine.cache_mounts.list() == ()
        assert engine.system.check() == []


def test_equal_mounts_are_equal_archives(filled):
    first, second = f"{filled.folder}/1.tar", f"{filled.folder}/2.tar"
    filled.ok("cache", "mount", "save", "-o", first)
    filled.ok("cache", "mount", "save", "-o", second)
    with open(first, "rb") as one, open(second, "rb") as two:
        assert one.read() == two.read()
    with tarfile.open(first) as archive:
        assert "oci-layout" in archive.getnames()


def test_an_archive_that_is_broken_loads_nothing_of_it(filled):
    """The blob is another one than its name says."""
    archive = f"{filled.folder}/mounts.tar"
    filled.ok("cache", "mount", "save", "-o", archive, "/a")
    with tarfile.open(archive) as opened:
        at = opened.getmember(layer_of(opened)).offset_data
    with open(archive, "r+b") as file:
        file.seek(at + 12)
        byte = file.read(1)[0]
        file.seek(at + 12)
        file.write(bytes([byte ^ 1]))
    filled.ok("cache", "mount", "rm", "/a")
    done = filled("cache", "mount", "load", "-i", archive)
    assert done.code == 1
    assert archive in done.err
    assert ids(filled) == ["b"]
    assert filled.ok("check") == "clean\n"


def layer_of(archive):
    """The name of the file of the one layer."""
    for name in archive.getnames():
        data = archive.extractfile(name).read()
        if b'"layers":[{' in data and b"diffId" not in data:
            digest = json.loads(data)["layers"][0]["digest"]
            return f"blobs/sha256/{digest[7:]}"
    raise AssertionError("it has no manifest")


FROM_A_STAGE = (
    "FROM base AS one\nRUN mkdir -p /seed/gone && echo a >/seed/kept && echo b >/seed/changed\n"
    "FROM base\nRUN --mount=type=cache,target=/a mkdir /a/d && echo one >/a/x && ln /a/x /a/d/y\n"
    "RUN --mount=type=cache,from=one,source=seed,target=/s cd /s && rmdir gone && echo c >changed\n"
)
SEES = (
    FROM_A_STAGE.partition("FROM base\n")[0]
    + "FROM base\nRUN --mount=type=cache,target=/a --mount=type=cache,from=one,source=seed,target=/s"
    " cat /a/d/y /s/kept /s/changed >/seen && ls /s >>/seen && [ /a/x -ef /a/d/y ]\n"
)


def carry(giving, taking):
    """Have a store build what another one's cache mounts are needed for."""
    giving.write("context/Dockerfile", FROM_A_STAGE)
    cache = f"{giving.folder}/cache"
    to = f"type=local,dest={cache},mode=max,mounts=true"
    giving.ok("build", "-q", "-t", "app", "--cache-to", to, f"{giving.folder}/context")
    taking.write("context/Dockerfile", SEES)
    origin = f"type=local,src={cache}"
    taking.ok("build", "-q", "-t", "seen", "--cache-from", origin, f"{taking.folder}/context")
    assert taking.ok("cat", "seen:/seen") == "one\na\nc\nchanged\nkept\n"
    assert taking.ok("check", "--full") == "clean\n"


def test_every_driver_carries_them_to_any_other(on, driver):
    """What one kept, overlay2 goes on with, and the reverse; with a beginning, too."""
    one, other = on(driver), on("overlay2")
    carry(one, other)
    for each in (one, other):
        each.ok("builder", "prune", "-f")
    carry(other, one)
