"""What a target's build can be told, as BuildKit tells it of the same Dockerfiles."""

import pytest

from lamina.build.outline import outline
from lamina.build.plan import make_plan
from lamina.dockerfile import parse
from lamina.errors import DockerfileError

PLATFORM = {"TARGETARCH": "amd64", "BUILDPLATFORM": "linux/amd64"}


def told(text, target=None, images=(), triggers=(), **build_args):
    """The outline; `images` are environments by name, `triggers` what every base brings."""
    written = parse(text)
    plan = make_plan(
        written,
        triggers=lambda _name, _platform: triggers,
        platform=PLATFORM,
        build_args=build_args,
        target=target,
    )
    known = dict(images)
    return outline(text, written, plan, build_args=build_args, environments=known.get)


def arguments(found):
    return [(each.name, each.value, each.description) for each in found.arguments]


def lines(each):
    return each.position.first, each.position.last


REACHED = """\
ARG inherited=box
ARG inherited2=box2
ARG unused=abc${inherited2}
# sfx is a suffix
ARG sfx="usy${inherited}"

FROM b${sfx} AS first
# this is not assigned to anything
ARG FOO=123
# BAR is a number
ARG BAR=456

FROM alpine${unused} AS second
ARG BAZ

FROM scratch AS third
ARG ABC=a
# alternate_password will show up
# check=skip=all
ARG alternate_password

# target defines what is built
FROM third AS target
COPY --from=first /etc/passwd /

FROM second
"""


def test_arguments_of_all_that_a_target_needs():
    found = told(REACHED, "target", BAR="678")
    assert (found.name, found.description) == ("target", "defines what is built")
    assert arguments(found) == [
        ("inherited", "box", ""),
        ("sfx", "usybox", "is a suffix"),
        ("FOO", "123", ""),
        ("BAR", "678", "is a number"),
        ("ABC", "a", ""),
        ("alternate_password", "", "will show up"),
    ]
    assert [lines(each)[0] for each in found.arguments] == [1, 5, 9, 11, 17, 20]
    assert found.text == REACHED
    last = told(REACHED)
    assert (last.name, last.description) == ("", "")
    assert [each.name for each in last.arguments] == ["inherited2", "unused", "BAZ"]


def test_a_value_that_is_given_needs_no_other_argument():
    found = told(REACHED, "first", sfx="sfx")
    assert arguments(found)[0] == ("sfx", "sfx", "is a suffix")
    assert "inherited" not in [each.name for each in found.arguments]


def test_arguments_that_are_declared_again_and_again():
    text = (
        "ARG FOO=123\nARG ABC=abc\nARG DEF=def\nARG FOO=${FOO}${ABC}\nARG BAR=${FOO}456\n"
        "ARG FOO=${FOO}456${BAR}\nFROM scratch\nARG FOO\nARG INFOO=123\nARG INBAR=${INFOO}456\n"
        "ARG INFOO=${INFOO}456${INBAR}\n"
    )
    assert [each[:2] for each in arguments(told(text))] == [
        ("ABC", "abc"),
        ("BAR", "123abc456"),
        ("FOO", "123abc456123abc456"),
        ("INBAR", "123456"),
        ("INFOO", "123456123456"),
    ]


def test_a_global_argument_that_a_stage_declares():
    text = "# A of all\nARG A=1\nARG B=2\nFROM scratch AS x\n# A of x\nARG A\nFROM x\nARG B=3\n"
    assert arguments(told(text)) == [("A", "1", "of all"), ("B", "3", "")]
    assert arguments(told(text, "x")) == [("A", "1", "of all")]
    assert arguments(told(text, "x", A="own")) == [("A", "own", "of x")]


def test_automatic_arguments_are_nobodys_to_give():
    text = "FROM --platform=$BUILDPLATFORM scratch\nARG TARGETARCH TARGETVARIANT=v1\n"
    assert arguments(told(text)) == [("TARGETVARIANT", "v1", "")]


def test_values_made_of_what_is_set_before():
    text = "FROM base\nENV b=$a d='x y'\nARG c=$b-${d}-$none\nFROM scratch\n"
    stage = told(text, "0", images={"base": {"a": "1"}})
    assert arguments(stage) == [("c", "1-x y-", "")]
    assert arguments(told(text, "0")) == [("c", "-x y-", "")]
    below = told("FROM scratch AS a\nENV x=1\nARG y=2\nFROM a\nARG z=$x$y\n")
    assert arguments(below)[-1] == ("z", "12", "")


SECRETS = """\
FROM base AS first
RUN --mount=type=secret,target=/etc/passwd,required=true --mount=type=ssh true
FROM base AS second
RUN --mount=type=secret,id=unused --mount=type=ssh,id=ssh2 true
FROM scratch AS third
ARG BAR
RUN --mount=type=secret,id=second${BAR} true
FROM third AS target
RUN --mount=type=bind,from=first,target=/x \\
  --mount=type=ssh,id=ssh3,required --mount=type=secret,id=passwd true
FROM second
"""


def test_secrets_and_agents_of_all_that_a_target_needs():
    found = told(SECRETS, "target", BAR="678")
    assert [(each.name, each.is_required, lines(each)) for each in found.secrets] == [
        ("second678", False, (7, 7)),
        ("passwd", False, (9, 10)),  # as the target itself asks for it
    ]
    assert [(each.name, each.is_required) for each in found.agents] == [
        ("default", False),
        ("ssh3", True),
    ]
    with pytest.raises(DockerfileError, match="unexpected key 'idd'"):
        told("FROM scratch\nRUN --mount=type=secret,idd=x true\n")


def test_what_a_trigger_declares_stands_nowhere():
    triggers = ("ARG T=$U", "RUN --mount=type=secret,id=s true", "ENV U=1")
    found = told("# T of none\nFROM base\n", triggers=triggers, images={"base": {"U": "0"}})
    assert found.arguments == (("T", "0", "", None),)
    assert found.secrets == (("s", False, None),)
