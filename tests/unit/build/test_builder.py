"""Whole builds on a real store (vfs), with a toy in place of the container."""

import hashlib
import json
import os
import stat
import threading
from functools import partial

import pytest

from lamina.build.cache import StoreCache
from lamina.build.stop import Stop
from lamina.errors import (
    BuildError,
    DockerfileError,
    ImageNotFound,
    InvalidReference,
    PathNotFound,
    StepFailed,
    UsageError,
)
from lamina.fs.status import packed
from lamina.testing.stores import ScratchStore
from lamina.testing.trees import tar_of
from lamina.values.events import Caution, StepCached, StepDone, StepStarted

SIMPLE = 'FROM scratch\nCOPY app /app\nRUN put /made text\nENV A=1\nCMD ["/app"]\n'


def test_a_build(rig):
    rig.write(app="code")
    config = rig.build(SIMPLE, tags=("app", "app:2"))
    assert rig.tree(config) == {"app": "code", "made": "text"}
    assert config.config.cmd == ("/app",)
    assert config.config.env is not None
    assert config.config.env[-1] == "A=1"
    assert [line.empty_layer for line in config.history] == [False, False, True, True]
    assert rig.images.resolve("app") == rig.images.resolve("app:2") == config.id


def test_building_again_gives_the_same_image_and_carries_nothing_out(rig):
    """85."""
    rig.write(app="code")
    first = rig.build(SIMPLE)
    second = rig.build(SIMPLE)
    assert first.raw == second.raw
    assert rig.cached() == [True, True]
    assert rig.runner.count == 1


def test_the_same_image_in_another_store_with_an_epoch(rig, other_rig):
    """84: other inodes, owners and times of the context, another clock."""
    text = (
        "FROM scratch AS a\nCOPY . /src/\nWORKDIR /w/x\nRUN put /w/f text\nLABEL x=y\n"
        "FROM a\nCOPY --from=a /src /copy\nADD t.tar /t\n"
    )
    configs = []
    for each, now in ((rig, 1_800_000_000), (other_rig, 1_900_000_000)):
        each.now = now
        each.write(app="code", sub__lib="lib")
        with open(os.path.join(each.context, "t.tar"), "wb") as file:
            file.write(tar_of('f x "x"\n', mtime=1_600_000_000))
        configs.append(each.build(text, source_date_epoch=1_500_000_000))
    assert configs[0].raw == configs[1].raw
    assert configs[0].created == "2017-07-14T02:40:00Z"
    assert {line.created for line in configs[0].history} == {"2017-07-14T02:40:00Z"}
    path = rig.layers.driver.location(rig.layers.resolve(configs[0].top_chain))
    times = {os.stat(os.path.join(path, name)).st_mtime for name in ("w/x", "w/f", "src/app")}
    assert times == {1_500_000_000.0}


def test_an_epoch_given_as_build_argument(rig):
    config = rig.build("FROM scratch\nLABEL a=b\n", build_args={"SOURCE_DATE_EPOCH": "5"})
    assert config.created == "1970-01-01T00:00:05Z"
    with pytest.raises(UsageError, match="no number of seconds"):
        rig.build("FROM scratch\n", build_args={"SOURCE_DATE_EPOCH": "yesterday"})


# --- the cache --------------------------------------------------------------------------

CACHED = """
FROM scratch
ARG VERSION=1
COPY src /src
RUN put /out $VERSION
ENV LATE=1
RUN put /out2 x
"""


def touch(rig):
    os.utime(os.path.join(rig.context, "src", "a"), ns=(5, 5))


def rewrite(rig):
    rig.write(src__a="a", src__b="b")


def unrelated(rig):
    rig.write(elsewhere="x")


def chown(rig):
    os.chown(os.path.join(rig.context, "src", "a"), 123, 456)


def change(rig):
    rig.write(src__a="A")


def add_file(rig):
    rig.write(src__c="c")


def chmod(rig):
    os.chmod(os.path.join(rig.context, "src", "a"), 0o755)


