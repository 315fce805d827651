"""Against Debian's docker-registry: with and without TLS and passwords, beside the field's tools."""

import contextlib
import io
import itertools
import json
import os
import random
import re
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator

import pytest

from lamina.registry.hosts import Settings
from lamina.registry.repository import Repository
from lamina.registry.session import Session
from lamina.registry.transport import Transport
from lamina.spec import mediatypes
from lamina.testing.sample_images import descriptor, index, oci_manifest, packed, sample
from lamina.values.digest import BlobDigest
from tests.cli.rig import Lamina
from tests.integration.conftest import Docker
from tests.integration.cutting import Cutting, Passed, cutting

_PATIENCE = 20.0  # seconds; a bound, never a wait
# me:word, by bcrypt, the only way that the registry takes
_USERS = "me:$2b$04$ORGkdSZ.MB8tANcuTvWkC.FDP.RFUuDXatwAYD0xHCaQZXO8ezLX6\n"

Serve = Callable[..., str]


@pytest.fixture(scope="module")
def serve(
    tmp_path_factory: pytest.TempPathFactory, needs_program: Callable[[str], str]
) -> Iterator[Serve]:
    """A function that starts a registry; gives its host. Ended with the module's tests."""
    program = needs_program("docker-registry")
    with contextlib.ExitStack() as running:

        def start(
            *,
            users: bool = False,
            certificate: tuple[str, str] | None = None,
            deletes: bool = False,
        ) -> str:
            folder = str(tmp_path_factory.mktemp("registry"))
            _configure(folder, users, certificate, deletes)
            with open(f"{folder}/log", "wb") as log:
                command = [program, "serve", f"{folder}/config.yml"]
                process = subprocess.Popen(command, stdout=log, stderr=log)
            running.callback(_end, process)
            return _listening(process, f"{folder}/log")

        yield start


def _configure(
    folder: str, users: bool, certificate: tuple[str, str] | None, deletes: bool
) -> None:
    http: dict[str, object] = {"addr": "127.0.0.1:0"}
    if certificate is not None:
        http["tls"] = {"certificate": certificate[0], "key": certificate[1]}
    document: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": f"{folder}/data"},
            "delete": {"enabled": deletes},
        },
        "http": http,
    }
    if users:
        with open(f"{folder}/users", "w") as file:
            file.write(_USERS)
        document["auth"] = {"htpasswd": {"realm": "here", "path": f"{folder}/users"}}
    with open(f"{folder}/config.yml", "w") as file:
        json.dump(document, file)  # JSON is YAML


def _listening(process: "subprocess.Popen[bytes]", log: str) -> str:
    """The address that the kernel has given it, as it says in its log.

    A free port that is looked for beforehand may be another's when it is bound, and who asks a
    port of loopback again and again is at last connected with himself.
    """
    limit = time.monotonic() + _PATIENCE
    while True:
        has_ended = process.poll() is not None
        with open(log, errors="replace") as file:
            said = file.read()
        if found := re.search(r"listening on (127\.0\.0\.1:\d+)", said):
            return found[1]
        if has_ended or time.monotonic() > limit:
            raise AssertionError(f"docker-registry does not start: {said[-500:]}")
        time.sleep(0.01)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(_PATIENCE)


@pytest.fixture(scope="module")
def host(serve: Serve) -> str:
    return serve()


@pytest.fixture
def lamina(tmp_path: os.PathLike[str], two_layers: str) -> Lamina:
    """A store with a two-layer image, `base`; its user has a home of its own."""
    return beginning_as(two_layers, tmp_path)


def beginning_as(template: str, folder: os.PathLike[str]) -> Lamina:
    """A copy of a store whose user has a home of its own."""
    made = Lamina(str(folder))
    made.env["HOME"] = str(folder)
    made.env.pop("DOCKER_CONFIG", None)
    made.begin_as(template)
    return made


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory, lamina: Lamina) -> Lamina:
    """An empty store of the same user."""
    made = Lamina(str(tmp_path_factory.mktemp("other")))
    made.env["HOME"] = lamina.env["HOME"]
    return made


