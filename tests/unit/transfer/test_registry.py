"""`pull` and `push` against a registry that misbehaves to order."""

import base64
import gzip
import io
import json
import os
import re
import signal
import socket
import sys
import tarfile
import threading
import time

import pytest

from lamina.archive.packing import Packing
from lamina.errors import (
    AccessRefused,
    BadDocument,
    ConfigurationError,
    DigestMismatch,
    ImageNotFound,
    RegistryError,
    RegistryUnreachable,
    StorageError,
    UsageError,
)
from lamina.layers import gc
from lamina.metadata import refs
from lamina.registry.credentials import ANONYMOUS, Credential
from lamina.registry.hosts import Settings, _covers, is_insecure
from lamina.registry.repository import Repository
from lamina.registry.session import Session
from lamina.registry.transport import Transport
from lamina.spec import mediatypes
from lamina.testing.fake_registry import fake_registry
from lamina.testing.sample_images import (
    as_directory,
    descriptor,
    digest,
    index,
    layout,
    oci_manifest,
    packed,
    sample,
)
from lamina.testing.stores import ScratchStore
from lamina.transfer.load import load
from lamina.transfer.pull import pull
from lamina.transfer.push import push
from lamina.values.reference import Reference

HERE = ("linux", "amd64")
IMAGE = sample("d d\nf d/a one", "f d/b " + "two" * 5000, names=[])


@pytest.fixture
def registry():
    with fake_registry() as made:
        yield made


class User:
    """Somebody who speaks to a registry, without ever really waiting."""

    def __init__(self, registry, credential=ANONYMOUS):
        self.registry = registry
        self.waited = []
        self.settings = Settings(timeout=20.0, certificates=())
        self.credential = credential

    def repository(self, path="demo"):
        transport = Transport(self.settings, "test")
        session = Session(
            self.registry.host, transport, self.settings, self.credential, self.waited.append
        )
        return Repository(session, path)

    def name(self, text="demo:1"):
        return Reference.parse(f"{self.registry.host}/{text}")

    def pull(self, store, text="demo:1", platform=HERE, **options):
        name = self.name(text)
        return pull(
            self.repository(name.path),
            name,
            store.images,
            store.layers,
            platform=platform,
            **options,
        )

    def push(self, store, image, text="demo:1", **options):
        name = self.name(text)
        place = self.repository(name.path)
        return push(place, name, image, store.images, store.layers, **options)


@pytest.fixture
def user(registry):
    return User(registry)


def offered(registry, image=IMAGE, path="demo", tag="1", **options):
    """Have an image in a registry; gives its manifest's bytes."""
    raw = oci_manifest(image, **options)
    for data in (image.config, *map(packed, image.layers)):
        registry.add_blob(data)
    registry.add_manifest(path, tag, raw, mediatypes.OCI_MANIFEST)
    return raw


def nothing_is_left(store):
    """Nothing but what makes the next try shorter."""
    store.reopen()
    assert store.images.all() == ()
    gc.expire_ingests(store.root, time.time() + 1)
    assert store.files() == []


