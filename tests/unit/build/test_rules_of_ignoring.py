"""What an ignore file hides from whole builds, rule by rule (59 to 65 of the builder's rules)."""

import os

import pytest

from lamina.errors import DockerfileError

FILES = ("a.txt", "b.md", "docs/README.md", "docs/x.txt", "docs/deep/y.txt", "src/a.txt", "x y")


@pytest.fixture
def filled(rig):
    for name in FILES:
        path = os.path.join(rig.context, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write("x")
    return rig


def seen(rig, ignore, line="COPY . /", name=".dockerignore"):
    with open(os.path.join(rig.context, name), "wb") as file:
        file.write(ignore)
    tree = rig.tree(rig.build(f"FROM scratch\n{line}\n"))
    return {name for name, what in tree.items() if what != "/"} - {".dockerignore"}


@pytest.mark.parametrize(
    ("ignore", "gone"),
    [
        # 60: the lines
        (b"\xef\xbb\xbfa.txt\n", {"a.txt"}),
        (b"#a.txt\n", set()),
        (b" #a.txt\n", set()),
        (b"  a.txt  \r\n", {"a.txt"}),
        (b"/a.txt\n", {"a.txt"}),
        (b"./docs/../a.txt/\n", {"a.txt"}),
        (b"*.txt\n! a.txt\n", set()),
        (b"x y\n", {"x y"}),
        # 61: the last one counts, parents count, and files come back from what is hidden
        (b"docs\n", {"docs/README.md", "docs/x.txt", "docs/deep/y.txt"}),
        (b"docs\n!docs/README.md\n", {"docs/x.txt", "docs/deep/y.txt"}),
        (b"docs\n!docs/README.md\ndocs\n", {"docs/README.md", "docs/x.txt", "docs/deep/y.txt"}),
        (b"docs\n!docs/deep\n", {"docs/README.md", "docs/x.txt"}),
        (b"*\n!src\n", set(FILES) - {"src/a.txt"}),
        # 62: the patterns
        (b"*.txt\n", {"a.txt"}),
        (b"**/*.txt\n", {"a.txt", "docs/x.txt", "docs/deep/y.txt", "src/a.txt"}),
        (b"**/a.txt\n", {"a.txt", "src/a.txt"}),
        (b"docs/**\n", {"docs/README.md", "docs/x.txt", "docs/deep/y.txt"}),
        (b"docs/*.txt\n", {"docs/x.txt"}),
        (b"docs/**/y.txt\n", {"docs/deep/y.txt"}),
        (b"docs/?.txt\n", {"docs/x.txt"}),
        (b"[^a].*\n", {"b.md"}),
        (b"[a-b].*\n", {"a.txt", "b.md"}),
        (b"\\a.txt\n", {"a.txt"}),
        (b".\n", set()),
        (b"/\n", set()),
        (b"", set()),
        (b"\n\n", set()),
        (b"A.TXT\n", set()),
    ],
)
def test_what_is_hidden(filled, ignore, gone):
    assert seen(filled, ignore) == set(FILES) - gone


@pytest.mark.parametrize("ignore", [b"**\n", b"**/*\n", b"*\n"])
def test_all_may_be_hidden_and_heredocs_never_are(filled, ignore):
    """63, 65: the Dockerfile itself is read, whatever is said."""
    filled.write(Dockerfile="FROM scratch\n")
    line = "WORKDIR /w\nCOPY <<a.txt ./\nhere\na.txt"
    assert seen(filled, ignore, line) == {"w/a.txt"}


@pytest.mark.parametrize("ignore", [b"a\n[\n", b"a\n!\n", b"a\nb\\\n"])
def test_a_bad_pattern_is_the_same_clear_error_each_time(filled, ignore):
    """64, 60."""
    for _ in range(2):
        with pytest.raises(DockerfileError) as caught:
            seen(filled, ignore)
        assert (caught.value.file, caught.value.line) == (".dockerignore", 2)


def test_the_file_beside_the_dockerfile_is_the_only_one(filled):
    """59: they never add up."""
    with open(os.path.join(filled.context, "other"), "w") as file:
        file.write("FROM scratch\nCOPY . /\n")
    with open(os.path.join(filled.context, "other.dockerignore"), "w") as file:
        file.write("other*\n.dockerignore\na.txt\n")
    with open(os.path.join(filled.context, ".dockerignore"), "w") as file:
        file.write("b.md\n")
    from lamina.build import BuildRequest

    request = BuildRequest(context=filled.context, dockerfile=f"{filled.context}/other")
    tree = filled.tree(filled.builder.build(request).config)
    assert {name for name, what in tree.items() if what != "/"} == set(FILES) - {"a.txt"}