def image_id(store: Lamina, name: str) -> str:
    return store.ok("inspect", "--format", "{{.Id}}", name).strip()


def pushed(store: Lamina, host: str, name: str) -> str:
    """Push `base` under a name; gives the manifest's digest."""
    store.ok("tag", "base", f"{host}/{name}")
    said = store.ok("push", f"{host}/{name}").splitlines()[-1]
    return said.split()[2]


def test_an_image_goes_and_comes_back_the_same(host: str, lamina: Lamina, other: Lamina) -> None:
    digest = pushed(lamina, host, "there/and/back:1")
    said = other.ok("pull", f"{host}/there/and/back:1")
    assert f"Digest: {digest}\n" in said
    assert f"Status: Downloaded newer image for {host}/there/and/back:1\n" in said
    assert image_id(other, f"{host}/there/and/back:1") == image_id(lamina, "base")
    assert other.ok("run", "--rm", f"{host}/there/and/back:1", "cat", "/etc/motd") == "hi\n"
    assert "up to date" in other.ok("pull", f"{host}/there/and/back:1")
    assert other.ok("check", "--full") == "clean\n"
    assert digest in other.ok("push", f"{host}/there/and/back:1")
    by_digest = f"{host}/there/and/back@{digest}"
    other.ok("pull", "-q", by_digest)
    assert other.ok("run", "--rm", by_digest, "cat", "/etc/motd") == "hi\n"


def test_run_and_create_pull_what_is_missing(host: str, lamina: Lamina, other: Lamina) -> None:
    name = f"{host}/wanted:1"
    pushed(lamina, host, "wanted:1")
    said = other("run", "--rm", name, "cat", "/etc/motd")
    assert (said.code, said.out) == (0, "hi\n")
    assert f"Unable to find image '{name}' locally\n" in said.err
    assert other("run", "--rm", name, "true").err == ""
    other.ok("rmi", name)
    assert other("create", "-q", name, "true").err == ""
    missing = other("run", f"{host}/wanted:2", "true")
    assert missing.code == 125
    assert missing.err.splitlines()[-1] == (
        f"lamina: no such image: {host}/wanted:2, and it cannot be pulled:"
        f" {host}/wanted has no image :2"
    )


def test_pull_says_when(host: str, lamina: Lamina, other: Lamina) -> None:
    name = f"{host}/when:1"
    never = other("run", "--pull", "never", name, "true")
    assert never.err.startswith(f"lamina: no such image: {name}; ")
    pushed(lamina, host, "when:1")
    other.ok("pull", "-q", name)
    lamina.write("Dockerfile", "FROM base\nRUN echo new > /etc/motd\n")
    lamina.ok("build", "-q", "-t", "base", lamina.folder)
    pushed(lamina, host, "when:1")
    cat = ("run", "--rm", "-q")
    assert other.ok(*cat, name, "cat", "/etc/motd") == "hi\n"
    assert other.ok(*cat, "--pull=always", name, "cat", "/etc/motd") == "new\n"
    other.ok("tag", name, "127.0.0.1:1/when:1")
    gone = "127.0.0.1:1/when:1"
    assert "Connection refused" in other(*cat, "--pull=always", gone, "true").err
    newer = other("run", "--rm", "--pull=newer", gone, "cat", "/etc/motd")
    assert newer.out == "new\n"
    assert newer.err.startswith(f"warning: the image {gone} is used as it is here: ")
    assert "is no way to pull" in other("run", "--pull=x", name, "true").err


def test_a_build_pulls_its_bases_once(host: str, lamina: Lamina, other: Lamina) -> None:
    pushed(lamina, host, "bases:1")
    text = f"FROM {host}/bases:1\nCOPY --from={host}/bases:1 /etc/motd /copy\nRUN cat /copy\n"
    other.write("Dockerfile", text)
    said = other("build", "-t", "built", other.folder)
    assert said.code == 0, said
    assert said.err.count("Unable to find image") == 1
    lamina.write("Dockerfile", "FROM base\nRUN echo new > /etc/motd\n")
    lamina.ok("build", "-q", "-t", "base", lamina.folder)
    pushed(lamina, host, "bases:1")
    for flag, is_pulled in ((), False), (("--pull",), True):
        other.ok("build", "-q", "-t", "built", *flag, other.folder)
        built = other.ok("run", "--rm", "built", "cat", "/copy")
        assert built == ("new\n" if is_pulled else "hi\n")
    other.write("Dockerfile", f"FROM {host}/bases:2\n")
    said = other("build", other.folder)
    assert said.code == 1
    assert said.err.splitlines()[-1].startswith(
        f"lamina: Dockerfile:1: no such image: {host}/bases:2, and it cannot be pulled: "
    )


