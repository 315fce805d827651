"""Stages as values give what a Dockerfile gives: the same image, and each the other's cache."""

import contextlib
import tempfile
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lamina
from lamina import Mount, Stage
from lamina.build import BuildRequest
from lamina.build.interpret import Scope, interpret
from lamina.build.operation import Edit
from lamina.build.stages import assembled
from lamina.build.state import State
from lamina.dockerfile import parse
from lamina.errors import BuildError, DockerfileError, UsageError
from lamina.values.events import StepCached, StepStarted
from tests.unit.build.conftest import Rig


class Said(NamedTuple):
    """One step, as a line of a Dockerfile and as a call."""

    line: str
    call: str
    arguments: tuple
    options: dict


def said(line, call, *arguments, **options):
    return Said(line, call, arguments, options)


NAMES = st.sampled_from(["A", "B", "PATH", "nobody"])
PLAIN = st.text("ab'\" \\.漢:=", max_size=6).filter(lambda text: not text.endswith("\\"))
PIECES = st.one_of(
    PLAIN.map(lambda text: (text, text.replace("\\", "\\\\").replace('"', '\\"'))),
    NAMES.map(lambda name: (f"${{{name}}}", f"${{{name}}}")),
    NAMES.map(lambda name: (f"${{{name}:-x}}", f"${{{name}:-x}}")),
    st.just(("\\$", "\\$")),
)
# A value as Python has it, and as a Dockerfile's word.
VALUES = st.lists(PIECES, max_size=4).map(
    lambda pieces: ("".join(p for p, _ in pieces), '"' + "".join(d for _, d in pieces) + '"')
)
WORDS = st.sampled_from(["echo hi", "make -j2 all", "true && false", "printf '%s' \"$A\""])
PATHS = st.sampled_from(["/srv", "sub", "/a b", "/srv/$A/x"])


def as_json(words):
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"


EDITS = st.one_of(
    st.tuples(NAMES, VALUES).map(lambda t: said(f"ENV {t[0]}={t[1][1]}", "env", {t[0]: t[1][0]})),
    VALUES.map(lambda v: said(f"LABEL org.x={v[1]} y=1", "label", {"org.x": v[0], "y": "1"})),
    st.tuples(NAMES, VALUES).map(lambda t: said(f"ARG {t[0]}={t[1][1]}", "arg", t[0], t[1][0])),
    NAMES.map(lambda name: said(f"ARG {name}", "arg", name)),
    st.sampled_from(["bob", "0:0", "$A"]).map(lambda user: said(f"USER {user}", "user", user)),
    st.just(said("EXPOSE 80 53/udp 8000-8002", "expose", 80, "53/udp", "8000-8002")),
    st.just(said('VOLUME ["/data", "/a b"]', "volume", "/data", "/a b")),
    WORDS.map(lambda text: said(f"CMD {text}", "cmd", text)),
    st.just(said(f"CMD {as_json(['a', 'b c'])}", "cmd", ["a", "b c"])),
    st.just(said("CMD []", "cmd", [])),
    WORDS.map(lambda text: said(f"ENTRYPOINT {text}", "entrypoint", text)),
    st.just(said('ENTRYPOINT ["/x", "$A"]', "entrypoint", ("/x", "$A"))),
    st.just(said('SHELL ["/bin/ash", "-ec"]', "shell", "/bin/ash", "-ec")),
    st.just(
        said(
            "HEALTHCHECK --interval=30s --retries=3 CMD wget localhost",
            "healthcheck",
            "wget localhost",
            interval="30s",
            retries=3,
        )
    ),
    st.just(said("HEALTHCHECK NONE", "healthcheck", None)),
    st.just(said("STOPSIGNAL SIGINT", "stopsignal", "SIGINT")),
    st.just(said("ONBUILD RUN make", "onbuild", "RUN make")),
)
STEPS = st.one_of(
    EDITS,
    WORDS.map(lambda text: said(f"RUN {text}", "run", text)),
    st.just(said('RUN ["/x", "a b"]', "run", ["/x", "a b"], network="none")).map(
        lambda each: each._replace(line='RUN --network=none ["/x", "a b"]')
    ),
    st.just(said("RUN <<EOF\n#!/bin/sh\necho $A\nEOF", "run", "#!/bin/sh\necho $A")),
    PATHS.map(lambda path: said(f"WORKDIR {path}", "workdir", path)),
    st.just(said("COPY --chown=1:2 --chmod=640 a b c/", "copy", ["a", "b"], "c/")).map(
        lambda each: each._replace(options={"chown": "1:2", "chmod": "640"})
    ),
    st.just(said("COPY --link --exclude=*.o s[ab] /$A", "copy", "s[ab]", "/$A", link=True)).map(
        lambda each: each._replace(options={"link": True, "exclude": ["*.o"]})
    ),
    st.just(said('COPY ["a b", "/x"]', "copy", "a b", "/x")),
    st.just(said("COPY --parents a/./b /x", "copy", "a/./b", "/x", parents=True)),
    st.just(said("COPY --from=alpine:3 /etc /e", "copy", "/etc", "/e", from_="alpine:3")),
    st.just(said("COPY <<'EOF' /f\n$A \\\nEOF", "write", "/f", "$A \\\n")),
    st.just(said("ADD --unpack=false x.tar /y", "add", "x.tar", "/y", unpack=False)),
    st.just(
        said(
            "RUN --mount=type=cache,id=p,sharing=locked,target=/c,mode=0755 pip",
            "run",
            "pip",
            mounts=[Mount.cache("/c", id="p", sharing="locked", mode=0o755)],
        )
    ),
    st.just(
        said(
            'RUN --mount=type=secret,id=s,required=true --mount=type=tmpfs,\\"target=/t,u\\",size=64m x',
            "run",
            "x",
            mounts=[Mount.secret("s", required=True), Mount.tmpfs("/t,u", size="64m")],
        )
    ),
    st.just(
        said(
            "RUN --mount=type=bind,from=alpine:3,source=/etc,target=$A/e,rw --mount=type=ssh x",
            "run",
            "x",
            mounts=[
                Mount.bind("$A/e", source="/etc", from_="alpine:3", writable=True),
                Mount.ssh(),
            ],
        )
    ),
)


