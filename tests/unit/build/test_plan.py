"""What of a Dockerfile is done, and why: rules 14, 27, 28, 33 to 36 and 74."""

import pytest

from lamina.build.plan import FromImage, FromScratch, FromStage, make_plan
from lamina.dockerfile import parse
from lamina.errors import DockerfileError, ImageNotFound, UsageError

PLATFORM = {"TARGETARCH": "amd64", "BUILDPLATFORM": "linux/amd64"}


def planned(text, *, triggers=None, target=None, **build_args):
    known = triggers or {}
    return make_plan(
        parse(text),
        triggers=lambda reference, _platform: known.get(reference, ()),
        platform=PLATFORM,
        build_args=build_args,
        target=target,
    )


def names(plan):
    return [stage.title for stage in plan.stages]


STAGES = """
FROM base AS one
RUN 1
FROM scratch AS two
COPY --from=one /a /b
FROM other AS unused
RUN x
FROM TWO AS three
RUN 3
"""


def test_only_what_the_target_needs_is_planned():
    plan = planned(STAGES)
    assert names(plan) == ["one", "two", "three"]
    assert [stage.base for stage in plan.stages] == [
        FromImage("base"),
        FromScratch(),
        FromStage(1),
    ]
    assert plan.total == 6


def test_every_stage_says_why_it_is_needed():
    reasons = {stage.name: stage.reason for stage in planned(STAGES).stages}
    assert reasons == {
        "one": "stage two reads from it",
        "two": "stage three begins with it",
        "three": "the target",
    }


@pytest.mark.parametrize(
    ("target", "expected"),
    [("one", ["one"]), ("ONE", ["one"]), ("0", ["one"]), ("unused", ["unused"]), ("2", ["unused"])],
)
def test_target(target, expected):
    assert names(planned(STAGES, target=target)) == expected


def test_an_unknown_target_names_what_is_near():
    with pytest.raises(UsageError, match=r"no stage 'thre'; did you mean three\?"):
        planned(STAGES, target="thre")
    with pytest.raises(UsageError, match="no stage '9'"):
        planned(STAGES, target="9")


def test_global_arguments_reach_from_lines_only():
    plan = planned("ARG A=1\nARG B=x$A\nFROM img:$B\nRUN echo $A\n")
    assert plan.stages[0].base == FromImage("img:x1")
    assert plan.arguments["B"] == "x1"


def test_a_build_argument_beats_the_global_default():
    assert planned("ARG A=1\nFROM img:$A\n", A="2").stages[0].base == FromImage("img:2")


def test_a_default_is_not_looked_at_when_it_is_overridden():
    """32."""
    text = 'ARG A="${NO:?it must be given}"\nFROM img:$A\n'
    assert planned(text, A="2").stages[0].base == FromImage("img:2")
    with pytest.raises(DockerfileError, match="NO: it must be given"):
        planned(text)


def test_automatic_arguments():
    plan = planned("FROM --platform=$BUILDPLATFORM img-$TARGETARCH\n")
    assert plan.stages[0].base == FromImage("img-amd64")
    assert plan.stages[0].platform == "linux/amd64"
    assert plan.arguments["TARGETSTAGE"] == "default"


def test_a_base_that_comes_to_nothing():
    with pytest.raises(DockerfileError, match=r"Dockerfile:1: the base '\$A' comes to nothing"):
        planned("FROM $A\n")


def test_an_undefined_variable_in_from_is_warned_of():
    plan = planned("ARG BASE=x\nFROM img$BAES\n")
    assert plan.warnings == ("line 2: $BAES is not defined here; did you mean BASE?",)


def test_scratch_is_scratch_in_lower_case_only():
    assert planned("FROM scratch\n").stages[0].base == FromScratch()
    with pytest.raises(DockerfileError, match="'Scratch': the name must be in lower case"):
        planned("FROM Scratch\n")


def test_a_stage_hides_an_image_of_its_name_only_after_it():
    plan = planned("FROM img AS img\nFROM img\n")
    assert [stage.base for stage in plan.stages] == [FromImage("img"), FromStage(0)]


def test_the_last_stage_of_a_name_counts():
    plan = planned("FROM a AS x\nFROM b AS x\nFROM x\n")
    assert plan.stages[-1].base == FromStage(1)


