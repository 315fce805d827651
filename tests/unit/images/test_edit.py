"""Configs edited by copying, and by Dockerfile instructions as docker applies them."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.errors import DockerfileError, LaminaError, UsageError
from lamina.images import edit
from lamina.images.changes import apply_changes
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import DiffID

ONE, TWO = DiffID.of(b"one"), DiffID.of(b"two")
BASE = {
    "architecture": "amd64",
    "os": "linux",
    "unknown": {"kept": True},
    "config": {
        "Env": ["PATH=/bin", "A=1"],
        "Cmd": ["sh"],
        "Labels": {"a": "1"},
        "WorkingDir": "/srv",
        "Strange": [1],
    },
    "history": [{"created_by": "base"}],
    "rootfs": {"type": "layers", "diff_ids": [ONE]},
}


def test_an_empty_image_is_valid():
    config = ImageConfig.of(edit.empty(("linux", "arm64"), "2024-01-01T00:00:00Z"))
    assert (config.os, config.architecture, config.diff_ids) == ("linux", "arm64", ())


def test_a_layer_comes_with_its_line():
    before = copy.deepcopy(BASE)
    made = edit.with_layer(BASE, TWO, "2024-01-01T00:00:00Z", "RUN x", "why", "who")
    config = ImageConfig.of(made)
    assert config.diff_ids == (ONE, TWO)
    assert made["history"][-1] == {
        "created": "2024-01-01T00:00:00Z",
        "created_by": "RUN x",
        "comment": "why",
        "author": "who",
    }
    assert made["unknown"] == {"kept": True}
    assert made["created"] == "2024-01-01T00:00:00Z"
    assert before == BASE


def test_a_line_without_a_layer_says_so():
    made = edit.with_layer(BASE, None, "2024-01-01T00:00:00Z", "ENV x")
    assert made["history"][-1]["empty_layer"] is True
    assert ImageConfig.of(made).diff_ids == (ONE,)


@pytest.mark.parametrize("told", [None, [], [{"created_by": "x", "empty_layer": True}]])
def test_layers_that_no_line_tells_of_get_one(told):
    """So that the new line is the new layer's, as everyone counts them."""
    base = {**BASE, "history": told, "rootfs": {"type": "layers", "diff_ids": [ONE, TWO]}}
    config = ImageConfig.of(edit.with_layer(base, ONE, "2024-01-01T00:00:00Z", "RUN new"))
    solid = [entry for entry in config.history if not entry.empty_layer]
    assert len(solid) == len(config.diff_ids) == 3
    assert solid[-1].created_by == "RUN new"


def test_fields_are_set_and_taken_away():
    made = edit.with_config(BASE, Cmd=None, User="x", Absent=None)
    assert "Cmd" not in made["config"]
    assert made["config"]["User"] == "x"
    assert made["config"]["Strange"] == [1]
    assert BASE["config"]["Cmd"] == ["sh"]
    assert edit.with_config({"config": None}, User="x")["config"] == {"User": "x"}


def changed(*texts, **config):
    return apply_changes({**BASE, "config": {**BASE["config"], **config}}, texts)["config"]


CHANGES = [
    ('CMD ["nginx", "-g"]', {"Cmd": ["nginx", "-g"]}),
    ("CMD echo hi", {"Cmd": ["/bin/sh", "-c", "echo hi"]}),
    ("cmd echo hi", {"Cmd": ["/bin/sh", "-c", "echo hi"]}),
    ("CMD []", {"Cmd": None}),
    ('ENTRYPOINT ["x"]', {"Entrypoint": ["x"], "Cmd": None}),
    ("ENV B=2", {"Env": ["PATH=/bin", "A=1", "B=2"]}),
    ("ENV A=2", {"Env": ["PATH=/bin", "A=2"]}),
    ("ENV A two words", {"Env": ["PATH=/bin", "A=two words"]}),
    ('ENV A="two words" C=3', {"Env": ["PATH=/bin", "A=two words", "C=3"]}),
    ("ENV PATH=/opt:$PATH", {"Env": ["PATH=/opt:/bin", "A=1"]}),
    ("ENV B=$A C=$B", {"Env": ["PATH=/bin", "A=1", "B=1", "C="]}),
    ("LABEL b=2 'c d'=3", {"Labels": {"a": "1", "b": "2", "c d": "3"}}),
    ("LABEL a=", {"Labels": {"a": ""}}),
    ("WORKDIR /x/../y/", {"WorkingDir": "/y"}),
    ("WORKDIR sub/${A}", {"WorkingDir": "/srv/sub/1"}),
    ("WORKDIR ../../..", {"WorkingDir": "/"}),
    ("USER nobody:nogroup", {"User": "nobody:nogroup"}),
    ("EXPOSE 80", {"ExposedPorts": {"80/tcp": {}}}),
    (
        "EXPOSE 53/UDP 8000-8002",
        {"ExposedPorts": {port: {} for port in ("53/udp", "8000/tcp", "8001/tcp", "8002/tcp")}},
    ),
    ("VOLUME /a /b", {"Volumes": {"/a": {}, "/b": {}}}),
    ('VOLUME ["/a b"]', {"Volumes": {"/a b": {}}}),
    ("STOPSIGNAL SIGQUIT", {"StopSignal": "SIGQUIT"}),
    ("ONBUILD RUN make", {"OnBuild": ["RUN make"]}),
]


@pytest.mark.parametrize(("text", "wanted"), CHANGES, ids=[text for text, _ in CHANGES])
def test_each_change(text, wanted):
    expected = {**BASE["config"], **wanted}
    assert changed(text) == {key: value for key, value in expected.items() if value is not None}


def test_changes_come_one_after_the_other():
    found = changed("ENV X=/x", "WORKDIR $X", "WORKDIR y", "ENV Y=$X/$A")
    assert found["WorkingDir"] == "/x/y"
    assert "Y=/x/1" in found["Env"]


def test_an_entrypoint_takes_the_old_command_away_and_no_new_one():
    assert changed('ENTRYPOINT ["e"]', 'CMD ["c"]')["Cmd"] == ["c"]
    assert changed('CMD ["c"]', 'ENTRYPOINT ["e"]')["Cmd"] == ["c"]
    assert "Cmd" not in changed('ENTRYPOINT ["e"]')


def test_the_images_own_shell_is_used():
    assert changed("CMD echo", Shell=["/bin/bash", "-lc"])["Cmd"] == ["/bin/bash", "-lc", "echo"]


@pytest.mark.parametrize(
    "text",
    [
        *("FROM x", "RUN true", "COPY a b", "ADD a b", "ARG x", "SHELL ['x']", "MAINTAINER x"),
        *("NONSENSE x", "", "   ", "ENV", "CMD a\nCMD b", "# comment", "EXPOSE x", "EXPOSE 0"),
        *(
            "EXPOSE 70000",
            "EXPOSE 9-8",
            "EXPOSE 80/icmp",
            "ENV A=${",
            "EXPOSE 99999999999999999999",
        ),
    ],
)
def test_what_is_no_change_is_said(text):
    with pytest.raises((UsageError, DockerfileError)) as caught:
        changed(text)
    assert str(caught.value)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_no_text_breaks_it(text):
    for verb in ("ENV ", "CMD ", "EXPOSE ", "LABEL ", "WORKDIR "):
        try:
            found = changed(verb + text)
        except LaminaError:
            continue
        json.dumps(found)