HIT = [True, True, True]


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (touch, HIT),
        (rewrite, HIT),
        (unrelated, HIT),
        (chown, HIT),
        (change, [False] * 3),
        (add_file, [False] * 3),
        (chmod, [False] * 3),
    ],
)
def test_what_in_the_context_misses(rig, act, expected):
    rig.write(src__a="a", src__b="b")
    rig.build(CACHED)
    act(rig)
    rig.build(CACHED)
    assert rig.cached() == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", HIT),
        ("LATE=1", "LATE=2", [True, True, False]),
        ("put /out2 x", "put /out2 y", [True, True, False]),
        ("ENV LATE=1", "ENV LATE=1\nLABEL a=b\nEXPOSE 80\nCMD x\nVOLUME /v\nSTOPSIGNAL 9", HIT),
        ("ENV LATE=1", "ENV LATE=1\nUSER 5", [True, True, False]),
        ("FROM scratch", "FROM scratch\nLABEL a=b", HIT),
        ("FROM scratch", "FROM scratch\nENV EARLY=1", [True, False, False]),
        ("COPY src /src", "COPY src /src2", [False] * 3),
        ("COPY src /src", "COPY --chown=5:5 src /src", [False] * 3),
        ("COPY src /src", "COPY --chmod=700 src /src", [False] * 3),
        ("COPY src /src", "COPY ./src/ /src", HIT),
        ("COPY src /src", "ADD src /src", [False] * 3),
        ("RUN put /out $", "RUN --network=none put /out $", [True, False, False]),
    ],
)
def test_what_in_the_dockerfile_misses(rig, before, after, expected):
    rig.write(src__a="a")
    rig.build(CACHED)
    rig.build(CACHED.replace(before, after, 1))
    assert rig.cached() == expected


def test_an_argument_misses_at_the_first_step_that_sees_it(rig):
    rig.write(src__a="a")
    rig.build(CACHED)
    rig.build(CACHED, build_args={"VERSION": "2"})
    assert rig.cached() == [True, False, False]
    assert rig.missed() == "the layer below changed" or "VERSION" in rig.missed()


def test_what_nobody_declares_or_is_a_proxy_misses_nothing(rig):
    rig.write(src__a="a")
    rig.build(CACHED)
    rig.build(CACHED, build_args={"OTHER": "2", "http_proxy": "http://p"})
    assert rig.cached() == HIT


def test_no_cache_carries_everything_out_and_is_remembered(rig):
    rig.write(src__a="a")
    first = rig.build(CACHED)
    again = rig.build(CACHED, no_cache=True)
    assert rig.cached() == [False, False, False]
    assert rig.runner.count == 4
    assert again.created != first.created
    assert rig.build(CACHED).raw == again.raw


def test_a_stage_may_be_carried_out_anew_by_name_or_number(rig):
    text = "FROM scratch AS One\nRUN put /a 1\nFROM scratch\nRUN put /b 2\nCOPY --from=one / /\n"
    rig.build(text)
    for names, expected in (
        ({"one"}, [False, True, True]),
        ({"1"}, [True, False, False]),
        ({"one", "1"}, [False, False, False]),
    ):
        rig.build(text, no_cache_stages=frozenset(names))
        assert rig.cached() == expected
    rig.build(text, no_cache_stages=frozenset({"on"}))
    assert all(rig.cached())
    assert rig.result.warnings == ("no stage 'on' is built; did you mean one?",)


def test_copy_from_a_stage_hits_when_what_is_copied_is_the_same(rig):
    text = (
        "FROM scratch AS build\nARG V=1\nRUN put /log $V;put /out same\n"
        "FROM scratch\nCOPY --from=build /out /out\nRUN put /x y\n"
    )
    rig.build(text)
    rig.build(text.replace("$V;", "$V changed;"))
    assert rig.cached() == [False, True, True]


def test_a_rebuilt_stage_with_the_same_result_disturbs_nothing(rig):
    text = "FROM scratch\nRUN put /out same\nRUN put /x y\n"
    rig.build(text)
    rig.build(text.replace("put /out same", "put /out same;nothing"))
    epoch = 1_000_000_000
    assert rig.cached() == [False, False]  # the file's time differs
    rig.build(text, source_date_epoch=epoch)
    rig.build(text.replace("put /out same", "put /out same;nothing"), source_date_epoch=epoch)
    assert rig.cached() == [False, True]


