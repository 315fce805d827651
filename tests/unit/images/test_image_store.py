"""Images in a store: found as docker finds them, named, removed with what they alone hold."""

import io
import os

import pytest

from lamina.errors import (
    DigestMismatch,
    ImageNotFound,
    InUse,
    LayerNotFound,
    StorageError,
    StoreDamaged,
)
from lamina.images.store import Removed
from lamina.metadata import containers as container_rows
from lamina.metadata import images as image_rows
from lamina.metadata.containers import ContainerRow
from lamina.spec import manifest as manifests
from lamina.spec import mediatypes
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.manifest import Descriptor
from lamina.testing.sample_images import sample
from lamina.testing.stores import ScratchStore
from lamina.testing.trees import tar_of
from lamina.values.digest import BlobDigest, ImageID
from lamina.values.ids import ContainerID
from lamina.values.reference import Reference

ONE, TWO, THREE = "d d\nf d/a one", "f d/b two\nw d/a", "f d/c three"


def test_an_image_is_what_its_config_says(store):
    image = store.make(ONE, TWO, names=["x"], config={"Labels": {"k": "v"}})
    config = store.images.config(image)
    named = store.images.row(image)
    assert config.id == image == named.row.id
    assert named.names == ("docker.io/library/x:latest",)
    assert named.row.layers == 2
    assert named.row.size == 6
    assert named.row.created == pytest.approx(1704164645.678)
    assert named.row.labels == '{"k": "v"}'
    assert store.images.all() == (named,)


def test_images_share_their_layers(store):
    store.make(ONE, TWO)
    store.make(ONE, THREE)
    assert len(store.layers.all()) == 3


def test_an_image_without_its_layers_is_refused(store):
    config = ImageConfig.parse(sample(ONE).config)
    with pytest.raises(LayerNotFound):
        store.images.create(config)
    assert store.images.all() == ()


def test_the_same_image_again_is_the_same(store):
    first = store.make(ONE, names=("x",))
    assert store.make(ONE, names=("y",)) == first
    assert len(store.images.all()) == 1
    assert len(store.images.row(first).names) == 2


def test_it_is_all_there_after_reopening(store):
    image = store.make(ONE, TWO, names=("x",))
    store.layers.barrier()
    store.reopen()
    assert store.images.resolve("x") == image
    assert store.layers.reclaim() == []
    assert len(store.layers.chain(store.images.row(image).row.top_chain)) == 2


# --- finding ----------------------------------------------------------------------------


def test_every_way_to_call_an_image(store):
    image = store.make(
        ONE,
        names=(
            "nginx",
            "localhost:5000/a/b:1",
        ),
    )
    store.make(TWO)
    for text in (
        *("nginx", "nginx:latest", "library/nginx", "docker.io/nginx", "docker.io/library/nginx"),
        *("index.docker.io/library/nginx:latest", "localhost:5000/a/b:1"),
        *(image, image.hex, image.short, image.hex[:6], f"sha256:{image.short}"),
        *(f"nginx@{image}", f"nginx:other@{image}", f"localhost:5000/a/b@{image}"),
    ):
        assert store.images.resolve(text) == image, text


@pytest.mark.parametrize(
    "text",
    [
        *("", "nginx:1", "localhost:5000/a/b", "other", "NGINX", "-x", "a b", "../etc", "sha256:"),
        *("sha256:" + "0" * 64, "0" * 64, "x" * 300, "nginx\0", "nginx\n", "::", "@", "nginx@"),
        "sha256:zz",
    ],
    ids=repr,
)
def test_what_is_no_image_is_said(store, text):
    store.make(
        ONE,
        names=(
            "nginx",
            "localhost:5000/a/b:1",
        ),
    )
    with pytest.raises(ImageNotFound, match="no such image"):
        store.images.resolve(text)


def test_a_digest_belongs_to_its_repository(store):
    image = store.make(ONE, names=("nginx",))
    with pytest.raises(ImageNotFound):
        store.images.resolve(f"httpd@{image}")
    with pytest.raises(ImageNotFound):
        store.images.resolve(f"nginx@{ImageID.of(b'else')}")


def test_a_name_goes_before_a_piece_of_an_id(store):
    image = store.make(ONE)
    other = store.make(TWO, names=(image.hex[:8],))
    assert store.images.resolve(image.hex[:8]) == other
    assert store.images.resolve(image.hex[:9]) == image


