"""Stages worked on at once: what meets, what waits, what is done once, and how it all ends."""

import itertools
import os
import resource
import threading
from contextlib import contextmanager

import pytest

from lamina.archive.entry import Entry, Segment
from lamina.build import BuildRequest, steps
from lamina.build.chosen import Chosen
from lamina.build.crew import Crew
from lamina.build.stop import Stop, Stopped
from lamina.build.wishes import jobs_of
from lamina.build.work import Stoppable
from lamina.errors import StepFailed, UsageError
from lamina.values.events import StepCanceled, StepDone, StepOutput, StepStarted

TWO = (
    "FROM scratch AS one\nRUN {one}\nFROM scratch AS two\nRUN {two}\n"
    "FROM scratch\nCOPY --from=one / /\nCOPY --from=two / /\n"
)


def left_over(rig) -> list[str]:
    """Layers that are neither complete nor going to be."""
    with rig.root.database.read() as db:
        rows = db.execute("SELECT id FROM layers WHERE state != 'ready' OR kind = 'active'")
        return [str(each) for (each,) in rows.fetchall()]


def test_two_stages_run_at_once(rig):
    config = rig.build(TWO.format(one="meet; put /a 1", two="meet; put /b 2"), jobs=2)
    assert rig.tree(config) == {"a": "1", "b": "2"}


def test_a_stage_runs_beside_the_one_it_reads_from_until_it_does(rig):
    text = (
        "FROM scratch AS one\nRUN meet; put /a 1\n"
        "FROM scratch\nRUN meet; put /b 2\nCOPY --from=one / /\n"
    )
    assert rig.tree(rig.build(text, jobs=2)) == {"a": "1", "b": "2"}


def test_platforms_are_built_at_once(rig):
    text = "FROM scratch\nARG TARGETARCH\nRUN meet\nRUN put /arch $TARGETARCH\n"
    rig.build(text, jobs=2, platforms=("linux/amd64", "linux/arm64", "linux/s390x", "linux/386"))
    assert [each.architecture for each in rig.result.images] == ["amd64", "arm64", "s390x", "386"]


def test_more_stages_than_threads_and_long_chains_of_them(rig):
    text = "FROM scratch AS s0\nRUN put /f0 x\n"
    for number in range(1, 30):
        text += f"FROM scratch AS s{number}\nCOPY --from=s{number - 1} / /\nRUN put /f{number} x\n"
    config = rig.build(text, jobs=3)
    assert rig.tree(config) == {f"f{number}": "x" for number in range(30)}
    rig.build(text, jobs=3)
    assert all(rig.cached())


def test_the_same_image_however_many_at_once(rig, other_rig):
    text = TWO.format(one="put /a 1", two="put /b 2")
    assert (
        rig.build(text, jobs=1, source_date_epoch=1).id
        == other_rig.build(text, jobs=4, source_date_epoch=1).id
    )


@pytest.mark.parametrize("no_cache", [False, True])
def test_identical_steps_are_done_once(rig, no_cache):
    rig.build(TWO.format(one="put /a 1", two="put /a 1"), jobs=2, no_cache=no_cache)
    assert rig.runner.count == 1


def test_steps_have_the_plans_numbers_and_output_goes_by_them(rig):
    rig.build(TWO.format(one="say 1; put /a 1", two="say 2; put /b 2"), jobs=2)
    started = {each.step: each.text for each in rig.events if isinstance(each, StepStarted)}
    assert [started[number] for number in sorted(started)] == [
        "FROM scratch AS one",
        "RUN say 1; put /a 1",
        "FROM scratch AS two",
        "RUN say 2; put /b 2",
        "FROM scratch",
        "COPY --from=one / /",
        "COPY --from=two / /",
    ]
    places = {
        each.step: (each.stage, each.number, each.of)
        for each in rig.events
        if isinstance(each, StepStarted)
    }
    assert [places[number] for number in sorted(places)] == [
        ("one", 0, 1),  # nothing is not counted, as BuildKit does not
        ("one", 1, 1),
        ("two", 0, 1),
        ("two", 1, 1),
        ("stage-2", 0, 2),
        ("stage-2", 1, 2),
        ("stage-2", 2, 2),
    ]
    said = {each.step: each.data for each in rig.events if isinstance(each, StepOutput)}
    assert said == {2: b"1\n", 4: b"2\n"}


def test_a_failure_ends_what_runs_beside_it(rig):
    with pytest.raises(StepFailed) as caught:
        rig.build(TWO.format(one="meet; put /a 1; hang", two="meet; fail 3"), jobs=2)
    assert caught.value.status == 3
    assert rig.runner.cut == [True]
    assert "Dockerfile:4" in str(caught.value)
    canceled = [each.step for each in rig.events if isinstance(each, StepCanceled)]
    done = [each.step for each in rig.events if isinstance(each, StepDone)]
    assert canceled == [2]
    assert sorted(done) == [1, 3]
    assert left_over(rig) == []
    assert rig.tree(rig.build(TWO.format(one="put /a 1", two="put /b 2"))) == {"a": "1", "b": "2"}


