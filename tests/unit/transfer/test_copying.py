"""`copy` between every two ends, and from a registry that misbehaves to order."""

import gc
import gzip
import json
import os
import signal
import stat
import sys
import tarfile
import threading
import time
import traceback
from contextlib import suppress

import pytest

import lamina
from lamina.errors import (
    BadDocument,
    BadInput,
    DigestMismatch,
    DiskFull,
    ImageNotFound,
    LaminaError,
    StorageError,
    UsageError,
)
from lamina.kernel.mount import mount, umount
from lamina.spec import mediatypes
from lamina.testing.fake_registry import fake_registry
from lamina.testing.sample_images import (
    as_directory,
    as_tar,
    classic,
    descriptor,
    digest,
    hybrid,
    index,
    layout,
    oci_manifest,
    packed,
    sample,
)
from lamina.transfer.ends.api import Document
from lamina.transfer.ends.layout import LayoutSink, names_for

pytestmark = pytest.mark.usefixtures("needs_root")

IMAGE = sample("d d\nf d/a one", "f d/b " + "two" * 5000, names=["one:1"])
OTHER = sample("d d\nf d/a one", "f d/c three", names=["two:2"], architecture="arm64")
FIRST, SECOND = map(packed, IMAGE.layers)
MANIFEST = oci_manifest(IMAGE)
DOCKER_MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": mediatypes.DOCKER_MANIFEST,
        "config": descriptor(mediatypes.DOCKER_CONFIG, IMAGE.config),
        "layers": [descriptor(mediatypes.DOCKER_LAYER_GZIP, each) for each in (FIRST, SECOND)],
    }
).encode()
INDEX = index(
    descriptor(
        mediatypes.OCI_MANIFEST, MANIFEST, platform={"os": "linux", "architecture": "amd64"}
    ),
    descriptor(
        mediatypes.OCI_MANIFEST,
        oci_manifest(OTHER),
        platform={"os": "linux", "architecture": "arm64"},
    ),
)
CONTENT = ["docker", "oci", "oci-archive", "dir"]
ENDS = [*CONTENT, "docker-archive", "lamina"]


@pytest.fixture
def registry():
    with fake_registry() as made:
        yield made
    gc.collect()  # what spoke to it: others count their descriptors


@pytest.fixture
def engine(tmp_path):
    with lamina.open(
        str(tmp_path / "root"), run_root=str(tmp_path / "run"), driver="vfs"
    ) as opened:
        yield opened


@pytest.fixture
def copy(engine):
    return engine.images.copy


@pytest.fixture
def end(registry, tmp_path):
    """How an end of some transport is written."""

    def make(kind, name="x"):
        spelt = {
            "docker": f"docker://{registry.host}/{name}:1",
            "oci": f"oci:{tmp_path}/{name}.layout:{name}",
            "oci-archive": f"oci-archive:{tmp_path}/{name}.oci.tar:{name}",
            "docker-archive": f"docker-archive:{tmp_path}/{name}.tar:{name}:1",
            "dir": f"dir:{tmp_path}/{name}.dir",
            "lamina": f"lamina:{name}:1",
        }
        return spelt[kind]

    return make


def offer(registry, raw=MANIFEST, kind=mediatypes.OCI_MANIFEST, path="given"):
    """Have both images' blobs and manifests, and a document under a tag; gives its name."""
    for image in (IMAGE, OTHER):
        for data in (image.config, *map(packed, image.layers)):
            registry.add_blob(data)
        made = oci_manifest(image)
        registry.add_manifest(path, digest(made), made, mediatypes.OCI_MANIFEST)
    registry.add_manifest(path, "1", raw, kind)
    return f"docker://{registry.host}/{path}:1"


# --- what stays ---------------------------------------------------------------------------


