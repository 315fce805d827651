"""Platforms as containerd reads and writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.errors import UsageError
from lamina.values.platform import Platform

HOST = Platform("linux", "amd64")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("linux/amd64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("Linux/X86-64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("i386", "linux/386"),
        ("arm64", "linux/arm64"),
        ("aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64/v8"),
        ("linux/arm64/9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm"),
        ("linux/armel", "linux/arm/v6"),
        ("armhf", "linux/arm"),
        ("linux", "linux/amd64"),
        ("windows", "windows/amd64"),
        ("macos/arm64", "darwin/arm64"),
        ("linux/riscv64", "linux/riscv64"),
        ("linux/unheard-of", "linux/unheard-of"),
    ],
)
def test_what_a_text_means(text, found):
    assert str(Platform.parse(text, host=HOST)) == found


def test_the_host_fills_in_what_is_missing():
    host = Platform("linux", "arm", "v6")
    assert Platform.parse("linux", host=host) == host
    assert Platform.parse("s390x", host=Platform("zos", "s390x")) == ("zos", "s390x", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "linux/",
        "/amd64",
        "a/b/c/d",
        "unheard-of",
        "linux/*",
        "linux/a b",
        "é/x",
        "linux\n",
    ],
)
def test_what_is_no_platform(text):
    with pytest.raises(UsageError, match="is no platform"):
        Platform.parse(text, host=HOST)


@pytest.mark.parametrize(
    ("machine", "platform"),
    [
        ("x86_64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("armv7l", "linux/arm/v7"),
        ("i686", "linux/386"),
        ("loongarch64", "linux/loong64"),
        ("ppc64le", "linux/ppc64le"),
    ],
)
def test_what_uname_says(machine, platform):
    assert str(Platform.of_machine(machine)) == platform


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm", "linux/arm/v7", True),
        ("linux/amd64", "amd64", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/amd64", "windows/amd64", False),
    ],
)
def test_equal_platforms_match(one, other, same):
    first, second = Platform.parse(one, host=HOST), Platform.parse(other, host=HOST)
    assert first.matches(second) == second.matches(first) == same


@given(st.text("linuxarmdv678/ ", max_size=14) | st.sampled_from(["arm", "arm64", "arm/v8"]))
def test_any_text_is_a_platform_or_refused(text):
    try:
        found = Platform.parse(text, host=HOST)
    except UsageError:
        return
    assert Platform.parse(str(found), host=HOST) == found
    assert found.normalised().normalised() == found.normalised()