@pytest.mark.parametrize("line", ["COPY huge /", "RUN --mount=target=/c,source=huge say x"])
def test_a_failure_ends_the_reading_of_a_context(rig, line):
    """8 TB of zeros take hours."""
    rig.write(huge="")
    os.truncate(f"{rig.context}/huge", 8 << 40)
    text = TWO.format(one="say x", two="fail 3").replace("RUN say x", line)
    with pytest.raises(StepFailed):
        rig.build(text, jobs=2)
    assert left_over(rig) == []


def test_a_failure_ends_the_copying_of_a_file():
    stop = Stop()

    class Endless:
        def read(self, size):
            stop.ask()
            return bytes(size)

    class Source:
        def segments(self):
            yield Segment(Entry(b"a", "file", 0o644, size=1 << 40), b"", 0, Endless())

    (segment,) = itertools.islice(Stoppable(Source(), stop).segments(), 1)
    assert segment.body.read(10) == bytes(10)
    with pytest.raises(Stopped):
        segment.body.read(10)


def test_binds_share_what_is_kept_of_them(rig, monkeypatch):
    kept = []
    expect = Chosen.expect

    def watching(chosen, seen):
        kept.extend(len(each.nodes) for each in seen)
        expect(chosen, seen)

    monkeypatch.setattr(Chosen, "expect", watching)
    monkeypatch.setattr(steps, "ROOM", 20_000)
    rig.write(**{f"d__{number}": "" for number in range(30)})
    binds = " ".join(f"--mount=target=/{number},source=d" for number in range(4))
    rig.build(f"FROM scratch\nRUN {binds} say x\n")
    assert (len(kept), sum(kept) < 45) == (4, True)


@contextmanager
def descriptors(count):
    """So many more than are open may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_four_stages_of_many_directories_at_once(rig):
    """A thousand descriptors must be enough for four processors, and leave some."""
    for number in range(300):
        os.makedirs(f"{rig.context}/d/{number}/e")
    stages = "".join(f"FROM scratch AS s{n}\nRUN put /{n} x\nCOPY d /{n}d\n" for n in range(4))
    copies = "".join(f"COPY --from=s{n} / /\n" for n in range(4))
    with descriptors(600):
        config = rig.build(f"{stages}FROM scratch\n{copies}", jobs=4)
    assert len(rig.tree(config)) == 4 * (1 + 1 + 2 * 300)


@pytest.mark.parametrize(("limit", "processors", "jobs"), [(1024, 64, 4), (1024, 3, 3), (64, 8, 2)])
def test_no_more_stages_at_once_than_descriptors_allow(monkeypatch, limit, processors, jobs):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        assert jobs_of(BuildRequest()) == jobs
        assert jobs_of(BuildRequest(jobs=9)) == 9
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_interrupt_ends_all_that_runs(rig):
    with pytest.raises(KeyboardInterrupt):
        rig.build(TWO.format(one="meet; hang", two="meet; interrupt; hang"), jobs=2)
    assert rig.runner.cut == [True, True]
    assert left_over(rig) == []


def test_what_was_finished_before_a_failure_is_known_again(rig):
    text = TWO.format(one="put /a 1", two="fail 1")
    with pytest.raises(StepFailed):
        rig.build(text, jobs=1)
    count = rig.runner.count
    rig.build(text.replace("fail 1", "put /b 2"), jobs=2)
    assert rig.runner.count == count + 1


def test_who_waits_for_the_same_step_elsewhere_is_stopped_too(rig):
    """As when another process builds it, for hours."""
    text = TWO.format(one="meet; fail 3", two="meet; put /b 2\nRUN nothing")
    stop, taken, done = Stop(), threading.Event(), threading.Event()

    def hold():
        with rig.builder._parts.cache.single_flight("sha256:abc", Stop()):
            taken.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert taken.wait(30)
        stop.ask()
        with (
            pytest.raises(Stopped),
            rig.builder._parts.cache.single_flight("sha256:abc", stop),
        ):
            raise AssertionError("it is held")
    finally:
        done.set()
        holder.join()
    with pytest.raises(StepFailed):
        rig.build(text, jobs=2)


@pytest.mark.parametrize("jobs", [0, -1])
def test_no_stages_at_once_are_refused(rig, jobs):
    with pytest.raises(UsageError, match="stages at once"):
        rig.build("FROM scratch\n", jobs=jobs)


# --- the crew alone -----------------------------------------------------------------------


def test_errands_are_carried_out_by_the_caller_and_raise_where_they_were_asked_for():
    crew = Crew(2, Stop())
    seen: list[object] = []

    def piece(number):
        seen.append(crew.by_caller(threading.get_ident))
        try:
            crew.by_caller(lambda: 1 // 0)
        except ZeroDivisionError:
            seen.append("raised")
        yield from ()

    crew.work_off({1: piece(1), 2: piece(2)})
    assert seen.count(threading.get_ident()) == 2
    assert seen.count("raised") == 2


def test_an_error_that_nobody_expects_reaches_the_caller():
    def broken():
        raise ZeroDivisionError
        yield

    def waiting():
        yield 1

    with pytest.raises(ZeroDivisionError):
        Crew(2, Stop()).work_off({1: broken(), 2: waiting()})


def test_what_is_cut_after_the_stop_is_cut_at_once():
    stop, cut = Stop(), []
    with stop.cutting(lambda: cut.append("over")):
        pass
    stop.ask()
    with stop.cutting(lambda: cut.append("late")):
        pass
    assert cut == ["late"]
