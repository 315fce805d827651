"""Mirrors, blocked registries and short names, as a whole store follows them."""

import json
import threading
from base64 import b64encode

import pytest

from lamina.engine.open import open_store
from lamina.errors import AccessRefused, ConfigurationError, ImageNotFound, RegistryError
from lamina.spec import mediatypes
from lamina.testing.fake_registry import fake_registry
from lamina.testing.sample_images import oci_manifest, packed, sample
from lamina.values.events import Caution

IMAGE = sample("d d\nf d/a one", names=[])
OTHER = sample("f b other", names=[])


def offer(registry, image=IMAGE, path="demo", tag="1"):
    for data in (image.config, *map(packed, image.layers)):
        registry.add_blob(data)
    registry.add_manifest(path, tag, oci_manifest(image), mediatypes.OCI_MANIFEST)


@pytest.fixture
def registry():
    with fake_registry() as made:
        offer(made)
        yield made


@pytest.fixture
def mirror():
    with fake_registry() as made:
        yield made


@pytest.fixture
def opened(tmp_path, needs_root):
    """A function that opens a store whose user has a registries.conf; `told` is what it warns."""
    stores = []

    def make(conf="", daemon=None, auths=None, environ=None):
        (tmp_path / "conf").write_text(conf)
        (tmp_path / "daemon.json").write_text(json.dumps(daemon or {}))
        home = tmp_path / "home"
        (home / ".docker").mkdir(parents=True, exist_ok=True)
        (home / ".docker" / "config.json").write_text(json.dumps({"auths": auths or {}}))
        store = open_store(
            str(tmp_path / "root"),
            run_root=str(tmp_path / "run"),
            driver="vfs",
            config=str(tmp_path / "daemon.json"),
            environ={
                "HOME": str(home),
                "CONTAINERS_REGISTRIES_CONF": str(tmp_path / "conf"),
                **(environ or {}),
            },
            events=lambda event: store.told.append(event.text) if type(event) is Caution else None,
        )
        store.told = []
        stores.append(store)
        return store

    yield make
    for store in stores:
        store.close()


def mirrored(registry, *mirrors):
    text = f'[[registry]]\nlocation = "{registry}"\n'
    return text + "".join(f'[[registry.mirror]]\nlocation = "{each}"\n' for each in mirrors)


def test_the_first_mirror_that_has_it_is_used(registry, mirror, opened):
    offer(mirror, path="hub/demo")
    store = opened(mirrored(registry.host, "127.0.0.1:1", f"{mirror.host}/hub"))
    pulled = store.images.pull(f"{registry.host}/demo:1")
    assert pulled.image.tags == [f"{registry.host}/demo:1"]
    assert registry.asked == []
    assert store.told == [
        "the mirror 127.0.0.1:1 is passed over: 127.0.0.1:1 cannot be reached: Connection refused"
    ]


def test_a_copy_reads_from_a_mirror_and_writes_to_none(registry, mirror, opened):
    offer(mirror, path="hub/demo")
    store = opened(mirrored(registry.host, "127.0.0.1:1", f"{mirror.host}/hub"))
    store.images.copy(f"docker://{registry.host}/demo:1", f"docker://{registry.host}/other:1")
    assert registry.count("GET .*(blobs|manifests)") == 0
    assert registry.manifests["other", "1"][0] == oci_manifest(IMAGE)
    assert mirror.count("PUT|POST") == 0
    assert "127.0.0.1:1 is passed over" in store.told[0]


def test_a_mirror_that_has_not_all_of_it_is_passed_over(registry, mirror, opened):
    offer(mirror)
    mirror.blobs.clear()
    store = opened(mirrored(registry.host, mirror.host))
    assert store.images.pull(f"{registry.host}/demo:1").image.id == IMAGE.id
    assert "has lost the blob" in store.told[0]
    mirror.manifests.clear()
    store.images.pull(f"{registry.host}/demo:1")
    assert store.told[1].endswith(f"{mirror.host}/demo has no image :1")


def test_a_mirror_cannot_give_another_image_for_a_digest(registry, mirror, opened):
    raw = oci_manifest(IMAGE)
    digest = registry.add_manifest("demo", "1", raw, mediatypes.OCI_MANIFEST)
    mirror.manifests["demo", digest] = (oci_manifest(OTHER), mediatypes.OCI_MANIFEST)
    store = opened(mirrored(registry.host, mirror.host))
    assert store.images.pull(f"{registry.host}/demo@{digest}").image.id == IMAGE.id
    assert f"not {digest}" in store.told[0]


def test_what_is_in_no_place_is_the_registrys_own_word(registry, mirror, opened):
    store = opened(mirrored(registry.host, mirror.host))
    with pytest.raises(ImageNotFound, match=f"{registry.host}/demo has no image :2"):
        store.images.pull(f"{registry.host}/demo:2")