def test_skopeo_reads_what_was_pushed_and_the_reverse(
    host: str, lamina: Lamina, needs_program: Callable[[str], str], tmp_path: os.PathLike[str]
) -> None:
    skopeo = needs_program("skopeo")
    digest = pushed(lamina, host, "skopeo:1")
    copy = [skopeo, "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"]
    there, here = f"docker://{host}/skopeo", f"oci:{tmp_path}/layout:x"
    subprocess.run([*copy, f"{there}:1", here], check=True)
    lamina.ok("load", "-q", "-i", f"{tmp_path}/layout")
    subprocess.run([*copy, here, f"{there}:2"], check=True)
    lamina.ok("rmi", f"{host}/skopeo:1")
    assert f"Digest: {digest}\n" in lamina.ok("pull", f"{host}/skopeo:2")
    assert image_id(lamina, f"{host}/skopeo:2") == image_id(lamina, "base")
    subprocess.run([*copy, "--format", "v2s2", here, f"{there}:3"], check=True)
    lamina.ok("pull", "-q", f"{host}/skopeo:3")
    assert lamina.ok("run", "--rm", f"{host}/skopeo:3", "cat", "/etc/motd") == "hi\n"


def test_docker_runs_what_was_pushed_and_the_reverse(
    host: str, lamina: Lamina, docker: Docker
) -> None:
    pushed(lamina, host, "docker:1")
    docker("pull", "-q", f"{host}/docker:1")
    assert docker("inspect", "-f", "{{.Id}}", f"{host}/docker:1").strip() == image_id(
        lamina, "base"
    )
    docker("tag", f"{host}/docker:1", f"{host}/docker:2")
    docker("push", "-q", f"{host}/docker:2")
    lamina.ok("rmi", f"{host}/docker:1")
    lamina.ok("pull", "-q", f"{host}/docker:2")
    assert image_id(lamina, f"{host}/docker:2") == image_id(lamina, "base")


def test_skopeo_reads_what_was_pushed_as_zstd(
    host: str, lamina: Lamina, needs_program: Callable[[str], str], tmp_path: os.PathLike[str]
) -> None:
    name, image = f"{host}/zstd:1", image_id(lamina, "base")
    lamina.ok("tag", "base", name)
    lamina.ok("push", "--compression", "zstd", "--compression-level=9", name)
    copy = [needs_program("skopeo"), "copy", "-q", "--src-tls-verify=false"]
    subprocess.run([*copy, f"docker://{name}", f"oci:{tmp_path}/copy"], check=True)
    with open(f"{tmp_path}/copy/index.json") as file:
        digest = json.load(file)["manifests"][0]["digest"]
    with open(f"{tmp_path}/copy/blobs/{digest.replace(':', '/')}") as file:
        kinds = {each["mediaType"] for each in json.load(file)["layers"]}
    assert kinds == {"application/vnd.oci.image.layer.v1.tar+zstd"}
    lamina.ok("rmi", "base")
    lamina.ok("rmi", name)
    lamina.ok("load", "-q", "-i", f"{tmp_path}/copy")
    assert lamina.ok("run", "--rm", image, "cat", "/etc/motd") == "hi\n"
    assert "is no level" in lamina("push", "--compression-level=x", name).err


