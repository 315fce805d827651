"""Builds killed at every named point: what they export, import and do at once is whole or not there."""

import hashlib
import json
import os
import shutil

import pytest

from lamina.testing.fake_registry import fake_registry
from tests.crash.crash_victim import Operation, assert_between, begin_with_many, was_killed

pytestmark = pytest.mark.matrix

_CACHE = "type=local,dest=cache,mode=max"
_STAGES = """FROM box AS one
RUN --mount=type=cache,target=/c echo x >/c/x; echo one >/one
FROM box AS two
COPY a /a
RUN echo two >/two
FROM box
COPY --from=one /one /one
COPY --from=two /two /two
"""
_TWICE = "layer-staged layer-extracted layer-published step-made step-recorded"
_ENDS = "blob-copied blob-copied:3 copy-complete copy-published"


def build(*words, theirs="\0", context="context"):
    """A build that goes on where it stopped; what it writes elsewhere is the user's own."""
    return Operation(("build", "-q", *words, context), steps=True, theirs=theirs)


def killed(victim, operation, point):
    """Begin anew and be killed; the store is sound then, and a second try ends as the first."""
    victim.restore_state()
    done = victim.run(*operation.words, crash=point)
    assert was_killed(done.returncode), (point, done)
    victim.assert_sound()


def goes_on(victim, operation, before, after):
    """The same command, again."""
    assert_between(victim.state(), before, after, operation)
    victim.ok(*operation.words)
    victim.assert_settled()
    assert_between(victim.state(), after, after, operation)


def outcome(victim, operation):
    """What is there before and after it."""
    before = victim.state()
    victim.ok(*operation.words)
    return before, victim.state()