def tar_with(data):
    """A layer of one file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("big")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


# several blocks of what is neither random nor empty
BIG = tar_with(b"".join(b"%09d\n" % each for each in range(300_000)))
BLOB = "GET .*/blobs/"
FIRST = packed(IMAGE.layers[0])
SECOND = packed(IMAGE.layers[1])


# --- what comes is what was meant ---------------------------------------------------------------


def test_an_image_comes_whole_and_under_its_name(registry, user, store):
    raw = offered(registry)
    pulled = user.pull(store)
    assert pulled.image == IMAGE.id
    assert pulled.digest == digest(raw)
    assert pulled.fresh
    assert store.images.resolve(str(user.name())) == IMAGE.id
    assert not user.pull(store).fresh
    assert registry.count(BLOB) == 4  # two layers, and the config twice


def test_a_layer_that_is_here_is_not_fetched(registry, user, store):
    offered(registry)
    store.make("d d\nf d/a one")
    user.pull(store)
    assert registry.count(f"{BLOB}{digest(FIRST)}") == 0
    assert registry.count(f"{BLOB}{digest(SECOND)}") == 1


def test_a_digest_is_a_name(registry, user, store):
    raw = offered(registry)
    pulled = user.pull(store, f"demo@{digest(raw)}")
    assert store.images.resolve(f"{registry.host}/demo@{digest(raw)}") == pulled.image


def test_of_an_index_the_image_for_the_platform_comes(registry, user, store):
    arm = sample("f arm here", architecture="arm64")
    kinds = {"amd64": IMAGE, "arm64": arm}
    described = []
    for name, image in kinds.items():
        raw = offered(registry, image, tag=name)
        platform = {"os": "linux", "architecture": name}
        described.append(descriptor(mediatypes.OCI_MANIFEST, raw, platform=platform))
    whole = index(*described)
    registry.add_manifest("demo", "1", whole, mediatypes.OCI_INDEX)
    assert user.pull(store).image == IMAGE.id
    pulled = user.pull(store, platform=("linux", "arm64", ""))
    assert pulled.image == arm.id
    assert pulled.digest == digest(whole)
    named = f"demo@{digest(whole)}"
    user.pull(store, named)
    assert store.images.resolve(f"{registry.host}/{named}") == IMAGE.id
    with pytest.raises(BadDocument, match=r"linux/s390x.*linux/amd64, linux/arm64"):
        user.pull(store, platform=("linux", "s390x"))


@pytest.mark.parametrize(
    "kind", ["application/octet-stream", "application/json", "text/html", "", None]
)
def test_old_names_of_a_config_are_known_where_docker_knows_them(registry, user, store, kind):
    document = json.loads(offered(registry))
    document["mediaType"] = mediatypes.DOCKER_MANIFEST
    document["config"]["mediaType"] = kind
    if kind is None:
        del document["config"]["mediaType"]
    raw = json.dumps(document).encode()
    registry.add_manifest("demo", "old", raw, mediatypes.DOCKER_MANIFEST)
    assert user.pull(store, "demo:old").image == IMAGE.id
    document["mediaType"] = mediatypes.OCI_MANIFEST
    raw = json.dumps(document).encode()
    registry.add_manifest("demo", "new", raw, mediatypes.OCI_MANIFEST)
    with pytest.raises(BadDocument, match="this is no container image"):
        user.pull(store, "demo:new")


@pytest.mark.parametrize("path", ["demo", "nowhere"])
def test_what_is_not_there_is_named(registry, user, store, path):
    offered(registry)
    with pytest.raises(ImageNotFound, match=f"{path} has no image :2"):
        user.pull(store, f"{path}:2")


# --- a line that breaks, a registry that is busy ------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_what_passes_is_waited_for(registry, user, store, status):
    offered(registry)
    registry.wrong("GET", lambda exchange: exchange.answer(status) is None, times=3)
    assert user.pull(store).image == IMAGE.id
    assert user.waited == [0.25, 0.5]  # the first was only to see whether it speaks without TLS


def test_a_registry_that_says_how_long_is_believed(registry, user, store):
    offered(registry)
    busy = {"Retry-After": "7"}
    registry.wrong(BLOB, lambda exchange: exchange.answer(429, b"", busy) is None, times=1)
    user.pull(store)
    assert user.waited == [7]


def test_a_registry_that_wants_an_hour_is_given_up(registry, user, store):
    busy = {"Retry-After": "3600"}
    registry.wrong("manifests", lambda exchange: exchange.answer(429, b"", busy) is None)
    with pytest.raises(RegistryError, match="3600 seconds"):
        user.pull(store)
    assert user.waited == []


def test_a_registry_that_stays_broken_is_given_up(registry, user, store):
    offered(registry)
    words = json.dumps({"errors": [{"message": "the disk is full"}]}).encode()
    registry.wrong(BLOB, lambda exchange: exchange.answer(500, words) is None)
    with pytest.raises(RegistryError, match=r"500.*the disk is full"):
        user.pull(store)
    nothing_is_left(store)


def cut(count):
    """Give so many bytes of a blob and break off."""

    def fault(exchange):
        data = exchange.registry.blobs[exchange.path.rpartition("/")[2]]
        at = int((exchange.headers.get("Range") or "bytes=0-")[6:-1])
        headers = {"Content-Range": f"bytes {at}-{len(data) - 1}/{len(data)}"} if at else {}
        exchange.answer(206 if at else 200, data[at : at + count], headers, length=len(data) - at)
        return True

    return fault


def test_what_breaks_off_goes_on_where_it_stopped(registry, user, store):
    offered(registry)
    registry.wrong(f"{BLOB}{digest(SECOND)}", cut(50), times=2)
    assert user.pull(store).image == IMAGE.id
    asked = [each.headers.get("range") for each in registry.asked if digest(SECOND) in each.path]
    assert asked == [None, "bytes=50-", "bytes=100-"]


def test_a_registry_without_ranges_gives_all_again(registry, user, store):
    offered(registry)
    registry.wrong(f"{BLOB}{digest(SECOND)}", cut(50), times=1)
    whole = lambda exchange: exchange.answer(200, SECOND) is None  # noqa: E731
    registry.wrong(f"{BLOB}{digest(SECOND)}", whole, times=1)
    assert user.pull(store).image == IMAGE.id


def test_what_a_failed_try_brought_is_not_fetched_again(registry, user, store):
    offered(registry)
    registry.wrong(f"{BLOB}{digest(SECOND)}", cut(50), times=1)
    registry.wrong(f"{BLOB}{digest(SECOND)}", cut(0))
    with pytest.raises(RegistryUnreachable, match="broke off"):
        user.pull(store)
    store.reopen()
    assert store.images.all() == ()
    registry.faults.clear()
    registry.asked.clear()
    assert user.pull(store).image == IMAGE.id
    asked = [each.headers.get("range") for each in registry.asked if digest(SECOND) in each.path]
    assert asked == ["bytes=50-"]
    assert registry.count(f"{BLOB}{digest(FIRST)}") == 0
    assert not [each for each in store.files() if "ingest." in each]


def test_what_was_half_fetched_goes_after_a_day(registry, user, store):
    offered(registry)
    registry.wrong(f"{BLOB}{digest(SECOND)}", cut(50), times=1)
    registry.wrong(f"{BLOB}{digest(SECOND)}", cut(0))
    with pytest.raises(RegistryUnreachable):
        user.pull(store)
    store.reopen()
    assert any("ingest." in each for each in store.files())
    gc.expire_ingests(store.root, time.time() - 3600)
    assert any("ingest." in each for each in store.files())
    nothing_is_left(store)


def test_a_damaged_half_is_found_out(registry, user, store):
    offered(registry)
    registry.wrong(f"{BLOB}{digest(SECOND)}", cut(50), times=1)
    registry.wrong(f"{BLOB}{digest(SECOND)}", cut(0))
    with pytest.raises(RegistryUnreachable):
        user.pull(store)
    (partial,) = [each for each in store.files() if digest(SECOND)[7:] in each and "ingest" in each]
    with open(f"{store.path}/{partial}", "r+b") as file:
        file.write(bytes(50))
    registry.faults.clear()
    with pytest.raises(DigestMismatch, match="try again"):
        user.pull(store)
    assert user.pull(store).image == IMAGE.id


@pytest.mark.parametrize("said", [40, 60, len(SECOND) + 9])
def test_a_manifest_that_lies_about_a_size_spoils_no_half_of_another(registry, user, store, said):
    offered(registry)
    registry.wrong(f"{BLOB}{digest(SECOND)}", cut(50), times=1)
    registry.wrong(f"{BLOB}{digest(SECOND)}", cut(0))
    with pytest.raises(RegistryUnreachable):
        user.pull(store)
    registry.faults.clear()
    lie = json.loads(oci_manifest(IMAGE))
    lie["layers"][1]["size"] = said
    registry.add_manifest("demo", "lie", json.dumps(lie).encode(), mediatypes.OCI_MANIFEST)
    with pytest.raises((DigestMismatch, RegistryUnreachable)):
        user.pull(store, "demo:lie")
    registry.asked.clear()
    user.pull(store)
    asked = [each for each in registry.asked if each.path.endswith(digest(SECOND))]
    assert [each.headers.get("range") for each in asked] == ["bytes=50-"]
    assert not [each for each in store.files() if "ingest." in each]


def test_a_registry_that_falls_silent_is_given_up(registry, user, store):
    offered(registry)
    over = threading.Event()
    user.settings = user.settings._replace(timeout=0.2)
    registry.wrong(BLOB, lambda _exchange: over.wait(60))
    try:
        with pytest.raises(RegistryUnreachable, match="said nothing for too long"):
            user.pull(store)
    finally:
        over.set()
    nothing_is_left(store)


def test_a_registry_that_stalls_before_its_answer_is_asked_twice(registry, user, store):
    offered(registry)
    over = threading.Event()
    user.settings = user.settings._replace(timeout=0.2)
    for what, asked in (("manifests", "GET .*/manifests/"), (BLOB, BLOB)):
        registry.asked.clear()
        registry.faults.clear()
        registry.wrong(what, lambda _exchange: over.wait(60))
        with pytest.raises(RegistryUnreachable, match="said nothing for too long"):
            user.pull(store)
        paths = [each.path for each in registry.asked if re.search(asked, f"GET {each.path}")]
        assert max(map(paths.count, paths)) == 2
    registry.faults.clear()
    registry.wrong("PUT .*/uploads", lambda _exchange: over.wait(60))
    with pytest.raises(RegistryUnreachable, match="said nothing for too long"):
        user.push(store, store.make("f a one"))
    over.set()
    blobs = [each.path.partition("digest=")[2] for each in registry.asked if each.method == "PUT"]
    assert max(map(blobs.count, blobs)) == 1  # nothing is sent again to who does not answer


def test_a_registry_that_reads_slowly_has_the_stated_time(user, monkeypatch):
    """Connecting has its own, shorter one; what is sent waits as long as what is asked for."""
    waits = []

    def sent(pipe, data, *_flags):
        waits.append(pipe.gettimeout())
        raise TimeoutError("timed out")

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        monkeypatch.setattr(socket.socket, "sendall", sent)
        transport = Transport(user.settings._replace(timeout=300.0), "test")
        with pytest.raises(RegistryUnreachable, match="reached: it said nothing for too long"):
            transport.ask("PUT", url, {"Content-Length": "1"}, b"x")
    assert waits == [300.0]


def test_an_answer_that_drips_is_given_up(registry, user, store):
    """Each byte comes in time, and the head of the answer never."""
    over = threading.Event()

    def drip(exchange):
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not over.wait(0.02):
            exchange.wfile.write(b"x")
            exchange.wfile.flush()
        return True

    user.settings = user.settings._replace(timeout=0.3)
    registry.wrong("manifests", drip)
    try:
        with pytest.raises(RegistryUnreachable, match="said nothing for too long"):
            user.pull(store)
    finally:
        over.set()
    assert registry.count("manifests") == 2


@pytest.mark.parametrize("what", ["manifests", "GET .*/blobs/"])
def test_a_body_that_drips_is_given_up(registry, user, store, what):
    offered(registry)
    over = threading.Event()

    def drip(exchange):
        exchange.send_response(200)
        exchange.send_header("Content-Length", "1000000")
        exchange.end_headers()
        while not over.wait(0.02):
            exchange.wfile.write(b"x")
            exchange.wfile.flush()
        return True

    user.settings = user.settings._replace(timeout=0.3)
    registry.wrong(what, drip)
    try:
        with pytest.raises(RegistryError, match="under 1000 bytes a second"):
            user.pull(store)
    finally:
        over.set()
    nothing_is_left(store)


def test_two_that_pull_the_same_fetch_it_once(registry, user, tmp_path, needs_root):
    offered(registry)
    both = threading.Barrier(2)
    registry.wrong("GET .*/manifests/", lambda _exchange: both.wait(30) < 0, times=2)
    images = []

    def act():
        store = ScratchStore(str(tmp_path / "root"))
        images.append(user.pull(store).image)
        store.close()

    ScratchStore(str(tmp_path / "root")).close()
    threads = [threading.Thread(target=act) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert images == [IMAGE.id] * 2
    assert registry.count(f"{BLOB}{digest(FIRST)}") == 1
    assert registry.count(f"{BLOB}{digest(SECOND)}") == 1


# --- a registry that lies -----------------------------------------------------------------------


def test_other_bytes_than_were_named_are_refused(registry, user, store):
    offered(registry)
    registry.blobs[digest(SECOND)] = SECOND[:-1] + b"?"
    with pytest.raises(DigestMismatch, match=digest(SECOND)):
        user.pull(store)
    nothing_is_left(store)


@pytest.mark.parametrize("change", [lambda data: data[:-7], lambda data: data + b"more"])
def test_another_size_than_was_named_is_refused(registry, user, store, change):
    offered(registry)
    registry.blobs[digest(SECOND)] = change(SECOND)
    with pytest.raises((DigestMismatch, RegistryUnreachable)):
        raise_unless_right(user.pull(store), store)
    nothing_is_left(store)


def raise_unless_right(pulled, store):
    """What is longer than it was said to be is cut there, and then it is right."""
    assert pulled.image == IMAGE.id
    store.images.remove(str(pulled.image))
    raise DigestMismatch("the rest was never read")


def test_a_config_that_is_another_is_refused(registry, user, store):
    offered(registry)
    registry.blobs[digest(IMAGE.config)] = IMAGE.config.replace(b"amd64", b"arm64")
    with pytest.raises(DigestMismatch):
        user.pull(store)
    nothing_is_left(store)


def test_a_pinned_digest_is_never_another_image(registry, user, store):
    raw = offered(registry)
    registry.manifests["demo", digest(raw)] = (raw + b" ", mediatypes.OCI_MANIFEST)
    with pytest.raises(DigestMismatch, match=digest(raw)):
        user.pull(store, f"demo@{digest(raw)}")


def test_a_manifest_of_an_index_is_what_the_index_says(registry, user, store):
    raw = offered(registry, tag="amd64")
    platform = {"os": "linux", "architecture": "amd64"}
    there = descriptor(mediatypes.OCI_MANIFEST, raw, platform=platform)
    registry.add_manifest("demo", "1", index({**there, "size": 5}), mediatypes.OCI_INDEX)
    with pytest.raises(DigestMismatch, match="5"):
        user.pull(store)


def test_what_is_called_a_manifest_and_is_an_index_is_refused(registry, user, store):
    """CVE-2021-41190."""
    raw = json.loads(offered(registry))
    both = json.dumps({**raw, "manifests": []}).encode()
    registry.add_manifest("demo", "1", both, mediatypes.OCI_MANIFEST)
    with pytest.raises(BadDocument, match="two documents in one"):
        user.pull(store)
    registry.add_manifest("demo", "1", json.dumps(raw).encode(), mediatypes.OCI_INDEX)
    with pytest.raises(BadDocument, match="and was called"):
        user.pull(store)


def test_indexes_of_indexes_end(registry, user, store):
    there = offered(registry, tag="x")
    kind = mediatypes.OCI_MANIFEST
    for _ in range(6):
        platform = {"os": "linux", "architecture": "amd64"}
        there = index(descriptor(kind, there, platform=platform))
        kind = mediatypes.OCI_INDEX
        registry.add_manifest("demo", "1", there, kind)
    with pytest.raises(BadDocument, match="too deep"):
        user.pull(store)


def test_a_manifest_without_end_is_not_read(registry, user, store):
    registry.add_manifest("demo", "1", b" " * (9 << 20), mediatypes.OCI_MANIFEST)
    with pytest.raises(RegistryError, match="over"):
        user.pull(store)


def test_ten_thousand_layers_are_refused(registry, user, store):
    raw = json.loads(offered(registry))
    raw["layers"] = raw["layers"] * 5000
    registry.add_manifest("demo", "1", json.dumps(raw).encode(), mediatypes.OCI_MANIFEST)
    with pytest.raises(BadDocument, match="10000 layers"):
        user.pull(store)


def test_what_is_no_image_is_named(registry, user, store):
    raw = offered(registry, config_type="application/vnd.cncf.helm.config.v1+json")
    registry.add_manifest("demo", "1", raw, mediatypes.OCI_MANIFEST)
    with pytest.raises(BadDocument, match="helm"):
        user.pull(store)


# --- who one is ---------------------------------------------------------------------------------

ME = Credential("me", "word")
PROOF = "Basic " + base64.b64encode(b"me:word").decode()


def basic(exchange):
    """Let nobody in but me."""
    if exchange.headers.get("Authorization") == PROOF:
        return False
    exchange.body()
    exchange.answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="here"'})
    return True


def bearer(exchange):
    """Let in who has a token, which I get."""
    if exchange.path.startswith("/token"):
        given = exchange.headers.get("Authorization") == PROOF
        exchange.answer(200 if given else 401, b'{"token":"t"}' if given else b"{}")
        return True
    if exchange.headers.get("Authorization") == "Bearer t":
        return False
    exchange.body()
    realm = f"http://{exchange.registry.host}/token"
    exchange.answer(401, b"{}", {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})
    return True


@pytest.mark.parametrize("way", [basic, bearer])
def test_a_user_is_let_in_and_a_stranger_is_not(registry, store, way):
    offered(registry)
    registry.wrong("", way)
    assert User(registry, ME).pull(store).image == IMAGE.id
    for other in (ANONYMOUS, Credential("me", "wrong")):
        registry.asked.clear()
        with pytest.raises(AccessRefused, match="lamina login"):
            User(registry, other).pull(store)
        assert len(registry.asked) < 10


def test_a_token_is_for_what_is_done(registry, store):
    registry.wrong("", bearer)
    user = User(registry, ME)
    offered(registry)
    pulled = user.pull(store)
    user.push(store, pulled.image)
    scopes = {each.path.partition("scope=")[2] for each in registry.asked if "/token" in each.path}
    assert scopes == {"repository%3Ademo%3Apull", "repository%3Ademo%3Apull%2Cpush"}


def test_no_credential_goes_to_where_a_redirect_leads(registry, store):
    """CVE-2022-23538, CVE-2026-41506."""
    offered(registry)
    registry.wrong("", basic)
    with fake_registry() as elsewhere:
        elsewhere.blobs = registry.blobs

        def away(exchange):
            target = f"http://{elsewhere.host}{exchange.path}"
            return exchange.answer(307, b"", {"Location": target}) is None

        registry.wrong(BLOB, away)
        assert User(registry, ME).pull(store).image == IMAGE.id
        assert len(elsewhere.asked) == 3
        assert not any("authorization" in each.headers for each in elsewhere.asked)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://a@b/", "//", "gopher://x/"])
def test_a_redirect_to_nowhere_is_an_error(registry, user, store, target):
    registry.wrong(
        "manifests", lambda exchange: exchange.answer(302, b"", {"Location": target}) is None
    )
    with pytest.raises(RegistryError):
        user.pull(store)


def test_redirects_in_circles_end(registry, user, store):
    registry.wrong("manifests", lambda each: each.answer(302, b"", {"Location": each.path}) is None)
    with pytest.raises(RegistryError, match="circles"):
        user.pull(store)


def test_no_upload_goes_to_another_host(registry, user, store):
    """CVE-2026-49349."""
    image = store.make("f a one")
    away = {"Location": "http://127.0.0.1:1/v2/demo/blobs/uploads/1"}
    registry.wrong("POST", lambda exchange: exchange.answer(202, b"", away) is None)
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:1"):
        user.push(store, image)


# --- pushing ------------------------------------------------------------------------------------


def test_what_was_pulled_is_pushed_with_its_digest(registry, user, store):
    raw = offered(registry)
    pulled = user.pull(store)
    with fake_registry() as other:
        pushed = User(other).push(store, pulled.image)
        assert pushed == (digest(raw), len(raw))
        assert other.manifests["demo", "1"] == (raw, mediatypes.OCI_MANIFEST)
        assert other.blobs == registry.blobs


def test_ctrl_c_ends_the_sending(registry, user, store):
    """What is being sent is not sent to its end first."""
    image = sample(tar_with(os.urandom(16 << 20)))
    offered(registry, image)
    here = user.pull(store).image
    registry.blobs = {str(here): registry.blobs[str(here)]}  # the config alone is there
    main = threading.main_thread().ident
    sent = []

    def interrupted(event):
        if "pushing" not in str(event):
            return
        if not sent:
            signal.pthread_kill(main, signal.SIGINT)
            while not is_inside(sys._current_frames()[main], "shutdown"):
                os.sched_yield()
        sent.append(event.current)

    with pytest.raises(KeyboardInterrupt):
        user.push(store, here, events=interrupted)
    assert max(sent) < 16 << 20
    assert list(registry.blobs) == [here]


@pytest.mark.parametrize("what", ["push", "pull"])
def test_ctrl_c_waits_for_no_answer(registry, user, store, what):
    """The registry has taken the request, and says nothing until we are gone."""
    offered(registry)
    here = user.pull(store).image if what == "push" else None
    main, gone, were_gone = threading.main_thread().ident, threading.Event(), []

    def silent(_exchange):
        signal.pthread_kill(main, signal.SIGINT)
        were_gone.append(gone.wait(15))
        return True

    if here is not None:
        registry.blobs.clear()
        registry.wrong("PUT .*/uploads", silent, times=1)
    else:
        registry.wrong(f"{BLOB}{digest(SECOND)}", silent, times=1)
    with pytest.raises(KeyboardInterrupt):
        user.push(store, here) if here is not None else user.pull(store)
    gone.set()
    while not were_gone:
        os.sched_yield()
    assert were_gone == [True]


def is_inside(frame, function):
    while frame is not None and frame.f_code.co_name != function:
        frame = frame.f_back
    return frame is not None


def test_nothing_is_sent_twice(registry, user, store):
    image = store.make("f a one", "f b two")
    first = user.push(store, image)
    assert registry.count("PUT .*/blobs/") == 3
    assert user.push(store, image, "demo:2") == first
    assert registry.count("PUT .*/blobs/") == 3
    user.push(store, store.make("f a one", "f c three"), "demo:3")
    assert registry.count("PUT .*/blobs/") == 5


def test_another_repository_of_the_registry_lends_its_layers(registry, user, store):
    image = store.make("f a one")
    store.images.tag(image, user.name("one:1"))
    user.push(store, image, "one:1")
    registry.wrong("HEAD", lambda exchange: exchange.answer(404) is None)
    user.push(store, image, "two:1")
    assert registry.count("POST /v2/two/blobs/uploads/.mount=.*from=one") == 1
    assert registry.count("PUT /v2/two/blobs") == 1  # the config


def test_equal_images_of_two_stores_have_one_digest(registry, user, store, tmp_path):
    other = ScratchStore(str(tmp_path / "other"))
    layers = (BIG, "f b two")
    assert user.push(store, store.make(*layers)) == user.push(other, other.make(*layers), "demo:2")
    other.close()


def test_what_was_pushed_comes_back(registry, user, store, tmp_path):
    image = store.make(BIG, "d e\nw big")
    user.push(store, image)
    other = ScratchStore(str(tmp_path / "other"))
    assert user.pull(other).image == image
    other.close()


@pytest.mark.parametrize(
    ("packing", "start", "kind"),
    [
        (Packing("zstd"), b"\x28\xb5\x2f\xfd", mediatypes.OCI_LAYER_ZSTD),
        (Packing("zstd", 12), b"\x28\xb5\x2f\xfd", mediatypes.OCI_LAYER_ZSTD),
        (Packing("gzip", 1), b"\x1f\x8b", mediatypes.OCI_LAYER_GZIP),
        (Packing("gzip"), b"\x1f\x8b", mediatypes.OCI_LAYER_GZIP),
    ],
)
def test_layers_go_compressed_as_it_is_wanted(
    registry, user, store, tmp_path, packing, start, kind
):
    image = store.make(BIG, "f b two")
    pushed = user.push(store, image, packing=packing)
    raw, media_type = registry.manifests["demo", "1"]
    document = json.loads(raw)
    assert media_type == document["mediaType"] == mediatypes.OCI_MANIFEST
    assert document["config"]["mediaType"] == mediatypes.OCI_CONFIG
    assert [each["mediaType"] for each in document["layers"]] == [kind] * 2
    assert all(registry.blobs[each["digest"]].startswith(start) for each in document["layers"])
    other = ScratchStore(str(tmp_path / "other"))
    assert user.pull(other).image == image
    assert user.push(other, image, packing=packing) == pushed  # the same bytes from another store
    other.close()


def test_a_level_is_a_level(registry, user, store):
    image = store.make(BIG)
    sizes = []
    for packing in (
        Packing("gzip", 1),
        Packing("gzip", 9),
        Packing("zstd", 1),
        Packing("zstd", 19),
    ):
        user.push(store, image, packing=packing)
        document = json.loads(registry.manifests["demo", "1"][0])
        sizes.append(document["layers"][0]["size"])
    assert sizes[0] > sizes[1]
    assert sizes[2] > sizes[3]


def test_another_compression_is_for_one_push(registry, user, store):
    raw = offered(registry)
    image = user.pull(store).image
    before = store.files()
    user.push(store, image, "demo:2", packing=Packing("zstd"))
    assert registry.manifests["demo", "2"][0] != raw
    assert user.push(store, image, "demo:3").digest == digest(raw)
    store.reopen()
    assert store.files() == before


@pytest.mark.parametrize(
    ("kind", "level", "reason"),
    [
        ("xz", None, "layers are not compressed as 'xz'"),
        ("gzip", 10, "gzip has no level 10; it has 1 to 9"),
        ("zstd", 20, "zstd has no level 20; it has 1 to 19"),
        ("zstd", 0, "zstd has no level 0"),
    ],
)
def test_a_compression_that_is_none(kind, level, reason):
    with pytest.raises(UsageError, match=reason):
        Packing.checked(kind, level)


def test_a_push_that_fails_leaves_nothing(registry, user, store):
    image = store.make("f a one")
    before = store.files()
    registry.wrong("PUT .*/blobs/", lambda exchange: exchange.answer(403) is None)
    with pytest.raises(AccessRefused):
        user.push(store, image)
    store.reopen()
    assert store.files() == before


def test_after_a_pull_nothing_is_noted_as_half_fetched(registry, user, store):
    offered(registry)
    user.pull(store)
    with store.root.database.read() as db:
        assert refs.owners(db, refs.INGEST) == []


# --- a manifest that says of a blob what is not so --------------------------------------------


def lying(registry, store):
    """A manifest that names other bytes for a layer that is here; gives those bytes."""
    store.make("d d\nf d/a one")
    evil = packed(sample("f evil here").layers[0])
    image = sample("d d\nf d/a one")
    raw = json.loads(oci_manifest(image))
    raw["layers"] = [descriptor(mediatypes.OCI_LAYER_GZIP, evil)]
    for data in (image.config, evil):
        registry.add_blob(data)
    registry.add_manifest("demo", "1", json.dumps(raw).encode(), mediatypes.OCI_MANIFEST)
    return evil


def test_what_a_manifest_says_of_a_layer_that_is_here_is_not_believed(registry, user, store):
    evil = lying(registry, store)
    pulled = user.pull(store)
    with fake_registry() as other:
        User(other).push(store, pulled.image)
        assert digest(evil) not in other.blobs
        plain = {
            digest(gzip.decompress(data)) for data in other.blobs.values() if data[:1] == b"\x1f"
        }
        assert plain == {digest(IMAGE.layers[0])}


def test_the_same_from_a_layout_is_an_error(store, tmp_path):
    store.make("d d\nf d/a one")
    image = sample("d d\nf d/a one", names=["x:1"])
    files = layout(image)
    evil = packed(sample("f evil here").layers[0])
    raw = json.loads(oci_manifest(image))
    raw["layers"] = [descriptor(mediatypes.OCI_LAYER_GZIP, evil)]
    document = json.dumps(raw).encode()
    files[f"blobs/sha256/{digest(evil)[7:]}"] = evil
    files[f"blobs/sha256/{digest(document)[7:]}"] = document
    files["index.json"] = index(descriptor(mediatypes.OCI_MANIFEST, document))
    with pytest.raises(DigestMismatch, match="as was promised"):
        load(as_directory(files, str(tmp_path / "l")), store.images, store.layers, platform=HERE)


@pytest.mark.parametrize(
    "location", ["https://{host}/x", "http://{host}0/x", "//evil/x", "ftp://a"]
)
def test_an_upload_leads_nowhere_else(registry, user, store, location):
    image = store.make("f a one")
    away = {"Location": location.format(host=registry.host)}
    registry.wrong("POST", lambda exchange: exchange.answer(202, b"", away) is None)
    with pytest.raises(RegistryError):
        user.push(store, image)
    assert registry.count("PUT") == 0


def test_a_thread_that_cannot_begin_says_so(registry, user, store):
    offered(registry)
    with open(f"{store.path}/locks/ingests", "w"):
        pass  # where a folder of locks should be
    with pytest.raises(StorageError, match="ingests"):
        user.pull(store)


@pytest.mark.parametrize(
    ("pattern", "host", "covers"),
    [
        ("10.0.0.0/8", "10.1.2.3:5000", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("reg.lan:5000", "reg.lan:5000", True),
        ("reg.lan:5000", "reg.lan:5001", False),
        (".lan", "reg.lan", True),
        ("lan", "reg.lan:5", True),
        ("an", "reg.lan", False),
        ("*", "x", True),
    ],
)
def test_no_proxy(pattern, host, covers):
    assert _covers(pattern, host) is covers


@pytest.mark.parametrize(
    ("named", "host", "insecure"),
    [
        ("10.0.0.0/8", "10.1.2.3:5000", True),
        ("10.0.0.0/8", "11.1.2.3:5000", False),
        ("fd00::/8", "[fd00::1]:5000", True),
        ("127.0.0.0/8", "localhost:5000", True),
        ("10.0.0.0/8", "no.such.host.invalid", False),
        ("reg.lan:5000", "reg.lan:5000", True),
        ("reg.lan", "reg.lan:5000", False),
    ],
)
def test_a_network_may_be_insecure(named, host, insecure):
    assert is_insecure(Settings(insecure=frozenset([named])), host) is insecure
    with pytest.raises(ConfigurationError, match="'http://x' in insecure-registries"):
        is_insecure(Settings(insecure=frozenset(["http://x"])), host)


def test_a_tag_that_is_none_is_left_out(registry, user):
    tags = json.dumps({"tags": ["good", "\x1b]0;x\x07", "a b", "x" * 200]}).encode()
    registry.wrong("tags/list", lambda exchange: exchange.answer(200, tags) is None)
    assert user.repository().tags() == ["good"]


def test_a_listing_without_end_ends(registry, user):
    same = {"Link": '</v2/demo/tags/list>; rel="next"'}
    tags = json.dumps({"tags": ["a"] * 5000}).encode()
    registry.wrong("tags/list", lambda exchange: exchange.answer(200, tags, same) is None)
    with pytest.raises(RegistryError, match="a list without end"):
        user.repository().tags()
