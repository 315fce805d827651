"""How the ends of a copy are written."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.errors import InvalidReference, UsageError
from lamina.transfer.notation import (
    DirectoryEnd,
    DockerArchiveEnd,
    ForeignEnd,
    LayoutEnd,
    RegistryEnd,
    StoreEnd,
    numbered,
    parse,
)
from lamina.values.reference import Reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("docker://nginx", RegistryEnd(Reference.parse("nginx:latest"))),
        ("docker://h:1/a/b:2", RegistryEnd(Reference.parse("h:1/a/b:2"))),
        (f"docker://h/a@{DIGEST}", RegistryEnd(Reference.parse(f"h/a@{DIGEST}"))),
        ("oci:a/b", LayoutEnd("a/b", "", False)),
        ("oci:/a:h:1/x:2", LayoutEnd("/a", "h:1/x:2", False)),
        ("oci-archive:a.tar:@3", LayoutEnd("a.tar", "@3", True)),
        ("docker-archive:a.tar", DockerArchiveEnd("a.tar", "")),
        ("docker-archive:a.tar:x:1", DockerArchiveEnd("a.tar", "x:1")),
        ("docker-archive:a.tar:@0", DockerArchiveEnd("a.tar", "@0")),
        ("dir:a:b", DirectoryEnd("a:b")),
        ("lamina:x:1", StoreEnd("x:1")),
        ("docker:/var/lib/docker:x:1", ForeignEnd("docker", "/var/lib/docker", "x:1")),
        ("docker::x:1", ForeignEnd("docker", "", "x:1")),
        ("containers-storage:/s:x", ForeignEnd("containers-storage", "/s", "x")),
        ("containers-storage:./s:x", ForeignEnd("containers-storage", "./s", "x")),
        ("containers-storage:x:1", ForeignEnd("containers-storage", "", "x:1")),
    ],
)
def test_what_is_written_is_what_is_meant(text, end):
    assert parse(text) == end


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nginx", "names no transport"),
        ("", "names no transport"),
        ("ostree:x", "names no transport"),
        ("docker:nginx", "write docker://NAME for a registry"),
        ("docker:/var/lib/docker", "names no image"),
        ("docker://", "the name is empty"),
        ("docker://UPPER", "must be in lower case"),
        ("oci:", "names no file or directory"),
        ("oci::x", "names no file or directory"),
        ("oci:a\0b", "NUL"),
        ("dir:", "names no directory"),
        ("lamina:", "names no image"),
        ("containers-storage:/root", "names no image"),
        (f"docker-archive:a:x@{DIGEST}", "by digest"),
    ],
)
def test_what_means_nothing_is_refused(text, reason):
    with pytest.raises((UsageError, InvalidReference), match=reason):
        parse(text)


@given(st.text(max_size=40).map(lambda text: f"docker-archive:{text}") | st.text(max_size=60))
def test_any_text_is_an_end_or_one_sentence(text):
    with contextlib.suppress(UsageError):  # and nothing else is ever raised
        assert parse(text) == parse(text)


@pytest.mark.parametrize("text", ["@", "@-1", "@x", "@1e3", "@" + "9" * 20, "@\N{SUPERSCRIPT TWO}"])
def test_a_number_is_a_number(text):
    with pytest.raises(UsageError, match="no image's number"):
        numbered(text)
    assert numbered("@12") == 12
    assert numbered("x") is None
