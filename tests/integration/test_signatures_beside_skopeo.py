"""Signatures by GPG (`signedBy`, registries.d): skopeo and Lamina take and refuse the same."""

import json
import os
import shutil
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.engine.open import open_store
from lamina.errors import LaminaError, NotTrusted
from lamina.spec import mediatypes
from lamina.testing.fake_registry import FakeRegistry, fake_registry
from lamina.testing.sample_images import descriptor, digest, index, oci_manifest, packed, sample
from lamina.testing.trees import tar_of

IMAGE = sample("d d\nf d/a one")
RAW = oci_manifest(IMAGE)
DIGEST = digest(RAW)
TYPE = "atomic container signature"
LONG_AGO = ["--faked-system-time", "20200101T000000!"]


class Keys:
    """Keys of several people, in a home of gpg's that only signs."""

    def __init__(self, program: str, home: str) -> None:
        self._words = [program, "--homedir", home, "--batch", "--quiet", "--no-tty"]
        self._words += ["--pinentry-mode", "loopback", "--passphrase", ""]
        self.home = home
        self.me = self.new("me")
        self.other = self.new("other")
        self.expired = self.new("expired", "1d", *LONG_AGO)
        self.old = self.new("old", "never", *LONG_AGO)
        self.revoked = self.new("revoked")
        self.with_subkey = self.new("subkey")
        self.gpg("--quick-add-key", self.with_subkey, "ed25519", "sign", "never")

    def gpg(self, *words: str, given: bytes = b"") -> bytes:
        done = subprocess.run([*self._words, *words], input=given, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def new(self, name: str, expires: str = "never", *words: str) -> str:
        self.gpg(*words, "--quick-gen-key", name, "ed25519", "sign", expires)
        return self.listed(name, "fpr")[0]

    def listed(self, name: str, kind: str) -> list[str]:
        said = self.gpg("--with-colons", "--list-keys", name).decode().splitlines()
        return [line.split(":")[9] for line in said if line.startswith(f"{kind}:")]

    def public(self, name: str, *words: str) -> bytes:
        return self.gpg(*words, "--export", name)

    def sign(self, key: str, payload: bytes, *words: str, way: str = "--sign") -> bytes:
        return self.gpg(*words, "-u", key, "--output", "-", way, given=payload)


@pytest.fixture(scope="module")
def keys(needs_program: Callable[[str], str]) -> Iterator[Keys]:
    program = needs_program("gpg")
    home = tempfile.mkdtemp(prefix="gpg-")  # its agent's socket has a short path
    try:
        yield Keys(program, home)
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
        shutil.rmtree(home, ignore_errors=True)


def payload(name: str, of: str = DIGEST, **more: object) -> bytes:
    critical = {
        "identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": of},
        "type": TYPE,
    }
    return json.dumps({"critical": critical, "optional": {}, **more}).encode()