def assert_whole(layout):
    """Every blob is what it is called, and all that the index leads to is there."""
    if not os.path.exists(f"{layout}/index.json"):
        return
    blobs = f"{layout}/blobs/sha256"
    for name in os.listdir(blobs):
        with open(f"{blobs}/{name}", "rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == name
    with open(f"{layout}/index.json") as file:
        tops = json.load(file)["manifests"]
    for top in tops:
        with open(f"{blobs}/{top['digest'][7:]}") as file:
            manifest = json.load(file)
        for each in (manifest["config"], *manifest["layers"]):
            assert os.path.getsize(f"{blobs}/{each['digest'][7:]}") == each["size"]


@pytest.mark.parametrize("storage", ["overlay2", "erofs"])
def test_stages_at_once(victim_of, storage):
    victim = victim_of(storage, "build-run")
    with open(f"{victim.folder}/boxed/Dockerfile", "w") as file:
        file.write(_STAGES)
    shutil.rmtree(victim.saved)
    victim.save_state()
    operation = build("--jobs", "2", "-t", "built", context="boxed")
    before, after = outcome(victim, operation)
    points = [f"{each}{count}" for each in _TWICE.split() for count in ("", ":3")]
    points += ["rw-created:3", "command-ended", "command-ended:2"]
    for point in (*points, "cache-mount-made", "cache-mount-kept", "image-created", "durable"):
        killed(victim, operation, point)
        goes_on(victim, operation, before, after)


def test_a_copy_of_which_little_changed(victim_of):
    """Its layer stands on the one before."""
    victim = victim_of("overlay2", "build")
    operation = Operation(begin_with_many(victim), steps=True)
    shutil.rmtree(victim.saved)
    victim.save_state()
    before, after = outcome(victim, operation)
    written = [each for each in after.files - before.files if "/diff/files/" in each]
    assert len(written) == 2, written  # what changed, and what is gone
    points = f"{_TWICE} layer-created version-extracted diff-noted index-placed"
    points = points.replace("layer-extracted ", "")
    for point in (*points.split(), "image-created", "durable"):
        killed(victim, operation, point)
        goes_on(victim, operation, before, after)


@pytest.mark.parametrize(
    ("output", "points"),
    [
        ("type=oci,dest=out", f"layer-packed:2 {_ENDS} file-written"),
        ("type=oci,tar=false,dest=out", f"layer-packed file-written:2 {_ENDS}"),
        ("type=docker,dest=out", "file-written"),
        ("type=tar,dest=out", "file-written"),
        ("type=local,dest=out", "tree-written"),
    ],
)
def test_what_goes_elsewhere(victim_of, output, points):
    victim = victim_of("overlay2", "build")
    operation = build("-t", "built", "-o", output, theirs="out")
    before, after = outcome(victim, operation)
    for point in points.split():
        killed(victim, operation, point)
        if "tar=false" in output:
            assert_whole(f"{victim.folder}/out")
        elif "local" not in output and os.path.exists(f"{victim.folder}/out"):
            assert point == "copy-published"
        goes_on(victim, operation, before, after)


@pytest.mark.parametrize("earlier", [(), ("--annotation", "earlier=1")])
def test_an_annotated_image(victim_of, earlier):
    """There with its manifest, or as it was; what a kill leaves of blobs goes."""
    victim = victim_of("overlay2", "build")
    if earlier:
        victim.ok("build", "-q", "-t", "built", *earlier, "context")
        shutil.rmtree(victim.saved)
        victim.save_state()
    operation = build("-t", "built", "--annotation", "a=b")
    before, after = outcome(victim, operation)
    for point in ("blob-announced", "blob-announced:2", "image-blobs", "image-created", "durable"):
        killed(victim, operation, point)
        goes_on(victim, operation, before, after)


def test_a_cache_that_is_written(victim_of):
    victim = victim_of("overlay2", "build")
    operation = build("-t", "built", "--cache-to", _CACHE, theirs="cache")
    before, after = outcome(victim, operation)
    for point in f"durable cache-packed file-written file-written:3 {_ENDS}".split():
        killed(victim, operation, point)
        assert_whole(f"{victim.folder}/cache")
        goes_on(victim, operation, before, after)


def empty(registry):
    registry.manifests.clear()
    registry.blobs.clear()


def shows(registry, tag, manifest):
    assert registry.manifests.get(("app", tag)) == manifest


def test_a_cache_that_a_registry_is_given(victim_of):
    victim = victim_of("overlay2", "build")
    with fake_registry() as registry:
        name = f"{registry.host}/app:cache"
        operation = build("-t", "built", "--cache-to", f"type=registry,ref={name},mode=max")
        before, after = outcome(victim, operation)
        whole = registry.manifests["app", "cache"]
        for point in f"cache-packed {_ENDS}".split():
            empty(registry)
            killed(victim, operation, point)
            shows(registry, "cache", whole if point == "copy-published" else None)
            goes_on(victim, operation, before, after)
            shows(registry, "cache", whole)


def test_an_index_that_is_pushed(victim_of):
    victim = victim_of("overlay2", "build")
    with open(f"{victim.folder}/context/Dockerfile", "w") as file:
        file.write("FROM scratch\nARG TARGETARCH\nCOPY a /$TARGETARCH\n")
    shutil.rmtree(victim.saved)
    victim.save_state()
    with fake_registry() as registry:
        name, platforms = f"{registry.host}/app:1", "linux/amd64,linux/arm64"
        operation = build("-t", name, "--platform", platforms, "--push")
        before, after = outcome(victim, operation)
        whole = registry.manifests["app", "1"]
        for point in f"image-created layer-packed:2 {_ENDS}".split():
            empty(registry)
            killed(victim, operation, point)
            shows(registry, "1", whole if point == "copy-published" else None)
            goes_on(victim, operation, before, after)
            shows(registry, "1", whole)


@pytest.mark.parametrize("storage", ["overlay2", "erofs"])
def test_a_cache_that_is_asked(victim_of, storage):
    """Layers of it that were laid when it died are laid no more."""
    victim = victim_of(storage, "build")
    victim.ok("build", "-q", "-t", "built", "--cache-to", _CACHE, "context")
    victim.ok("rmi", "built")
    victim.ok("prune", "-a", "-f")
    victim.ok("import", "base.tar", "base")
    shutil.rmtree(victim.saved)
    victim.save_state()
    operation = build("-t", "built", "--cache-from", "type=local,src=cache")
    before, after = outcome(victim, operation)
    points = f"{_TWICE.partition(' step')[0]} cache-brought cache-adopted image-created durable"
    for point in [*points.split(), "layer-extracted:2", "layer-published:3"]:
        killed(victim, operation, point)
        goes_on(victim, operation, before, after)


_MOUNTED = ("cache-mount-made", "cache-mount-kept")
_CARRIES = f"{_CACHE},mounts=true"
_MOUNTS = """FROM box
RUN --mount=type=cache,target=/c echo x >/c/x; ln /c/x /c/y
COPY a /a
RUN --mount=type=cache,target=/c cat /c/x >/made
"""


def begin_with_mounts(victim):
    """Have a Dockerfile of RUNs with a cache mount."""
    with open(f"{victim.folder}/boxed/Dockerfile", "w") as file:
        file.write(_MOUNTS)


def test_a_cache_mount_that_is_carried(victim_of):
    victim = victim_of("overlay2", "build-run")
    begin_with_mounts(victim)
    shutil.rmtree(victim.saved)
    victim.save_state()
    operation = build("-t", "built", "--cache-to", _CARRIES, theirs="cache", context="boxed")
    before, after = outcome(victim, operation)
    for point in f"cache-mount-kept cache-packed file-written:2 {_ENDS}".split():
        killed(victim, operation, point)
        assert_whole(f"{victim.folder}/cache")
        goes_on(victim, operation, before, after)


@pytest.mark.parametrize("storage", ["overlay2", "erofs"])
def test_a_cache_mount_that_is_restored(victim_of, storage):
    """It is there with all that it held, or not there."""
    victim = victim_of(storage, "build-run")
    begin_with_mounts(victim)
    victim.ok("build", "-q", "-t", "built", "--cache-to", _CARRIES, "boxed")
    victim.ok("rmi", "built")
    victim.ok("prune", "-a", "-f")
    victim.ok("import", "box.tar", "box")
    with open(f"{victim.folder}/boxed/a", "w") as file:
        file.write("changed\n")
    shutil.rmtree(victim.saved)
    victim.save_state()
    origin = "type=local,src=cache"
    operation = build("-t", "built", "--cache-from", origin, context="boxed")
    before, after = outcome(victim, operation)
    assert any("/diff/y " in each for each in after.files - before.files)
    for point in ("rw-created", "cache-mount-filled", *_MOUNTED, "step-made"):
        killed(victim, operation, point)
        goes_on(victim, operation, before, after)


def test_cache_mounts_that_are_loaded(victim_of):
    """Each is there whole, or not there; the second try takes those that are missing."""
    victim = victim_of("overlay2", "build-run")
    begin_with_mounts(victim)
    with open(f"{victim.folder}/boxed/Dockerfile", "a") as file:
        file.write("RUN --mount=type=cache,target=/d echo y >/d/y\n")
    victim.ok("build", "-q", "-t", "built", "boxed")
    victim.ok("cache", "mount", "save", "-o", "mounts.tar")
    victim.ok("rmi", "built")
    victim.ok("prune", "-a", "-f")
    shutil.rmtree(victim.saved)
    victim.save_state()
    operation = Operation(("cache", "mount", "load", "-i", "mounts.tar"), steps=True)
    before, after = outcome(victim, operation)
    assert sorted(victim.ok("cache", "mount", "ls", "-q").split()) == ["/c", "/d"]
    points = [f"{each}{count}" for each in ("rw-created", *_MOUNTED) for count in ("", ":2")]
    for point in (*points, "cache-mount-filled", "synced", "durable"):
        killed(victim, operation, point)
        goes_on(victim, operation, before, after)