@pytest.mark.parametrize(
    ("wanted", "there", "taken"),
    [
        ("amd64", "arm64 386", "386"),
        ("amd64", "386 amd64", "amd64"),
        ("amd64", "arm64 s390x", ""),
        ("amd64", "s390x amd64/v3", "amd64/v3"),
        ("arm64", "arm/v5 arm/v7 s390x", "arm/v7"),
        ("arm64", "arm/v7 arm64/v8", "arm64/v8"),
        ("arm64", "amd64 386", ""),
        ("arm/v6", "arm/v7 arm/v5 arm/v6", "arm/v6"),
    ],
)
def test_docker_takes_the_same_of_an_index(
    host: str, lamina: Lamina, docker: Docker, wanted: str, there: str, taken: str
) -> None:
    """Where docker takes one; before 23 it knows no 386 on amd64, no arm on arm64."""
    path = f"index/{wanted.replace('/', '-')}"
    images = _put_index(host, f"{path}/{there.replace(' ', '-')}", there.split())
    name = f"{host}/{path}/{there.replace(' ', '-')}:1"
    theirs = docker("pull", "-q", "--platform", f"linux/{wanted}", name, check=False)
    ours = lamina("pull", "-q", "--platform", f"linux/{wanted}", name)
    if not taken:
        assert f"has no image for linux/{wanted}" in ours.err
        assert not theirs
        return
    assert image_id(lamina, name) == images[taken]
    if theirs:
        assert docker("inspect", "--format", "{{.Id}}", name).strip() == images[taken]


def test_create_takes_the_platform_that_is_asked_for(
    host: str, other: Lamina, docker: Docker
) -> None:
    """What is here for another one is pulled anew; who does not ask is warned. As docker does."""
    images = _put_index(host, "platforms", ["amd64", "arm64"])
    name = f"{host}/platforms:1"

    def ours(*words: str) -> tuple[str, str]:
        said = other("create", "-q", *words, name, "x")
        return image_id(other, name) if said.code == 0 else "", said.err

    def theirs(*words: str) -> str:
        made = docker("create", *words, name, "x").strip()
        return docker("inspect", "--format", "{{.Image}}", made).strip()

    for words, taken in (
        ((), "amd64"),
        (("--platform", "linux/arm64"), "arm64"),
        (("--platform", "linux/amd64"), "amd64"),
        (("--platform", "arm64"), "arm64"),
    ):
        assert ours(*words) == (images[taken], "")
        assert theirs(*words) == images[taken]
    found, warned = ours()
    assert (found, theirs()) == (images["arm64"], images["arm64"])
    assert warned == (
        f"lamina: warning: the image {name} is for linux/arm64, this machine is linux/amd64,"
        " and no platform was asked for\n"
    )
    never = other("create", "--pull=never", "--platform=linux/s390x", name, "x")
    assert (never.code, never.err) == (1, f"lamina: no such image: {name} for linux/s390x\n")
    wrong = other("run", "--platform=linux/amd64/v9/x", name)
    assert (wrong.code, "is no platform" in wrong.err) == (125, True)


def test_an_image_without_an_index_is_not_taken_for_another_platform(
    host: str, lamina: Lamina, other: Lamina, docker: Docker
) -> None:
    name = f"{host}/single:1"
    pushed(lamina, host, "single:1")
    said = other("create", "-q", "--platform=linux/arm64", name, "x")
    assert (said.code, said.err) == (
        1,
        f"lamina: the image {name} is for linux/amd64, not for linux/arm64\n",
    )
    assert docker("create", "--platform=linux/arm64", name, "x", check=False) == ""


def _put_index(host: str, path: str, platforms: list[str]) -> dict[str, str]:
    """An index of these images under the tag 1; gives their IDs."""
    settings = Settings()
    place = Repository(Session(host, Transport(settings, "test"), settings), path)

    def put_blob(data: bytes) -> None:
        place.upload(BlobDigest.of(data), len(data), lambda: io.BytesIO(data))

    described, images = [], {}
    for text in platforms:
        architecture, _, variant = text.partition("/")
        platform = {"os": "linux", "architecture": architecture}
        platform |= {"variant": variant} if variant else {}
        image = sample(f"f which {text}", names=[], **platform)
        for data in (image.config, *map(packed, image.layers)):
            put_blob(data)
        images[text] = image.id
        raw = oci_manifest(image)
        place.put_manifest(raw, mediatypes.OCI_MANIFEST, BlobDigest.of(raw))
        described.append(descriptor(mediatypes.OCI_MANIFEST, raw, platform=platform))
    document = json.loads(index(*described)) | {"mediaType": mediatypes.OCI_INDEX}
    place.put_manifest(json.dumps(document).encode(), mediatypes.OCI_INDEX, "1")
    return images