def test_a_piece_that_several_ids_begin_with_is_ambiguous(store):
    seen = {}
    for number in range(20):
        image = store.make(ONE, comment=str(number))
        if image.hex[0] in seen:
            with pytest.raises(ImageNotFound, match="several images"):
                store.images.resolve(image.hex[0])
            return
        seen[image.hex[0]] = image
    pytest.fail("twenty IDs began with different digits")


def with_manifest(store, *layers, names=()):
    made = sample(*layers)
    image = store.make(*layers)
    document = manifests.build(
        Descriptor(mediatypes.OCI_CONFIG, BlobDigest(made.id), len(made.config), {}, ("", "", "")),
        (),
    )
    store.images.create(
        ImageConfig.parse(made.config),
        tuple(map(Reference.parse, names)),
        manifest=(document, mediatypes.OCI_MANIFEST),
    )
    return image, BlobDigest.of(document)


def test_the_digest_of_its_manifest_is_a_name_too(store):
    image, digest = with_manifest(store, ONE, names=("x:1",))
    assert store.images.row(image).row.manifest == digest
    for text in (f"x@{digest}", f"x:1@{digest}", str(digest)):
        assert store.images.resolve(text) == image


# --- naming -----------------------------------------------------------------------------


def test_a_tag_moves_and_the_old_image_stays(store):
    old, new = store.make(ONE, names=("x:1",)), store.make(TWO)
    assert store.images.tag(new, Reference.parse("x:1")) == old
    assert store.images.resolve("x:1") == new
    assert store.images.row(old).names == ()
    assert store.images.tag(new, Reference.parse("x:1")) is None


def test_what_save_takes_a_text_for(store):
    one, two = (
        store.make(
            ONE,
            names=(
                "x:1",
                "x:2",
                "xy:1",
            ),
        ),
        store.make(TWO, names=("x:3",)),
    )
    names = [f"docker.io/library/x:{tag}" for tag in "123"]
    assert store.images.meant("x") == [(one, names[0]), (one, names[1]), (two, names[2])]
    assert store.images.meant("x:2") == [(one, names[1])]
    assert store.images.meant(two.short) == [(two, None)]
    with pytest.raises(ImageNotFound):
        store.images.meant("y")


# --- removing ---------------------------------------------------------------------------


def test_the_last_name_takes_everything_with_it(store):
    image = store.make(ONE, TWO, names=("x",))
    top, base = [layer.chain_id for layer in store.layers.all()][::-1]
    assert store.images.remove("x") == [
        Removed("Untagged", "x:latest"),
        Removed("Deleted", str(image)),
        Removed("Deleted", top),
        Removed("Deleted", base),
    ]
    assert store.files() == []
    with pytest.raises(ImageNotFound):
        store.images.resolve(image)


def test_shared_layers_stay_as_long_as_one_needs_them(store):
    store.make(ONE, TWO, names=("x",))
    other = store.make(ONE, THREE, names=("y",))
    assert len(store.images.remove("x")) == 3
    assert len(store.layers.chain(store.images.row(other).row.top_chain)) == 2
    store.images.remove("y")
    assert store.files() == []


def test_one_of_several_names_is_only_untagged(store):
    image = store.make(
        ONE,
        names=(
            "x:1",
            "x:2",
        ),
    )
    assert store.images.remove("x:1") == [Removed("Untagged", "x:1")]
    assert store.images.row(image).names == ("docker.io/library/x:2",)


def test_by_id_several_names_need_force(store):
    image = store.make(
        ONE,
        names=(
            "x:1",
            "y:2",
        ),
    )
    with pytest.raises(InUse, match="has 2 names"):
        store.images.remove(image.short)
    assert [each.what for each in store.images.remove(image.short, force=True)] == [
        *("Untagged", "Untagged", "Deleted", "Deleted")
    ]
    assert store.files() == []


def test_by_id_one_name_goes_along(store):
    image = store.make(ONE, names=("x",))
    assert store.images.remove(image)[:2] == [
        Removed("Untagged", "x:latest"),
        Removed("Deleted", str(image)),
    ]


def test_what_a_container_uses_stays_unless_forced(store):
    image = store.make(
        ONE,
        names=(
            "x:1",
            "x:2",
        ),
    )
    layer = store.layers.create_rw(store.images.row(image).row.top_chain)
    with store.root.database.write() as db:
        container = ContainerID("ab" * 32)
        container_rows.add(db, ContainerRow(container, "c1", image, "x:2", layer, "{}", 0.0))
    assert store.images.remove("x:1") == [Removed("Untagged", "x:1")]
    with pytest.raises(InUse, match="used by the container c1"):
        store.images.remove("x:2")
    assert store.images.row(image).names == ("docker.io/library/x:2",)
    done = store.images.remove("x:2", force=True)
    assert [each.what for each in done] == ["Untagged", "Deleted"]
    assert len(store.layers.all()) == 1  # its container still stands on it


