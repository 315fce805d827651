"""`events` beside dockerd's: one story, told by both."""

import json
import time

import pytest

from tests.cli.rig import in_process

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

STORY = (
    ("tag", "base", "two:1"),
    ("create", "--network", "none", "--label", "l=m", "--name", "c1", "base", "sleep", "1000"),
    ("start", "c1"),
    ("exec", "c1", "true"),
    ("pause", "c1"),
    ("unpause", "c1"),
    ("rename", "c1", "c2"),
    ("restart", "-t", "0", "c2"),
    ("commit", "--pause=false", "-m", "said", "c2", "three:1"),
    ("stop", "-t", "0", "c2"),
    ("start", "c2"),
    ("kill", "c2"),
    ("wait", "c2"),
    ("rm", "c2"),
    ("volume", "create", "vol"),
    ("volume", "rm", "vol"),
    ("rmi", "three:1"),
    ("rmi", "two:1"),
)
_LATER = "execDuration"  # dockerd tells it since 23.0


@pytest.fixture(scope="module")
def both(docker, busybox_tar, tmp_path_factory):
    """The story's events as documents, told by docker and by us."""
    root = str(tmp_path_factory.mktemp("store"))

    ours = in_process(root)
    told = []
    for run in (docker, ours):
        run("import", "-c", "LABEL a=b", busybox_tar, "base")
        began = time.time()
        for words in STORY:
            run(*words)
        end = str(time.time())
        text = run("events", "--since", str(began), "--until", end, "--format", "{{json .}}")
        told.append([json.loads(line) for line in text.splitlines()])
    return told


def _shape(event):
    attributes = event["Actor"]["Attributes"]
    values = {key: value for key, value in attributes.items() if key not in ("execID", "imageID")}
    values.pop(_LATER, None)
    if event["Type"] == "image" and event["Action"] != "tag":
        values.pop("name")  # a digest of its own
    return (event["Type"], event["Action"], sorted({*attributes} - {_LATER}), values)


def test_both_tell_the_same_in_the_same_order(both):
    theirs, ours = ([_shape(each) for each in told if each["Type"] != "network"] for told in both)
    assert ours == theirs


def test_every_field_is_dockers(both):
    theirs, ours = both
    kinds = {each["Type"]: each for each in theirs if each["Type"] != "network"}
    assert set(kinds) == {"container", "image", "volume"}
    for event in ours:
        model = kinds[event["Type"]]
        assert list(event) == list(model)
        assert {key: type(value) for key, value in event.items()} == {
            key: type(value) for key, value in model.items()
        }
        assert list(event["Actor"]) == list(model["Actor"])
