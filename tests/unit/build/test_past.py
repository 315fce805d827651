"""Images that answer for steps by their history and their layers (`--cache-from IMAGE`)."""

import os

import pytest

from lamina.build.api import BuildRequest
from lamina.build.builder import NO_CACHES
from lamina.build.past import Ancestor
from lamina.metadata import cache
from lamina.values.events import StepCached

TEXT = """FROM scratch
ENV A=1
RUN put /one 1
COPY a dir /d/
WORKDIR /w
RUN put /two 2
"""


@pytest.fixture
def kept(rig):
    """An image, and a store that has forgotten how it came to be."""
    rig.write(a="a", dir__b="b")
    config = rig.build(TEXT)
    with rig.root.database.write() as db:
        for row in cache.all_rows(db):
            cache.forget(db, row.key)
    return config


def again(rig, config, text=TEXT, **wishes):
    """Build with the image to answer; gives the new config and how many steps it answered for."""
    events = []
    request = BuildRequest(rig.context, dockerfile_text=text.encode(), **wishes)
    caches = NO_CACHES._replace(ancestors=(Ancestor("kept", config),))
    result = rig.builder.build(request, events.append, None, caches)
    reasons = [event.reason for event in events if isinstance(event, StepCached)]
    assert all("the image kept has this step" in reason for reason in reasons)
    return result.config, len(reasons)


def test_every_step_is_answered_for_and_the_image_is_the_same(rig, kept):
    count = rig.runner.count
    os.utime(f"{rig.context}/a", (5, 5))
    made, answered = again(rig, kept)
    assert (made.id, answered, rig.runner.count) == (kept.id, 4, count)
    assert again(rig, kept)[1] == 4
    rig.build(TEXT)
    assert rig.cached() == [False] * 4  # none was written down as known by its key


@pytest.mark.parametrize(
    ("changed", "answered"),
    [
        ({"a": "other"}, 1),
        ({"dir__b": "other"}, 1),
        ({"dir__c": "more"}, 1),
    ],
)
def test_a_copy_of_other_files_is_made(rig, kept, changed, answered):
    rig.write(**changed)
    assert again(rig, kept)[1] == answered


def test_modes_and_missing_files_count(rig, kept):
    os.chmod(f"{rig.context}/a", 0o600)
    assert again(rig, kept)[1] == 1


@pytest.mark.parametrize(
    ("line", "instead", "answered"),
    [
        ("ENV A=1", "ENV A=2", 0),
        ("RUN put /one 1", "RUN put /one 2", 0),
        ("WORKDIR /w", "WORKDIR /v", 2),
        ("WORKDIR /w", "WORKDIR /w\nUSER 5", 3),
        ("RUN put /two 2", "RUN --network=none put /two 2", 3),
        ("RUN put /two 2", "RUN --mount=type=bind,target=/m put /two 2", 3),
    ],
)
def test_another_line_is_another_step(rig, kept, line, instead, answered):
    assert again(rig, kept, TEXT.replace(line, instead))[1] == answered


def test_nobody_is_asked_with_no_cache(rig, kept):
    assert again(rig, kept, no_cache=True)[1] == 0


def test_an_image_whose_layers_are_gone_answers_nothing(rig, other_rig, kept):
    other_rig.write(a="a", dir__b="b")
    assert again(other_rig, kept)[1] == 0
