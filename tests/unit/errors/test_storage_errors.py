"""Sentences made of the kernel's errors."""

import os

import pytest

from lamina.errors import from_oserror


@pytest.mark.parametrize(
    ("filename", "sentence"),
    [
        (None, "reading it: Too many open files"),
        ("a", "reading it: a: Too many open files"),
        (b"\xffa", "reading it: \udcffa: Too many open files"),
    ],
)
def test_what_it_is_about(filename, sentence):
    error = OSError(24, os.strerror(24), *([filename] if filename else []))
    assert from_oserror(error, "reading it:").brief == sentence


def test_what_the_caller_says_it_is_about_counts():
    error = PermissionError(13, os.strerror(13), "/proc/self/fd/3")
    assert from_oserror(error, "reading", "b").brief == "reading b: Permission denied"
