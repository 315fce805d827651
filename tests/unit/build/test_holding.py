"""What a build finds is held when it needs it; what others remove before that is made anew."""

from contextlib import contextmanager

import pytest

from lamina.build.api import BuildRequest
from lamina.content.directory import BlobStore
from lamina.drivers.vfs import VfsDriver
from lamina.images.store import ImageStore
from lamina.layers.store import LayerStore
from lamina.metadata import cache, refs
from lamina.metadata.root import StoreRoot
from lamina.values.events import Notice, StepCached, StepOutput, StepStarted

KNOWN = "FROM scratch\nCOPY app /app\nRUN put /one 1\nRUN put /two 2\n"
MORE = KNOWN + "RUN say hello; put /three 3\n"


@contextmanager
def another(rig):
    """The same store, opened by somebody else."""
    root = StoreRoot.open(rig.root.path)
    layers = LayerStore(root, lambda: VfsDriver(root.folder("vfs")))
    blobs = BlobStore(root.folder("blobs"), root.folder("staging"))
    try:
        yield layers, ImageStore(root, blobs, layers)
    finally:
        layers.close()
        root.close()


def remove_all(rig):
    """What `rmi` of every image and a prune of the cache come to, by somebody else."""
    with another(rig) as (layers, images):
        for image in images.all():
            images.delete(image.row.id, image.names)
        with layers.root.database.write() as db:
            for row in cache.all_rows(db):
                cache.forget(db, row.key)
        layers.reclaim()


@pytest.fixture
def known(rig):
    """A store in which the first steps are known, and held by no one but image and cache."""
    rig.write(app="code")
    config = rig.build(KNOWN)
    rig.layers.release()
    return config


def disturbed(rig, text, at, **wishes):
    """Build, and let somebody else remove everything at the first event that `at` picks."""
    rig.events, met = [], []

    def sink(event):
        rig.events.append(event)
        if at(event) and not met:
            met.append(event)
            remove_all(rig)

    request = BuildRequest(context=rig.context, dockerfile_text=text.encode(), **wishes)
    result = rig.builder.build(request, sink)
    assert met
    return result.config


def begins(step):
    return lambda event: isinstance(event, StepStarted) and event.step == step


def notices(rig):
    return [event.text for event in rig.events if isinstance(event, Notice)]


def held(rig):
    """What the store's opener keeps from being collected."""
    with rig.root.database.read() as db:
        return set(refs.targets(db, refs.LEASE, rig.root.lease))


def test_what_goes_before_it_is_needed_is_made_anew(rig, known):
    config = disturbed(rig, MORE, begins(5))
    assert rig.tree(config) == {"app": "code", "one": "1", "two": "2", "three": "3"}
    assert [text for text in notices(rig) if text.endswith("the build begins again")] == notices(
        rig
    )
    assert len(notices(rig)) == 1
    assert rig.runner.count == 2 + 3


@pytest.mark.parametrize("kept", [True, False])
def test_what_goes_when_all_of_it_was_known_is_made_anew(rig, known, kept):
    """The last step is known, and then there is no image of it any more."""
    config = disturbed(
        rig, KNOWN, lambda event: isinstance(event, StepCached) and event.step == 4, kept=kept
    )
    assert rig.images.config(config.id).raw == config.raw
    assert rig.tree(config) == {"app": "code", "one": "1", "two": "2"}
    assert rig.runner.count == 2 + 2


def test_an_image_that_goes_before_it_gets_its_name_is_made_anew(rig, known):
    tag = rig.images.tag

    def meddling(image, name):
        rig.images.tag = tag
        remove_all(rig)
        return tag(image, name)

    rig.images.tag = meddling
    config = rig.build(KNOWN, tags=("app",), kept=False)
    assert rig.images.resolve("app") == config.id
    assert rig.tree(config) == {"app": "code", "one": "1", "two": "2"}
    gone = f"the image {known.id.short} was removed just now"
    assert notices(rig) == [f"{gone}: the build begins again"]


def test_what_something_stands_on_stays(rig, known):
    config = disturbed(rig, MORE, lambda event: isinstance(event, StepOutput))
    assert rig.tree(config) == {"app": "code", "one": "1", "two": "2", "three": "3"}
    assert notices(rig) == []
    assert rig.runner.count == 2 + 1


def test_all_that_was_found_stays_from_the_first_step_on_that_is_carried_out(rig, known):
    text = KNOWN.replace("FROM scratch", "FROM scratch AS one", 1)
    text += "FROM scratch\nRUN say x\nCOPY --from=one /two /copied\n"
    config = disturbed(rig, text, lambda event: isinstance(event, StepOutput), jobs=1)
    assert rig.tree(config) == {"copied": "2"}
    assert notices(rig) == []


@pytest.mark.parametrize(
    ("wishes", "is_held"),
    [({"kept": True}, True), ({"kept": False}, False), ({"kept": False, "stored": False}, True)],
)
def test_what_is_built_is_held_for_who_wants_it(rig, known, wishes, is_held):
    """An image of the store holds its layers itself."""
    result = rig.builder.build(
        BuildRequest(context=rig.context, dockerfile_text=KNOWN.encode(), **wishes)
    )
    assert (result.config.top_chain in held(rig)) is is_held
    if is_held:
        remove_all(rig)
        assert rig.tree(result.config)["two"] == "2"


def test_the_same_is_found_again_when_nobody_meddles(rig, known):
    config = rig.build(KNOWN)
    assert config.raw == known.raw
    assert all(
        isinstance(event, StepCached) for event in rig.events if "Cached" in str(type(event))
    )
    assert held(rig) == {known.top_chain}
