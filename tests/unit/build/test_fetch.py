"""ADD of URLs, by a server on this machine: what is asked, what is kept, and what is refused."""

import hashlib
import io
import os
import tarfile

import pytest

from lamina.errors import BuildError, DigestMismatch, DockerfileError


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def archive():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        info = tarfile.TarInfo("inside")
        info.size = 1
        made.addfile(info, io.BytesIO(b"x"))
    return out.getvalue()


def status(rig, config, name):
    path = rig.layers.driver.location(rig.layers.resolve(config.top_chain))
    return os.stat(os.path.join(path, name))


def test_a_file_its_mode_and_its_time(rig, server):
    server.files["/d/a%20b.txt?x=1"] = b"text"
    config = rig.build(f"FROM scratch\nADD {server.url('/d/a%20b.txt?x=1')} /to/\n")
    assert rig.tree(config) == {"to": "/", "to/a b.txt": "text"}
    found = status(rig, config, "to/a b.txt")
    assert (found.st_mode & 0o7777, found.st_mtime) == (0o600, 1445412480)
    assert os.listdir(rig.root.folder("staging")) == []


@pytest.mark.parametrize("tagged", [True, False])
def test_what_did_not_change_is_not_fetched_again(rig, server, tagged):
    server.tagged = tagged
    server.files["/a"] = b"1"
    text = f"FROM scratch\nADD {server.url('/a')} /a\n"
    rig.build(text)
    rig.build(text)
    assert rig.cached() == [True]
    assert [known is not None for _, known in server.asked] == [False, True]


def test_what_changed_is(rig, server):
    server.files["/a"] = b"1"
    text = f"FROM scratch\nADD {server.url('/a')} /a\n"
    rig.build(text)
    server.files["/a"] = b"2"
    assert rig.tree(rig.build(text)) == {"a": "2"}
    assert rig.missed() == "a changed"


def test_a_layer_that_is_gone_is_made_anew(rig, server):
    """The server says 304, and the body is wanted all the same."""
    server.files["/a"] = b"1"
    rig.build(f"FROM scratch\nADD {server.url('/a')} /a\n")
    assert rig.tree(rig.build(f"FROM scratch\nADD {server.url('/a')} /b\n")) == {"b": "1"}


def test_with_a_known_checksum_nothing_is_asked(rig, server):
    server.files["/a"] = b"1"
    text = f"FROM scratch\nADD --checksum={digest(b'1')} {server.url('/a')} /a\n"
    rig.build(text)
    server.asked.clear()
    rig.build(text)
    assert (rig.cached(), server.asked) == ([True], [])


def test_another_checksum(rig, server):
    server.files["/a"] = b"1"
    for _ in range(2):
        with pytest.raises((DigestMismatch, BuildError), match="is expected"):
            rig.build(f"FROM scratch\nADD --checksum={digest(b'2')} {server.url('/a')} /a\n")
    assert os.listdir(rig.root.folder("staging")) == []


def test_redirects_are_followed_and_bounded(rig, server):
    server.files["/d/b"] = b"there"
    server.moved |= {"/a": "d/b", "/round": "/round", "/out": "ftp://x/y"}
    assert rig.tree(rig.build(f"FROM scratch\nADD {server.url('/a')} /\n")) == {"a": "there"}
    with pytest.raises(BuildError, match="without end"):
        rig.build(f"FROM scratch\nADD {server.url('/round')} /\n")
    with pytest.raises(BuildError, match="leads to ftp://x/y"):
        rig.build(f"FROM scratch\nADD {server.url('/out')} /\n")


def test_what_is_not_there(rig, server):
    with pytest.raises(BuildError, match=r"Dockerfile:2: fetching .*/none: the server says 404"):
        rig.build(f"FROM scratch\nADD {server.url('/none')} /\n")


def test_a_server_without_tls(rig, server):
    """What is said of registries is no use here."""
    with pytest.raises(BuildError, match="does not speak TLS") as caught:
        rig.build(f"FROM scratch\nADD {server.url('/file').replace('http:', 'https:')} /\n")
    assert caught.value.hint == "write it with http:// if that is meant to be"


def test_an_archive_is_unpacked_only_on_request(rig, server):
    server.files["/a.tar.gz"] = archive()
    url = server.url("/a.tar.gz")
    assert list(rig.tree(rig.build(f"FROM scratch\nADD {url} /t/\n"))) == ["t", "t/a.tar.gz"]
    assert rig.tree(rig.build(f"FROM scratch\nADD --unpack {url} /t/\n"))["t/inside"] == "x"


def test_beside_a_local_file_with_owner_and_mode(rig, server):
    rig.write(local="1")
    server.files["/far"] = b"2"
    config = rig.build(
        f"FROM scratch\nADD --chown=3:4 --chmod=644 local {server.url('/far')} /t/\n"
    )
    assert rig.tree(config) == {"t": "/", "t/local": "1", "t/far": "2"}
    found = status(rig, config, "t/far")
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (3, 4, 0o644)


def test_a_name_cannot_lead_anywhere(rig, server):
    server.files |= {"/": b"1", "/a/..%2F..%2Fb": b"2"}
    assert "t/__unnamed__" in rig.tree(rig.build(f"FROM scratch\nADD {server.url('/')} /t/\n"))
    config = rig.build(f"FROM scratch\nADD {server.url('/a/..%2F..%2Fb')} /t/\n")
    assert list(rig.tree(config)) == ["t", "t/__unnamed__"]


@pytest.mark.parametrize(
    "line",
    [
        "ADD --checksum=sha256:0 http://x/y /",
        "ADD --checksum=$C a /",
        "ADD --checksum=$C http://x/y http://x/z /",
    ],
)
def test_checksums_that_mean_nothing(rig, line):
    with pytest.raises(DockerfileError, match="--checksum"):
        rig.build(f"FROM scratch\nENV C={digest(b'')}\n{line}\n")


def test_a_password_is_not_shown(rig, server):
    url = server.url("/none?token=word").replace("//", "//me:word@")
    with pytest.raises(BuildError) as caught:
        rig.build(f"FROM scratch\nADD {url} /\n")
    assert "word" not in str(caught.value)
