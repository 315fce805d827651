"""Caches of builds that travel: what a store of nothing makes of what another one wrote."""

import json
from contextlib import closing

import pytest

import lamina
from lamina.build.portable import MEDIA_TYPE
from lamina.errors import LaminaError, UsageError
from lamina.metadata import cache
from lamina.spec import mediatypes
from lamina.testing.fake_registry import fake_registry
from lamina.testing.sample_images import descriptor
from lamina.values.events import Caution, LayerProgress, Notice, StepCached, StepDone

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

TEXT = """FROM scratch AS build
COPY a /a
COPY b /other
FROM scratch
COPY --from=build /a /x
WORKDIR /w
COPY b /b
LABEL x=y
"""
STEPS = 5  # of TEXT that are looked up


class Site:
    """A store of its own, and builds of one context on it."""

    def __init__(self, folder, context, **more):
        self.store = lamina.open(f"{folder}/root", run_root=f"{folder}/run", driver="vfs", **more)
        self.context = context
        self.events = []

    def build(self, text=TEXT, **wishes):
        self.events = []
        return self.store.images.build(
            self.context,
            dockerfile_text=text.encode(),
            events=self.events.append,
            **wishes,
        )

    def cached(self):
        return sum(isinstance(event, StepCached) for event in self.events)

    def reasons(self):
        return [event.reason for event in self.events if isinstance(event, StepCached)]

    def carried_out(self):
        return [each.step for each in self.events if isinstance(each, StepDone) and each.size]

    def warnings(self):
        return [event.text for event in self.events if isinstance(event, Caution)]

    def laid(self):
        return [e for e in self.events if isinstance(e, LayerProgress) and e.state == "complete"]

    def layers(self):
        return len(self.store.layers.all())


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "a").write_text("a\n")
    (folder / "b").write_text("b\n")
    return str(folder)


@pytest.fixture
def site(tmp_path, context):
    """Makes empty stores."""
    made = []

    def make(**more):
        folder = tmp_path / f"site{len(made)}"
        folder.mkdir()
        made.append(Site(str(folder), context, **more))
        return made[-1]

    yield make
    for each in made:
        each.store.close()


@pytest.fixture
def registry():
    with fake_registry() as made:
        yield made


@pytest.fixture
def places(tmp_path, registry):
    """How each medium is written to, and read from."""
    return {
        "registry": (
            f"type=registry,ref={registry.host}/app/cache:1,mode={{mode}}",
            f"type=registry,ref={registry.host}/app/cache:1",
        ),
        "local": (
            f"type=local,dest={tmp_path}/cache,mode={{mode}}",
            f"type=local,src={tmp_path}/cache",
        ),
    }


def names(image):
    """The lines of an image's history."""
    return [line.created_by for line in image.config.history]


def forget_all(store):
    """Have a store that knows no step any more."""
    with store.layers.root.database.write() as db:
        for row in cache.all_rows(db):
            cache.forget(db, row.key)


def blobs_of(registry):
    """The cache's manifest and document at a registry."""
    raw, _ = registry.manifests["app/cache", "1"]
    manifest = json.loads(raw)
    assert manifest["config"]["mediaType"] == MEDIA_TYPE
    return manifest, json.loads(registry.blobs[manifest["config"]["digest"]])


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("medium", ["registry", "local"])
def test_an_empty_store_knows_every_step_and_makes_the_same_image(site, places, medium, mode):
    to, origin = places[medium]
    first, second = site(), site()
    made = first.build(cache_to=[to.format(mode=mode)])
    assert first.cached() == 0
    again = second.build(cache_from=[origin])
    assert again.id == made.id
    assert second.cached() == STEPS
    assert all(origin.rpartition("=")[2] in reason for reason in second.reasons())
    assert second.layers() == len(made.layers) == 3  # the other stage's never came
    third = second.build(cache_from=[origin])
    assert (third.id, second.cached(), second.laid()) == (made.id, STEPS, [])


def test_max_keeps_the_stages_that_the_result_does_not_hold(site, places, registry):
    to, _ = places["registry"]
    first = site()
    first.build(cache_to=[to.format(mode="min")])
    smallest, known = blobs_of(registry)
    first.build(cache_to=[to.format(mode="max")])
    largest, all_known = blobs_of(registry)
    assert (len(smallest["layers"]), len(largest["layers"])) == (3, 5)
    assert [row["key"] for row in known["steps"]] == [row["key"] for row in all_known["steps"]]


