"""Arguments and variables over whole builds, rule by rule (27 to 33 of the builder's rules)."""

import pytest

from lamina.errors import DockerfileError

SHOW = "\nRUN show X"


@pytest.mark.parametrize(
    ("text", "arguments", "shown"),
    [
        # 27: global ones are for FROM lines, until a stage asks for them
        ("ARG X=g\nFROM scratch" + SHOW, {}, "None"),
        ("ARG X=g\nFROM scratch\nARG X" + SHOW, {}, "g"),
        ("ARG X=g\nFROM scratch\nARG X=s" + SHOW, {}, "s"),
        ("ARG X=g\nFROM scratch\nARG X=s" + SHOW, {"X": "line"}, "line"),
        ("ARG X=g\nFROM scratch\nARG X" + SHOW, {"X": "line"}, "line"),
        ("ARG X=g\nARG Y=$X$X\nFROM scratch\nARG Y\nENV X=$Y" + SHOW, {}, "gg"),
        # 28: the automatic ones, too
        ("FROM scratch\nENV X=$TARGETOS" + SHOW, {}, ""),
        ("FROM scratch\nARG TARGETOS\nENV X=$TARGETOS" + SHOW, {}, "linux"),
        ("FROM scratch\nARG TARGETSTAGE\nENV X=$TARGETSTAGE" + SHOW, {}, "default"),
        ("FROM scratch\nARG BUILDOS=mine\nENV X=$BUILDOS" + SHOW, {}, "mine"),
        # 29: the one that stands later
        ("FROM scratch\nARG X=a\nENV X=e" + SHOW, {}, "e"),
        ("FROM scratch\nENV X=e\nARG X=a" + SHOW, {}, "a"),
        ("FROM scratch\nENV X=e\nARG X" + SHOW, {}, "e"),
        ("FROM scratch\nARG X=a\nENV X=${X}b" + SHOW, {"X": "line"}, "lineb"),
        # 30: a stage upon a stage
        ("FROM scratch AS a\nARG X=1\nFROM a" + SHOW, {}, "1"),
        ("FROM scratch AS a\nENV X=1\nFROM a" + SHOW, {}, "1"),
        ("FROM scratch AS a\nARG X=1\nFROM scratch" + SHOW, {}, "None"),
        # 31: no value is no definition, an empty one is
        ("FROM scratch\nARG X" + SHOW, {}, "None"),
        ("FROM scratch\nARG X=" + SHOW, {}, ""),
        ("FROM scratch\nARG X" + SHOW, {"X": ""}, ""),
        # 32: a default is looked at only when it is needed
        ("FROM scratch\nARG X=${Y:?no}" + SHOW, {"X": "1"}, "1"),
        ("ARG X=${Y:?no}\nFROM scratch\nARG X" + SHOW, {"X": "1"}, "1"),
        # 20: one instruction sees one snapshot
        ("FROM scratch\nENV X=1 Y=$X\nENV X=$Y" + SHOW, {}, ""),
        # 12, 22: quotes and spaces
        ('FROM scratch\nARG A=1 X="a b"' + SHOW, {}, "a b"),
        ("FROM scratch\nARG A=q\nENV X='$A'" + SHOW, {}, "$A"),
        ('FROM scratch\nARG A=q\nENV X="$A\\$A"' + SHOW, {}, "q$A"),
        # 23: digits only, and names of one character
        ("FROM scratch\nENV X=a$1x$?b" + SHOW, {}, "axb"),
        # 33: a proxy reaches the command undeclared
        ("FROM scratch\nRUN show http_proxy", {"http_proxy": "p"}, "p"),
        ("FROM scratch\nRUN show ALL_PROXY", {"ALL_PROXY": "p"}, "p"),
        ("FROM scratch" + SHOW, {"X": "nobody declares it"}, "None"),
    ],
)
def test_what_a_command_sees(rig, text, arguments, shown):
    rig.build(text, build_args=arguments)
    assert rig.output().partition("=")[2] == shown + "\n"


@pytest.mark.parametrize(
    ("target", "shown"), [(None, "two"), ("one", "one"), ("two", "two"), ("1", "two")]
)
def test_the_name_of_the_stage_that_is_asked_for(rig, target, shown):
    """28."""
    stages = "FROM scratch AS {0}\nARG TARGETSTAGE={0}\nRUN show TARGETSTAGE\n"
    rig.build(stages.format("one") + stages.format("two"), target=target)
    assert rig.output() == f"TARGETSTAGE={shown}\n"


@pytest.mark.parametrize(
    "text",
    [
        'ARG X="${Y:?it is needed}"\nFROM scratch\n',
        'FROM scratch\nARG X="${Y:?it is needed}"\n',
        'FROM scratch\nENV X="${Y?it is needed}"\n',
    ],
)
def test_a_required_variable_says_so(rig, text):
    """32."""
    with pytest.raises(DockerfileError, match="it is needed"):
        rig.build(text)