@pytest.mark.parametrize("second", ENDS)
@pytest.mark.parametrize("first", ENDS)
def test_between_any_two_ends(registry, copy, end, first, second):
    """Through two ends and back into a registry: all that can stay stays."""
    copy(offer(registry), end(first, "a"))
    copied = copy(end(first, "a"), end(second, "b"))
    back = copy(end(second, "b"), end("docker", "back"))
    raw, kind = registry.manifests["back", "1"]
    assert digest(raw) == back.digest
    assert json.loads(raw)["config"]["digest"] == IMAGE.id
    plain = [
        digest(gzip.decompress(registry.blobs[each["digest"]]))
        for each in json.loads(raw)["layers"]
    ]
    assert plain == IMAGE.diff_ids
    assert kind == mediatypes.OCI_MANIFEST
    if "docker-archive" not in (first, second):
        assert raw == MANIFEST
        assert copied.kept
        assert copied.digest == back.digest
    assert copied.image == (IMAGE.id if second in ("docker-archive", "lamina") else None)


@pytest.mark.parametrize("kind", CONTENT)
def test_dockers_manifest_stays_dockers(registry, copy, end, kind):
    source = offer(registry, DOCKER_MANIFEST, mediatypes.DOCKER_MANIFEST)
    assert copy(source, end(kind)).digest == digest(DOCKER_MANIFEST)
    assert copy(end(kind), end("docker", "back")).digest == digest(DOCKER_MANIFEST)
    assert registry.manifests["back", "1"] == (DOCKER_MANIFEST, mediatypes.DOCKER_MANIFEST)


@pytest.mark.parametrize("kind", CONTENT)
def test_all_of_an_index(registry, copy, end, kind):
    nested = index(descriptor(mediatypes.OCI_INDEX, INDEX))
    source = offer(registry, nested, mediatypes.OCI_INDEX)
    registry.add_manifest("given", digest(INDEX), INDEX, mediatypes.OCI_INDEX)
    assert copy(source, end(kind), all_platforms=True).digest == digest(nested)
    registry.asked.clear()
    assert copy(end(kind), end("docker", "back"), all_platforms=True).digest == digest(nested)
    assert registry.manifests["back", "1"] == (nested, mediatypes.OCI_INDEX)
    for each in (INDEX, MANIFEST, oci_manifest(OTHER)):
        assert registry.manifests["back", digest(each)][0] == each


@pytest.mark.parametrize("kind", CONTENT)
def test_one_platform_of_an_index(registry, copy, end, kind):
    source = offer(registry, INDEX, mediatypes.OCI_INDEX)
    copy(source, end(kind, "all"), all_platforms=True)
    for origin in (source, end(kind, "all")):
        found = copy(origin, end("docker", "arm"), platform="linux/arm64")
        assert found.digest == digest(oci_manifest(OTHER))
    assert copy(source, end("lamina"), platform="linux/arm64").image == OTHER.id
    assert copy(source, end("docker-archive"), platform="linux/arm64").image == OTHER.id
    with pytest.raises(BadDocument, match=r"no image for linux/s390x"):
        copy(source, end("docker", "none"), platform="linux/s390x")


def test_an_artefact_is_copied_and_is_no_image(registry, copy, end):
    raw = oci_manifest(IMAGE, config_type="application/vnd.example", layer_type="text/plain")
    source = offer(registry, raw)
    for kind in CONTENT:
        assert copy(source, end(kind)).digest == digest(raw)
    for kind in ("lamina", "docker-archive"):
        with pytest.raises(BadDocument, match="no container image"):
            copy(source, end(kind, "artefact"))


def test_by_digest(registry, copy, end):
    offer(registry)
    there = f"docker://{registry.host}/there"
    source = f"docker://{registry.host}/given@{digest(MANIFEST)}"
    assert copy(source, f"{there}@{digest(MANIFEST)}").digest == digest(MANIFEST)
    registry.asked.clear()
    with pytest.raises(DigestMismatch, match="not sha256:00"):
        copy(source, f"{there}@sha256:{'0' * 64}")
    assert registry.count("POST|PUT") == 0


# --- nothing twice --------------------------------------------------------------------------


def test_what_is_there_is_not_sent_again(registry, copy, end):
    source = offer(registry)
    for kind in ("oci", "dir", "docker"):
        copy(source, end(kind))
        registry.asked.clear()
        copy(source, end(kind))
        assert registry.count("GET .*/blobs/") == 0
        assert registry.count("POST") == 0


