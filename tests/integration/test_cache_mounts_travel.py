"""What RUN's cache mounts hold, carried by a build's cache to another store."""

import hashlib
import io
import json
import os
import tarfile
from contextlib import closing

import pytest

import lamina
from lamina.build.mountname import MountName
from lamina.build.portable import MEDIA_TYPE
from lamina.fs.mounting import detached
from lamina.fs.tree import FlatTree
from lamina.metadata import cache
from lamina.spec import mediatypes
from lamina.testing.fake_registry import fake_registry
from lamina.testing.sample_images import descriptor
from lamina.values.events import Caution, Notice
from tests.integration.test_build import BASE, build
from tests.integration.test_build_mounts import WAITS, put, start

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

FILLS = (
    "RUN --mount=type=cache,target=/c{} mkdir -p /c/d/e && echo one > /c/d/one && ln /c/d/one /c/two"
    " && ln -s d/one /c/link && chmod 600 /c/two && busybox chown 5:6 /c/d && touch -d @77 /c/d/e"
    " && busybox dd if=/dev/zero of=/c/large bs=1024 count=3000 2>&-\n"
)
LISTS = "COPY new /new\nRUN --mount=type=cache,target=/c{} ls /c /c/d; ls -ld /c\n"


@pytest.fixture
def registry():
    with fake_registry() as made:
        yield made


@pytest.fixture
def site(tmp_path):
    """Makes empty stores."""
    made = []

    def make(driver="overlay2"):
        folder = tmp_path / f"site{len(made)}"
        made.append(lamina.open(f"{folder}/store", run_root=f"{folder}/run", driver=driver))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def places(tmp_path, registry):
    """How each medium is written to, and read from."""
    return {
        "registry": (
            f"type=registry,ref={registry.host}/app/cache:1,mode=max,mounts=true",
            f"type=registry,ref={registry.host}/app/cache:1",
        ),
        "local": (
            f"type=local,dest={tmp_path}/cache,mounts=true",
            f"type=local,src={tmp_path}/cache",
        ),
    }


def notices(said, word):
    return [each.text for each in said.events if isinstance(each, Notice) and word in each.text]


def warnings(said):
    return [each.text for each in said.events if isinstance(each, Caution)]


def tree_of(engine, name, number=0):
    """All that a cache mount holds, with what is known of each name; its file numbers by groups."""
    with engine.layers.root.database.read() as db:
        layer = cache.kept_layer(db, f"{name.key}.{number}")
    assert layer is not None
    found, numbers = {}, {}
    with (
        detached(engine.layers.mounts(layer, writable=True)) as root,
        closing(FlatTree(os.dup(root))) as tree,
    ):
        waiting = [b""]
        while waiting:
            path = waiting.pop()
            status = tree.lstat(path)
            kind = oct(status.st_mode)
            link = tree.readlink(path) if kind.startswith("0o12") else b""
            data = b""
            if kind.startswith("0o10"):
                with open(tree.open(path), "rb") as file:
                    data = file.read()
            if kind.startswith("0o4"):
                waiting += [path + b"/" + each if path else each for each in tree.listdir(path)]
            group = numbers.setdefault(status.st_ino, path)
            owner = (status.st_uid, status.st_gid)
            found[path] = (kind, owner, status.st_mtime_ns, link, data, group, tree.xattrs(path))
    return found


def blobs_of(registry):
    """The cache's manifest and document at a registry."""
    raw, _ = registry.manifests["app/cache", "1"]
    manifest = json.loads(raw)
    return manifest, json.loads(registry.blobs[manifest["config"]["digest"]])


@pytest.mark.parametrize("storage", ["overlay2", "vfs", "erofs"])
@pytest.mark.parametrize("medium", ["registry", "local"])
def test_an_empty_store_begins_with_what_another_left(site, places, context, storage, medium):
    to, origin = places[medium]
    first, second = site(storage), site(storage)
    more = ",mode=0750,uid=7,gid=8"
    build(first, context, BASE + FILLS.format(more), cache_to=[to])
    put(context, "new", "x")
    image, said = build(second, context, BASE + LISTS.format(more), cache_from=[origin])
    assert said.output.startswith("/c:\nd\nlarge\nlink\ntwo\n\n/c/d:\ne\none\ndrwxr-x---")
    assert notices(said, "restoring the cache mount /c from")
    name = MountName("/c", None, 0o750, 7, 8)
    assert tree_of(second, name) == tree_of(first, name)
    assert second.system.check(full=True) == []
    assert len(image.layers) == 2


def uploads(registry, since):
    return [each.path for each in registry.asked[since:] if each.method in ("PUT", "POST", "PATCH")]


def fetched(registry, digest, since=0):
    return [e for e in registry.asked[since:] if e.method == "GET" and e.path.endswith(digest)]


