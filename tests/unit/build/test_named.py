"""Named contexts: which name they stand for, and what is seen of them."""

import os

import pytest

from lamina.build.layouts import take_in
from lamina.build.named import (
    Address,
    Folder,
    Layout,
    Repository,
    StoredImage,
    elsewhere,
    find,
    parse_named,
)
from lamina.dockerfile.giturl import Git
from lamina.errors import BadDocument, ImageNotFound, LaminaError, UsageError


def git(url, ref="", subdir=""):
    return Git(url, ref, "", subdir, True, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://h/a.git", git("https://h/a.git")),
        ("https://h/a.git#main:sub/dir", git("https://h/a.git", "main", "sub/dir")),
        ("https://h/a.git?branch=main&subdir=b", git("https://h/a.git", "main", "b")),
        ("git@h:a/b.git#:sub", git("git@h:a/b.git", "", "sub")),
        ("git://h/a#v1", git("git://h/a", "v1")),
        ("ssh://git@h:22/a.git", git("ssh://git@h:22/a.git")),
        ("github.com/a/b", git("https://github.com/a/b.git")),
        ("github.com/a/b.git#v1", git("https://github.com/a/b.git", "v1")),
        ("https://h/a.tar.gz", "https://h/a.tar.gz"),
        ("HTTP://h/Dockerfile", "HTTP://h/Dockerfile"),
        (".", None),
        ("some/folder", None),
        ("folder.git", None),
    ],
)
def test_where_a_context_is(text, expected):
    assert elsewhere(text) == expected


def test_a_directory_is_no_address_whatever_it_is_called(tmp_path, monkeypatch):
    os.makedirs(tmp_path / "github.com" / "a" / "b")
    monkeypatch.chdir(tmp_path)
    assert elsewhere("github.com/a/b") is None
    assert parse_named("x=github.com/a/b") == ("x", Folder("x", str(tmp_path / "github.com/a/b")))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=/d", ("a", Folder("a", "/d"))),
        ("alpine=docker-image://base:1", ("alpine", StoredImage("base:1"))),
        ("x=oci-layout:///l:1", ("x", Layout("/l", "1"))),
        ("x=oci-layout:///l/2", ("x", Layout("/l/2", ""))),
        ("x=oci-layout:///l@sha256:ab", ("x", Layout("/l", "sha256:ab"))),
        ("x=https://h/y.tar.gz?z=1", ("x", Address("x", "https://h/y.tar.gz?z=1"))),
        ("x=https://h/y.git#v1:sub", ("x", Repository("x", git("https://h/y.git", "v1", "sub")))),
    ],
)
def test_what_is_named(text, expected):
    assert parse_named(text) == expected


@pytest.mark.parametrize("text", ["a", "=b", "a=", "a=ftp://x/y", "a=https://x/y.git?what=1"])
def test_what_is_refused(text):
    with pytest.raises(UsageError):
        parse_named(text)


def test_which_names_it_stands_for():
    contexts = {"alpine": StoredImage("one"), "my.host/x:1": StoredImage("two")}
    assert find(contexts, "alpine:latest") == StoredImage("one")
    assert find(contexts, "docker.io/library/alpine") == StoredImage("one")
    assert find(contexts, "ALPINE") == StoredImage("one")
    assert find(contexts, "alpine:3") is None
    assert find(contexts, "my.host/x:1") == StoredImage("two")


def folder(tmp_path, **files):
    path = tmp_path / "other"
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / name.replace("_", ".")).write_text(text)
    return str(path)


def test_a_directory_is_copied_from_less_what_it_ignores(rig, tmp_path):
    path = folder(tmp_path, a="1", b="2", _dockerignore="b\n")
    text = "FROM scratch\nCOPY --from=other . /o/\n"
    contexts = {"other": Folder("other", path)}
    assert rig.tree(rig.build(text, contexts=contexts)) == {
        "o": "/",
        "o/a": "1",
        "o/.dockerignore": "b\n",
    }
    rig.build(text, contexts=contexts)
    assert rig.cached() == [True]
    folder(tmp_path, a="3")
    rig.build(text, contexts=contexts)
    assert rig.missed() == "a changed"


def test_it_replaces_a_stage_which_is_then_not_built(rig, tmp_path):
    contexts = {"one": Folder("one", folder(tmp_path, a="of the folder"))}
    text = "FROM scratch AS one\nRUN fail 1\nFROM scratch\nCOPY --from=one /a /\n"
    assert rig.tree(rig.build(text, contexts=contexts)) == {"a": "of the folder"}
    assert rig.runner.count == 0


def test_a_stage_may_begin_with_it(rig, tmp_path):
    contexts = {"base": Folder("base", folder(tmp_path, a="1"))}
    config = rig.build("FROM base\nRUN put /b 2\n", contexts=contexts)
    assert rig.tree(config)["b"] == "2"
    assert len(config.diff_ids) == 2


def test_an_image_replaces_an_image(rig):
    rig.build("FROM scratch\nRUN put /a real\n", tags=("mine",))
    contexts = {"alpine": StoredImage("mine")}
    config = rig.build("FROM alpine:latest\nRUN put /b x\n", contexts=contexts)
    assert rig.tree(config) == {"a": "real", "b": "x"}


def test_a_missing_directory_is_said_so(rig):
    with pytest.raises(LaminaError, match="there is no build context /nowhere"):
        rig.build("FROM scratch\nCOPY --from=o a /\n", contexts={"o": Folder("o", "/nowhere")})


def test_a_layout_is_taken_in_by_tag_digest_or_alone(rig, other_rig, tmp_path, needs_program):
    """skopeo makes the layout."""
    import subprocess

    from lamina.transfer.save import save

    rig.build("FROM scratch\nRUN put /a 1\n", tags=("mine:1",))
    with open(tmp_path / "archive", "wb") as file:
        save(["mine:1"], rig.images, rig.layers, file.write)
    layout = str(tmp_path / "layout")
    copy = [needs_program("skopeo"), "copy", "-q", f"docker-archive:{tmp_path}/archive"]
    subprocess.run([*copy, f"oci:{layout}:v1"], check=True)
    platform = ("linux", "amd64")
    for choice in ("", "v1"):
        taken = take_in(Layout(layout, choice), other_rig.images, other_rig.layers, platform)
        assert other_rig.tree(other_rig.images.config(taken)) == {"a": "1"}
    with pytest.raises(ImageNotFound, match="has no image 'v2'"):
        take_in(Layout(layout, "v2"), other_rig.images, other_rig.layers, platform)
    with pytest.raises((LaminaError, BadDocument)):
        take_in(Layout(str(tmp_path), ""), other_rig.images, other_rig.layers, platform)
    assert not os.path.exists(tmp_path / "index.json")