def test_a_blob_of_the_same_registry_is_mounted(registry, copy, end):
    source = offer(registry)
    registry.wrong("HEAD", lambda exchange: exchange.answer(404) is None)
    copy(source, end("docker"))
    assert registry.count(r"POST .*mount=sha256.*from=given") == 3
    assert registry.count("GET .*/blobs/") == 0
    registry.asked.clear()
    registry.wrong("POST .*mount=", lambda exchange: exchange.answer(403) is None)
    copy(source, end("docker", "elsewhere"))
    assert registry.count("PUT .*/blobs/uploads/") == 3


def test_several_images_share_a_layout(registry, copy, end, tmp_path):
    source = offer(registry, INDEX, mediatypes.OCI_INDEX)
    place = f"oci:{tmp_path}/layout"
    copy(source, f"{place}:here", platform="linux/amd64")
    copy(source, f"{place}:there", platform="linux/arm64")
    assert copy(f"{place}:there", end("docker")).digest == digest(oci_manifest(OTHER))
    assert copy(f"{place}:@0", end("docker")).digest == digest(MANIFEST)
    with pytest.raises(ImageNotFound, match="several images; choose one: it has here, there"):
        copy(place, end("docker"))
    with pytest.raises(ImageNotFound, match="no image nowhere; it has here, there"):
        copy(f"{place}:nowhere", end("docker"))
    with pytest.raises(ImageNotFound, match="no image @2"):
        copy(f"{place}:@2", end("docker"))
    copy(source, f"{place}:here", platform="linux/arm64")  # the name moves
    assert copy(f"{place}:here", end("docker")).digest == digest(oci_manifest(OTHER))
    names = [each["annotations"] for each in read_index(f"{tmp_path}/layout")["manifests"]]
    assert len(names) == 2


def read_index(folder):
    with open(f"{folder}/index.json") as file:
        return json.load(file)


def test_equal_images_are_equal_archives(registry, copy, tmp_path):
    source = offer(registry)
    for name in ("oci-archive", "docker-archive"):
        made = []
        for number in range(3):
            path = tmp_path / f"{name}{number}"
            copy(source, f"{name}:{path}:x")
            made.append(path.read_bytes())
        assert made[0] == made[1] == made[2]


def test_every_archive_form_is_a_source(copy, end, tmp_path):
    forms = {
        "docker-archive:classic.tar": as_tar(classic(IMAGE)),
        "docker-archive:zipped.tar": gzip.compress(as_tar(classic(IMAGE, pack=packed))),
        "docker-archive:plain25.tar": as_tar(hybrid(IMAGE)),
        "docker-archive:packed25.tar": as_tar(hybrid(IMAGE, pack=packed)),
        "docker-archive:two.tar:one:1": as_tar(classic(OTHER, IMAGE)),
        "docker-archive:two.tar:@1": as_tar(classic(OTHER, IMAGE)),
        "oci-archive:layout.tar": as_tar(layout(IMAGE)),
        "oci-archive:zipped.layout.tar": gzip.compress(as_tar(layout(IMAGE))),
    }
    for text, data in forms.items():
        kind, name, *ref = text.split(":", 2)
        (tmp_path / name).write_bytes(data)
        copied = copy(f"{kind}:{tmp_path}/{name}:{''.join(ref)}", end("docker-archive"))
        assert copied.image == IMAGE.id
    with pytest.raises(ImageNotFound, match="several images; it has two:2, one:1"):
        copy(f"docker-archive:{tmp_path}/two.tar", end("oci"))
    with pytest.raises(ImageNotFound, match=r"no image @2"):
        copy(f"docker-archive:{tmp_path}/two.tar:@2", end("oci"))


def test_an_archive_that_came_with_a_manifest_keeps_it(registry, copy, end, tmp_path):
    (tmp_path / "given.tar").write_bytes(as_tar(hybrid(IMAGE, pack=packed)))
    copied = copy(f"docker-archive:{tmp_path}/given.tar", end("docker"))
    assert copied.kept
    assert copied.digest == digest(oci_manifest(IMAGE, pack=packed, layer_type=_PLAIN))


_PLAIN = "application/vnd.oci.image.layer.v1.tar+gzip"


