"""COPY and ADD over whole builds, rule by rule (34 to 58 of the builder's rules)."""

import os

import pytest

from lamina.errors import LaminaError

FILES = {
    "a.txt": "a",
    "b.txt": "b",
    ".hidden": "h",
    "dir/x.txt": "x",
    "dir/sub/y.txt": "y",
    "dir/sub/z.md": "z",
    "dir[1]/f": "f",
}


@pytest.fixture
def filled(rig):
    """The rig with `FILES` and two links in its context."""
    for name, text in FILES.items():
        path = os.path.join(rig.context, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
    os.symlink("dir", os.path.join(rig.context, "link"))
    os.symlink("a.txt", os.path.join(rig.context, "dir/inner"))
    return rig


def files(rig, text):
    """The files and links of what is built."""
    tree = rig.tree(rig.build(f"FROM scratch\n{text}\n"))
    return {name: what for name, what in tree.items() if what != "/"}


DIR = {"x.txt": "x", "inner": "-> a.txt", "sub/y.txt": "y", "sub/z.md": "z"}


def below(prefix, tree):
    return {f"{prefix}/{name}": what for name, what in tree.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # 38: a directory gives its contents, however it is spelt, also when a glob finds it
        ("COPY dir /d", below("d", DIR)),
        ("COPY dir/ /d", below("d", DIR)),
        ("COPY dir/. /d/", below("d", DIR)),
        ("COPY di? /d", below("d", DIR)),
        # 39: a file goes into a directory that is there
        ("COPY dir /d\nCOPY a.txt /d", {**below("d", DIR), "d/a.txt": "a"}),
        ("COPY a.txt /d", {"d": "a"}),
        ("COPY a.txt /d/", {"d/a.txt": "a"}),
        # 41: nothing climbs out
        ("COPY ../../a.txt /x/", {"x/a.txt": "a"}),
        ("COPY /a.txt /x/", {"x/a.txt": "a"}),
        # 42: Go's globs, component by component
        ("COPY *.txt /x/", {"x/a.txt": "a", "x/b.txt": "b"}),
        ("COPY [^a].txt /x/", {"x/b.txt": "b"}),
        ("COPY dir/*/*.md /x/", {"x/z.md": "z"}),
        ("COPY **/z.md dir/**/*.md /x/", {"x/z.md": "z"}),
        ("COPY dir[[]1]/f /x/", {"x/f": "f"}),
        ("COPY .h* /x/", {"x/.hidden": "h"}),
        ("COPY a.txt none* /x/", {"x/a.txt": "a"}),
        ('COPY ["a.txt", "b.txt", "/x/"]', {"x/a.txt": "a", "x/b.txt": "b"}),
        # 43: a link as source is followed, one inside a directory is kept
        ("COPY link /d", below("d", DIR)),
        ("COPY lin* /d", below("d", DIR)),
        ("COPY dir/inner /d", {}),
        # 53: relative to each source
        ("COPY --exclude=sub dir /d", {"d/x.txt": "x", "d/inner": "-> a.txt"}),
        ("COPY --exclude=**/*.txt --exclude=inner dir /d", {"d/sub/z.md": "z"}),
        ("COPY --exclude=* --exclude=!x.txt dir /d", {"d/x.txt": "x"}),
        # 54: with --parents
        ("COPY --parents dir/sub/y.txt /d", {"d/dir/sub/y.txt": "y"}),
        ("COPY --parents dir/./sub/y.txt /d", {"d/sub/y.txt": "y"}),
        ("COPY --parents ./dir/sub/*.md a.txt /d/", {"d/dir/sub/z.md": "z", "d/a.txt": "a"}),
        ("COPY --parents dir/**/*.txt /d", {"d/dir/x.txt": "x", "d/dir/sub/y.txt": "y"}),
        ("COPY --parents **/y.txt /d", {"d/dir/sub/y.txt": "y"}),
        ("COPY --parents **/**/**/z.md /d", {"d/dir/sub/z.md": "z"}),
        ("COPY --parents dir/./**/*.md /d", {"d/sub/z.md": "z"}),
        ("COPY --parents dir/sub/./ /d", {"d/y.txt": "y", "d/z.md": "z"}),
        ("COPY --parents di?/./sub/z.md /d", {"d/sub/z.md": "z"}),
        ("COPY --parents ./**/*.md dir/**/x.txt /d", {"d/dir/sub/z.md": "z", "d/dir/x.txt": "x"}),
        ("COPY --parents dir/sub/** /d", {"d/dir/sub/y.txt": "y", "d/dir/sub/z.md": "z"}),
        ("COPY --parents none*/x a.txt /d/", {"d/a.txt": "a"}),
        # 58: where the destination is
        ("WORKDIR /w\nCOPY a.txt .", {"w/a.txt": "a"}),
        ("WORKDIR /w\nCOPY a.txt b/", {"w/b/a.txt": "a"}),
        ("WORKDIR /w\nCOPY a.txt $nothing", {"w/a.txt": "a"}),
        # 16, 65: files that stand in the Dockerfile
        ("ENV V=1\nCOPY <<one <<'two' /x/\n$V\none\n$V\ntwo", {"x/one": "1\n", "x/two": "$V\n"}),
    ],
)
def test_what_is_copied(filled, text, expected):
    if expected:
        assert files(filled, text) == expected
    else:
        with pytest.raises(LaminaError, match="has no"):
            files(filled, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # 34: stages by number, name in any case, and below a stage's root (37)
        ("FROM scratch\nCOPY --from=0 /w/f /x/", {"x/f": "1"}),
        ("FROM scratch\nCOPY --from=ONE w/f /x/", {"x/f": "1"}),
        ("FROM scratch\nCOPY --from=one ../w/../w /x/", {"x/f": "1"}),
        ("FROM scratch\nCOPY --from=one --parents w/f /x/", {"x/w/f": "1"}),
        # 35: what nobody needs is not carried out, whatever it is
        ("FROM scratch AS idle\nRUN fail 1\nFROM one", {"w/f": "1"}),
        ("FROM one AS a\nFROM one AS b\nRUN fail 1\nFROM a", {"w/f": "1"}),
    ],
)
def test_stages(rig, text, expected):
    tree = rig.tree(rig.build(f"FROM scratch AS one\nWORKDIR /w\nRUN put /w/f 1\n{text}\n"))
    assert {name: what for name, what in tree.items() if what != "/"} == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # 35, 34
        ("FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nCOPY --from=a / /", "later"),
        ("FROM scratch AS a\nCOPY --from=a / /", "from itself"),
        ("FROM scratch\nCOPY --from=7 / /", "does not exist"),
        ("FROM scratch\nARG X=0\nCOPY --from=$X / /", "not expanded in --from"),
        # 40, 39, 42
        ("FROM scratch\nCOPY a.txt b.txt /x", "one file"),
        ("FROM scratch\nCOPY *.txt /x", "one file"),
        ("FROM scratch\nCOPY a.txt /x\nCOPY dir /x", "not a directory"),
        ("FROM scratch\nCOPY none /x", "has no 'none'"),
        ("FROM scratch\nCOPY none* /x", "matches"),
        ("FROM scratch\nCOPY --parents none/x /d", "has no"),
        # 47
        ("FROM scratch\nCOPY --chown=nobody a.txt /x", "nobody"),
        # 16
        ("FROM scratch\nCOPY a.txt <<X\nX", "destination"),
    ],
)
def test_what_is_refused(filled, text, message):
    with pytest.raises(LaminaError, match=message):
        filled.build(text)