def test_a_miss_is_explained(rig):
    rig.write(src__a="a", src__b="b")
    rig.build(CACHED)
    assert rig.missed() == "this step was not built here before"
    rig.write(src__a="A")
    rig.build("\n".join(CACHED.split("\n")[:4]) + "\n")
    assert rig.missed() == "a changed"
    rig.build(CACHED.replace("put /out2 x", "put /out2 z"))
    assert rig.missed() == "the command changed; the layer below changed"


def test_a_record_without_its_layer_is_a_miss(rig):
    rig.write(src__a="a")
    config = rig.build(CACHED, tags=("x",))
    rig.close()
    rig.__init__(os.path.dirname(rig.context))
    rig.images.remove("x")
    assert rig.layers.get(config.top_chain) is None
    assert rig.build(CACHED).diff_ids[0] == config.diff_ids[0]
    assert rig.cached() == [False, False, False]


def test_two_builders_carry_a_step_out_once(rig, tmp_path):
    """Single flight: the second waits, and finds the first one's result."""
    from lamina.build.cache import StoreCache

    cache = StoreCache(rig.root)
    order = []
    entered = threading.Event()

    def second():
        entered.wait(10)
        with cache.single_flight("sha256:abc", Stop()):
            order.append("second")

    thread = threading.Thread(target=second)
    with cache.single_flight("sha256:abc", Stop()):
        thread.start()
        entered.set()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


# --- steps ------------------------------------------------------------------------------


def test_a_step_that_changes_nothing_makes_no_layer(rig):
    text = "FROM scratch\nRUN put /d x\nRUN nothing\nWORKDIR /w\nWORKDIR /w\n"
    config = rig.build(text)
    assert [line.empty_layer for line in config.history] == [False, True, False, True]
    assert len(config.diff_ids) == 2
    assert rig.build(text).raw == config.raw
    assert rig.cached() == [True] * 4


def test_environment_and_output(rig):
    rig.build("FROM scratch\nARG A=1\nENV B=2\nRUN say hi;show A;show B;show C\n")
    assert rig.output() == "hi\nA=1\nB=2\nC=None\n"


def test_proxies_reach_the_command(rig):
    rig.build("FROM scratch\nRUN show http_proxy\n", build_args={"http_proxy": "p"})
    assert rig.output() == "http_proxy=p\n"


def test_a_command_that_fails(rig):
    with pytest.raises(StepFailed) as caught:
        rig.build("FROM scratch\nRUN put /x y\nRUN say first;say last words;fail 3\n")
    assert str(caught.value) == (
        "Dockerfile:3: the command '/bin/sh -c say first;say last words;fail 3' ended with"
        " exit status 3"
    )
    assert caught.value.status == 3
    assert caught.value.details == "first\nlast words"
    rig.build("FROM scratch\nRUN put /x y\n")
    assert rig.cached() == [True]


def left_behind(rig):
    with rig.root.database.read() as db:
        return db.execute("SELECT count(*) FROM layers WHERE kind = 'active'").fetchone()[0]


@pytest.mark.parametrize("line", ["fail 1", "raise"])
def test_a_failed_command_leaves_no_layer(rig, line):
    with pytest.raises(BuildError):
        rig.build(f"FROM scratch\nRUN put /x y;{line}\n")
    assert left_behind(rig) == 0
    assert list(rig.layers.driver.layers()) == []


def test_a_runtime_that_breaks_names_the_line(rig):
    with pytest.raises(BuildError, match="Dockerfile:2: the runtime broke"):
        rig.build("FROM scratch\nRUN raise\n")


def test_users_are_those_of_the_stage(rig):
    rig.write(passwd="app:x:42:43::/:/bin/sh\n", group="staff:x:50:\n", f="f")
    base = "FROM scratch\nCOPY passwd group /etc/\n"
    config = rig.build(
        base + "COPY --chown=app f /a\nCOPY --chown=app:staff f /b\nUSER app\nWORKDIR /w\n"
    )
    path = rig.layers.driver.location(rig.layers.resolve(config.top_chain))
    owners = {name: os.stat(f"{path}/{name}") for name in "abw"}
    assert [(owners[n].st_uid, owners[n].st_gid) for n in "abw"] == [(42, 43), (42, 50), (42, 43)]
    with pytest.raises(BuildError, match=r"Dockerfile:3: unable to find user root1.*app"):
        rig.build(base + "COPY --chown=root1 f /a\n")