def test_layers_in_a_docker_archive_are_plain(registry, copy, end, tmp_path):
    copy(offer(registry), end("docker-archive"))
    with tarfile.open(tmp_path / "x.tar") as archive:
        (item,) = json.load(archive.extractfile("manifest.json"))
        found = [archive.extractfile(path).read() for path in item["Layers"]]
    assert found == list(IMAGE.layers)
    assert item["RepoTags"] == ["x:1"]


# --- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "options", "reason"),
    [
        ("docker:/var/lib/docker:x", {}, "only read"),
        ("containers-storage:x", {}, "only read"),
        ("lamina:x", {"all_platforms": True}, "all platforms go only where"),
        ("docker-archive:x", {"all_platforms": True}, "all platforms go only where"),
        ("oci:x", {"all_platforms": True, "platform": "linux"}, "at once"),
        ("oci:x:@1", {}, "what is written has a name"),
        ("docker-archive:x:@1", {}, "what is written has a name"),
        (f"lamina:x@sha256:{'0' * 64}", {}, "cannot be given a digest"),
    ],
)
def test_what_no_two_ends_can_do(copy, target, options, reason):
    with pytest.raises(UsageError, match=reason):
        copy("docker://127.0.0.1:1/never/asked", target, **options)


@pytest.mark.parametrize("kind", ["oci", "dir"])
def test_a_directory_of_something_else_is_left_alone(registry, copy, tmp_path, kind):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love").write_text("mine")
    with pytest.raises(UsageError, match="holds something else"):
        copy(offer(registry), f"{kind}:{tmp_path}/letters")
    assert os.listdir(tmp_path / "letters") == ["love"]


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_what_is_no_file_is_not_replaced_by_one(registry, copy, tmp_path, kind):
    """Else an archive called /dev/null would be the end of it."""
    os.mkfifo(tmp_path / "pipe")
    os.symlink("pipe", tmp_path / "link")
    for name in ("pipe", "link"):
        with pytest.raises(StorageError, match="pipe is no regular file"):
            copy(offer(registry), f"{kind}:{tmp_path}/{name}")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    assert os.path.islink(tmp_path / "link")


def test_within_one_place(registry, copy, end, tmp_path):
    """A second name in a layout, and a directory onto itself."""
    copy(offer(registry), f"oci:{tmp_path}/layout:a")
    copy(f"oci:{tmp_path}/layout:a", f"oci:{tmp_path}/layout:b")
    assert len(read_index(f"{tmp_path}/layout")["manifests"]) == 2
    copy(f"oci:{tmp_path}/layout:b", end("dir"))
    copy(end("dir"), end("dir"))
    assert copy(end("dir"), end("docker")).digest == digest(MANIFEST)


