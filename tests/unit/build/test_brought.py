"""Contexts that are no directory of this machine: tars, URLs, repositories; and what is hostile."""

import bz2
import gzip
import io
import lzma
import os
import tarfile

import pytest

from lamina.archive.zstandard import zstd
from lamina.build import BuildRequest, brought
from lamina.build.named import parse_named
from lamina.errors import (
    BadArchive,
    BuildError,
    DockerfileError,
    PathNotFound,
    StorageError,
    UsageError,
)
from lamina.testing.trees import tar_of
from lamina.values.events import Notice

TEXT = "FROM scratch\nCOPY a /x/\nCOPY . /all/\n"
FILES = {"Dockerfile": TEXT, "a": "1", "d/b": "2", "drop": "3", ".dockerignore": "drop\n"}
ALL = {"x": "/", "x/a": "1", "all": "/", "all/a": "1", "all/d": "/", "all/d/b": "2"}


def tar(files, **members):
    """A tar of files by name, owned by nobody here, and of members made by hand."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.gid, member.mtime = len(text), 4711, 4712, 1
            archive.addfile(member, io.BytesIO(text.encode()))
        for name, more in members.items():
            member = tarfile.TarInfo(more.pop("name", name))
            for key, value in more.items():
                setattr(member, key, value)
            archive.addfile(member)
    return out.getvalue()


def carry_out(rig, context, **wishes):
    """Build what a context says, and give the image's config."""
    rig.events = []
    result = rig.builder.build(BuildRequest(context=context, **wishes), rig.events.append)
    return rig.images.config(result.image_id)


def kept(tree):
    """A tree without the build's own files."""
    own = ("Dockerfile", ".dockerignore")
    return {name: text for name, text in tree.items() if os.path.basename(name) not in own}


def nothing_brought_is_left(rig):
    """The layers on disk are those of images and caches: what was laid out is gone."""
    folder = rig.root.folder("vfs", "dir")
    there = os.listdir(folder) if os.path.isdir(folder) else []
    return len(there) == len(rig.layers.all())


PACKED = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
}


@pytest.mark.parametrize("kind", PACKED)
def test_a_tar_is_a_context_like_the_directory_of_the_same(rig, kind):
    rig.write(**{name.replace("/", "__"): text for name, text in FILES.items() if "." not in name})
    rig.write(_dockerignore=FILES[".dockerignore"])
    of_folder = carry_out(rig, rig.context)
    of_tar = carry_out(rig, io.BytesIO(PACKED[kind](tar(FILES))))
    assert kept(rig.tree(of_tar)) == ALL
    assert rig.cached() == [True, True]
    assert of_tar.id == of_folder.id
    assert nothing_brought_is_left(rig)


def test_a_dockerfile_is_named_inside_the_context(rig):
    files = {**FILES, "d/Other": "FROM scratch\nCOPY d/b /\n", "d/Other.dockerignore": "a"}
    assert rig.tree(carry_out(rig, io.BytesIO(tar(files)), dockerfile="d/Other")) == {"b": "2"}
    assert rig.tree(carry_out(rig, io.BytesIO(tar(files)), dockerfile="./d/../d/Other"))
    given = carry_out(rig, io.BytesIO(tar(files)), dockerfile_text=b"FROM scratch\nCOPY a /c\n")
    assert rig.tree(given) == {"c": "1"}
    for name in ("nope", "/etc/passwd", "../../../../etc/passwd"):
        with pytest.raises(PathNotFound, match=f"there is no Dockerfile {name} in the context on"):
            carry_out(rig, io.BytesIO(tar(files)), dockerfile=name)
    with pytest.raises(PathNotFound, match="there is no Dockerfile in the context on standard inp"):
        carry_out(rig, io.BytesIO(tar({"a": "1"})))
    assert nothing_brought_is_left(rig)


def test_names_of_whiteouts_are_names(rig):
    files = {"Dockerfile": "FROM scratch\nCOPY a /\n", "a": "1", ".wh.a": "", ".wh..wh..opq": ""}
    assert rig.tree(carry_out(rig, io.BytesIO(tar(files)))) == {"a": "1"}


