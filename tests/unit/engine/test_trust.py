"""policy.json, and signatures as cosign keeps them, made here by real keys."""

import json
import os
import subprocess
from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lamina.engine.open import open_store
from lamina.errors import ConfigurationError, NotTrusted, ProgramMissing
from lamina.registry import gpg, policy, registriesd
from lamina.registry.identity import Identity
from lamina.registry.policy import Accept, Reject, Signed, Unchecked
from lamina.spec import mediatypes
from lamina.testing.fake_registry import fake_registry
from lamina.testing.sample_images import descriptor, digest, index, oci_manifest, packed, sample
from lamina.values.reference import Reference

IMAGE = sample("d d\nf d/a one", names=[])
RAW = oci_manifest(IMAGE)
PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"


@pytest.fixture(scope="module")
def keys():
    """One private key of each kind that cosign makes or takes."""
    return {
        "ecdsa": ec.generate_private_key(ec.SECP256R1()),
        "rsa": rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "other": ec.generate_private_key(ec.SECP256R1()),
    }


def signed(key, payload):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(payload)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(payload, PKCS1v15(), SHA256())
    return key.sign(payload, ec.ECDSA(SHA256()))


def pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def statement(of, name, kind="cosign container image signature"):
    critical = {
        "identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": of},
        "type": kind,
    }
    return json.dumps({"critical": critical, "optional": None}).encode()


def attach(registry, of, *made, path="demo"):
    """Tag signatures, each a payload with its signature, as cosign does."""
    layers = []
    for payload, signature in made:
        registry.add_blob(payload)
        note = {"dev.cosignproject.cosign/signature": b64encode(signature).decode()}
        layers.append(descriptor(PAYLOAD, payload, annotations=note))
    document = {
        "schemaVersion": 2,
        "mediaType": mediatypes.OCI_MANIFEST,
        "config": descriptor(mediatypes.OCI_CONFIG, b"{}"),
        "layers": layers,
    }
    tag = of.replace(":", "-") + ".sig"
    registry.add_manifest(path, tag, json.dumps(document).encode(), mediatypes.OCI_MANIFEST)


@pytest.fixture
def registry():
    with fake_registry() as made:
        for data in (IMAGE.config, *map(packed, IMAGE.layers)):
            made.add_blob(data)
        made.add_manifest("demo", "1", RAW, mediatypes.OCI_MANIFEST)
        yield made


@pytest.fixture
def store(tmp_path, needs_root):
    """A function that opens the store of a user with a policy."""
    home = tmp_path / "home"
    opened = []

    def make(document):
        folder = home / ".config" / "containers"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "policy.json").write_text(json.dumps(document))
        environ = {"HOME": str(home), "CONTAINERS_REGISTRIES_CONF": os.devnull}
        roots = {"run_root": str(tmp_path / "run"), "driver": "vfs", "environ": environ}
        opened.append(open_store(str(tmp_path / "root"), **roots))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def wants(registry, store):
    """A function that opens a store which wants a key's signature of the registry's images."""

    def make(*held, **identity):
        each = {"type": "sigstoreSigned", "signedIdentity": identity or {"type": "matchRepository"}}
        listed = [{**each, "keyData": b64encode(pem(key)).decode()} for key in held]
        scopes = {registry.host: listed}
        return store({"default": [{"type": "reject"}], "transports": {"docker": scopes}})

    return make


@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "ed25519"])
def test_an_image_that_is_signed_is_taken(registry, wants, keys, kind):
    payload = statement(digest(RAW), f"{registry.host}/demo")
    attach(registry, digest(RAW), (payload, signed(keys[kind], payload)))
    name = f"{registry.host}/demo:1"
    assert wants(keys[kind]).images.pull(name).image.id == IMAGE.id


def test_openssl_signs_as_cosign_does(registry, store, tmp_path, needs_program):
    openssl, key, public = needs_program("openssl"), tmp_path / "key", tmp_path / "pub"
    make = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out"
    subprocess.run([openssl, *make.split(), key], check=True, capture_output=True)
    subprocess.run([openssl, "pkey", "-in", key, "-pubout", "-out", public], check=True)
    payload = statement(digest(RAW), f"{registry.host}/demo:1")
    sign = [openssl, "dgst", "-sha256", "-sign", key]
    made = subprocess.run(sign, input=payload, check=True, capture_output=True).stdout
    attach(registry, digest(RAW), (payload, made))
    wanted = {"type": "sigstoreSigned", "keyPath": str(public)}
    opened = store({"default": [wanted]})
    assert opened.images.pull(f"{registry.host}/demo:1").image.id == IMAGE.id
    public.unlink()
    with pytest.raises(ConfigurationError, match="pub cannot be read: No such file"):
        opened.images.pull(f"{registry.host}/demo:1")