def test_many_at_once_into_one_layout(tmp_path):
    """Nobody's name is lost: index.json is read and written under a lock."""
    failed = []

    def one(number):
        sink = LayoutSink(f"{tmp_path}/layout", names_for(f"n{number}"))
        sink.begin(document, ())
        try:
            sink.publish(document)
        except Exception as error:  # noqa: BLE001 - told on the test's own thread
            failed.append(error)

    document = Document.of(MANIFEST, mediatypes.OCI_MANIFEST)
    threads = [threading.Thread(target=one, args=(number,)) for number in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    assert len(read_index(f"{tmp_path}/layout")["manifests"]) == 12


@pytest.mark.parametrize(
    "files",
    [
        {"version": "1.2.3", "manifest.json": "{}", "thesis.tmp": "years of work"},
        {"thesis.tmp": "years of work"},
        {"manifest.json": "{}"},
        {"a" * 64: "a blob of somebody's"},
    ],
)
def test_names_alone_do_not_make_a_directory_a_copied_image(registry, copy, tmp_path, files):
    for name, text in files.items():
        (tmp_path / "own").mkdir(exist_ok=True)
        (tmp_path / "own" / name).write_text(text)
    with pytest.raises(UsageError, match="something else"):
        copy(offer(registry), f"dir:{tmp_path}/own")
    assert {each.name: each.read_text() for each in (tmp_path / "own").iterdir()} == files


@pytest.mark.parametrize("kind", ["oci", "dir"])
@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_place_of_a_blob_is_replaced(registry, copy, end, tmp_path, kind, there):
    """What others can write to must not lead root's writing to a file of their choice."""
    copy(offer(registry), end(kind))
    blobs = [path for path in tmp_path.rglob("*") if is_blob(str(path)) and path.is_file()]
    blobs = [path for path in blobs if f"{tmp_path}/x." in str(path)]
    assert len(blobs) >= 3
    for path in blobs:
        victim = tmp_path / f"victim.{path.name}"
        if there:
            victim.write_bytes(path.read_bytes()[::-1])
        path.unlink()
        path.symlink_to(victim)
    copy(offer(registry), end(kind))
    for path in blobs:
        assert not path.is_symlink()
        assert digest(path.read_bytes())[7:] == path.name
        victim = tmp_path / f"victim.{path.name}"
        assert victim.exists() == there
        assert not there or digest(victim.read_bytes())[7:] != path.name


def test_of_two_copies_to_one_directory_none_shows_what_is_not_whole(registry, copy, tmp_path):
    """The one that ends first clears away what it takes for the image before it."""
    target = tmp_path / "image"
    first, second = offer(registry), offer(registry, oci_manifest(OTHER), path="other")
    inner = threading.Thread(target=lambda: copy_in_its_own(tmp_path, first, target))

    def between(exchange):
        if inner.ident is None:
            inner.start()
            inner.join()

    registry.wrong(f"GET .*/other/blobs/{digest(OTHER.config)}", between)
    with suppress(StorageError):
        copy(second, f"dir:{target}")
    shown = json.loads((target / "manifest.json").read_bytes())
    for each in (shown["config"], *shown["layers"]):
        assert digest((target / each["digest"][7:]).read_bytes()) == each["digest"]


def copy_in_its_own(tmp_path, source, target):
    with lamina.open(
        str(tmp_path / "root2"), run_root=str(tmp_path / "run2"), driver="vfs"
    ) as opened:
        opened.images.copy(source, f"dir:{target}")


def test_replacing_a_copied_image_takes_only_what_it_had(registry, copy, tmp_path):
    target = tmp_path / "image"
    copy(offer(registry), f"dir:{target}")
    (target / "thesis.tmp").write_text("years of work")
    copy(offer(registry, oci_manifest(OTHER), path="other"), f"dir:{target}")
    blobs = {digest(each)[7:] for each in (OTHER.config, *map(packed, OTHER.layers))}
    assert {each.name for each in target.iterdir()} == blobs | {
        "version",
        "manifest.json",
        "thesis.tmp",
    }


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive", "dir"])
def test_what_is_no_such_form_says_so(copy, end, tmp_path, kind):
    path = end(kind).split(":")[1]
    for data in (None, b"no tar at all" * 100):
        if data is not None:
            with open(path, "wb") as file:
                file.write(data)
        with pytest.raises((BadInput, StorageError)) as told:
            copy(end(kind), end("docker"))
        assert path in str(told.value)


# --- faults ---------------------------------------------------------------------------------

BLOB = f"GET .*/blobs/{digest(SECOND)}"


def lie(data, **more):
    return lambda exchange: exchange.answer(200, data, **more) is None


FAULTS = {
    "other bytes": (BLOB, lie(b"x" * len(SECOND)), DigestMismatch),
    "too few": (BLOB, lie(SECOND[:-1], length=len(SECOND)), LaminaError),
    "too many": (BLOB, lie(SECOND + b"x"), None),
    "gone": (BLOB, lambda exchange: exchange.answer(404, b"{}") is None, ImageNotFound),
    "another config": (f"GET .*/blobs/{IMAGE.id}", lie(b"{" * len(IMAGE.config)), DigestMismatch),
    "two documents in one": (
        "GET .*/manifests/1",
        lie(json.dumps({**json.loads(MANIFEST), "manifests": []}).encode()),
        BadDocument,
    ),
    "another type than is said": (
        "GET .*/manifests/1",
        lambda exchange: (
            exchange.answer(200, MANIFEST, {"Content-Type": mediatypes.OCI_INDEX}) is None
        ),
        BadDocument,
    ),
}


def seen(tmp_path, registry):
    """What anybody can see at each of the ends."""
    found = {}
    for base, _, files in os.walk(tmp_path):
        if f"{tmp_path}/root" in base or f"{tmp_path}/run" in base:
            continue
        for name in files:
            path = os.path.join(base, name)
            with open(path, "rb") as file:
                found[path] = file.read()
    found["registry"] = sorted(str(key) for key in registry.manifests)
    return found


def visible(shown):
    """Without the blobs, which nobody sees before they are named, and the mark of a `dir:`."""
    return {
        path: data
        for path, data in shown.items()
        if not is_blob(path) and os.path.basename(path) != "version"
    }


def is_blob(path):
    return "/blobs/" in path or len(os.path.basename(path)) == 64


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_shows_nothing(registry, engine, copy, end, tmp_path, fault, kind):
    pattern, answer, expected = FAULTS[fault]
    source = offer(registry)
    before = seen(tmp_path, registry)
    registry.wrong(pattern, answer)
    if expected is None:
        copy(source, end(kind))  # what was announced was read, and it was right
        return
    registry.wrong("HEAD", lambda exchange: exchange.answer(404) is None)
    registry.wrong("POST .*mount=", lambda exchange: exchange.answer(403) is None)
    with pytest.raises(expected) as told:
        copy(source, end(kind))
    assert "\n" not in str(told.value)
    after = seen(tmp_path, registry)
    assert visible(after) == before
    for path, data in after.items():
        if is_blob(path):
            assert digest(data)[7:] == os.path.basename(path)
    assert engine.images.list() == []


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive", "dir"])
def test_a_fault_leaves_what_was_there(registry, copy, end, tmp_path, kind):
    copy(offer(registry), end(kind))
    before = visible(seen(tmp_path, registry))
    other = offer(registry, oci_manifest(OTHER), path="other")
    last = digest(packed(OTHER.layers[1]))
    registry.wrong(f"GET .*/blobs/{last}", lambda exchange: exchange.answer(404) is None)
    with pytest.raises(ImageNotFound, match="lost the blob"):
        copy(other, end(kind))
    del before["registry"]
    assert before.items() <= visible(seen(tmp_path, registry)).items()
    registry.faults.clear()
    copy(other, end(kind))
    assert copy(end(kind), end("lamina")).image == OTHER.id


def test_a_bomb_of_indexes_is_refused(registry, copy, end):
    many = [{**descriptor(mediatypes.OCI_MANIFEST, b""), "digest": f"sha256:{n:064x}"}
            for n in range(3000)]  # fmt: skip
    registry.wrong(
        "GET .*/manifests/sha256:", lambda exchange: exchange.answer(200, MANIFEST) is None
    )
    with pytest.raises(BadInput):
        copy(offer(registry, index(*many), mediatypes.OCI_INDEX), end("oci"), all_platforms=True)
    registry.faults.clear()
    deep = MANIFEST
    for _ in range(8):
        registry.add_manifest("given", digest(deep), deep, "")
        kind = mediatypes.OCI_MANIFEST if deep == MANIFEST else mediatypes.OCI_INDEX
        deep = index(descriptor(kind, deep))
    for everything in (True, False):
        with pytest.raises(BadDocument, match="nested too deep"):
            copy(offer(registry, deep, mediatypes.OCI_INDEX), end("oci"), all_platforms=everything)


def test_a_bomb_of_blobs_is_refused(registry, copy, end):
    """2,048 layers in each of 25 manifests are a few megabytes to say, and a thread's work each."""
    made = []
    for number in range(25):
        layers = [
            {"mediaType": mediatypes.OCI_LAYER_GZIP, "digest": f"sha256:{at:064x}", "size": 1}
            for at in range(number * 2048, (number + 1) * 2048)
        ]
        config = descriptor(mediatypes.OCI_CONFIG, IMAGE.config)
        raw = json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode()
        registry.add_manifest("given", digest(raw), raw, mediatypes.OCI_MANIFEST)
        made.append(descriptor(mediatypes.OCI_MANIFEST, raw))
    with pytest.raises(BadDocument, match="over 50000 blobs"):
        copy(offer(registry, index(*made), mediatypes.OCI_INDEX), end("oci"), all_platforms=True)


def test_an_index_names_each_document_once(registry, copy, end):
    """A few bytes that name one manifest a thousand times cost one request."""
    one = descriptor(mediatypes.OCI_MANIFEST, MANIFEST)
    copy(
        offer(registry, index(*[one] * 1000), mediatypes.OCI_INDEX), end("oci"), all_platforms=True
    )
    assert registry.count(f"GET .*/manifests/{digest(MANIFEST)}") == 1


def test_a_blob_with_two_sizes_is_refused(registry, copy, end):
    document = json.loads(MANIFEST)
    document["layers"].append({**document["layers"][0], "size": 7})
    with pytest.raises(BadDocument, match="two sizes"):
        copy(offer(registry, json.dumps(document).encode()), end("oci"))


def test_the_first_failure_ends_what_hangs(registry, copy, end):
    over, waited = threading.Event(), []

    def hang(exchange):
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(len(FIRST)))
        exchange.end_headers()
        exchange.wfile.write(FIRST[:10])
        exchange.wfile.flush()
        hanging.set()
        waited.append(over.wait(60))
        exchange.close_connection = True
        return True

    def fail(exchange):
        hanging.wait(60)
        return exchange.answer(404, b"{}") is None

    hanging = threading.Event()
    source = offer(registry)
    registry.wrong(f"GET .*/blobs/{digest(FIRST)}", hang)
    registry.wrong(BLOB, fail)
    with pytest.raises(ImageNotFound, match="lost the blob"):
        copy(source, end("oci"))
    assert waited == []  # it hangs still, and nobody waits for it
    over.set()


