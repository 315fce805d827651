"""Ignore files and globs: builder rules 60 to 64; against a matcher too simple to be wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.dockerfile.glob import has_magic, match
from lamina.dockerfile.ignore import IgnoreFile
from lamina.errors import DockerfileError


@pytest.mark.parametrize(
    ("text", "gone", "there"),
    [
        ("a", ["a", "a/b", "a/b/c"], ["ab", "b/a"]),  # 62: without a slash, at the root only
        ("/a/b/", ["a/b", "a/b/c"], ["a", "b"]),  # 60
        ("./a/../b", ["b"], ["a"]),
        ("*.log", ["x.log", ".log", "x.log/y"], ["a/x.log"]),
        ("a/*", ["a/b", "a/b/c"], ["a"]),
        ("**/x", ["x", "a/x", "a/b/x", "a/x/c"], ["xa", "a/ax"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "ab"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a", "a/xb"]),
        ("**", ["a", "a/b"], []),
        ("**x", ["x", "ax", "b/ax"], ["a"]),
        ("?", ["a", "é"], ["ab"]),
        ("[a-c]x", ["ax"], ["dx"]),
        ("[^a-c]x", ["dx"], ["ax", "/x"]),
        ("a\\*b", ["a*b"], ["axb"]),
        ("\\!a", ["!a"], ["a"]),
        ("a\n!a/b", ["a", "a/c"], ["a/b", "a/b/c"]),  # 61
        ("!a\na", ["a"], []),
        ("*\n!*.md\nREADME.md", ["x", "README.md"], ["a.md"]),
        ("a\n! /a/b ", ["a/c"], ["a/b"]),
        ("# a\n #b\n\n", ["#b"], ["a", "# a"]),  # 60: # in the first column alone
        ("\ufeffa\r\nb\r\n", ["a", "b"], ["c"]),
        (".", [], ["a", "."]),
        ("/", [], ["a"]),
        ("..", [], ["a"]),
        ("a.b", ["a.b"], ["axb"]),
        ("a(b)+{1}$^|", ["a(b)+{1}$^|"], ["ab"]),
        ("a\nb", ["a", "b"], ["a\nb/c"]),
    ],
)
def test_what_is_not_there(text, gone, there):
    ignore = IgnoreFile.parse(text)
    assert {path: ignore.excludes(path) for path in (*gone, *there)} == {
        **dict.fromkeys(gone, True),
        **dict.fromkeys(there, False),
    }


@pytest.mark.parametrize(
    ("text", "folder", "walked"),
    [
        ("a\n!a/b", "a", True),
        ("a\n!a/b/c", "a/b", True),
        ("a\n!a/b", "a/c", False),
        ("a\n!a/*/c", "a/b", True),
        ("a\nb\n!b/x", "a", False),
        ("a\n!**/x", "a/b/c", True),
        ("a\n!b/**/x", "a", False),
        ("*\n!a**/x", "b", True),
        ("a\n!x[a/b]y", "a", False),
        ("a", "a", False),
    ],
)
def test_where_an_excluded_directory_must_be_walked(text, folder, walked):
    """61."""
    assert IgnoreFile.parse(text).may_bring_back_below(folder) == walked


@pytest.mark.parametrize(
    "pattern", ["!", "! ", "[", "a[", "[]", "[]a]", "[-a]", "[a-]", "[b-a]", "a\\", "[\\"]
)
def test_a_bad_pattern_is_one_clear_error(pattern):
    """64."""
    for _ in range(2):
        with pytest.raises(DockerfileError) as caught:
            IgnoreFile.parse(f"a\n{pattern}\nb", "x/.dockerignore")
        assert (caught.value.file, caught.value.line) == ("x/.dockerignore", 2)
        assert pattern.strip() in caught.value.excerpt


def test_a_huge_ignore_file_is_refused():
    with pytest.raises(DockerfileError, match="larger than 1 MiB"):
        IgnoreFile.parse("a" * ((1 << 20) + 1))


def test_many_stars_take_no_time():
    """What would take a backtracking matcher longer than any test may."""
    assert not match("*a" * 40 + "*b", "a" * 4000)
    assert not IgnoreFile.of(["*a" * 40 + "*b"]).excludes("a" * 4000)
    assert match("*a" * 40 + "*b", "a" * 4000 + "b")


@pytest.mark.parametrize(
    ("pattern", "magic"),
    [("a.b", False), ("a*", True), ("a?", True), ("[a]", True), ("a\\b", True)],
)
def test_magic(pattern, magic):
    assert has_magic(pattern) == magic


def test_a_name_may_hold_anything():
    assert match("*", "a\nb")
    assert match("a[^b]c", "a\nc")
    assert match("?", "\udcff")
    assert not match("*", "a/b")


# --- against the simple matcher ---------------------------------------------------------


def fits_name(pattern, name):
    """One component, by trying everything."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(fits_name(pattern[1:], name[at:]) for at in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and fits_name(pattern[1:], name[1:])


def fits(patterns, names):
    """Whole paths as lists of components, by trying everything."""
    if not patterns:
        return not names
    if patterns[0] == "**":
        if len(patterns) == 1:
            return bool(names)
        return any(fits(patterns[1:], names[at:]) for at in range(len(names) + 1))
    return bool(names) and fits_name(patterns[0], names[0]) and fits(patterns[1:], names[1:])


def excluded(lines, names):
    """The last of all lines that fits the path or a parent decides."""
    found = False
    for brings_back, patterns in lines:
        if any(fits(patterns, names[:end]) for end in range(1, len(names) + 1)):
            found = not brings_back
    return found


component = st.one_of(
    st.just("**"), st.text("ab*?", min_size=1, max_size=4).filter(lambda t: "**" not in t)
)
line = st.tuples(st.booleans(), st.lists(component, min_size=1, max_size=4))
path = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=4)


def written(lines):
    return "\n".join("!" * brings_back + "/".join(patterns) for brings_back, patterns in lines)


@given(st.lists(line, max_size=5), path)
def test_the_last_line_that_fits_decides(lines, names):
    assert IgnoreFile.parse(written(lines)).excludes("/".join(names)) == excluded(lines, names)


@settings(max_examples=200)
@given(st.lists(line, max_size=5), path, path)
def test_no_file_is_missed_below_an_excluded_directory(lines, folder, below):
    """Wherever something is brought back, the directories that lead to it are walked."""
    ignore = IgnoreFile.parse(written(lines))
    if not ignore.excludes("/".join([*folder, *below])) and ignore.excludes("/".join(folder)):
        assert ignore.may_bring_back_below("/".join(folder))


@given(component.filter(lambda text: text != "**"), st.text("ab/", max_size=6))
def test_a_glob_fits_one_component(pattern, name):
    assert match(pattern, name) == ("/" not in name and fits_name(pattern, name))


@given(st.text("ab*?[]^-\\/!", max_size=12), st.text("ab/", min_size=1, max_size=6))
def test_any_pattern_matches_or_is_refused(pattern, name):
    for act in (lambda: match(pattern, name), lambda: IgnoreFile.of([pattern]).excludes(name)):
        try:
            assert act() in (True, False)
        except DockerfileError as error:
            brief = error.brief
            assert "syntax error" in brief or "illegal" in brief