@pytest.mark.parametrize(
    ("after", "line"),
    [("EXPOSE 99999\n", 4), ("FROM one\nSTOPSIGNAL SIGNO\n", 5), ("RUN say y\nENV A=${B:\n", 5)],
)
def test_what_is_wrong_is_told_before_anything_is_run(rig, after, line):
    with pytest.raises(DockerfileError) as caught:
        rig.build("FROM scratch AS one\nENV P=1\nRUN say x\n" + after)
    assert caught.value.line == line
    assert rig.runner.count == 0


def test_looking_through_warns_of_nothing_twice(rig):
    rig.build("FROM scratch\nRUN nothing\nLABEL a=$NOWHERE\n")
    assert len([event for event in rig.events if isinstance(event, Caution)]) == 1


def test_an_archive_onto_scratch_is_the_layer_as_it_came(rig):
    data = tar_of('d etc 711\nf etc/conf "c" 600 5:6\n')
    with open(os.path.join(rig.context, "rootfs.tar"), "wb") as file:
        file.write(data)
    config = rig.build("FROM scratch\nADD rootfs.tar /\n")
    import hashlib

    assert config.diff_ids == ("sha256:" + hashlib.sha256(data).hexdigest(),)
    assert rig.tree(config) == {"etc": "/", "etc/conf": "c"}


def test_an_archive_is_copied_by_copy(rig):
    with open(os.path.join(rig.context, "t.tar"), "wb") as file:
        file.write(tar_of('f x "x"\n'))
    assert set(rig.tree(rig.build("FROM scratch\nCOPY t.tar /t\n"))) == {"t"}
    assert rig.tree(rig.build("FROM scratch\nADD t.tar /t\n")) == {"t": "/", "t/x": "x"}
    assert set(rig.tree(rig.build("FROM scratch\nADD --unpack=false t.tar /t\n"))) == {"t"}


def test_copy_replaces_and_merges_over_layers(rig):
    rig.write(one__d__f="1", one__d__keep="k", two__d__f="2", two__g="g")
    config = rig.build("FROM scratch\nCOPY one /x\nCOPY two /x\nRUN rm /x/g\n")
    assert rig.tree(config) == {"x": "/", "x/d": "/", "x/d/f": "2", "x/d/keep": "k"}


def test_heredoc_files(rig):
    config = rig.build('FROM scratch\nENV A=1\nCOPY <<f <<"g" /d/\n$A\nf\n$A\ng\n')
    assert rig.tree(config) == {"d": "/", "d/f": "1\n", "d/g": "$A\n"}


# --- bases and stages -------------------------------------------------------------------


def test_an_image_as_base_keeps_its_history_and_its_unknown_fields(rig):
    rig.write(app="code")
    base = rig.build(SIMPLE, tags=("base",))
    config = rig.build("FROM base\nRUN put /more x\n")
    assert config.diff_ids[:2] == base.diff_ids
    assert config.history[:4] == base.history
    assert rig.tree(config)["more"] == "x"


def test_a_base_that_is_missing(rig):
    with pytest.raises(ImageNotFound) as caught:
        rig.build("FROM scratch AS x\nFROM nope:1\n")
    assert str(caught.value) == (
        "Dockerfile:2: no such image: nope:1; see `lamina images`, or load, import or build it"
    )


def test_copy_from_an_image(rig):
    rig.write(app="code")
    rig.build(SIMPLE, tags=("base",))
    text = "FROM scratch\nCOPY --from=base /app /bin/\n"
    config = rig.build(text)
    assert rig.tree(config) == {"bin": "/", "bin/app": "code"}
    with pytest.raises(BuildError, match="Dockerfile:2: no such image: nope"):
        rig.build(text.replace("base", "nope"))
    with pytest.raises(
        BuildError, match=r"Dockerfile:2: the image base has no '/ap'; did you mean"
    ):
        rig.build(text.replace("/app /bin", "/ap /bin"))