def test_a_mount_that_did_not_change_is_not_sent_again(site, places, registry, context):
    to, _ = places["registry"]
    first = site()
    build(first, context, BASE + FILLS.format(""), cache_to=[to])
    before = blobs_of(registry)
    since = len(registry.asked)
    _, said = build(first, context, BASE + FILLS.format(""), cache_to=[to])
    assert len(said.cached) == 2
    assert blobs_of(registry) == before
    assert all("/manifests/" in path for path in uploads(registry, since))


def test_a_cached_build_brings_no_mount_and_hands_it_on(site, places, registry, context, tmp_path):
    """So a machine that has nothing, and has nothing to do, does not lose it for the next one."""
    to, origin = places["registry"]
    first, second, third = site(), site(), site()
    build(first, context, BASE + FILLS.format(""), cache_to=[to])
    manifest, document = blobs_of(registry)
    (row,) = document["mounts"]
    since = len(registry.asked)
    _, said = build(second, context, BASE + FILLS.format(""), cache_from=[origin], cache_to=[to])
    assert len(said.cached) == 2
    assert fetched(registry, row["blob"], since) == []
    assert second.system.usage().cache_mounts == ()
    assert blobs_of(registry) == (manifest, document)
    since = len(registry.asked)
    build(second, context, BASE + FILLS.format(""), cache_from=[origin])
    assert registry.asked[since:] == []  # it is known here by now
    local = places["local"]
    build(second, context, BASE + FILLS.format(""), cache_from=[origin], cache_to=[local[0]])
    put(context, "new", "x")
    _, said = build(third, context, BASE + LISTS.format(""), cache_from=[local[1]])
    assert "large" in said.output
    assert tree_of(third, MountName("/c")) == tree_of(first, MountName("/c"))


def test_a_mount_that_is_compressed_otherwise_is_packed_anew(site, places, registry, context):
    to, origin = places["registry"]
    first, second, third = site(), site(), site()
    build(first, context, BASE + FILLS.format(""), cache_to=[to])
    changed = [f"{to},compression=zstd"]
    build(second, context, BASE + FILLS.format(""), cache_from=[origin], cache_to=changed)
    manifest, document = blobs_of(registry)
    (row,) = document["mounts"]
    kinds = {each["digest"]: each["mediaType"] for each in manifest["layers"]}
    assert kinds[row["blob"]].endswith("zstd")
    put(context, "new", "x")
    build(third, context, BASE + LISTS.format(""), cache_from=[origin])
    assert tree_of(third, MountName("/c")) == tree_of(first, MountName("/c"))


def test_what_is_here_stays_as_it_is(site, places, context):
    to, origin = places["registry"]
    first, second = site(), site()
    build(first, context, BASE + FILLS.format(""), cache_to=[to])
    build(second, context, BASE + "RUN --mount=type=cache,target=/c touch /c/mine\n")
    put(context, "new", "x")
    _, said = build(second, context, BASE + LISTS.format(""), cache_from=[origin])
    assert "mine" in said.output
    assert notices(said, "restoring") == []
    assert list(tree_of(second, MountName("/c"))) == [b"", b"mine"]


TWO = BASE + (
    "RUN --mount=type=cache,target=/a touch /a/x\n"
    "RUN --mount=type=cache,id=b,target=/b --mount=type=cache,target=/c,id=c touch /b/x /c/x\n"
)


@pytest.mark.parametrize(
    ("wish", "carried"),
    [
        ("mounts=true", ["/a", "b", "c"]),
        ("mounts=false", []),
        ("mode=max", []),
        ("mounts=b", ["b"]),
        ("mounts=b,mounts=/a", ["/a", "b"]),
        ('"mounts=x,y",mounts=c', ["c"]),
    ],
)
def test_which_mounts_are_carried(site, registry, context, wish, carried):
    to = f"type=registry,ref={registry.host}/app/cache:1,{wish}"
    _, said = build(site(), context, TWO, cache_to=[to])
    _, document = blobs_of(registry)
    assert sorted(row["id"] for row in document.get("mounts", [])) == carried
    missing = [text for text in warnings(said) if "uses a cache mount 'x,y'" in text]
    assert len(missing) == ("x,y" in wish)


def test_mounts_may_be_left_where_they_are(site, places, registry, context):
    to, origin = places["registry"]
    build(site(), context, TWO, cache_to=[to])
    second = site()
    text = TWO.replace("touch /a/x", "ls /a")
    for wishes in ({"cache_from": [f"{origin},mounts=false"]}, {"no_cache": True}):
        _, said = build(second, context, text, **{"cache_from": [origin], **wishes})
        assert said.output == ""
        assert notices(said, "restoring") == []
        second.system.prune_cache()