def test_each_place_is_told_its_own_password_only(registry, mirror, opened):
    offer(mirror)
    mirror.manifests.clear()
    basic = {"WWW-Authenticate": 'Basic realm="here"'}

    def closed(exchange):
        if "Authorization" in exchange.headers:
            return False
        exchange.answer(401, b"{}", basic)
        return True

    words = {}
    for each, word in ((registry, "theirs"), (mirror, "other")):
        each.wrong(".", closed)
        words[each.host] = b64encode(f"me:{word}".encode()).decode()
    auths = {host: {"auth": word} for host, word in words.items()}
    store = opened(mirrored(registry.host, mirror.host), auths=auths)
    store.images.pull(f"{registry.host}/demo:1")
    for each in (registry, mirror):
        told = {asked.headers.get("authorization", "") for asked in each.asked}
        assert told == {"", f"Basic {words[each.host]}"}
    opened(mirrored(registry.host, mirror.host), auths={registry.host: auths[registry.host]})
    mirror.asked.clear()
    store.images.pull(f"{registry.host}/demo:1")
    assert {asked.headers.get("authorization") for asked in mirror.asked} == {None}


def test_what_is_blocked_is_neither_pulled_nor_pushed(registry, opened):
    conf = f'[[registry]]\nprefix = "{registry.host}/demo"\nblocked = true\n'
    store = opened(conf)
    name = f"{registry.host}/demo:1"
    with pytest.raises(AccessRefused, match="is blocked by"):
        store.images.pull(name)
    offer(registry, path="allowed")
    store.images.pull(f"{registry.host}/allowed:1").image.tag(name)
    with pytest.raises(AccessRefused, match="is blocked by"):
        store.images.push(name)


def test_a_push_goes_to_the_registry_itself(registry, mirror, opened):
    store = opened(mirrored(registry.host, mirror.host))
    store.images.pull(f"{registry.host}/demo:1").image.tag(f"{registry.host}/new:1")
    mirror.asked.clear()
    store.images.push(f"{registry.host}/new:1")
    assert ("new", "1") in registry.manifests
    assert mirror.asked == []


def test_docker_hub_has_dockers_mirrors(mirror, opened):
    offer(mirror, path="library/demo")
    hub = '[[registry]]\nprefix = "docker.io"\nlocation = "127.0.0.1:1"\n'
    store = opened(hub, daemon={"registry-mirrors": [f"http://{mirror.host}"]})
    assert store.images.pull("demo:1").image.tags == ["demo:1"]
    assert store.told == []
    with pytest.raises(RegistryError, match=r"127.0.0.1:1 cannot be reached"):
        store.images.pull("demo:2")
    assert store.told == [
        f"the mirror {mirror.host} is passed over: {mirror.host}/library/demo has no image :2"
    ]


def test_a_short_name_is_looked_for_where_it_is_written(registry, mirror, opened):
    search = f'unqualified-search-registries = ["{mirror.host}", "{registry.host}"]\n'
    store = opened(search)
    pulled = store.images.pull("demo:1")
    assert str(pulled.name) == f"{registry.host}/demo:1"
    assert store.told == [
        f"{mirror.host}/demo:1 is passed over: {mirror.host}/demo has no image :1"
    ]
    asked = len(registry.asked)
    container = store.containers.create("demo:1", ["/a"], pull="missing")
    assert container.image == IMAGE.id
    assert container.image_name == f"{registry.host}/demo:1"
    assert len(registry.asked) == asked
    with pytest.raises(ImageNotFound, match="no such image: demo:2, and it cannot be pulled"):
        store.containers.create("demo:2", ["/a"], pull="missing")


@pytest.mark.parametrize("way", ["file", "environment"])
def test_how_long_a_registry_may_say_nothing_is_a_setting(registry, opened, way):
    over = threading.Event()
    registry.wrong("manifests", lambda _exchange: over.wait(60))
    daemon = {"registry-timeout": 0.2 if way == "file" else 3600}
    environ = {"LAMINA_REGISTRY_TIMEOUT": "0.2"} if way == "environment" else {}
    try:
        with pytest.raises(RegistryError, match="said nothing for too long"):
            opened(daemon=daemon, environ=environ).images.pull(f"{registry.host}/demo:1")
    finally:
        over.set()


@pytest.mark.parametrize("value", [0, -1, "nan", 3601, True, [], "soon"])
def test_a_time_that_is_none_is_an_error(opened, value):
    with pytest.raises(ConfigurationError, match=r"registry-timeout in .*daemon.json is .*seconds"):
        opened(daemon={"registry-timeout": value})