def called(stage, steps):
    for each in steps:
        stage = getattr(stage, each.call)(*each.arguments, **each.options)
    return stage


def actions(written):
    """What a stage comes to, instruction by instruction."""
    state = State.scratch(os_name="linux", architecture="amd64")
    scope = Scope({"B": "given"}, {}, "\\", "default", lambda _: None)
    found = []
    for instruction in written.stages[-1].instructions:
        try:
            action = interpret(instruction, state, scope)
        except DockerfileError as error:
            found.append(error.brief)
            continue
        found.append(action)
        state = action.state if isinstance(action, Edit) else state.noted(action.created_by)
    return found


@settings(deadline=None)
@given(st.lists(STEPS, max_size=8))
def test_calls_come_to_what_the_lines_come_to(steps):
    text = "\n".join(["FROM scratch", *(each.line for each in steps)]) + "\n"
    assert actions(assembled(called(Stage.from_scratch(), steps))) == actions(parse(text))


@contextlib.contextmanager
def fresh_rig():
    with tempfile.TemporaryDirectory() as folder:
        made = Rig(folder)
        made.write(a="text of a", b="text of b", sub__c="text of c")
        yield made
        made.close()


def built(rig, stage, **wishes):
    """Build a stage; its ID, and how often something was looked up and was there, or was not."""
    events = []
    request = BuildRequest(context=rig.context, stages=assembled(stage), **wishes)
    result = rig.builder.build(request, events.append)
    hits = sum(1 for event in events if isinstance(event, StepCached))
    return result.image_id, hits, result.carried_out


TOY = st.one_of(
    EDITS,
    st.integers(0, 9).map(lambda n: said(f"RUN put /f{n} text $A", "run", f"put /f{n} text $A")),
    st.just(said("COPY --chown=1:2 --chmod=640 a b /to/", "copy", ["a", "b"], "/to/")).map(
        lambda each: each._replace(options={"chown": "1:2", "chmod": "640"})
    ),
    st.just(said("COPY sub /sub", "copy", "sub", "/sub")),
    st.just(said("WORKDIR /srv/x", "workdir", "/srv/x")),
).filter(lambda each: each.call not in ("user", "onbuild"))


@pytest.mark.usefixtures("needs_root")
@settings(deadline=None, max_examples=12)
@given(st.lists(TOY, max_size=4), st.lists(TOY, max_size=5), st.booleans())
def test_each_hits_the_others_cache(first, second, dockerfile_first):
    lines = [
        *("FROM scratch AS one", "RUN put /made here", *(each.line for each in first)),
        *("FROM one AS two", "ENV LATER=1"),
        *("FROM scratch", "COPY --from=one /made /made", "COPY --from=two /made /again"),
        *(each.line for each in second),
    ]
    text = "\n".join(lines) + "\n"
    one = called(Stage.from_scratch(name="one").run("put /made here"), first)
    two = Stage.from_stage(one).env(LATER="1")
    last = Stage.from_scratch().copy("/made", "/made", from_=one)
    last = called(last.copy("/made", "/again", from_=two), second)
    with fresh_rig() as rig:
        if dockerfile_first:
            image = rig.build(text, build_args={"B": "given"}).id
            ours, hits, carried_out = built(rig, last, build_args={"B": "given"})
        else:
            ours, _, _ = built(rig, last, build_args={"B": "given"})
            image = rig.build(text, build_args={"B": "given"}).id
            hits, carried_out = sum(rig.cached()), rig.result.carried_out
        assert ours == image
        assert carried_out == 0
        assert hits >= 3