@pytest.mark.parametrize(("mode", "brought"), [("min", 0), ("max", 2)])
def test_layers_come_only_when_a_step_needs_them(site, places, mode, brought):
    """The last stage now reads another file of the first, which so must be here."""
    to, origin = places["registry"]
    first, second, plain = site(), site(), site()
    first.build(cache_to=[to.format(mode=mode)])
    changed = TEXT.replace("/a /x", "/other /x")
    made = second.build(changed, cache_from=[origin], source_date_epoch=None)
    assert len(second.laid()) == brought
    notes = [event.text for event in second.events if isinstance(event, Notice)]
    assert any("begins again" in note for note in notes) is (mode == "min")
    assert names(made) == names(plain.build(changed))
    assert second.store.system.check(full=True) == []


def test_names_of_owners_are_known_without_the_stage(site, places, context):
    """What a name means in a stage is told, and so is what another stage took of it."""
    with open(f"{context}/passwd", "w") as file:
        file.write("me:x:5:6::/:/bin/sh\n")
    text = "FROM scratch AS build\nCOPY passwd /etc/passwd\nCOPY --chown=me a /a\n"
    text += "FROM scratch\nCOPY --from=build /a /a\n"
    to, origin = places["registry"]
    first, second = site(), site()
    made = first.build(text, cache_to=[to.format(mode="max")])
    assert second.build(text, cache_from=[origin]).id == made.id
    assert (second.cached(), second.layers()) == (3, 1)
    changed = second.build(text.replace("me a", "me b"), cache_from=[origin])
    with closing(second.store.layers.view(changed.config.top_chain)) as view:
        assert view.lstat(b"a").st_uid == 5


def test_inline_travels_with_the_image(site, registry):
    first, second, third = site(), site(), site()
    name = f"{registry.host}/app:1"
    made = first.build(tags=[name], cache_to=["type=inline"])
    first.store.images.push(name)
    again = second.build(cache_from=[f"type=registry,ref={name}"], cache_to=["inline"])
    assert (again.id, second.cached(), second.layers()) == (made.id, STEPS, 3)
    argument = third.build(build_args={"BUILDKIT_INLINE_CACHE": "1"}, cache_from=[name])
    assert (argument.id, third.cached()) == (made.id, STEPS)
    assert first.build(TEXT + "LABEL z=1\n").id != made.id
    child = first.build(f"FROM {name}\nLABEL a=b\n")
    assert "io.lamina.build.cache.v1" in made.config.document
    assert "io.lamina.build.cache.v1" not in child.config.document


def test_an_image_of_the_store_that_has_its_cache_inside(site):
    first = site()
    made = first.build(tags=["kept"], cache_to=["type=inline"])
    forget_all(first.store)
    again = first.build(cache_from=["kept"], cache_to=["type=inline"])
    assert (again.id, first.cached()) == (made.id, STEPS)
    assert "kept" in first.reasons()[0]


def test_an_image_of_the_store_answers_by_its_history(site):
    first = site()
    made = first.build(tags=["kept"])
    forget_all(first.store)
    again = first.build(cache_from=["kept"])
    assert (again.id, first.cached()) == (made.id, 3)  # it tells nothing of the other stage
    assert set(first.reasons()) == {"the image kept has this step"}


def test_what_cannot_be_reached_is_a_warning(site, registry, tmp_path):
    first = site()
    first.build(
        cache_from=[
            "type=registry,ref=127.0.0.1:1/none:1",
            f"type=registry,ref={registry.host}/missing:1",
            f"type=local,src={tmp_path}/nowhere",
            "none-such-image:9@sha256:" + 64 * "0",
        ]
    )
    assert len(first.warnings()) == 4
    assert all("is passed over" in each for each in first.warnings())


def test_a_layout_that_the_policy_rejects_is_passed_over(site, places, tmp_path):
    to, origin = places["local"]
    site().build(cache_to=[to.format(mode="max")])
    policy = tmp_path / "containers" / "policy.json"
    policy.parent.mkdir()
    policy.write_text(json.dumps({"default": [{"type": "reject"}]}))
    second = site(environ={"XDG_CONFIG_HOME": str(tmp_path)})
    second.build(cache_from=[origin])
    assert second.cached() == 0
    assert [("rejected" in each) for each in second.warnings()] == [True]