def test_all_tags(host: str, lamina: Lamina, other: Lamina) -> None:
    for tag in ("one", "two"):
        lamina.ok("tag", "base", f"{host}/tags:{tag}")
    lamina.ok("push", "-a", f"{host}/tags")
    other.ok("pull", "-q", "-a", f"{host}/tags")
    listed = other.ok("images", "--format", "{{.Tag}}", f"{host}/tags")
    assert sorted(listed.split()) == ["one", "two"]


def test_a_registry_is_asked_for_what_it_has(
    host: str, serve: Serve, lamina: Lamina, needs_program: Callable[[str], str]
) -> None:
    digest = pushed(lamina, host, "verbs/demo:1")
    pushed(lamina, host, "verbs/demo:2")
    name = f"{host}/verbs/demo"
    tags = sorted(lamina.ok("registry", "tags", name).split())
    skopeo = [needs_program("skopeo"), "list-tags", "--tls-verify=false", f"docker://{name}"]
    theirs = subprocess.run(skopeo, check=True, capture_output=True)
    assert tags == sorted(json.loads(theirs.stdout)["Tags"]) == ["1", "2"]
    assert "verbs/demo" in lamina.ok("registry", "catalog", host).split()
    assert lamina.ok("registry", "referrers", f"{name}:1").split() == ["DIGEST", "TYPE"]
    for wanted in (f"{name}:1", f"{name}@{digest}"):
        said = lamina("registry", "delete", wanted)  # this registry deletes nothing
        assert said.code == 1
        assert "does not delete" in said.err
    willing = serve(deletes=True)
    pushed(lamina, willing, "demo:1")
    pushed(lamina, willing, "demo:2")
    said = lamina("registry", "delete", f"{willing}/demo:1")
    assert said.err.rstrip().endswith(
        f"{willing}/demo@{digest} names the manifest, which goes with all its tags"
    )
    assert lamina.ok("registry", "delete", f"{willing}/demo@{digest}").startswith("Deleted: ")
    assert lamina("pull", f"{willing}/demo:2").code == 1


def test_an_sbom_is_kept_beside_an_image(host: str, lamina: Lamina, other: Lamina) -> None:
    """docker-registry lists no referrers: the tag for them does."""
    name = f"{host}/with-sbom:1"
    pushed(lamina, host, "with-sbom:1")
    path = os.path.join(lamina.folder, "sbom.json")
    lamina.ok("sbom", "make", "-o", path, "base")
    first = lamina.ok("sbom", "attach", "-q", name, path).strip()
    assert lamina.ok("sbom", "attach", "-q", name, path).strip() == first
    with open(path) as file:
        made = file.read()
    assert other.ok("sbom", name) == made
    assert other.ok("sbom", "ls", name).split()[2:] == [first, "application/spdx+json"]
    assert first in other.ok("registry", "referrers", name)
    other.ok("pull", "-q", name)
    again = json.loads(other.ok("sbom", "make", name))
    assert again["documentNamespace"] == json.loads(made)["documentNamespace"]


def test_who_is_not_known_is_not_let_in(serve: Serve, lamina: Lamina, other: Lamina) -> None:
    host = serve(users=True)
    lamina.ok("tag", "base", f"{host}/mine:1")
    said = lamina("push", f"{host}/mine:1")
    assert said.code == 1
    assert f"log in with `lamina login {host}`" in said.err
    wrong = lamina("login", "-u", "me", "--password-stdin", host, stdin=b"wrong")
    assert wrong.code == 1
    assert not os.path.exists(f"{lamina.env['HOME']}/.docker/config.json")
    assert "Login Succeeded" in lamina.ok(
        "login", "-u", "me", "--password-stdin", host, stdin=b"word\n"
    )
    lamina.ok("push", f"{host}/mine:1")
    other.ok("pull", "-q", f"{host}/mine:1")
    assert "Removed" in lamina.ok("logout", host)
    assert lamina("pull", f"{host}/mine:1").code == 1