def test_an_image_whose_config_is_gone_can_be_removed(store):
    image = store.make(ONE, names=("x",))
    os.unlink(store.blobs.path(image))
    with pytest.raises(StoreDamaged, match="missing"):
        store.images.config(image)
    store.images.remove("x")
    assert store.files() == []


def test_making_it_again_repairs_its_config(store):
    image = store.make(ONE, names=("x",))
    with open(store.blobs.path(image), "wb") as file:
        file.write(b"{}")
    with pytest.raises(StoreDamaged, match="was changed"):
        store.images.config(image)
    store.make(ONE)
    assert store.images.config(image).id == image


def test_what_could_not_be_collected_is_when_its_maker_ends(store, monkeypatch):
    """As on a disk that is full while the room for it is not yet given back."""

    def fail(_self=None):
        raise StorageError("no room")

    def load():
        with store.images.all_or_nothing():
            store.layers.register(None, io.BytesIO(tar_of("f a one")))
            fail()

    with monkeypatch.context() as full:
        full.setattr(type(store.layers), "reclaim", fail)
        with pytest.raises(StorageError):
            load()
    assert len(store.layers.all()) == 1
    store.reopen()
    assert store.layers.all() == ()


def test_a_failure_gives_up_what_it_held_and_nothing_else(store):
    kept = store.make(ONE)
    mine = store.layers.register(None, io.BytesIO(tar_of(THREE)))

    def fail():
        with store.images.all_or_nothing():
            store.make(ONE, TWO)
            store.images.announce(b"document", "text/plain")
            store.blobs.put_bytes(b"document", owner=store.root.lease)
            store.layers.register(None, io.BytesIO(tar_of("f x y")))
            raise DigestMismatch("something came otherwise")

    with pytest.raises(DigestMismatch):
        fail()
    assert store.layers.get(mine.chain_id) == mine
    assert not store.blobs.has(BlobDigest.of(b"document"))
    assert len(store.layers.all()) == 3  # the image made within is an image still
    assert len(store.images.all()) == 2
    assert store.images.config(kept).id == kept


# --- many -------------------------------------------------------------------------------


def test_a_thousand_images_are_listed_by_few_queries(store):
    """A listing asks the database twice, whatever there is to list."""
    base = store.images.row(store.make(ONE)).row
    with store.root.database.write() as db:
        for number in range(1000):
            row = base._replace(id=ImageID.of(str(number).encode()), created=float(number))
            image_rows.add(db, row)
            image_rows.point(db, f"docker.io/library/i{number}:latest", row.id)
    asked = []
    with store.root.database.read() as db:
        db.set_trace_callback(asked.append)
        found = store.images.all()
        db.set_trace_callback(None)
    assert len(found) == 1001
    assert [each.row.created for each in found] == sorted(
        (each.row.created for each in found), reverse=True
    )
    assert len([each for each in asked if each.startswith("SELECT")]) == 2


@pytest.fixture
def other(store):
    """Another opener of the same store."""
    made = ScratchStore(store.path)
    yield made
    made.close()


@pytest.mark.parametrize("text", ["a:1", "by ID"])
def test_a_name_that_is_given_while_the_last_one_goes_keeps_the_image(
    store, other, monkeypatch, text
):
    image = store.make("f a 1", names=["a:1"])
    looked = store.images._refuse_used

    def meanwhile(*arguments):
        monkeypatch.setattr(store.images, "_refuse_used", looked)
        other.images.tag(image, Reference.parse("b:1"))
        looked(*arguments)

    monkeypatch.setattr(store.images, "_refuse_used", meanwhile)
    if text == "a:1":
        store.images.remove(text)
        assert other.images.row(image).names == ("docker.io/library/b:1",)
    else:
        with pytest.raises(InUse, match="2 names"):
            store.images.remove(image)
        assert len(other.images.row(image).names) == 2


def test_an_image_that_was_removed_just_now_gets_no_name(store, other):
    image = store.make("f a 1")
    other.images.remove(image)
    with pytest.raises(ImageNotFound):
        store.images.tag(image, Reference.parse("a:1"))