def hostile(registry, document, layers=()):
    """Have a manifest of that cache at the registry."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    registry.add_blob(data)
    about = descriptor(MEDIA_TYPE, data)
    raw = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": mediatypes.OCI_MANIFEST,
            "config": about,
            "layers": list(layers),
        }
    ).encode()
    registry.add_manifest("app/cache", "1", raw, mediatypes.OCI_MANIFEST)


KEY = "sha256:" + 64 * "1"
ROW = {"key": KEY, "created": 1.0}


@pytest.mark.parametrize(
    "document",
    [
        b"{",
        b"[]",
        {"version": 2},
        {"version": 1, "steps": {}},
        {"version": 1, "steps": [1]},
        {"version": 1, "steps": [{"key": "x", "created": 1.0}]},
        {"version": 1, "steps": [{"key": KEY, "created": "now"}]},
        {"version": 1, "steps": [{"key": KEY, "created": 1e300}]},
        {"version": 1, "steps": [{"key": KEY, "created": True}]},
        {"version": 1, "steps": [{**ROW, "chain": 5}]},
        {"version": 1, "layers": [{"diffId": ""}]},
        {"version": 1, "layers": [{"diffId": KEY, "blob": "sha256:1"}]},
        {"version": 1, "contents": [{"key": KEY, "digest": "5"}]},
        {"version": 1, "owners": [{"key": KEY, "owner": "root"}]},
        {"version": 1, "steps": [ROW] * 30_000},
        json.dumps({"version": 1, "steps": [ROW] * 60_000}).encode(),
    ],
)
def test_a_hostile_document_is_passed_over(site, registry, places, document):
    hostile(registry, document)
    first = site()
    first.build(cache_from=[places["registry"][1]])
    assert len(first.warnings()) == 1
    assert first.cached() == 0


def test_a_layer_that_is_not_what_it_should_be_is_never_used(site, registry, places):
    to, origin = places["registry"]
    first, second = site(), site()
    made = first.build(cache_to=[to.format(mode="max")])
    manifest, _ = blobs_of(registry)
    for each in manifest["layers"]:
        registry.blobs[each["digest"]] = b"x" * each["size"]
    again = second.build(cache_from=[origin])
    assert second.carried_out() != []
    assert names(again) == names(made)
    assert any("is given up" in each for each in second.warnings())
    assert second.store.system.check(full=True) == []


def test_a_chain_that_does_not_continue_the_step_is_not_believed(site, registry, places):
    """Every step but the last is said to have led to the chain of the whole image."""
    to, origin = places["registry"]
    first, second = site(), site()
    made = first.build(cache_to=[to.format(mode="max")])
    manifest, document = blobs_of(registry)
    top = made.config.top_chain
    rows = [{**row, "chain": top} for row in document["steps"] if row["chain"] != top]
    hostile(registry, {**document, "steps": rows}, manifest["layers"])
    again = second.build(cache_from=[origin])
    assert (second.cached(), second.warnings()) == (0, [])
    assert names(again) == names(made)
    assert second.store.system.check(full=True) == []


def test_a_lie_about_a_content_is_believed_for_a_hit_alone(site, registry, places):
    """It says that /a of the first stage is something else, and knows nothing of the last stage.

    So the copy is made of what is there, and remembered as that.
    """
    to, origin = places["registry"]
    first, second = site(), site()
    other = "FROM scratch AS build\nCOPY a /a\nFROM scratch\nCOPY --from=build /a /x\n"
    top = first.build(other, cache_to=[to.format(mode="max")]).config.top_chain
    manifest, document = blobs_of(registry)
    (told,) = document["contents"]
    told["digest"] = "sha256:" + 64 * "7"
    document["steps"] = [row for row in document["steps"] if row["chain"] != top]
    hostile(registry, document, manifest["layers"])
    made = second.build(other, cache_from=[origin])
    assert second.cached() == 1
    assert second.build(other).id == made.id
    with second.store.layers.root.database.read() as db:
        assert not any("77777" in row.inputs for row in cache.all_rows(db))


def test_a_cache_of_a_cache_needs_no_layer_here(site, registry, places):
    to, origin = places["registry"]
    first, second, third = site(), site(), site()
    made = first.build(cache_to=[to.format(mode="max")])
    before = blobs_of(registry)
    uploads = registry.count("^PUT /v2/app/cache/blobs/")
    second.build(cache_from=[origin], cache_to=[to.format(mode="max")])
    assert blobs_of(registry) == before
    assert registry.count("^PUT /v2/app/cache/blobs/") == uploads
    assert second.layers() == 3
    assert third.build(cache_from=[origin]).id == made.id


def test_a_cache_of_a_cache_is_compressed_anew_where_that_is_wished(site, registry, places):
    """Also of layers that never came here."""
    to, origin = places["registry"]
    first, second, third = site(), site(), site()
    made = first.build(cache_to=[f"{to.format(mode='max')},compression=zstd"])
    second.build(cache_from=[origin], cache_to=[to.format(mode="max")])
    manifest, _ = blobs_of(registry)
    assert [each["mediaType"] for each in manifest["layers"]] == 5 * [mediatypes.OCI_LAYER_GZIP]
    assert second.layers() == 3
    assert third.build(cache_from=[origin]).id == made.id


@pytest.mark.parametrize("inline", [True, False])
def test_a_layer_that_is_nowhere_is_told_by_name_alone(site, registry, places, inline):
    """A cache without the other stage's layers, of which the next one is to have all."""
    to, origin = places["registry"]
    first, second, third = site(), site(), site()
    name = f"{registry.host}/app:1"
    made = first.build(tags=[name], cache_to=["inline" if inline else to.format(mode="min")])
    first.store.images.push(name)
    source = name if inline else origin
    second.build(cache_from=[source], cache_to=[to.format(mode="max")])
    manifest, _ = blobs_of(registry)
    assert (len(manifest["layers"]), second.layers()) == (3, 3)
    assert third.build(cache_from=[origin], cache_to=["inline"] * inline).id == made.id
    assert third.cached() == STEPS