OTHER = "sha256:" + "1" * 64


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda host, key, other: [], "is not signed, and .*policy.json wants it to be"),
        (lambda host, key, other: [(f"{host}/demo", digest(RAW), other)], "it is by another key"),
        (lambda host, key, other: [(f"{host}/demo", OTHER, key)], f"it is for '{OTHER}'"),
        (lambda host, key, other: [(f"{host}/else", digest(RAW), key)], "it is for '.*/else'"),
        (lambda host, key, other: [("\x1b]", digest(RAW), key)], "it is for "),
    ],
    ids=["none", "another key", "another image", "another name", "no name"],
)
def test_what_is_not_signed_as_it_should_be_is_refused(registry, wants, keys, make, reason):
    made = []
    for name, of, key in make(registry.host, keys["ecdsa"], keys["other"]):
        payload = statement(of, name)
        made.append((payload, signed(key, payload)))
    if made:
        attach(registry, digest(RAW), *made)
    opened = wants(keys["ecdsa"])
    with pytest.raises(NotTrusted, match=reason):
        opened.images.pull(f"{registry.host}/demo:1")
    assert opened.images.list() == []
    assert registry.count("GET .*/blobs/" + digest(IMAGE.config)) == 0  # nothing was read of it


def test_a_payload_that_was_changed_is_refused(registry, wants, keys):
    payload = statement(digest(RAW), f"{registry.host}/demo")
    good = signed(keys["ecdsa"], payload)
    kind = statement(digest(RAW), f"{registry.host}/demo", kind="something else")
    nothing = b"[]"
    for body, proof, reason in (
        (payload + b" ", good, "another key"),
        (payload, good[:-1], "another key"),
        (kind, signed(keys["ecdsa"], kind), "not about an image"),
        (nothing, signed(keys["ecdsa"], nothing), "not about an image"),
    ):
        attach(registry, digest(RAW), (body, proof))
        with pytest.raises(NotTrusted, match=reason):
            wants(keys["ecdsa"]).images.pull(f"{registry.host}/demo:1")


def test_one_good_signature_among_others_does_and_every_wanted_key_must_have_one(
    registry, wants, keys
):
    payload = statement(digest(RAW), f"{registry.host}/demo")
    proofs = [(payload, signed(keys[kind], payload)) for kind in ("other", "ecdsa")]
    attach(registry, digest(RAW), *proofs)
    name = f"{registry.host}/demo:1"
    wants(keys["ecdsa"]).images.pull(name)
    wants(keys["ecdsa"], keys["other"]).images.pull(name)
    with pytest.raises(NotTrusted):
        wants(keys["ecdsa"], keys["rsa"]).images.pull(name)


def test_who_signs_an_index_signs_its_images(registry, wants, keys):
    whole = index(
        descriptor(mediatypes.OCI_MANIFEST, RAW, platform={"os": "linux", "architecture": "amd64"})
    )
    registry.add_manifest("demo", "all", whole, mediatypes.OCI_INDEX)
    payload = statement(digest(whole), f"{registry.host}/demo")
    attach(registry, digest(whole), (payload, signed(keys["ecdsa"], payload)))
    opened = wants(keys["ecdsa"])
    assert opened.images.pull(f"{registry.host}/demo:all", platform="linux/amd64")
    with pytest.raises(NotTrusted):
        opened.images.pull(f"{registry.host}/demo:1")


def test_a_copy_is_held_to_the_same(registry, wants, keys, tmp_path):
    opened = wants(keys["ecdsa"])
    source, target = f"docker://{registry.host}/demo:1", f"dir:{tmp_path}/copy"
    with pytest.raises(NotTrusted):
        opened.images.copy(source, target)
    payload = statement(digest(RAW), f"{registry.host}/demo")
    attach(registry, digest(RAW), (payload, signed(keys["ecdsa"], payload)))
    opened.images.copy(source, target)