def test_an_id_that_would_steer_a_terminal_stays_here(site, places, registry, context):
    text = BASE + "RUN --mount=type=cache,id=a\x1b[2Jb,target=/a touch /a/x\n"
    _, said = build(site(), context, text, cache_to=[places["registry"][0]])
    assert "mounts" not in blobs_of(registry)[1]
    assert ["'a\\x1b[2Jb'" in text for text in warnings(said)] == [True]


def test_a_private_mount_and_one_that_begins_with_a_stage(site, places, context):
    """Of the latter only what changed travels; the stage comes as the cache's layers do."""
    text = BASE.replace("scratch", "scratch AS one") + (
        "RUN mkdir -p /seed/gone && touch /seed/first /seed/second\nFROM one\n"
        "RUN --mount=type=cache,from=one,source=seed,target=/s rm -r /s/gone /s/first; touch /s/new\n"
        "RUN --mount=type=cache,target=/p,sharing=private touch /p/mine\n"
    )
    to, origin = places["registry"]
    first, second = site(), site()
    build(first, context, text, cache_to=[to])
    looks = text.replace("rm -r /s/gone /s/first; touch /s/new", "ls /s").replace("touch", "ls")
    looks = looks.replace("&& ls /seed", "&& touch /seed")
    _, said = build(second, context, looks, cache_from=[origin])
    assert said.output == "new\nsecond\n/p/mine\n"
    assert second.system.check(full=True) == []


@pytest.mark.parametrize("sharing", ["locked", "private"])
def test_one_that_is_had_alone_is_read_alone(site, places, tmp_path, context, sharing):
    """The build waits for who has it, as its command would have; `private` reads it then, too."""
    engine = site()
    line = f"RUN --mount=type=cache,target=/c,sharing={sharing} touch /c/x\n"
    build(engine, context, BASE + line)
    other = start(tmp_path / "site0", context, BASE + WAITS.format(sharing))
    waited = []

    def go(event):
        if isinstance(event, Notice) and "waiting for the cache /c" in event.text:
            waited.append(event)
            with engine.layers.root.database.read() as db:
                layer = cache.kept_layer(db, f"{MountName('/c').key}.0")
            with detached(engine.layers.mounts(layer, writable=True)) as root:
                os.close(os.open("go", os.O_CREAT | os.O_WRONLY, dir_fd=root))

    try:
        assert other.stdout.readline() == "in\n"
        to = places["local"][0]
        text = (BASE + line).encode()
        engine.images.build(context, dockerfile_text=text, events=go, cache_to=[to])
        assert len(waited) == 1
        assert other.wait() == 0
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


def test_one_that_is_shared_is_read_while_others_write(site, places, tmp_path, context):
    churns = (
        "RUN --mount=type=cache,target=/c echo in; i=0; while [ ! -e /c/go ]; do i=$((i+1));"
        " echo $i >> /c/grows; echo $i > /c/.$i; mv /c/.$i /c/moved; mkdir -p /c/d/$((i%7));"
        " echo $i > /c/d/$((i%7))/x; rm -rf /c/d/$(((i+3)%7)); done\n"
    )
    to, origin = places["local"]
    first, second = site(), site()
    line = "RUN --mount=type=cache,target=/c echo still > /c/still\n"
    build(first, context, BASE + line)
    other = start(tmp_path / "site0", context, BASE + churns)
    try:
        assert other.stdout.readline() == "in\n"
        for _ in range(5):
            build(first, context, BASE + line, cache_to=[to])
        looks = line.replace("echo still > /c/still", "cat /c/still; touch /c/go")
        _, said = build(second, context, BASE + looks, cache_from=[origin])
        assert said.output == "still\n"
        assert warnings(said) == []
        build(first, context, BASE + looks)
        assert other.wait() == 0
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


# --- hostile caches -----------------------------------------------------------------------------


