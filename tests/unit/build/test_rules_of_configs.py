"""The configs that whole builds give, rule by rule (66 to 88 of the builder's rules)."""

import pytest

from lamina.build.state import DEFAULT_PATH
from lamina.errors import DockerfileError

BASE = """FROM scratch
RUN put /base x
ENV A=1 B=2
EXPOSE 80
VOLUME /data
LABEL one=1 two=2
USER 7:8
WORKDIR /w
CMD ["inherited"]
ONBUILD ENV TRIGGERED=yes
ONBUILD COPY --from=helper /h /h
"""
CHILD = "FROM scratch AS helper\nRUN put /h h\nFROM base\n{0}\n"


@pytest.fixture
def based(rig):
    """The rig with the image `base`, whose triggers need a stage of the child's file."""
    rig.build(BASE, tags=("base",))
    return rig


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        # 77: merged with the base's; Env in the order of first sight
        ("ENV B=3 C=4", "Env", [f"PATH={DEFAULT_PATH}", "A=1", "B=3", "TRIGGERED=yes", "C=4"]),
        ("EXPOSE 53/UDP 8000-8001", "ExposedPorts", ["53/udp", "80/tcp", "8000/tcp", "8001/tcp"]),
        ("EXPOSE 127.0.0.1:90:91/sctp", "ExposedPorts", ["80/tcp", "91/sctp"]),
        ('VOLUME ["/x", " /y/ "]', "Volumes", ["/data", "/x", "/y/"]),
        ("LABEL two=3", "Labels", {"one": "1", "two": "3"}),
        # 66, 67, 70, 72, 75
        ("WORKDIR sub", "WorkingDir", "/w/sub"),
        ("WORKDIR /x/\nWORKDIR y z", "WorkingDir", "/x/y z"),
        ("USER 9", "User", "9"),
        ("LABEL x=y", "User", "7:8"),
        ("CMD a b", "Cmd", ["/bin/sh", "-c", "a b"]),
        ('SHELL ["/bin/ash", "-e"]\nCMD a', "Cmd", ["/bin/ash", "-e", "a"]),
        ('CMD ["x"]', "Cmd", ["x"]),
        ("CMD ['x']", "Cmd", ["/bin/sh", "-c", "['x']"]),
        # 71
        ('ENTRYPOINT ["e"]', "Cmd", None),
        ('CMD ["own"]\nENTRYPOINT ["e"]', "Cmd", ["own"]),
        ("HEALTHCHECK CMD ok", "Healthcheck", {"Test": ["CMD-SHELL", "ok"]}),
        ("HEALTHCHECK NONE", "Healthcheck", {"Test": ["NONE"]}),
        ("ARG S=9\nSTOPSIGNAL $S", "StopSignal", "9"),
        # 74: what triggers is gone in the child
        ("ENV C=1", "OnBuild", None),
        ("ONBUILD RUN x", "OnBuild", ["RUN x"]),
    ],
)
def test_fields(based, text, field, expected):
    found = based.build(CHILD.format(text)).document["config"].get(field)
    is_set = isinstance(found, dict) and isinstance(expected, list)
    assert (sorted(found) if is_set else found) == expected


def test_a_trigger_is_carried_out_with_the_childs_stages(based):
    """74: in the child, and not in the grandchild."""
    child = based.build(CHILD.format("LABEL x=y"), tags=("child",))
    assert based.tree(child)["h"] == "h"
    count = based.runner.count
    grandchild = based.build("FROM child\nRUN show TRIGGERED\n")
    assert based.output() == "TRIGGERED=yes\n"
    assert based.runner.count == count + 1
    assert len(grandchild.diff_ids) == len(child.diff_ids)


@pytest.mark.parametrize("word", ["FROM x", "MAINTAINER x", "ONBUILD RUN x"])
def test_what_no_trigger_may_be(rig, word):
    """74."""
    with pytest.raises(DockerfileError, match="ONBUILD"):
        rig.build(f"FROM scratch\nONBUILD {word}\n")


def test_history(based):
    """82, 83, 74: as BuildKit tells it, and as many full lines as there are layers."""
    config = based.build(
        CHILD.format(
            "ARG X=1\nARG Y\nRUN put /x 1\nRUN nothing\nCOPY <<f /f\nbody\nf\nWORKDIR /new\n"
            "WORKDIR /\nUSER u\nEXPOSE 9 8\nONBUILD RUN x\nVOLUME /v\nENV a=b"
        )
    )
    lines = [(line.created_by, line.empty_layer) for line in config.history]
    assert lines[-13:] == [
        ("ENV TRIGGERED=yes", True),
        ("COPY /h /h # buildkit", False),
        ("ARG X=1", True),
        ("ARG Y", True),
        ("RUN |1 X=1 /bin/sh -c put /x 1 # buildkit", False),
        ("RUN |1 X=1 /bin/sh -c nothing # buildkit", True),
        ("COPY <<f /f # buildkit", False),
        ("WORKDIR /new", False),
        ("WORKDIR /", True),
        ("USER u", True),
        ("EXPOSE [8/tcp 9/tcp]", True),
        ("VOLUME [/v]", True),
        ("ENV a=b", True),
    ]
    assert [empty for _, empty in lines].count(False) == len(config.diff_ids)


def test_what_is_written_to_a_volume_stays(rig):
    """73."""
    config = rig.build("FROM scratch\nWORKDIR /v\nVOLUME /v\nRUN put /v/x 1\n")
    assert rig.tree(config) == {"v": "/", "v/x": "1"}


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        # 66, 83
        ("WORKDIR /", 0),
        ("WORKDIR /a/b/c", 1),
        ("WORKDIR /a\nWORKDIR /a\nWORKDIR ../a/", 1),
        ("ENV a=b\nLABEL c=d\nCMD x", 0),
    ],
)
def test_how_many_layers(rig, text, layers):
    assert len(rig.build(f"FROM scratch\n{text}\n").diff_ids) == layers


def test_labels_of_the_command_line_come_last(rig):
    """75."""
    config = rig.build("FROM scratch\nLABEL a=1 b=2\n", labels={"b": "9", "c": "3"})
    assert config.document["config"]["Labels"] == {"a": "1", "b": "9", "c": "3"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM --platform=linux/arm/v7 scratch", ("linux", "arm", "v7")),
        (
            "FROM --platform=windows/amd64 scratch AS w\nFROM --platform=linux/s390x scratch",
            ("linux", "s390x", ""),
        ),
        ("FROM --platform=linux/s390x scratch AS w\nFROM w", ("linux", "s390x", "")),
    ],
)
def test_the_platform_is_that_of_the_last_stage(rig, text, expected):
    """88."""
    config = rig.build(text + "\n")
    assert (config.os, config.architecture, config.variant) == expected
