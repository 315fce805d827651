"""Which texts are addresses of repositories, and what they ask for."""

import pytest

from lamina.dockerfile.giturl import Git, parse
from lamina.errors import DockerfileError

HERE = "https://h/a.git"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HERE, Git(HERE, "", "", "", True, False)),
        (f"{HERE}#v1", Git(HERE, "v1", "", "", True, False)),
        (f"{HERE}#v1:sub/dir", Git(HERE, "v1", "", "sub/dir", True, False)),
        (f"{HERE}#:sub", Git(HERE, "", "", "sub", True, False)),
        (f"{HERE}?branch=x&subdir=s", Git(HERE, "x", "", "s", True, False)),
        (f"{HERE}?tag=x&submodules=false", Git(HERE, "x", "", "", False, False)),
        (f"{HERE}?keep-git-dir=true", Git(HERE, "", "", "", True, True)),
        (f"{HERE}?ref=x&commit=abcdef0", Git(HERE, "x", "abcdef0", "", True, False)),
        (f"{HERE}?commit={'a' * 40}", Git(HERE, "a" * 40, "a" * 40, "", True, False)),
        ("git@h:a/b", Git("git@h:a/b", "", "", "", True, False)),
        ("ssh://git@h/a", Git("ssh://git@h/a", "", "", "", True, False)),
        ("git://h/a#x", Git("git://h/a", "x", "", "", True, False)),
    ],
)
def test_addresses(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text", ["a", "https://h/a", "https://h/a.git/b", "/x.git", "-o@h:x", "file:///x.git"]
)
def test_other_texts(text):
    assert parse(text) is None


@pytest.mark.parametrize(
    "text",
    [f"{HERE}?what=x", f"{HERE}?branch=a&tag=b", f"{HERE}?ref=a#b", f"{HERE}#--upload-pack=x",
     f"{HERE}?commit=zz"],
)  # fmt: skip
def test_what_is_refused(text):
    with pytest.raises(DockerfileError):
        parse(text)