@pytest.mark.parametrize("compression", ["zstd", "uncompressed"])
def test_layers_are_compressed_as_wished(site, registry, places, compression):
    to, origin = places["registry"]
    first, second = site(), site()
    made = first.build(cache_to=[f"{to.format(mode='max')},compression={compression}"])
    manifest, _ = blobs_of(registry)
    kind = mediatypes.layer("" if compression == "uncompressed" else compression)
    assert {each["mediaType"] for each in manifest["layers"]} == {kind}
    assert second.build(cache_from=[origin]).id == made.id
    assert second.cached() == STEPS


def test_a_cache_that_cannot_be_written_fails_the_build_unless_it_may(site, tmp_path):
    (tmp_path / "file").write_text("")
    place = f"type=local,dest={tmp_path}/file/x"
    first = site()
    with pytest.raises(LaminaError, match="writing"):
        first.build(cache_to=[place])
    first.build(cache_to=[f"{place},ignore-error=true"])
    assert any("was not written" in each for each in first.warnings())


def test_no_cache_asks_nobody(site, registry, places):
    to, origin = places["registry"]
    first, second = site(), site()
    first.build(cache_to=[to.format(mode="max")])
    asked = len(registry.asked)
    second.build(cache_from=[origin], no_cache=True)
    assert (second.cached(), len(registry.asked)) == (0, asked)


def test_squash_and_an_image_without_layers_travel_too(site, places):
    to, origin = places["local"]
    first, second = site(), site()
    made = first.build(cache_to=[to.format(mode="min")], squash=True)
    again = second.build(cache_from=[origin], squash=True)
    assert (again.id, second.layers()) == (made.id, 1)
    first, second = site(), site()
    made = first.build("FROM scratch\nLABEL a=b\n", cache_to=[to.format(mode="min")])
    assert second.build("FROM scratch\nLABEL a=b\n", cache_from=[origin]).id == made.id


@pytest.mark.parametrize(
    "wish",
    [
        {"cache_from": ["type=s3,bucket=x"]},
        {"cache_from": ["type=local"]},
        {"cache_from": ["type=registry,ref=x,mode=max"]},
        {"cache_from": ["type=registry,ref=UPPER"]},
        {"cache_to": ["type=local,dest=x,mode=some"]},
        {"cache_to": ["type=local,dest=x,compression=estargz"]},
        {"cache_to": ["type=local,dest=x,compression-level=x"]},
        {"cache_to": ["type=local,dest=x,ignore-error=perhaps"]},
        {"cache_to": ["type=inline,ref=x"]},
        {"cache_to": ["type=local,dest"]},
    ],
)
def test_wishes_that_mean_nothing_are_refused(site, wish):
    with pytest.raises(UsageError):
        site().build(**wish)
