"""Stages worked on at once with real containers: they meet, and one's failure ends the other."""

import os
import signal
import subprocess
import sys

import pytest

import lamina
from lamina.errors import StepFailed
from lamina.values.events import StepCanceled
from tests.integration.test_build import BASE, Said, build

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

MEET = "RUN --mount=type=cache,target=/c touch /c/{0}; until test -e /c/{1}; do :; done; {2}\n"
TWO = (
    BASE.replace("scratch", "scratch AS base").replace("ADD", "COPY root.tar.gz /unused\nADD")
    + "FROM base AS one\n{one}FROM base AS two\n{two}"
    + "FROM base\nCOPY --from=one /one /\nCOPY --from=two /two /\n"
)


@pytest.fixture(params=["overlay2", "vfs", "erofs", "chroot"])
def engine(request, tmp_path):
    kind = request.param
    environ = {"LAMINA_ISOLATION": kind} if kind == "chroot" else {}
    driver = "overlay2" if kind == "chroot" else kind
    with lamina.open(
        str(tmp_path / "store"), run_root=str(tmp_path / "run"), driver=driver, environ=environ
    ) as made:
        yield made


def text(one, two):
    return TWO.format(one=MEET.format("a", "b", one), two=MEET.format("b", "a", two))


def left_over(engine):
    with engine.layers.root.database.read() as db:
        rows = db.execute("SELECT count(*) FROM layers WHERE state != 'ready'")
        staged = rows.fetchone()[0]
    return staged, {
        os.path.join(folder, name)
        for folder, folders, files in os.walk(engine.run_root)
        for name in (*folders, *files)
    }


def test_two_commands_meet(engine, context):
    """Each waits for the other: one after the other they would wait for ever."""
    image, _ = build(engine, context, text("touch /one", "touch /two"))
    assert len(image.layers) == 4
    again, said = build(engine, context, text("touch /one", "touch /two"))
    assert again.id == image.id
    assert len(said.cached) == 6


def test_a_failure_ends_the_other_command(engine, context):
    build(engine, context, BASE + "RUN true\n")
    before, said = left_over(engine), Said()
    with pytest.raises(StepFailed) as caught:
        engine.images.build(
            context, dockerfile_text=text("sleep 1000", "exit 3").encode(), events=said
        )
    assert caught.value.status == 3
    assert len([each for each in said.events if isinstance(each, StepCanceled)]) == 1
    assert left_over(engine) == before


def test_ctrl_c_ends_both(context, tmp_path):
    script = (
        "import sys, lamina\n"
        "store, context, text = sys.argv[1:]\n"
        "def say(event):\n"
        "    if type(event).__name__ == 'StepOutput': print(event.data, flush=True)\n"
        "with lamina.open(store, run_root=store + '.run') as opened:\n"
        "    try: opened.images.build(context, dockerfile_text=text.encode(), events=say)\n"
        "    except KeyboardInterrupt: print('ended', flush=True)\n"
    )
    both = text("echo one; exec sleep 1000", "echo two; exec sleep 1000")
    store = str(tmp_path / "store")
    process = subprocess.Popen(
        [sys.executable, "-c", script, store, context, both], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout as out:
        heard = {out.readline(), out.readline()}
        process.send_signal(signal.SIGINT)
        assert out.readline() == "ended\n"
    assert heard == {"b'one\\n'\n", "b'two\\n'\n"}
    with lamina.open(store, run_root=store + ".run") as opened:
        assert left_over(opened)[0] == 0