def test_each_image_that_a_copy_carries_is_held_to_it(registry, wants, keys, tmp_path):
    other = sample("d d\nf d/a other")
    for data in (other.config, *map(packed, other.layers)):
        registry.add_blob(data)
    raw = oci_manifest(other)
    registry.add_manifest("demo", "other", raw, mediatypes.OCI_MANIFEST)
    whole = index(
        descriptor(mediatypes.OCI_MANIFEST, RAW, platform={"os": "linux", "architecture": "amd64"}),
        descriptor(mediatypes.OCI_MANIFEST, raw, platform={"os": "linux", "architecture": "arm64"}),
    )
    registry.add_manifest("demo", "all", whole, mediatypes.OCI_INDEX)

    def sign(of):
        payload = statement(of, f"{registry.host}/demo")
        attach(registry, of, (payload, signed(keys["ecdsa"], payload)))

    def copy(**options):
        source, target = f"docker://{registry.host}/demo:all", f"dir:{tmp_path}/copy"
        wants(keys["ecdsa"]).images.copy(source, target, **options)

    sign(digest(RAW))
    copy(platform="linux/amd64")
    for options in ({"platform": "linux/arm64"}, {"all_platforms": True}):
        with pytest.raises(NotTrusted, match="is not signed"):
            copy(**options)
    assert registry.count("GET .*/blobs/" + digest(other.config)) == 0
    sign(digest(whole))  # who signs an index signs what it names
    copy(platform="linux/arm64")
    copy(all_platforms=True)


def test_sigstore_signatures_may_be_turned_off(registry, wants, keys, tmp_path):
    payload = statement(digest(RAW), f"{registry.host}/demo")
    attach(registry, digest(RAW), (payload, signed(keys["ecdsa"], payload)))
    folder = tmp_path / "home/.config/containers/registries.d"
    folder.mkdir(parents=True)
    for said, taken in (("true", True), ("false", False)):
        text = f"docker:\n  {registry.host}:\n    use-sigstore-attachments: {said}\n"
        (folder / "x.yaml").write_text(text)
        opened = wants(keys["ecdsa"])
        if taken:
            opened.images.pull(f"{registry.host}/demo:1")
            continue
        with pytest.raises(NotTrusted, match=r"x\.yaml says use-sigstore-attachments: false"):
            opened.images.pull(f"{registry.host}/demo:1")


def test_what_is_rejected_is_not_even_asked_for(registry, store):
    opened = store({"default": [{"type": "reject"}]})
    with pytest.raises(NotTrusted, match=r"demo:1 is rejected by .*policy\.json"):
        opened.images.pull(f"{registry.host}/demo:1")
    opened = store({"default": [{"type": "signedBaseLayer", "baseLayerIdentity": {}}]})
    with pytest.raises(NotTrusted, match=r"its base \(signedBaseLayer\), which is not checked"):
        opened.images.pull(f"{registry.host}/demo:1")
    assert registry.asked == []


# --- what a policy says -------------------------------------------------------------------------


@pytest.fixture
def read(tmp_path):
    """A function that reads a policy."""

    def of(document):
        path = tmp_path / "policy.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return policy.read({}, str(path))

    return of


ANY, NO = [{"type": "insecureAcceptAnything"}], [{"type": "reject"}]


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("a.example.com/b/c:1", "a.example.com/b/c:1"),
        ("a.example.com/b/c:2", "a.example.com/b/c"),
        ("a.example.com/b/cc:1", "a.example.com/b"),
        ("a.example.com/x", "a.example.com"),
        ("z.y.example.com/x", "*.example.com"),
        ("z.com/x", "*.com"),
        ("nginx", "docker.io/library/nginx"),
        ("docker.io/me/nginx", "docker.io"),
        ("quay.io/x", ""),
    ],
)
def test_the_narrowest_scope_counts(read, name, scope):
    scopes = (
        *("a.example.com/b/c:1", "a.example.com/b/c", "a.example.com/b", "a.example.com"),
        *("*.example.com", "*.com", "docker.io/library/nginx", "docker.io", "", "*.io.x"),
    )
    reject = {each: ANY if each == scope else NO for each in scopes}
    found = read({"default": NO, "transports": {"docker": reject}})
    assert found.of_image(Reference.parse(name).with_default_tag()) == (Accept(),)


def test_without_a_policy_everything_is_accepted(tmp_path):
    found = policy.read({"HOME": str(tmp_path)}, str(tmp_path / "none"))
    assert found.of_image(Reference.parse("x")) == (Accept(),)