def tar(*members):
    """A tar of (name, type, link or data)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, value in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(value)
                archive.addfile(info, io.BytesIO(value))
            else:
                info.linkname = value
                archive.addfile(info)
    return out.getvalue()


def hostile(registry, data, **row):
    """Have a cache at the registry whose one mount is that tar; what is said of it may be a lie."""
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    registry.add_blob(data)
    said = {"id": "/c", "mode": 0o755, "owner": "0:0", "diffId": digest, "blob": digest}
    document = {"version": 1, "mounts": [{**said, "size": len(data), **row}]}
    raw = json.dumps(document).encode()
    registry.add_blob(raw)
    layer = descriptor(mediatypes.OCI_LAYER, data)
    manifest = {
        "schemaVersion": 2,
        "mediaType": mediatypes.OCI_MANIFEST,
        "config": descriptor(MEDIA_TYPE, raw),
        "layers": [layer],
    }
    registry.add_manifest("app/cache", "1", json.dumps(manifest).encode(), mediatypes.OCI_MANIFEST)
    return digest


LOOKS = BASE + "RUN --mount=type=cache,target=/c ls -a /c; echo x > /c/after\n"
LIE = "sha256:" + 64 * "5"


@pytest.mark.parametrize(
    ("data", "row", "why"),
    [
        (tar(("f", tarfile.REGTYPE, b"x")), {"diffId": LIE}, "not sha256:5555"),
        (tar(("f", tarfile.REGTYPE, b"x")), {"size": 1_000}, "larger than the 1000 bytes"),
        (tar(("f", tarfile.REGTYPE, b"x")), {"size": 1 << 41}, "are free"),
        (tar(("../../f", tarfile.REGTYPE, b"x")), {}, "f"),
        (tar(("f", tarfile.LNKTYPE, "/etc/passwd")), {}, "hard link target"),
        (b"no tar at all" * 100, {}, ""),
        (tar(("f", tarfile.REGTYPE, b"x"))[:600], {}, ""),
    ],
)
def test_a_mount_that_is_not_what_was_promised_is_an_empty_one(
    site, places, registry, context, data, row, why
):
    hostile(registry, data, **row)
    engine = site()
    _, said = build(engine, context, LOOKS, cache_from=[places["registry"][1]])
    assert said.output == ".\n..\n"
    (warning,) = warnings(said)
    assert warning.startswith("the cache mount /c begins empty: ")
    assert why in warning
    assert list(tree_of(engine, MountName("/c"))) == [b"", b"after"]
    assert engine.system.check(full=True) == []
    assert len(engine.system.usage().cache_mounts) == 1


def test_a_link_leads_nowhere_else_and_a_device_is_none(site, places, registry, context, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    data = tar(
        ("out", tarfile.SYMTYPE, str(outside)),
        ("out/f", tarfile.REGTYPE, b"x"),
        ("disk", tarfile.CHRTYPE, ""),
        ("block", tarfile.BLKTYPE, ""),
        ("kept", tarfile.REGTYPE, b"x"),
    )
    hostile(registry, data)
    engine = site()
    _, said = build(engine, context, LOOKS, cache_from=[places["registry"][1]])
    assert os.listdir(outside) == []
    assert "kept" in said.output
    assert "disk" not in said.output
    assert "block" not in said.output


def test_a_blob_that_does_not_come_is_an_empty_mount(site, places, registry, context):
    del registry.blobs[hostile(registry, tar(("f", tarfile.REGTYPE, b"x")))]
    engine = site()
    _, said = build(engine, context, LOOKS, cache_from=[places["registry"][1]])
    assert said.output == ".\n..\n"
    assert len(warnings(said)) == 1


@pytest.mark.parametrize(
    "row",
    [
        {"id": ""},
        {"id": 5},
        {"id": "/c\x1b[2J"},
        {"id": 5_000 * "x"},
        {"mode": 0o10000},
        {"mode": -1},
        {"owner": "root"},
        {"size": -1},
        {"size": 1 << 60},
        {"diffId": "x"},
        {"blob": ""},
        {"parent": "y"},
    ],
)
def test_a_document_that_says_nonsense_is_passed_over(site, places, registry, context, row):
    hostile(registry, tar(("f", tarfile.REGTYPE, b"x")), **row)
    _, said = build(site(), context, LOOKS, cache_from=[places["registry"][1]])
    assert said.output == ".\n..\n"
    (warning,) = warnings(said)
    assert "is passed over" in warning


def test_what_is_no_file_stays_here(site, places, context):
    """Sockets and devices, and names that would mean deletions in a layer."""
    text = BASE + (
        "RUN --mount=type=cache,target=/c busybox mknod /c/dev c 1 3; mkfifo /c/fifo; touch /c/.wh.x"
        " /c/kept\n"
    )
    to, origin = places["local"]
    _, said = build(site(), context, text, cache_to=[to])
    assert ["'.wh.x'" in text for text in warnings(said)] == [True]
    _, said = build(site(), context, LOOKS, cache_from=[origin])
    assert said.output == ".\n..\nfifo\nkept\n"


def test_a_stage_of_the_library_has_the_same(site, places, context):
    """A mount's key is the same, whether a Dockerfile or a call says it."""
    to, origin = places["local"]
    first, second = site(), site()
    build(
        first, context, BASE + "RUN --mount=type=cache,target=/c echo one > /c/x\n", cache_to=[to]
    )
    base = lamina.Stage.from_scratch().add("root.tar.gz", "/")
    stage = base.run("cat /c/x > /seen", mounts=[lamina.Mount.cache("/c")])
    image = second.images.build(context, stage=stage, cache_from=[origin])
    with (
        closing(second.layers.view(image.config.top_chain)) as view,
        open(view.open(b"seen")) as file,
    ):
        assert file.read() == "one\n"