def test_stages_inherit_and_unneeded_ones_do_not_run(rig):
    config = rig.build(
        "FROM scratch AS a\nENV A=1\nARG B=2\nUSER 5\nWORKDIR /w\nLABEL l=1\nRUN put /x 1\n"
        "FROM scratch AS unneeded\nRUN fail 1\n"
        "FROM a\nRUN show A;show B\n"
    )
    assert rig.output() == "A=1\nB=2\n"
    assert rig.runner.commands[-1].user == "5"
    assert config.config.working_dir == "/w"
    assert config.config.labels == {"l": "1"}


def test_triggers_of_an_image(rig):
    rig.write(app="code")
    rig.build("FROM scratch\nONBUILD COPY app /app\nONBUILD RUN put /t x\n", tags=("base",))
    config = rig.build("FROM base\nRUN put /own x\n", tags=("child",))
    assert set(rig.tree(config)) == {"app", "t", "own"}
    assert config.config.on_build is None
    assert set(rig.tree(rig.build("FROM child\n"))) == {"app", "t", "own"}


def test_platforms(rig):
    config = rig.build("FROM --platform=linux/arm64 scratch\nLABEL a=b\n", tags=("arm",))
    assert (config.os, config.architecture) == ("linux", "arm64")
    with pytest.raises(BuildError, match="is for linux/arm64, not for linux/amd64"):
        rig.build("FROM --platform=linux/amd64 arm\n")
    rig.build("FROM --platform=linux/arm64 arm\n")


def test_target_and_labels(rig):
    text = "FROM scratch AS one\nRUN put /x 1\nFROM one\nRUN put /y 1\n"
    config = rig.build(text, target="one", labels={"z": "1", "a": "2"})
    assert set(rig.tree(config)) == {"x"}
    assert config.config.labels == {"z": "1", "a": "2"}


def test_an_image_of_nothing_but_settings(rig):
    text = "FROM scratch\nLABEL a=b\n"
    first = rig.build(text)
    assert first.raw == rig.build(text).raw
    assert first.diff_ids == ()
    assert first.created != "1970-01-01T00:00:00Z"


def test_lines_of_settings_carry_the_time_of_the_layer_before(rig):
    config = rig.build("FROM scratch\nLABEL a=b\nRUN put /x 1\nLABEL c=d\nRUN put /y 1\n")
    times = [line.created for line in config.history]
    assert times[0] == times[1] == times[2] < times[3] == config.created


# --- context and Dockerfile -------------------------------------------------------------


def outside(rig, name, text):
    path = os.path.join(os.path.dirname(rig.context), name)
    with open(path, "w") as file:
        file.write(text)
    return path


def test_the_dockerfile_of_the_context_and_one_outside(rig):
    from lamina.build import BuildRequest

    rig.write(
        app="a", Dockerfile="FROM scratch\nCOPY app /in\n", other="FROM scratch\nCOPY app /o\n"
    )
    path = outside(rig, "Elsewhere", "FROM scratch\nCOPY app /out\n")
    found = []
    for dockerfile in (None, path, os.path.join(rig.context, "other")):
        result = rig.builder.build(BuildRequest(context=rig.context, dockerfile=dockerfile))
        found += rig.tree(rig.images.config(result.image_id))
    assert found == ["in", "out", "o"]


def test_missing_things_say_what_is_missing(rig):
    from lamina.build import BuildRequest

    with pytest.raises(PathNotFound, match=r"there is no Dockerfile in .*; name one with --file"):
        rig.builder.build(BuildRequest(context=rig.context))
    with pytest.raises(PathNotFound, match="there is no build context /nowhere"):
        rig.builder.build(BuildRequest(context="/nowhere"))
    path = outside(rig, "file", "x")
    with pytest.raises(UsageError, match="is not a directory"):
        rig.builder.build(BuildRequest(context=path))
    with pytest.raises(PathNotFound, match="there is no Dockerfile /nowhere"):
        rig.builder.build(BuildRequest(context=rig.context, dockerfile="/nowhere"))


def test_a_build_without_a_context(rig):
    config = rig.build("FROM scratch\nCOPY <<f /f\ntext\nf\n", context=None)
    assert rig.tree(config) == {"f": "text\n"}
    with pytest.raises(BuildError, match="Dockerfile:2: a build without a context has no 'app'"):
        rig.build("FROM scratch\nCOPY app /app\n", context=None)