def test_the_users_own_policy_is_where_podman_and_skopeo_look(tmp_path):
    """Also for who has XDG_CONFIG_HOME elsewhere, which they do not ask."""
    system = tmp_path / "system.json"
    system.write_text(json.dumps({"default": ANY}))
    for place in ("xdg", "home/.config"):
        (tmp_path / place / "containers").mkdir(parents=True)
    environ = {"HOME": f"{tmp_path}/home", "XDG_CONFIG_HOME": f"{tmp_path}/xdg"}
    assert policy.read(environ, str(system)).default == (Accept(),)
    for folder in ("xdg", "home/.config"):
        own = tmp_path / folder / "containers/policy.json"
        own.write_text(json.dumps({"default": NO}))
        found = policy.read(environ, str(system))
        assert (found.path, found.default) == (str(own), (Reject(),))


def test_the_default_is_for_what_no_scope_speaks_of(read):
    found = read({"default": NO, "transports": {"docker": {"a.b": ANY}, "dir": {"": ANY}}})
    assert found.of_image(Reference.parse("c.d/x")) == (Reject(),)


def test_what_cannot_be_checked_refuses(read):
    rekor = {"type": "sigstoreSigned", "keyPath": "/k", "rekorPublicKeyPath": "/r"}
    found = read({"default": [rekor]}).default
    assert found == (Unchecked("sigstoreSigned with rekorPublicKeyPath"),)


def test_a_signature_by_gpg_may_be_wanted_with_several_keys(read):
    wanted = {"type": "signedBy", "keyType": "GPGKeys"}
    found = read({"default": [{**wanted, "keyPaths": ["/a", "/b"]}]}).default
    assert found == (Signed(("/a", "/b"), (), Identity(), by_gpg=True),)
    found = read({"default": [{**wanted, "keyData": "YQ=="}]}).default
    assert found == (Signed((), (b"a",), Identity(), by_gpg=True),)
    found = read({"default": [{**wanted, "keyType": "X509Certificates", "keyPath": "/a"}]}).default
    assert found == (Unchecked("signedBy with the keyType X509Certificates"),)


@pytest.mark.parametrize(
    "document",
    [
        {"default": [{"type": "signedBy", "keyPath": "/a"}]},
        {"default": [{"type": "signedBy", "keyType": "PGP", "keyPath": "/a"}]},
        {"default": [{"type": "signedBy", "keyType": "GPGKeys"}]},
        {
            "default": [
                {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/a", "keyData": "YQ=="}
            ]
        },
        {"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/a", "rekor": 1}]},
        *("", "[]", "{", '{"default":[],"default":[]}', {}, {"default": []}),
        *({"default": ANY, "more": 1}, {"default": [{"type": "trustMe"}]}, {"default": ["x"]}),
        {"default": [{"type": "reject", "really": False}]},
        {"default": ANY, "transports": []},
        {"default": ANY, "transports": {"docker": []}},
        {"default": ANY, "transports": {"docker": {"x": []}}},
        {"default": [{"type": "sigstoreSigned"}]},
        {"default": [{"type": "sigstoreSigned", "keyPath": "/a", "keyData": ""}]},
        {"default": [{"type": "sigstoreSigned", "keyPath": 1}]},
        {"default": [{"type": "sigstoreSigned", "keyData": "no base 64"}]},
        {"default": [{"type": "sigstoreSigned", "keyPath": "/a", "signedIdentity": {"type": "x"}}]},
        {
            "default": [
                {
                    "type": "sigstoreSigned",
                    "keyPath": "/a",
                    "signedIdentity": {"type": "matchExact", "more": ""},
                }
            ]
        },
    ],
)
def test_a_policy_that_is_not_understood_is_an_error(read, document):
    with pytest.raises(ConfigurationError, match=r"policy\.json is not understood: "):
        read(document)