@pytest.fixture(scope="module")
def certificate(
    tmp_path_factory: pytest.TempPathFactory, needs_program: Callable[[str], str]
) -> tuple[str, str]:
    """A certificate for 127.0.0.1 that only itself vouches for, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test"
    words += f" -addext subjectAltName=IP:127.0.0.1 -keyout {folder}/key -out {folder}/crt"
    subprocess.run([needs_program("openssl"), *words.split()], check=True, capture_output=True)
    return f"{folder}/crt", f"{folder}/key"


def test_a_certificate_is_checked(
    serve: Serve, certificate: tuple[str, str], lamina: Lamina
) -> None:
    host = serve(certificate=certificate)
    lamina.ok("tag", "base", f"{host}/tls:1")
    said = lamina("push", f"{host}/tls:1")
    assert said.code == 1
    assert "certificate that is not trusted" in said.err
    assert "Traceback" not in said.err
    trusting = {"SSL_CERT_FILE": certificate[0]}
    assert lamina("push", f"{host}/tls:1", env=trusting).code == 0
    assert lamina("pull", f"{host}/tls:1", env=trusting).code == 0
    assert lamina("pull", "--tls-verify=false", f"{host}/tls:1").code == 0
    configured = lamina.write("daemon.json", json.dumps({"insecure-registries": [host]}))
    assert lamina("--config", configured, "pull", f"{host}/tls:1").code == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("pull", "127.0.0.1:1/x"), "127.0.0.1:1 cannot be reached: Connection refused"),
        (("pull", "{host}/nowhere"), "{host}/nowhere has no image :latest"),
        (("pull", "{host}/nowhere@sha256:" + "0" * 64), "has no image @sha256:"),
        (("pull", "UPPER"), "invalid reference"),
        (("pull", "--platform", "a/b/c/d", "{host}/x"), "is no platform"),
        (("push", "{host}/nowhere"), "no such image"),
        (("login", "{host}"), "standard input is no terminal"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    host: str, other: Lamina, words: tuple[str, ...], reason: str
) -> None:
    said = other(*(word.format(host=host) for word in words))
    assert said.code in (1, 125)
    assert reason.format(host=host) in said.err
    assert said.err.startswith("lamina: ")
    assert said.err.count("\n") == 1


def test_a_killed_pull_goes_on(host: str, lamina: Lamina, other: Lamina) -> None:
    """Killed when both blobs are here and the image is not: nothing is seen, nothing sent again."""
    pushed(lamina, host, "killed:1")
    killed = other("pull", f"{host}/killed:1", env={"LAMINA_TEST_CRASH": "image-blobs"})
    assert killed.code == -signal.SIGKILL
    assert other.ok("images", "-q") == ""
    files = [each for each in other.inventory() if "/blobs/sha256/" in each]
    assert len(files) == 2
    other.ok("pull", f"{host}/killed:1")
    assert other.ok("run", "--rm", f"{host}/killed:1", "cat", "/etc/motd") == "hi\n"
    assert other.ok("check", "--full") == "clean\n"


# --- uploads that break off: a registry behind a proxy ------------------------------------------

MIB = 1 << 20


@pytest.fixture
def proxy(host: str) -> Iterator[Cutting]:
    with cutting(host) as made:
        yield made


def sent_through(proxy: Cutting, lamina: Lamina, other: Lamina, path: str) -> list[Passed]:
    """Push an image of one layer of 5 MiB by a proxy, and have it come back; what was sent of it."""
    content = random.Random(path).randbytes(5 * MIB)
    name = f"{proxy.host}/{path}:1"
    lamina.ok("import", "-", name, stdin=tar_with(content))
    lamina.ok("push", name)
    other.ok("pull", name)
    assert image_id(other, name) == image_id(lamina, name)
    assert other.ok("check", "--full") == "clean\n"
    large = max(proxy.bodies(), key=lambda each: each.size).path.rpartition("/")[0]
    return [
        each
        for each in proxy.bodies()
        if each.path.startswith(large) and (each.begin or each.size > 4096)
    ]


def tar_with(content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("big")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def test_an_upload_that_breaks_off_goes_on_from_there(
    proxy: Cutting, lamina: Lamina, other: Lamina
) -> None:
    lamina.env["LAMINA_REGISTRY_CHUNK_SIZE"] = "1m"
    proxy.cut(f"PATCH {2 * MIB}-", times=2)
    sent = sent_through(proxy, lamina, other, "broken")
    assert [each.begin for each in sent] == [at * MIB for at in (0, 1, 2, 2, 2, 3, 4, 5)]
    assert [each.whole for each in sent] == [True, True, False, False, True, True, True, True]
    taken = [each for each in sent if each.whole]
    assert all(a.begin + a.size == b.begin for a, b in itertools.pairwise(taken))
    starts = [each for each in proxy.passed if each.method == "POST"]
    assert len(starts) == 2  # the layer's and the config's


def test_what_a_registry_has_lost_is_sent_from_the_start(
    proxy: Cutting, lamina: Lamina, other: Lamina
) -> None:
    """docker's registry knows nothing of an upload any more whose request broke off within."""
    proxy.cut("PUT 0-[0-9]{7}", leaks=True)
    sent = sent_through(proxy, lamina, other, "lost")
    assert [(each.method, each.begin, each.whole) for each in sent] == [
        ("PUT", 0, False),
        ("PUT", 0, True),
    ]