# --- values, names and mistakes ---------------------------------------------------------


def test_a_call_leaves_the_stage_it_was_called_on_as_it_was():
    base = Stage.from_image("debian")
    assert base.run("x").calls != base.calls == ()
    one, two = base.env(A="1"), base.env(A="2")
    assert len(one.calls) == len(two.calls) == 1


def test_a_stage_that_several_need_is_there_once():
    base = Stage.from_scratch().run("put /x 1")
    a, b = Stage.from_stage(base).run("put /a 1"), Stage.from_stage(base).run("put /b 1")
    last = Stage.from_scratch().copy("/a", "/", from_=a).copy("/b", "/", from_=b)
    names = [(each.name, each.base.image) for each in assembled(last).stages]
    assert names == [
        ("stage-0", "scratch"), ("", "stage-0"), ("", "stage-0"), ("", "scratch")
    ]  # fmt: skip


def test_a_very_long_line_of_stages():
    stage = Stage.from_scratch()
    for _ in range(3000):
        stage = Stage.from_stage(stage).env(A="1")
    assert len(assembled(stage).stages) == 3001


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Stage.from_image(" "), r"Stage.from_image\(\) needs the name of an image"),
        (lambda: Stage.from_scratch(name="Big One"), r"invalid name for a stage: 'Big One'"),
        (lambda: Stage.from_scratch().run(""), r"Stage.run\(\) needs a command"),
        (lambda: Stage.from_scratch().run([]), r"Stage.run\(\) needs a command"),
        (lambda: Stage.from_scratch().copy([], "/x"), r"Stage.copy\(\) needs a source"),
        (lambda: Stage.from_scratch().copy("a", ""), r"Stage.copy\(\) needs a target"),
        (lambda: Stage.from_scratch().env({"": "x"}), r"Stage.env\(\) needs names with values"),
        (lambda: Stage.from_scratch().env(), r"Stage.env\(\) needs names with values"),
        (lambda: Stage.from_scratch().expose(), r"Stage.expose\(\) needs a port"),
        (lambda: Stage.from_scratch().shell(), r"Stage.shell\(\) needs a program"),
        (lambda: Stage.from_scratch().onbuild("ONBUILD RUN x"), r"chaining ONBUILD"),
    ],
)
def test_a_mistake_names_its_call(make, complaint):
    with pytest.raises(UsageError, match=complaint):
        make()


@pytest.mark.parametrize(
    ("stage", "complaint"),
    [
        (Stage.from_image("debian", name="debian"), "both an image that is used and a stage"),
        (Stage.from_scratch().copy("a", "b", from_="7"), "names no image, and no stage"),
        (
            Stage.from_stage(Stage.from_scratch(name="a"), name="a"),
            "two stages are called 'a'",
        ),
    ],
)
def test_a_name_that_means_two_things_is_refused(stage, complaint):
    with pytest.raises(UsageError, match=complaint):
        assembled(stage)


def test_an_error_of_the_build_shows_the_call_and_where_it_stands(rig):
    stage = Stage.from_scratch().copy("nothing-there", "/x")
    with pytest.raises(BuildError, match=r"test_stage.py:\d+: .*nothing-there"):
        built(rig, stage)
    stage = Stage.from_scratch().expose("eighty")
    with pytest.raises(DockerfileError) as caught:
        built(rig, stage)
    assert caught.value.file == __file__
    assert ".expose('eighty')" in caught.value.excerpt


def test_progress_shows_the_calls(rig):
    events = []
    stage = Stage.from_scratch(name="only").run("say hello")
    rig.builder.build(BuildRequest(context=None, stages=assembled(stage)), events.append)
    texts = [event.text for event in events if isinstance(event, StepStarted)]
    assert texts == [".from_scratch()", ".run('say hello')"]


def test_the_contexts_ignore_file_counts_and_its_dockerfile_does_not(rig):
    rig.write(keep="1", drop="2", _dockerignore="drop\n", Dockerfile="NONSENSE\n")
    image, _, _ = built(rig, Stage.from_scratch().copy(".", "/"))
    assert sorted(rig.tree(rig.images.config(image))) == [".dockerignore", "Dockerfile", "keep"]


@pytest.mark.usefixtures("needs_root")
def test_build_is_a_function_of_the_library(tmp_path):
    stage = Stage.from_scratch().write("/greeting", "hello\n").cmd(["/x"])
    root = str(tmp_path / "store")
    result = lamina.build(stage, tags=["greeting:1"], root=root)
    assert result.config.config.cmd == ("/x",)
    with lamina.open(root) as engine:
        assert engine.images.get("greeting:1").id == result.image_id
        again = engine.images.build(None, stage=stage, tags=["greeting:2"])
        assert again.id == result.image_id
    assert callable(lamina.build)