def await_waiting(thread):
    """Until a thread waits for what another one inflates."""
    limit = time.monotonic() + 20
    while "_next" not in [
        frame.f_code.co_name for frame, _ in traceback.walk_stack(sys._current_frames()[thread])
    ]:
        assert time.monotonic() < limit


def test_ctrl_c_ends_what_hangs(registry, copy, end):
    """Also where a layer is inflated on its way, on a thread that waits for the registry."""
    over, waited = threading.Event(), []

    def hang(exchange):
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(len(FIRST)))
        exchange.end_headers()
        exchange.wfile.write(FIRST[:10])
        exchange.wfile.flush()
        await_waiting(threading.main_thread().ident)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        waited.append(over.wait(20))
        exchange.close_connection = True
        return True

    registry.wrong(f"GET .*/blobs/{digest(FIRST)}", hang)
    with pytest.raises(KeyboardInterrupt):
        copy(offer(registry), end("docker-archive"))
    assert waited == []
    over.set()


@pytest.fixture
def small_disk(tmp_path, needs_mounts):
    """A file system of 2 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    mount("tmpfs", str(path), "tmpfs", 0, "size=2m")
    yield str(path)
    umount(str(path))


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive", "dir"])
def test_a_full_disk_shows_nothing(registry, copy, small_disk, kind):
    big = sample("f big " + "x" * 100, os.urandom(3 << 20), names=["big:1"])
    for data in (big.config, *map(packed, big.layers)):
        registry.add_blob(data)
    registry.add_manifest("big", "1", oci_manifest(big), mediatypes.OCI_MANIFEST)
    with pytest.raises(DiskFull):
        copy(f"docker://{registry.host}/big:1", f"{kind}:{small_disk}/x")
    left = [name for _, _, files in os.walk(small_disk) for name in files]
    assert all(len(name) == 64 or name == "version" for name in left)
    assert digest(big.layers[1])[7:] not in left


def test_a_damaged_source_is_found_out(registry, copy, end, tmp_path):
    """Every byte is verified, also of what lies on this machine's own disk."""
    for kind, name in (("oci", "x.layout/blobs/sha256/"), ("dir", "x.dir/")):
        copy(offer(registry), end(kind))
        path = f"{tmp_path}/{name}{digest(SECOND)[7:]}"
        with open(path, "r+b") as file:
            file.write(b"?")
        for other in ENDS:
            registry.blobs.clear()
            with pytest.raises(LaminaError):
                copy(end(kind), end(other, "out"))


def test_the_sample_of_a_layout_that_other_tools_write(copy, end, tmp_path):
    folder = as_directory(layout(IMAGE, OTHER), str(tmp_path / "given"))
    assert copy(f"oci:{folder}:two:2", end("lamina")).image == OTHER.id
    assert copy(f"oci:{folder}:docker.io/library/one:1", end("oci")).digest == digest(MANIFEST)