class Rig:
    """A registry, a policy and a place for signatures; both tools asked about one image."""

    def __init__(self, folder: Path, registry: FakeRegistry, keys: Keys, skopeo: str) -> None:
        self.registry = registry
        self.keys = keys
        self.name = f"{registry.host}/demo"
        self.folder = folder
        self._skopeo = skopeo
        self._config = folder / "home/.config/containers"
        (self._config / "registries.d").mkdir(parents=True)
        self.said(f"default-docker:\n  lookaside: file://{folder}/look aside\n")
        for data in (IMAGE.config, *map(packed, IMAGE.layers)):
            registry.add_blob(data)
        registry.add_manifest("demo", "1", RAW, mediatypes.OCI_MANIFEST)
        registry.add_manifest("demo", "2", RAW, mediatypes.OCI_MANIFEST)

    def said(self, text: str) -> None:
        (self._config / "registries.d/default.yaml").write_text(text)

    def wants(self, *requirements: dict[str, object]) -> None:
        document = {
            "default": [{"type": "signedBy", "keyType": "GPGKeys", **each} for each in requirements]
        }
        (self._config / "policy.json").write_text(json.dumps(document))

    def by(self, *fingerprints: str, **identity: str) -> dict[str, object]:
        key = b64encode(b"".join(map(self.keys.public, fingerprints))).decode()
        return {"keyData": key, **({"signedIdentity": identity} if identity else {})}

    def keep(self, *signatures: bytes, of: str = DIGEST) -> None:
        folder = self.folder / "look aside" / f"demo@{of.replace(':', '=')}"
        folder.mkdir(parents=True)
        for number, each in enumerate(signatures, 1):
            (folder / f"signature-{number}").write_bytes(each)

    def take(self, name: str, *words: str) -> bool:
        """Whether the image is taken: by both tools, or by neither."""
        copied = self._by_skopeo(name, *words)
        refusal = self._by_lamina(name, everything="--all" in words)
        assert (refusal is None) is (copied.returncode == 0), (refusal, copied.stderr)
        assert refusal is None or isinstance(refusal, NotTrusted), refusal
        return refusal is None

    def _by_skopeo(self, name: str, *words: str) -> "subprocess.CompletedProcess[str]":
        trust = ["--policy", str(self._config / "policy.json")]
        trust += ["--registries.d", str(self._config / "registries.d")]
        target = tempfile.mkdtemp(dir=self.folder)
        ways = ["--override-arch", "amd64", "copy", "--src-tls-verify=false", "--remove-signatures"]
        command = [self._skopeo, *trust, *ways, *words, f"docker://{name}", f"dir:{target}"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def _by_lamina(self, name: str, *, everything: bool) -> LaminaError | None:
        environ = {"HOME": str(self.folder / "home"), "CONTAINERS_REGISTRIES_CONF": os.devnull}
        roots = {"run_root": str(self.folder / "run"), "driver": "vfs"}
        with open_store(str(self.folder / "root"), environ=environ, **roots) as opened:
            target = f"dir:{tempfile.mkdtemp(dir=self.folder)}/x"
            source = f"docker://{name}"
            platform = None if everything else "linux/amd64"
            refusals = []
            for act in (
                lambda: opened.images.copy(
                    source, target, platform=platform, all_platforms=everything
                ),
                lambda: opened.images.pull(name, platform="linux/amd64"),
            ):
                try:
                    act()
                    refusals.append(None)
                except NotTrusted as error:
                    refusals.append(error)
            assert len({each is None for each in refusals}) == 1
        return refusals[0]


@pytest.fixture
def rig(
    tmp_path: Path, keys: Keys, needs_root: None, needs_program: Callable[[str], str]
) -> Iterator[Rig]:
    with fake_registry() as registry:
        yield Rig(tmp_path, registry, keys, needs_program("skopeo"))


def test_what_skopeo_signs_is_taken(rig: Rig) -> None:
    manifest = rig.folder / "manifest"
    manifest.write_bytes(RAW)
    made = rig.folder / "made"
    sign = ["skopeo", "standalone-sign", manifest, f"{rig.name}:1", rig.keys.me, "-o", made]
    subprocess.run(sign, check=True, env={**os.environ, "GNUPGHOME": rig.keys.home})
    rig.wants(rig.by(rig.keys.me))
    assert not rig.take(f"{rig.name}:1")
    rig.keep(made.read_bytes())
    assert rig.take(f"{rig.name}:1")
    assert rig.take(f"{rig.name}@{DIGEST}")
    assert not rig.take(f"{rig.name}:2")
    rig.wants(rig.by(rig.keys.other))
    assert not rig.take(f"{rig.name}:1")


@pytest.mark.parametrize(
    ("identity", "said", "taken"),
    [
        ({}, "{}:1", True),
        ({}, "{}:2", False),
        ({}, "{}", False),
        ({"type": "matchExact"}, "{}:1", True),
        ({"type": "matchExact"}, "{}", False),
        ({"type": "matchRepository"}, "{}:7", True),
        ({"type": "matchRepository"}, "{}", True),
        ({"type": "matchRepository"}, "{}x:1", False),
        ({"type": "exactReference", "dockerReference": "a.b/c:3"}, "a.b/c:3", True),
        ({"type": "exactReference", "dockerReference": "a.b/c:3"}, "a.b/c:4", False),
        ({"type": "exactReference", "dockerReference": "a.b/c:3"}, "{}:1", False),
        ({"type": "exactRepository", "dockerRepository": "a.b/c"}, "a.b/c:9", True),
        ({"type": "exactRepository", "dockerRepository": "a.b/c"}, "a.b/d:9", False),
        (
            {"type": "remapIdentity", "prefix": "HOST", "signedPrefix": "a.b/x"},
            "a.b/x/demo:1",
            True,
        ),
        ({"type": "remapIdentity", "prefix": "HOST", "signedPrefix": "a.b/x"}, "{}:1", False),
        ({"type": "remapIdentity", "prefix": "a.b/y", "signedPrefix": "a.b/x"}, "{}:1", True),
        ({"type": "matchRepository"}, "", False),
        ({"type": "matchRepository"}, "UPPER", False),
    ],
)
def test_the_name_that_was_signed(
    rig: Rig, identity: dict[str, str], said: str, taken: bool
) -> None:
    identity = {key: value.replace("HOST", rig.registry.host) for key, value in identity.items()}
    rig.wants(rig.by(rig.keys.me, **identity))
    rig.keep(rig.keys.sign(rig.keys.me, payload(said.format(rig.name))))
    assert rig.take(f"{rig.name}:1") is taken


@pytest.mark.parametrize(
    ("identity", "said", "taken"),
    [
        ({}, "{}:5", True),
        ({}, "{}", False),
        ({}, "{}@" + DIGEST, True),
        ({"type": "matchExact"}, "{}@" + DIGEST, True),
        ({"type": "matchExact"}, "{}:1", False),
    ],
)
def test_the_name_that_was_signed_of_a_digest(
    rig: Rig, identity: dict[str, str], said: str, taken: bool
) -> None:
    rig.wants(rig.by(rig.keys.me, **identity))
    rig.keep(rig.keys.sign(rig.keys.me, payload(said.format(rig.name))))
    assert rig.take(f"{rig.name}@{DIGEST}") is taken


def changed(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def critical(name: str, **more: object) -> bytes:
    document = json.loads(payload(name))
    document["critical"].update(more)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "make",
    [
        lambda keys, name: [keys.sign(keys.other, payload(name))],
        lambda keys, name: [changed(keys.sign(keys.me, payload(name)))],
        lambda keys, name: [keys.sign(keys.me, payload(name))[:-20]],
        lambda keys, name: [keys.sign(keys.me, payload(name, "sha256:" + "1" * 64))],
        lambda keys, name: [keys.sign(keys.me, payload(name), way="--detach-sign")],
        lambda keys, name: [payload(name)],
        lambda keys, name: [b""],
        lambda keys, name: [keys.sign(keys.me, b"{}") + keys.sign(keys.me, payload(name))],
        lambda keys, name: [keys.sign(keys.me, payload(name), "-u", keys.other)],
        lambda keys, name: [keys.sign(keys.me, b"nothing")],
        lambda keys, name: [keys.sign(keys.me, payload(name, more=1))],
        lambda keys, name: [keys.sign(keys.me, critical(name, more=1))],
        lambda keys, name: [keys.sign(keys.me, critical(name, type="another"))],
        lambda keys, name: [keys.sign(keys.me, critical(name, image={}))],
        lambda keys, name: [keys.sign(keys.me, payload(name, optional=None))],
        lambda keys, name: [
            keys.sign(keys.old, payload(name), "--default-sig-expire", "1d", *LONG_AGO)
        ],
        lambda keys, name: [keys.sign(keys.expired, payload(name), *LONG_AGO)],
    ],
    ids=[
        *("another key", "changed", "cut off", "another image", "detached", "not signed", "empty"),
        *("two", "two signers", "no statement", "a field more"),
        *("a critical field more", "another type", "no digest", "no optional"),
        *("expired", "by an expired key"),
    ],
)
def test_what_is_no_signature_of_the_image(
    rig: Rig, make: Callable[[Keys, str], list[bytes]]
) -> None:
    rig.wants(rig.by(rig.keys.me, rig.keys.old, rig.keys.expired))
    rig.keep(*make(rig.keys, f"{rig.name}:1"))
    assert not rig.take(f"{rig.name}:1")


def test_the_second_of_two_signatures_does(rig: Rig) -> None:
    rig.wants(rig.by(rig.keys.me))
    made = [rig.keys.sign(key, payload(f"{rig.name}:1")) for key in (rig.keys.other, rig.keys.me)]
    rig.keep(*made)
    assert rig.take(f"{rig.name}:1")
    rig.wants(rig.by(rig.keys.me), rig.by(rig.keys.other))
    assert rig.take(f"{rig.name}:1")
    rig.wants(rig.by(rig.keys.me), rig.by(rig.keys.old))
    assert not rig.take(f"{rig.name}:1")


@pytest.mark.parametrize("words", [[], ["--armor"]], ids=["binary", "as text"])
def test_the_keys_of_a_file(rig: Rig, words: list[str]) -> None:
    path = rig.folder / "keys"
    path.write_bytes(
        b"".join(rig.keys.public(key, *words) for key in (rig.keys.other, rig.keys.me))
    )
    rig.wants({"keyPath": str(path)})
    rig.keep(rig.keys.sign(rig.keys.me, payload(f"{rig.name}:1")))
    assert rig.take(f"{rig.name}:1")
    path.write_bytes(rig.keys.public(rig.keys.other, *words))
    assert not rig.take(f"{rig.name}:1")


def test_a_key_that_was_revoked(rig: Rig) -> None:
    signature = rig.keys.sign(rig.keys.revoked, payload(f"{rig.name}:1"))
    rig.keep(signature)
    rig.wants(rig.by(rig.keys.revoked))
    assert rig.take(f"{rig.name}:1")
    note = Path(rig.keys.home, f"openpgp-revocs.d/{rig.keys.revoked}.rev").read_text()
    rig.keys.gpg("--import", given=note.replace(":-----BEGIN", "-----BEGIN").encode())
    rig.wants(rig.by(rig.keys.revoked))
    assert not rig.take(f"{rig.name}:1")


def test_of_an_index_each_image_is_signed(rig: Rig) -> None:
    here = {"os": "linux", "architecture": "amd64"}
    raw = index(descriptor(mediatypes.OCI_MANIFEST, RAW, platform=here))
    rig.registry.add_manifest("demo", "all", raw, mediatypes.OCI_INDEX)
    rig.wants(rig.by(rig.keys.me))
    name = f"{rig.name}:all"
    rig.keep(rig.keys.sign(rig.keys.me, payload(name, digest(raw))), of=digest(raw))
    assert not rig.take(name)
    assert not rig.take(name, "--all")
    rig.keep(rig.keys.sign(rig.keys.me, payload(name)))
    assert rig.take(name)
    assert rig.take(name, "--all")


def test_the_narrowest_place_counts(rig: Rig) -> None:
    rig.wants(rig.by(rig.keys.me))
    rig.keep(rig.keys.sign(rig.keys.me, payload(f"{rig.name}:1")))
    here, nowhere = f"file://{rig.folder}/look aside", f"file://{rig.folder}/nowhere"

    def section(scope: str, place: str, key: str = "lookaside") -> str:
        return f"  {scope}:\n    {key}: {place}\n"

    default_here = f"default-docker:\n  lookaside: {here}\n"
    for text, taken in (
        ("docker:\n" + section(rig.name, here), True),
        (
            "docker:\n" + section(f"{rig.name}:1", here, "sigstore") + section(rig.name, nowhere),
            True,
        ),
        (
            f"default-docker:\n  lookaside: {nowhere}\ndocker:\n"
            + section(rig.registry.host, here),
            True,
        ),
        (default_here + "docker:\n" + section(rig.name, nowhere), False),
        (default_here + "docker:\n" + section(rig.name, nowhere, "lookaside-staging"), True),
        (default_here + "docker:\n", True),
        ("docker:\n", False),
        (json.dumps({"default-docker": {"lookaside": here}}), True),
    ):
        rig.said(text)
        assert rig.take(f"{rig.name}:1") is taken, text


def test_a_web_server_keeps_signatures(rig: Rig) -> None:
    rig.wants(rig.by(rig.keys.me))
    made = rig.keys.sign(rig.keys.me, payload(f"{rig.name}:1"))
    path = "GET /signatures/demo@sha256=[0-9a-f]*/signature-1$"
    rig.said(f"default-docker:\n  lookaside: http://{rig.registry.host}/signatures\n")
    assert not rig.take(f"{rig.name}:1")
    rig.registry.wrong(path, lambda exchange: exchange.answer(200, made) or True)
    assert rig.take(f"{rig.name}:1")


# --- what comes from files ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def filed(
    tmp_path_factory: pytest.TempPathFactory, needs_program: Callable[[str], str]
) -> Callable[[str, dict[str, object]], bool]:
    """A function that says whether an image in a form is taken: by both tools, or by neither."""
    skopeo, folder = needs_program("skopeo"), tmp_path_factory.mktemp("filed")
    environ = {"HOME": str(folder), "CONTAINERS_REGISTRIES_CONF": os.devnull}
    roots = {"run_root": str(folder / "run"), "driver": "vfs"}
    config = folder / ".config/containers"
    config.mkdir(parents=True)
    ends = {kind: f"{kind}:{folder}/in/{kind}" for kind in FORMS}
    (folder / "in").mkdir()
    with open_store(str(folder / "root"), environ=environ, **roots) as opened:
        packed = folder / "x.tar"
        packed.write_bytes(tar_of("f a one"))
        opened.images.import_(str(packed), repository="x")
        for end in ends.values():
            opened.images.copy("lamina:x", end)

    def taken(kind: str, scopes: dict[str, str]) -> bool:
        says = {each.format(folder): [{"type": scopes[each]}] for each in scopes if each != "*"}
        document = {"default": [{"type": scopes["*"]}], "transports": {kind: says}}
        (config / "policy.json").write_text(json.dumps(document))
        words = ["--policy", str(config / "policy.json"), "--override-arch", "amd64", "copy"]
        target = tempfile.mkdtemp(dir=folder)
        command = [skopeo, *words, ends[kind], f"dir:{target}/x"]
        done = subprocess.run(command, capture_output=True, check=False)
        with open_store(str(folder / "root"), environ=environ, **roots) as opened:
            try:
                opened.images.copy(ends[kind], f"dir:{target}/y", platform="linux/amd64")
                refused = False
            except NotTrusted:
                refused = True
        assert refused is (done.returncode != 0), done.stderr
        return not refused

    return taken


FORMS = ("oci", "oci-archive", "dir", "docker-archive")
YES, NO = "insecureAcceptAnything", "reject"


@pytest.mark.parametrize("kind", FORMS)
def test_what_lies_in_a_file_is_held_to_its_scopes(
    filed: Callable[[str, dict[str, str]], bool], kind: str, needs_root: None
) -> None:
    has_scopes = kind != "docker-archive"
    assert filed(kind, {"*": YES})
    assert not filed(kind, {"*": NO})
    assert filed(kind, {"*": NO, "": YES})
    if has_scopes:
        assert filed(kind, {"*": NO, "{}/in/" + kind: YES})
        assert filed(kind, {"*": NO, "": NO, "{}": YES})
        assert not filed(kind, {"*": YES, "{}/in": NO})
        assert not filed(kind, {"*": NO, "{}/in/other": YES})