DIGEST = "@sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("identity", "name", "said", "accepted"),
    [
        ({}, "a.b/c:1", "a.b/c:1", True),
        ({}, "a.b/c:1", "a.b/c:2", False),
        ({}, "a.b/c:1", "a.b/c", False),
        ({}, f"a.b/c{DIGEST}", "a.b/c", False),
        ({}, f"a.b/c{DIGEST}", "a.b/c:5", True),
        ({}, f"a.b/c{DIGEST}", "a.b/d", False),
        ({}, f"a.b/c:1{DIGEST}", "a.b/c:2", False),
        ({"type": "matchExact"}, "a.b/c:1", "a.b/c:1", True),
        ({"type": "matchExact"}, f"a.b/c{DIGEST}", "a.b/c", False),
        ({"type": "matchRepository"}, "a.b/c:1", "a.b/c", True),
        ({"type": "matchRepository"}, "a.b/c:1", "a.b/c/d", False),
        ({"type": "matchRepository"}, "nginx:1", "nginx", True),
        ({"type": "exactReference", "dockerReference": "x.y/z:1"}, "a.b/c:1", "x.y/z:1", True),
        ({"type": "exactReference", "dockerReference": "x.y/z:1"}, "a.b/c:1", "x.y/z:2", False),
        ({"type": "exactRepository", "dockerRepository": "x.y/z"}, "a.b/c:1", "x.y/z:2", True),
        ({"type": "exactRepository", "dockerRepository": "x.y/z"}, "a.b/c:1", "a.b/c:1", False),
        *(
            (
                {"type": "remapIdentity", "prefix": "m.local/v", "signedPrefix": "v.example"},
                name,
                said,
                accepted,
            )
            for name, said, accepted in (
                ("m.local/v/p/i:1", "v.example/p/i:1", True),
                ("m.local/v/p/i:1", "m.local/v/p/i:1", False),
                ("m.local/vv/i:1", "m.local/vv/i:1", True),
            )
        ),
    ],
)
def test_whose_name_a_signature_must_have(read, identity, name, said, accepted):
    wanted = {"type": "sigstoreSigned", "keyPath": "/k"}
    found = read({"default": [{**wanted, "signedIdentity": identity} if identity else wanted]})
    (requirement,) = found.default
    assert isinstance(requirement, Signed)
    assert requirement.identity.accepts(Reference.parse(name), said) is accepted


# --- where signatures lie -----------------------------------------------------------------------


@pytest.fixture
def places(tmp_path):
    """A function that reads a registries.d of one file, or of several by name."""

    def of(text, **more):
        for name, content in {"default": text, **more}.items():
            (tmp_path / f"{name}.yaml").write_text(content)
        (tmp_path / "README").write_text("[")
        return registriesd.read({}, 0, str(tmp_path))

    return of


NAME = Reference.parse("a.example/b/c:1")


def test_signatures_lie_where_the_narrowest_scope_says(places):
    found = places("default-docker:\n  lookaside: file:///d\n")
    assert found.lookaside(NAME) == "file:///d/b/c"
    found = places("", x='docker:\n  "a.example/b":  # ours\n    sigstore: https://x/y/\n')
    assert found.lookaside(NAME) == "https://x/y/b/c"
    assert found.lookaside(Reference.parse("x")) == "file:///var/lib/containers/sigstore/library/x"
    mine = registriesd.read({"HOME": "/home/me"}, 1000, "/nowhere")
    assert mine.lookaside(NAME) == "file:///home/me/.local/share/containers/sigstore/b/c"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"default": "docker: [1]"}, "default.yaml: line 1 is not a KEY: VALUE"),
        ({"default": "docker: x"}, "docker is no mapping"),
        ({"default": "docker:\n  a: x"}, "a is no mapping"),
        ({"default": "dockers:\n"}, "there is no 'dockers'"),
        ({"default": "default-docker:\n  look: x\n"}, "there is no 'look'"),
        ({"default": "default-docker:\n  lookaside: ftp://x\n"}, "lookaside is 'ftp://x'"),
        ({"default": "default-docker:\n  use-sigstore-attachments: maybe\n"}, "neither true nor"),
        (
            dict.fromkeys(("default", "x"), "docker:\n  a.b:\n    lookaside: file:///x\n"),
            "x.yaml says",
        ),
        (
            dict.fromkeys(("default", "x"), "default-docker:\n  lookaside: file:///x\n"),
            "x.yaml says",
        ),
    ],
)
def test_places_that_are_not_understood_are_an_error(places, files, reason):
    with pytest.raises(ConfigurationError, match=reason):
        places(files.pop("default"), **files)


def test_without_gpg_its_package_is_named(monkeypatch):
    monkeypatch.setattr(gpg, "PATH", "/nowhere")
    with pytest.raises(ProgramMissing, match="there is no program gpg; install the package gpg"):
        gpg.verified(b"", [b""])


def test_a_key_that_is_none_is_an_error():
    with pytest.raises(ConfigurationError, match="no public key of GPG's"):
        gpg.verified(b"", [b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx\n"])