OUT = {"Dockerfile": "FROM scratch\nCOPY l /\n"}
HOSTILE = {
    "a name above": (tar({**OUT, "../../evil": "x"}), "climbs above the root"),
    "a name from the root": (tar({**OUT, "/evil": "x"}), "has no 'l'"),
    "a file through a link": (
        tar({}, l={"type": tarfile.SYMTYPE, "linkname": "/"}, f={"name": "l/evil"}),
        "there is no Dockerfile",
    ),
    "a hard link to a file of this machine": (
        tar(OUT, l={"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}),
        "its hard link target 'etc/passwd' is missing",
    ),
    "a Dockerfile that is a link out": (
        tar({}, Dockerfile={"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        "Dockerfile is a link that leads to nothing inside the build context",
    ),
    "an ignore file that is a link out": (
        tar(OUT, l={}, ignore={"name": ".dockerignore", "type": tarfile.SYMTYPE, "linkname": "/x"}),
        ".dockerignore is a link that leads to nothing inside the build context",
    ),
    "a Dockerfile that is a pipe": (
        tar({}, Dockerfile={"type": tarfile.FIFOTYPE}),
        "Dockerfile",
    ),
    "an end before its time": (tar({"Dockerfile": "x" * 5000})[:2000], "standard input: "),
    "no tar beneath gzip": (gzip.compress(b"x" * 5000), "standard input: this is no tar"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_leads_nowhere_and_leaves_nothing(rig, name, tmp_path):
    data, reason = HOSTILE[name]
    with pytest.raises((BadArchive, BuildError, PathNotFound, StorageError)) as caught:
        carry_out(rig, io.BytesIO(data))
    assert reason in str(caught.value)
    assert rig.layers.all() == ()
    assert nothing_brought_is_left(rig)
    assert not os.path.exists("/evil")
    assert not list(tmp_path.rglob("evil"))


def test_a_link_out_is_copied_as_a_link_and_never_followed(rig):
    link = {"type": tarfile.SYMTYPE, "linkname": "/etc"}
    text = {"Dockerfile": "FROM scratch\nCOPY . /\n"}
    assert rig.tree(carry_out(rig, io.BytesIO(tar(text, l=link))))["l"] == "-> /etc"
    text = {"Dockerfile": "FROM scratch\nCOPY l/passwd /\n"}
    with pytest.raises(BuildError, match="has no 'l/passwd'"):
        carry_out(rig, io.BytesIO(tar(text, l=link)))


def test_a_context_has_bounds(rig, monkeypatch):
    monkeypatch.setattr(brought, "_LARGEST", 20_000)
    bomb = gzip.compress(tar({"Dockerfile": TEXT, "a": "0" * 100_000}))
    with pytest.raises(BadArchive, match="standard input: it is too large for a context"):
        carry_out(rig, io.BytesIO(bomb))
    monkeypatch.setattr(brought, "_MEMBERS", 3)
    with pytest.raises(BadArchive, match="it may have 3 members"):
        carry_out(rig, io.BytesIO(tar_of("f a\nf b\nf c\nf d")))
    assert nothing_brought_is_left(rig)


# --- URLs ---------------------------------------------------------------------------------


def test_a_tar_at_a_url(rig, server):
    server.files["/moved"] = gzip.compress(tar(FILES))
    server.moved["/c.tar.gz"] = "/moved"
    url = server.url("/c.tar.gz?token=secret")
    server.moved["/c.tar.gz?token=secret"] = "/moved"
    config = carry_out(rig, url)
    assert kept(rig.tree(config)) == ALL
    (said,) = [event.text for event in rig.events if isinstance(event, Notice)]
    assert said.startswith(f"the context is {server.url('/c.tar.gz')}, ")
    assert "secret" not in said
    assert carry_out(rig, url).id == config.id
    assert rig.cached() == [True, True]
    assert nothing_brought_is_left(rig)


def test_a_dockerfile_at_a_url_has_no_context(rig, server):
    server.files["/D"] = b"FROM scratch\nLABEL a=b\n"
    assert carry_out(rig, server.url("/D")).config.labels == {"a": "b"}
    server.files["/D"] = b"FROM scratch\nCOPY a /\n"
    with pytest.raises(BuildError, match="a build without a context has no 'a'"):
        carry_out(rig, server.url("/D"))
    server.files["/D"] = b"#" * (3 << 20)
    with pytest.raises(DockerfileError, match="it is larger than 2097152 bytes"):
        carry_out(rig, server.url("/D"))
    with pytest.raises(BuildError, match="the server says 404 Not Found"):
        carry_out(rig, server.url("/nope"))


# --- repositories -------------------------------------------------------------------------


def test_a_repository_with_a_state_and_a_directory(rig, repository):
    repository.commit("second", {"sub/Dockerfile": "FROM scratch\nCOPY . /\n", "sub/b": "new"})
    repository("tag", "v1")
    repository.commit("third", {"sub/b": "newer"})
    repository.serve()
    tree = rig.tree(carry_out(rig, f"{repository.url}#v1:sub"))
    assert tree == {"Dockerfile": "FROM scratch\nCOPY . /\n", "b": "new", "run": "#!"}
    assert rig.tree(carry_out(rig, f"{repository.url}#:sub"))["b"] == "newer"
    (said,) = [event.text for event in rig.events if isinstance(event, Notice)]
    assert said == f"the context is {repository.url} at {repository('rev-parse', 'HEAD')[:12]}"
    carry_out(rig, f"{repository.url}#main:sub")
    assert rig.cached() == [True]
    secret = repository.url.replace("http://", "http://me:secret@")
    carry_out(rig, f"{secret}#main:sub")
    assert not [event for event in rig.events if "secret" in str(event)]
    for wrong in (f"{secret}#nope", secret.replace("a.git", "b.git")):
        with pytest.raises(BuildError) as caught:
            carry_out(rig, wrong)
        assert "secret" not in str(caught.value)
    whole = rig.build(f"FROM scratch\nADD --keep-git-dir {secret} /r\n")
    assert repository.url in rig.tree(whole)["r/.git/config"]
    assert not [name for name, text in rig.tree(whole).items() if "secret" in text]
    named = carry_out(rig, repository.url, dockerfile="sub/Dockerfile")
    assert {"a": "1", "sub/b": "newer"}.items() <= rig.tree(named).items()
    assert ".git" not in rig.tree(named)
    argument = {"BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1"}
    with_git = carry_out(rig, repository.url, dockerfile="sub/Dockerfile", build_args=argument)
    assert ".git/HEAD" in rig.tree(with_git)
    assert nothing_brought_is_left(rig)


def test_a_directory_of_a_repository_that_leads_out(rig, repository):
    os.symlink("/etc", f"{repository.work}/out")
    os.symlink("sub", f"{repository.work}/in")
    repository.commit("links", {"sub/Dockerfile": "FROM scratch\nCOPY b /\n"})
    repository.serve()
    assert rig.tree(carry_out(rig, f"{repository.url}#:in")) == {"b": "2"}
    for name in ("out", "nope", "a"):
        with pytest.raises(PathNotFound, match=f"a.git has no directory {name}"):
            carry_out(rig, f"{repository.url}#:{name}")
    with pytest.raises(BuildError, match="has no 'v9'"):
        carry_out(rig, f"{repository.url}#v9")
    assert nothing_brought_is_left(rig)


# --- named ones ---------------------------------------------------------------------------


def test_named_contexts_from_elsewhere(rig, repository, server):
    server.files["/c.tar"] = tar({"e": "5", "drop": "6", ".dockerignore": "drop"})
    contexts = dict(
        parse_named(text)
        for text in (f"repo={repository.url}#:sub", f"far={server.url('/c.tar')}", "no=http://x/y")
    )
    text = (
        "FROM scratch AS other\nCOPY --from=far . /other/\n"
        "FROM repo\nCOPY --from=far e /far/\nCOPY --from=other /other /other\n"
    )
    config = rig.build(text, contexts=contexts, platforms=("linux/amd64", "linux/arm64"))
    assert kept(rig.tree(config)) == {
        "b": "2", "run": "#!", "far": "/", "far/e": "5", "other": "/", "other/e": "5",
    }  # fmt: skip
    assert [path for path, _ in server.asked] == ["/c.tar"]
    said = [event.text for event in rig.events if isinstance(event, Notice)]
    assert f"the context far is {server.url('/c.tar')}, 10.2kB" in said
    rig.build(text, contexts=contexts)
    assert rig.cached() == [True] * 3
    assert nothing_brought_is_left(rig)


def test_a_named_context_that_is_not_meant_is_not_fetched(rig, server):
    contexts = dict([parse_named(f"far={server.url('/c.tar')}")])
    rig.build("FROM scratch\nLABEL a=b\n", contexts=contexts)
    assert not server.asked
    server.files["/c.tar"] = b"no tar"
    with pytest.raises(UsageError, match=r"the context far: .*/c.tar is no archive"):
        rig.build("FROM scratch\nCOPY --from=far a /\n", contexts=contexts)