def test_a_tar_in_the_place_of_a_dockerfile_is_told(rig):
    from lamina.build import BuildRequest

    for data in (tar_of('f Dockerfile "FROM scratch"\n'), b"\x1f\x8b\x08\x00"):
        with pytest.raises(UsageError, match=r"an archive is no Dockerfile; as a context"):
            rig.builder.build(BuildRequest(context=None, dockerfile_text=data))


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"\0", b"# nothing\n", b"x" * (3 << 20)])
def test_what_is_no_dockerfile(rig, data):
    from lamina.build import BuildRequest

    with pytest.raises(DockerfileError):
        rig.builder.build(BuildRequest(context=rig.context, dockerfile_text=data))


def ignoring(rig, text, **files):
    rig.write(_dockerignore=text, **files)
    return sorted(rig.tree(rig.build("FROM scratch\nCOPY . /\n")))


def test_ignored_files_are_not_there(rig):
    found = ignoring(
        rig,
        "*.log\ndocs\n!docs/README_md\n.dockerignore\n".replace("_md", ".md"),
        a_log="l",
        docs__README_md="r",
        docs__other="o",
        keep="k",
    )
    assert found == ["docs", "docs/README.md", "keep"]


def test_an_ignored_source_names_the_line(rig):
    rig.write(_dockerignore="# secrets\nkeys\n!keys/public\nkeys/pub*\n", keys__private="x", a="a")
    with pytest.raises(BuildError) as caught:
        rig.build("FROM scratch\nCOPY keys/private /\n")
    assert "the build context has no 'keys/private': excluded by line 2 of .dockerignore" in str(
        caught.value
    )


def test_an_ignored_file_misses_nothing(rig):
    rig.write(_dockerignore="*.log\n", src__a="a")
    text = "FROM scratch\nCOPY . /\n"
    rig.build(text)
    rig.write(x_log="l")
    rig.build(text)
    assert rig.cached() == [True]


def test_the_ignore_file_beside_the_dockerfile_wins(rig):
    from lamina.build import BuildRequest

    rig.write(
        _dockerignore="a\n",
        Dockerfile="FROM scratch\nCOPY . /\n",
        Dockerfile_dockerignore="b\n*ocker*\n",
        a="a",
        b="b",
    )
    result = rig.builder.build(BuildRequest(context=rig.context))
    assert set(rig.tree(rig.images.config(result.image_id))) == {"a"}


def test_a_bad_ignore_pattern(rig):
    rig.write(_dockerignore="ok\n[a\n")
    for _ in range(2):
        with pytest.raises(DockerfileError, match=r"\.dockerignore:2: syntax error in pattern"):
            rig.build("FROM scratch\n")


@pytest.mark.parametrize("name", [".dockerignore", "Dockerfile"])
@pytest.mark.parametrize("target", ["/etc/passwd", "../outside"])
def test_links_of_the_context_lead_nowhere_outside(rig, name, target):
    from lamina.build import BuildRequest

    outside(rig, "outside", "FROM scratch\n")
    rig.write(Dockerfile="FROM scratch\n")
    path = os.path.join(rig.context, name)
    if os.path.exists(path):
        os.unlink(path)
    os.symlink(target, path)
    with pytest.raises(BuildError, match=f"{name} is a link that leads to nothing inside"):
        rig.builder.build(BuildRequest(context=rig.context))


def test_an_ignore_file_that_is_a_fifo_does_not_hang(rig):
    os.mkfifo(os.path.join(rig.context, ".dockerignore"))
    with pytest.raises(Exception, match=r"reading \.dockerignore: not a regular file"):
        rig.build("FROM scratch\n")


def test_links_to_the_host_stay_links(rig):
    os.symlink("/etc/passwd", os.path.join(rig.context, "passwd"))
    os.symlink("/usr/bin", os.path.join(rig.context, "bin"))
    config = rig.build("FROM scratch\nCOPY . /\n")
    assert rig.tree(config) == {"passwd": "-> /etc/passwd", "bin": "-> /usr/bin"}
    for source in ("passwd", "bin/env", "bin/"):
        with pytest.raises(BuildError, match="the build context has no"):
            rig.build(f"FROM scratch\nCOPY {source} /x\n")


