"""`build --call`: what a Dockerfile tells, as a table or in BuildKit's documents."""

import base64
import json

import pytest

from tests.cli.rig import assert_complaint, nothing_left

TEXT = """\
# VERSION of the compiler
ARG VERSION=2
FROM base:${VERSION} AS tools
RUN --mount=type=secret,id=key,required --mount=type=ssh true
# final is what is shipped
# check=skip=all
FROM scratch AS Final
# MODE of the build
# \x1b[31mred
ARG MODE
COPY --from=tools /a /a
"""
OUTLINE = """\
TARGET:      final
DESCRIPTION: is what is shipped

BUILD ARG   VALUE   DESCRIPTION
VERSION     2       of the compiler
MODE                of the build

SECRET   REQUIRED
key      true

SSH       REQUIRED
default

"""


@pytest.fixture
def made(lamina):
    """A store that is empty and stays so: neither base nor secret is needed to tell."""
    lamina.driver = "vfs"
    lamina.write("Dockerfile", TEXT)
    lamina.ok("images")
    with nothing_left(lamina):
        yield lamina


def told(made, call, *words):
    return json.loads(made.ok("build", f"--call={call},format=json", *words, made.folder))


def on_lines(first, last=None):
    numbers = range(first, (last or first) + 1)
    return {"ranges": [{"start": {"line": each}, "end": {"line": each}} for each in numbers]}


def test_an_outline(made):
    assert made.ok("build", "--call=outline", made.folder) == OUTLINE
    assert made.ok("build", "--call", "outline", "-", stdin=TEXT.encode()) == OUTLINE
    one = made.ok("build", "--call=outline", "--target=tools", "--build-arg=VERSION=3", made.folder)
    assert one.startswith("TARGET: tools\n\nBUILD ARG   VALUE   DESCRIPTION\nVERSION     3 ")
    made.write("Dockerfile", "FROM scratch\n")
    assert made.ok("build", "--call=outline", made.folder) == ""


def test_an_outline_as_a_document(made):
    document = told(made, "outline")
    assert base64.b64decode(document.pop("sources")[0]).decode() == TEXT
    assert document == {
        "name": "final",
        "description": "is what is shipped",
        "args": [
            {
                "name": "VERSION",
                "value": "2",
                "description": "of the compiler",
                "location": on_lines(2),
            },
            {"name": "MODE", "description": "of the build", "location": on_lines(10)},
        ],
        "secrets": [{"name": "key", "required": True, "location": on_lines(4)}],
        "ssh": [{"name": "default", "location": on_lines(4)}],
    }


def test_stages(made):
    assert made.ok("build", "--call=targets", made.folder) == (
        "TARGET           DESCRIPTION\ntools\nfinal (default)  is what is shipped\n"
    )
    made.write("Dockerfile", f"{TEXT}FROM \\\n  --platform=$P \\\n  final\n")
    assert made.ok("build", "--call=targets", made.folder).endswith("\n(default)\n")
    document = told(made, "targets")
    assert base64.b64decode(document["sources"][0]).decode().startswith(TEXT)
    assert document["targets"] == [
        {"name": "tools", "base": "base:${VERSION}", "location": on_lines(3)},
        {
            "name": "final",
            "description": "is what is shipped",
            "base": "scratch",
            "location": on_lines(7),
        },
        {"default": True, "base": "final", "platform": "$P", "location": on_lines(12, 14)},
    ]


def test_checks(made):
    for word in ("check", "lint"):
        said = made("build", f"--call={word}", made.folder)
        assert (said.code, "StageNameCasing" in said.out) == (0, False)
    made.write("Dockerfile", "FROM scratch AS One\nCMD x\n")
    said = made("build", "--call=check,format=json", made.folder)
    document = json.loads(said.out)
    assert (said.code, said.err) == (1, "")
    assert document["warnings"] == [
        {
            "ruleName": "StageNameCasing",
            "url": "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/",
            "detail": "Stage name 'One' should be lowercase",
            "location": on_lines(1),
        },
        {
            "ruleName": "JSONArgsRecommended",
            "url": "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/",
            "detail": "JSON arguments recommended for CMD to prevent unintended behavior related"
            " to OS signals",
            "location": on_lines(2),
        },
    ]
    (source,) = document["sources"]
    assert (source["filename"], source["language"]) == ("Dockerfile", "Dockerfile")
    assert base64.b64decode(source["data"]) == b"FROM scratch AS One\nCMD x\n"
    assert made("build", "--call=check,ignorestatus=true", made.folder).code == 0
    made.write("Dockerfile", "FROM scratch\nBADCMD\n")
    said = made("build", "--call=check,format=json", made.folder)
    assert json.loads(said.out)["buildError"] == {
        "message": "unknown instruction: BADCMD",
        "location": on_lines(2),
    }
    assert_complaint(said, "unknown instruction: BADCMD")


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        ("outlines", "--call 'outlines' is not known; it is build, check, outline, targets"),
        ("outline,format=yaml", "there is no format 'yaml'"),
        ("outline,pretty", "has an unknown field"),
    ],
)
def test_calls_that_there_are_not(made, call, wanted):
    assert_complaint(made("build", f"--call={call}", made.folder), wanted)
    assert_complaint(made("build", "--call=outline", "--target=x", made.folder), "no stage 'x'")