@pytest.mark.parametrize(
    ("source", "origin"), [("0", 0), ("one", 0), ("ONE", 0), ("busybox:1", "busybox:1")]
)
def test_copy_from(source, origin):
    plan = planned(f"FROM a AS one\nFROM b\nCOPY --from={source} /a /b\n")
    assert plan.stages[-1].origins == {source: origin}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM a\nCOPY --from=1 /a /b\nFROM b\n", "stage 0 cannot copy from stage 1, which comes"),
        ("FROM a\nCOPY --from=x /a /b\nFROM b AS x\n", "cannot copy from stage x, which comes"),
        ("FROM a\nCOPY --from=7 /a /b\n", "stage 7, which does not exist"),
        ("FROM a AS x\nCOPY --from=x /a /b\n", "stage x cannot copy from itself"),
        ("FROM a\nCOPY --from=0 /a /b\n", "stage 0 cannot copy from itself"),
        ("ARG S=a\nFROM a\nCOPY --from=$S /a /b\n", "not expanded in --from; define a stage"),
    ],
)
def test_copy_from_what_is_not_there(text, message):
    text += "FROM scratch\n" if "FROM b" not in text else ""
    with pytest.raises(DockerfileError, match=message):
        planned(text, target="0")


def test_undeclared_build_arguments_are_warned_of():
    """33: but not the predefined ones."""
    plan = planned(
        "FROM a\nARG VERSION\n",
        VERSIN="1",
        http_proxy="x",
        HTTPS_PROXY="x",
        BUILDKIT_INLINE_CACHE="1",
        SOURCE_DATE_EPOCH="1",
        TARGETARCH="arm64",
    )
    assert plan.warnings == (
        "the build argument VERSIN is declared nowhere; did you mean VERSION?",
    )


def test_triggers_run_before_the_first_instruction():
    plan = planned("FROM base\nRUN own\n", triggers={"base": ("RUN one", "COPY . /x")})
    assert [(step.instruction.position.title, step.reason) for step in plan.stages[0].steps] == [
        ("RUN one", "ONBUILD of base"),
        ("COPY . /x", "ONBUILD of base"),
        ("RUN own", ""),
    ]


def test_triggers_of_a_stage_run_in_its_child_and_not_in_its_grandchild():
    plan = planned("FROM scratch AS a\nONBUILD RUN t\nFROM a AS b\nFROM b AS c\n")
    texts = [[step.instruction.position.title for step in stage.steps] for stage in plan.stages]
    assert texts == [["ONBUILD RUN t"], ["RUN t"], []]


def test_a_trigger_may_name_a_stage_of_the_childs_file():
    plan = planned(
        "FROM scratch AS files\nFROM base\n", triggers={"base": ("COPY --from=files /a /b",)}
    )
    assert names(plan) == ["files", "1"]


def test_steps_have_the_places_that_buildkit_gives_them():
    text = "FROM base AS b\nENV a=b\nRUN x\nWORKDIR /y\nLABEL a=b\nADD z /\nFROM b\nCOPY a /\n"
    build, last = planned(text, triggers={"base": ("ARG q", "RUN before")}).stages
    assert build.places == (1, 0, 2, 0, 3, 4, 0, 5)
    assert last.places == (0, 1)


def test_a_step_is_told_in_one_line():
    text = "FROM base\nRUN a  \\\n # no\n && b\nRUN <<E\n\n c\nd\nE\nCOPY <<E /e\nf\nE\nRUN <<E\ng\nE\n"
    (only,) = planned(text).stages
    assert [step.instruction.position.title for step in only.steps] == [
        "RUN a && b",
        "RUN <<E (c...)",
        "COPY <<E /e",
        "RUN <<E (g)",
    ]


def test_a_broken_trigger_says_whose_it_is():
    with pytest.raises(DockerfileError, match="ONBUILD of base:1: unknown instruction: RNU"):
        planned("FROM base\n", triggers={"base": ("RNU x",)})


def test_bases_of_unneeded_stages_are_not_looked_up():
    def triggers(reference, _platform):
        if reference == "missing":
            raise ImageNotFound("no such image")
        return ()

    text = "FROM missing AS no\nFROM scratch\n"
    plan = make_plan(parse(text), triggers=triggers, platform={}, build_args={})
    assert names(plan) == ["1"]