def test_what_a_proxy_refuses_for_its_size_goes_in_chunks(
    proxy: Cutting, lamina: Lamina, other: Lamina
) -> None:
    proxy.limit = MIB  # nginx's client_max_body_size
    sent = sent_through(proxy, lamina, other, "limited")
    assert [each.method for each in sent if each.size > MIB] == ["PUT", "PATCH"]
    taken = [each for each in sent if each.size <= MIB]
    assert all(a.begin + a.size == b.begin for a, b in itertools.pairwise(taken))


@pytest.mark.parametrize("said", ["1", "many", "-5m"])
def test_a_size_of_chunks_that_cannot_be_is_named(host: str, lamina: Lamina, said: str) -> None:
    refused = lamina("push", f"{host}/x", env={"LAMINA_REGISTRY_CHUNK_SIZE": said})
    assert "LAMINA_REGISTRY_CHUNK_SIZE is" in refused.err
    assert refused.err.count("\n") == 1


def test_a_build_cache_comes_from_a_registry(
    host: str, lamina: Lamina, other: Lamina, needs_program: Callable[[str], str]
) -> None:
    """What RUN gave on one machine is known on another one, and what it took is not done again."""
    needs_program("skopeo")
    lamina.ok("tag", "bare", f"{host}/bare")
    lamina.ok("push", f"{host}/bare")
    text = f"FROM {host}/bare AS made\nRUN date > /made\nFROM {host}/bare\n"
    text += "COPY --from=made /made /kept\nRUN date > /now\n"
    lamina.write("cached/Dockerfile", text)
    cache = f"type=registry,ref={host}/cached:cache"
    folder = f"{lamina.folder}/cached"
    made = lamina.ok("build", "-q", "--cache-to", f"{cache},mode=max", folder)
    said = other("build", "--explain", "--cache-from", cache, folder)
    assert said.code == 0, said
    assert said.err.count(f"says the cache {host}/cached:cache") == 3
    assert other.ok("images", "-q", "--no-trunc").splitlines()[0] == made.strip()
    named = f"{host}/inline:1"
    lamina.ok("build", "-q", "-t", named, "--cache-to", "type=inline", "--push", folder)
    words = ["skopeo", "inspect", "--tls-verify=false", "--config", f"docker://{named}"]
    config = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    assert len(config["rootfs"]["diff_ids"]) == 3  # others see an image as any
    fresh = Lamina(other.write("fresh/none", "").removesuffix("/none"))
    fresh.env["HOME"] = lamina.env["HOME"]
    said = fresh("build", "-t", "again", "--cache-from", named, "--cache-to", "inline", folder)
    assert said.err.count("CACHED") == 3, said
    assert image_id(fresh, "again") == image_id(lamina, named)
