"""--chmod: octal, and symbolic as chmod(1) without a umask."""

import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.dockerfile.chmod import Symbolic, applied, parse
from lamina.errors import DockerfileError


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("755", 0o600, 0o755),
        ("07777", 0o600, 0o7777),
        ("0", 0o600, 0),
        ("+x", 0o600, 0o711),
        ("a-w", 0o777, 0o555),
        ("u=rwX,go=rX", 0o600, 0o644),
        ("u=rwX,go=rX", 0o700, 0o755),
        ("go=u", 0o640, 0o666),
        ("u+s,o+t", 0o755, 0o5755),
        ("u=,g+w-r", 0o755, 0o035),
    ],
)
def test_files(text, before, after):
    assert applied(parse(text), before, is_directory=False) == after


def test_a_capital_x_is_for_directories_and_programs():
    wish = parse("u=rwX,go=rX")
    assert applied(wish, 0o600, is_directory=True) == 0o755
    assert applied(None, 0o600, is_directory=True) == 0o600


@pytest.mark.parametrize(
    "text", ["", "8", "10000", "17777", "x", "u", "u+q", "u+x,", "u=rw go=r", "u=gr"]
)
def test_what_is_no_mode(text):
    with pytest.raises(DockerfileError, match="--chmod="):
        parse(text)


CLAUSES = st.from_regex(r"[ugoa]{1,3}([-+=]([rwxXst]{0,4}|[ugo])){1,2}", fullmatch=True)


@given(st.lists(CLAUSES, min_size=1, max_size=3), st.integers(0, 0o7777), st.booleans())
def test_as_chmod_does(tmp_path_factory, clauses, before, is_directory):
    path = tmp_path_factory.mktemp("one") / "x"
    path.mkdir() if is_directory else path.touch()
    path.chmod(before)
    text = ",".join(clauses)
    wish = parse(text)
    assert isinstance(wish, Symbolic)
    subprocess.run(["chmod", text, path], check=True)
    assert applied(wish, before, is_directory=is_directory) == os.stat(path).st_mode & 0o7777