def test_destination_links_stay_inside_the_image(rig, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    rig.write(f="f")
    os.symlink(victim, os.path.join(rig.context, "out"))
    os.symlink("../../../../../.." + str(victim), os.path.join(rig.context, "up"))
    config = rig.build("FROM scratch\nCOPY . /\nCOPY f /out/\nCOPY f /up/g\n")
    tree = rig.tree(config)
    inside = str(victim).lstrip("/")
    assert tree[f"{inside}/f"] == tree[f"{inside}/g"] == "f"
    assert os.listdir(victim) == []


def test_an_unreadable_or_vanishing_file_names_itself(rig):
    rig.write(a="a" * (2 << 20))
    meanwhile(rig, lambda: os.unlink(os.path.join(rig.context, "a")))
    with pytest.raises(Exception, match="reading a: No such file") as caught:
        rig.build("FROM scratch\nCOPY a /\n")
    assert caught.type.__name__ == "StorageError"
    assert list(rig.layers.driver.layers()) == []


# --- what is said -----------------------------------------------------------------------


def test_events(rig):
    rig.write(app="code")
    rig.build("FROM scratch AS x\nCOPY app /app\nCMD x\n")
    started = [event for event in rig.events if isinstance(event, StepStarted)]
    assert [tuple(event) for event in started] == [
        (1, 3, "FROM scratch AS x", "x", 1, 0, 1),
        (2, 3, "COPY app /app", "x", 2, 1, 1),
        (3, 3, "CMD x", "x", 3, 0, 1),
    ]
    done = [event for event in rig.events if isinstance(event, StepDone)]
    assert [(event.step, event.size) for event in done] == [(1, 0), (2, 4), (3, 0)]
    rig.build("FROM scratch AS x\nCOPY app /app\nCMD x\n")
    assert [event.step for event in rig.events if isinstance(event, StepCached)] == [2]


def test_a_step_is_called_by_what_its_variables_come_to(rig):
    rig.write(app="code")
    text = (
        "ARG base=scratch\nfrom $base as X\nARG d='/a  b'\ncopy app \"$d\"\nworkdir /w${d}\n"
        "RUN say $d \\\n  $e\nCOPY app /$nothing\nENV d=/other\nCOPY app $d/\n"
    )
    rig.build(text)
    started = [event.text for event in rig.events if isinstance(event, StepStarted)]
    assert [each for each in started if not each.startswith(("ENV", "ARG"))] == [
        "FROM scratch as X",
        'COPY app "/a b"',
        "WORKDIR /w/a b",
        "RUN say $d $e",
        "COPY app /$nothing",
        "COPY app /other/",
    ]


def test_warnings_are_events_and_results(rig):
    rig.build("FROM scratch\nARG VERSION\nLABEL a=$VERSOIN\n", build_args={"VERSIN": "1"})
    cautions = [event.text for event in rig.events if isinstance(event, Caution)]
    assert cautions == [
        "the build argument VERSIN is declared nowhere; did you mean VERSION?",
        "line 3: $VERSOIN is not defined here",
    ]
    assert list(rig.result.warnings) == cautions


@pytest.mark.parametrize("tag", ["UPPER", "a b", "x@sha256:" + "0" * 64, ""])
def test_bad_tags_are_refused_before_anything_is_built(rig, tag):
    with pytest.raises((InvalidReference, UsageError)):
        rig.build("FROM scratch\nRUN put /x 1\n", tags=(tag,))
    assert rig.runner.count == 0


def test_an_unknown_network(rig):
    with pytest.raises(UsageError, match="no network 'bridge'"):
        rig.build("FROM scratch\n", network="bridge")


def test_the_cache_files_are_private(rig):
    rig.write(a="a")
    os.utime(os.path.join(rig.context, "a"), ns=(5, 5))
    rig.build("FROM scratch\nCOPY a /\n")
    folder = rig.root.folder("contexts")
    if os.path.exists(folder):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_the_config_is_valid_json_with_sorted_keys(rig):
    config = rig.build("FROM scratch\nENV A=é\nLABEL b=1 a=2\n")
    document = json.loads(config.raw)
    assert document["config"]["Env"][-1] == "A=é"
    assert document["rootfs"] == {"type": "layers", "diff_ids": []}


# --- others at the same time ------------------------------------------------------------


def test_what_a_build_found_in_the_cache_is_not_pruned_under_it(rig):
    """Another process forgets the cache and removes the base before a later step begins."""
    rig.build("FROM scratch\nRUN put /base x\n", tags=("base",))
    rig.build("FROM base\nRUN put /a x\n")
    rig.layers.release()
    create = rig.layers.create_rw

    def meanwhile(*arguments):
        other = ScratchStore(rig.root.path)
        with other.root.database.write() as db:
            db.execute("DELETE FROM cache")
            db.execute("DELETE FROM refs WHERE kind = 'cache'")
        for named in other.images.all():
            other.images.remove(named.row.id)
        other.close()
        return create(*arguments)

    rig.layers.create_rw = meanwhile
    config = rig.build("FROM base\nRUN put /a x\nRUN put /b x\n")
    assert rig.cached() == [True, False]
    assert [len(rig.layers.chain(config.top_chain)), len(config.diff_ids)] == [3, 3]


@pytest.mark.parametrize("line", ["COPY a /a", "RUN --mount=target=/c,source=a say x"])
def test_a_stat_cache_that_was_wrong_is_not_believed_again(rig, line):
    """A file's bytes may change without a trace, so that it is read anew or never built again."""
    rig.write(a="one")
    stats = StoreCache(rig.root).stat_cache(rig.context)
    status = os.lstat(os.path.join(rig.context, "a"))
    stats.note(packed(status), hashlib.sha256(b"two").digest(), status.st_ctime_ns + 60 * 10**9)
    stats.save()
    with pytest.raises(BuildError, match="'a' changed while it was read; build again"):
        rig.build(f"FROM scratch\n{line}\n")
    rig.build(f"FROM scratch\n{line}\n")
    assert rig.cached() == [False]


def test_a_small_file_that_is_known_is_not_read_again(rig):
    """Its bytes are those that the key counts, as they would be in a build of known steps."""
    rig.write(a="one", b="b")
    stats = StoreCache(rig.root).stat_cache(rig.context)
    status = os.lstat(os.path.join(rig.context, "a"))
    digest = hashlib.sha256(b"two").digest()
    stats.note(packed(status), digest, status.st_ctime_ns + 60 * 10**9)
    stats.contents.keep(digest, b"two")
    stats.save()
    assert rig.tree(rig.build("FROM scratch\nCOPY . /\n")) == {"a": "two", "b": "b"}


def meanwhile(rig, change):
    """From now on `change` happens between what a copy looked at and the making of its layer."""
    register = rig.layers.register_entries

    def changing(*arguments):
        change()
        return register(*arguments)

    rig.layers.register_entries = changing
    return partial(setattr, rig.layers, "register_entries", register)


def test_a_file_that_changes_before_it_is_copied_is_copied_as_it_was(rig):
    rig.write(a="one")
    undo = meanwhile(rig, lambda: rig.write(a="two"))
    assert rig.tree(rig.build("FROM scratch\nCOPY a /a\n")) == {"a": "one"}
    undo()
    assert rig.tree(rig.build("FROM scratch\nCOPY a /a\n")) == {"a": "two"}
    rig.write(a="one")
    assert rig.tree(rig.build("FROM scratch\nCOPY a /a\n")) == {"a": "one"}
    assert rig.cached() == [True]


def test_a_large_file_that_changes_before_it_is_copied_makes_no_record(rig):
    """Its layer would hold bytes that are not those of the key."""
    one, two = "one" * (1 << 19), "two" * (1 << 19)
    rig.write(a=one)
    undo = meanwhile(rig, lambda: rig.write(a=two))
    with pytest.raises(BuildError, match="changed while it was read"):
        rig.build("FROM scratch\nCOPY a /a\n")
    undo()
    rig.write(a=one)
    rig.build("FROM scratch\nCOPY a /a\n")
    assert rig.cached() == [False]


def test_an_image_that_nobody_made_durable_is_made_so_when_it_is_built_again(rig, monkeypatch):
    """The first builder was killed before its barrier; all is cached for the second."""
    text = "FROM scratch\nRUN put /a x\n"
    monkeypatch.setattr(rig.layers, "barrier", lambda: None)
    rig.build(text)
    assert not rig.layers.is_durable
    monkeypatch.undo()
    rig.build(text)
    assert rig.cached() == [True]
    assert rig.layers.is_durable
