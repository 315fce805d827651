"""`--secret`: where a secret comes from, and that it is read late, once and bounded."""

import os

import pytest

from lamina.build.secrets import LIMIT, Secret, parse_secret
from lamina.errors import BuildError, PathNotFound, UsageError

ENVIRON = {"TOKEN": "of the environment", "id": "by name"}


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("id=a,src={file}", "a", b"of a file"),
        ("id=a,source={file}", "a", b"of a file"),
        ("src={file}", "file", b"of a file"),
        ("id=a,env=TOKEN", "a", b"of the environment"),
        ("type=env,id=TOKEN", "TOKEN", b"of the environment"),
        ("id=TOKEN", "TOKEN", b"of the environment"),
        ("id={file},type=file", "{file}", b"of a file"),
    ],
)
def test_where_it_comes_from(tmp_path, text, name, value):
    file = tmp_path / "file"
    file.write_bytes(b"of a file")
    found, secret = parse_secret(text.format(file=file), ENVIRON)
    assert found == name.format(file=file)
    assert secret.read(found) == value
    assert value.decode() not in repr(secret)


@pytest.mark.parametrize("text", ["", "id", "id=a,src=b,env=c", "name=a", "type=magic,id=a"])
def test_what_names_no_secret(text):
    with pytest.raises(UsageError):
        parse_secret(text, {})


def test_a_variable_that_is_not_set():
    with pytest.raises(UsageError, match=r"\$NONE, and that is not set"):
        parse_secret("id=a,env=NONE", {})


def test_a_file_that_is_missing_is_told_at_once(tmp_path):
    """Not only when a command asks for it: a build whose steps are all done passed it over."""
    with pytest.raises(PathNotFound, match=r"the secret 'a' is to come from .*none, and that is"):
        parse_secret(f"id=a,src={tmp_path}/none", {})


def test_a_pipe_is_read_once():
    reader, writer = os.pipe()
    os.write(writer, b"word")
    os.close(writer)
    secret = Secret.from_file(f"/proc/self/fd/{reader}")
    assert (secret.read("a"), secret.read("a")) == (b"word", b"word")
    os.close(reader)


def test_what_is_missing_or_too_large(tmp_path):
    secret = Secret.from_file(str(tmp_path / "none"))
    with pytest.raises(PathNotFound, match="the secret 'a' is to come from"):
        secret.read("a")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(LIMIT + 1)
    with pytest.raises(BuildError, match="is larger than"):
        Secret.from_file(str(tmp_path / "large")).read("a")
    with pytest.raises(UsageError):
        Secret.of(bytes(LIMIT + 1))
