"""Builds with real containers: a busybox root, RUN through the one execution, on each driver."""

import errno
import io
import os
import signal
import subprocess
import sys
import tarfile

import pytest

import lamina
from lamina.errors import BuildError, StepFailed
from lamina.values.events import StepCached, StepDone, StepOutput

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

BASE = "FROM scratch\nADD root.tar.gz /\n"


@pytest.fixture(params=["overlay2", "vfs", "erofs"])
def engine(request, tmp_path):
    with lamina.open(
        str(tmp_path / "store"), run_root=str(tmp_path / "run"), driver=request.param
    ) as opened:
        yield opened


class Said:
    """What a build said."""

    def __init__(self):
        self.events = []

    def __call__(self, event):
        self.events.append(event)

    @property
    def output(self):
        return b"".join(e.data for e in self.events if isinstance(e, StepOutput)).decode()

    @property
    def missed(self):
        return " ".join(e.missed for e in self.events if isinstance(e, StepDone))

    @property
    def cached(self):
        return [e.step for e in self.events if isinstance(e, StepCached)]


def build(engine, context, text, **wishes):
    """Build the text; gives the image and what was said."""
    said = Said()
    image = engine.images.build(context, dockerfile_text=text.encode(), events=said, **wishes)
    return image, said


def changed(engine, image):
    """The names in the image's topmost layer."""
    return names(engine, image.layers[-1].chain_id)


def names(engine, chain):
    out = io.BytesIO()
    engine.layers.export(chain, out.write)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        return archive.getnames()


def test_a_command_sees_its_environment_user_and_directory(engine, context):
    _, said = build(
        engine,
        context,
        BASE + "ENV A='x y'\nARG B=2\nUSER app\nWORKDIR /home/app/w\n"
        'RUN echo "$A $B $HOME $(id -u):$(id -g):$(id -G) $PWD"; ls -ldn . | { read a b c d e;'
        ' echo "$c:$d"; }\n',
    )
    assert said.output == "x y 2 /home/app 42:43:43 44 /home/app/w\n42:43\n"


def test_nothing_of_the_container_is_in_the_layer(engine, context):
    image, said = build(
        engine,
        context,
        BASE + "RUN cat /etc/hosts /etc/resolv.conf /etc/hostname >/dev/null; ls /proc/1 >/dev/null"
        " && touch /dev/shm/x /made\n",
    )
    assert changed(engine, image) == ["made"]
    assert said.output == ""


def test_what_only_looked_is_no_layer(engine, context):
    image, _ = build(engine, context, BASE + "RUN cat /etc/passwd\nRUN touch /tmp/x && rm /tmp/x\n")
    assert len(image.layers) == 1
    assert [line.empty_layer for line in image.config.history] == [False, True, True]


def test_deletions_and_replacements(engine, context):
    image, _ = build(
        engine,
        context,
        BASE + "RUN mkdir /d && echo 1 > /d/a && echo 1 > /d/b\nRUN rm /d/a && rm -r /tmp\n",
    )
    assert sorted(changed(engine, image)) == [".wh.tmp", "d", "d/.wh.a"]
    view = engine.layers.view(image.layers[-1].chain_id)
    try:
        assert view.listdir(b"d") == [b"b"]
        assert view.lstat(b"tmp") is None
    finally:
        view.close()


def test_a_shell_of_ones_own_and_here_documents(engine, context):
    _, said = build(
        engine,
        context,
        BASE + 'SHELL ["/bin/sh", "-ec"]\nRUN <<EOF\necho one\necho $0-$X\nEOF\n'
        "RUN cat <<A - <<B\nfrom a\nA\nfrom b\nB\n",
    )
    assert said.output == "one\n/bin/sh-\nfrom b\n"


def test_the_network_can_be_taken_away(engine, context):
    _, said = build(engine, context, BASE + "RUN --network=none cat /proc/net/dev\n")
    assert "lo:" in said.output
    assert len(said.output.splitlines()) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('RUN ["/bin/nope"]', "Dockerfile:3: "),
        ('RUN ["/etc/passwd"]', "Dockerfile:3: "),
        ("USER nobody-here\nRUN true", "Dockerfile:4: unable to find user nobody-here"),
        ("RUN exit 7", "exit status 7"),
    ],
)
def test_a_command_that_does_not_work(engine, context, line, message):
    with pytest.raises(BuildError) as caught:
        build(engine, context, BASE + line + "\n")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    with engine.layers.root.database.read() as db:
        assert db.execute("SELECT count(*) FROM layers WHERE kind = 'active'").fetchone() == (0,)
    assert set(os.listdir(engine.run_root)) <= {"crun", "runc", "shared", "filters"}


def test_the_end_of_the_output_is_in_the_error(engine, context):
    with pytest.raises(StepFailed) as caught:
        build(engine, context, BASE + "RUN echo out; echo err >&2; exit 3\n")
    assert caught.value.status == 3
    assert set(caught.value.details.split()) == {"out", "err"}


def test_a_cached_build_is_the_same_image(engine, context):
    text = BASE + "RUN echo 1 > /a\nWORKDIR /w\nRUN echo 2 > b\nCMD x\n"
    first, _ = build(engine, context, text, tags=["x"])
    second, said = build(engine, context, text, tags=["x"])
    assert first.id == second.id
    assert said.cached == [2, 3, 4, 5]


def test_equal_builds_give_equal_images_on_every_driver(tmp_path, context):
    """Two stores, two drivers, two moments: one image ID."""
    text = BASE + (
        "RUN mkdir /d && echo 1 > /d/a && ln /d/a /d/b && chmod 4711 /d/b\n"
        "RUN rm /d/a; echo x >> /etc/passwd\nWORKDIR /w\nCOPY . /ctx\n"
    )
    found = set()
    for driver in ("overlay2", "vfs", "erofs"):
        with lamina.open(
            str(tmp_path / driver), run_root=str(tmp_path / "run"), driver=driver
        ) as opened:
            image, _ = build(opened, context, text, source_date_epoch=1_500_000_000)
            found.add((image.id, tuple(layer.diff_id for layer in image.layers)))
    assert len(found) == 1


def test_stages_copy_from_each_other_with_owners(engine, context):
    image, _ = build(
        engine,
        context,
        BASE.replace("scratch", "scratch AS base")
        + "FROM base AS build\nUSER app\nWORKDIR /out\nRUN echo 1 > f\n"
        "FROM scratch\nCOPY --from=build /out /got/\nCOPY --from=build --chown=7:8 /out /own/\n",
    )
    assert len(image.layers) == 2
    view = engine.layers.view(image.layers[-1].chain_id)
    try:
        owners = [
            (view.lstat(each).st_uid, view.lstat(each).st_gid) for each in (b"got/f", b"own/f")
        ]
    finally:
        view.close()
    assert owners == [(42, 43), (7, 8)]


SCRIPT = """
import sys, lamina
root, run_root, context, text = sys.argv[1:5]
def show(event):
    print(type(event).__name__, flush=True)
with lamina.open(root, run_root=run_root, driver="overlay2") as engine:
    engine.images.build(context, dockerfile_text=text.encode(), tags=["x"], events=show)
"""


def start(tmp_path, context, text):
    arguments = [
        sys.executable,
        "-c",
        SCRIPT,
        f"{tmp_path}/store",
        f"{tmp_path}/run",
        context,
        text,
    ]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def test_a_killed_build_leaves_nothing_and_the_next_one_goes_on(tmp_path, context):
    text = BASE + "RUN echo 1 > /one\nRUN echo running; sleep 1000\n"
    builder = start(tmp_path, context, text)
    try:
        assert builder.stdout is not None
        lines = iter(builder.stdout.readline, "")
        assert any(line == "StepOutput\n" for line in lines)
    finally:
        builder.send_signal(signal.SIGKILL)
        builder.wait()
        builder.stdout.close()
    with lamina.open(f"{tmp_path}/store", run_root=f"{tmp_path}/run") as engine:
        with engine.layers.root.database.read() as db:
            kinds = db.execute("SELECT kind, state FROM layers").fetchall()
        assert kinds == [("committed", "ready")] * 2
        assert len(list(engine.layers.driver.layers())) == 2
        _, said = build(engine, context, BASE + "RUN echo 1 > /one\n")
        assert said.cached == [2, 3]
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        assert str(tmp_path) not in mounts.read()


def test_two_processes_carry_a_step_out_once(tmp_path, context):
    """The second waits at the step's lock while the first holds it, then finds its record."""
    text = BASE + "COPY root.tar.gz /again\nRUN echo running; sleep 0.3; echo 1 > /one\n"
    builders = [start(tmp_path, context, text) for _ in range(2)]
    said = [builder.communicate(timeout=60)[0].split() for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert sum(words.count("StepOutput") for words in said) == 1
    with lamina.open(f"{tmp_path}/store", run_root=f"{tmp_path}/run") as engine:
        assert len(engine.layers.all()) == 3


def test_a_shell_where_a_command_failed(engine, context):
    """It sees what the command began with, and its mounts; the build fails as it would."""
    from lamina.build import BuildRequest
    from lamina.execution.run import Stdio

    text = BASE + (
        "RUN mkdir /w && echo before > /w/seen\nENV A=1\nWORKDIR /w\nUSER app\n"
        "RUN --mount=type=tmpfs,target=/t touch /tmp/not; exit 7\n"
    )
    heard = []

    def debug(shell):
        asked, answer = os.pipe(), os.pipe()
        os.write(asked[1], b"cat seen; echo $A; id -u; ls /tmp /t; touch /tmp/x; exit 3\n")
        os.close(asked[1])
        with shell(Stdio(asked[0], answer[1], answer[1]), False) as running:
            os.close(answer[1])
            heard.append(running.wait().code)
        with open(answer[0]) as file:
            heard.append(file.read())
        os.close(asked[0])

    with pytest.raises(StepFailed) as caught:
        engine.images.carry_out(
            BuildRequest(context=context, dockerfile_text=text.encode()), debug=debug
        )
    assert caught.value.status == 7
    assert heard == [3, "before\n1\n42\n/t:\n\n/tmp:\n"]
    with engine.layers.root.database.read() as db:
        rows = db.execute("SELECT count(*) FROM layers WHERE state != 'ready' OR kind = 'active'")
        assert rows.fetchone()[0] == 0


def test_who_listens_and_fails_ends_the_command(engine, context):
    """As whoever pipes a build into head(1) does: nobody would hear the rest of it."""

    def listen(event):
        if isinstance(event, StepOutput):
            raise BrokenPipeError(errno.EPIPE, "nobody reads")

    text = BASE + "RUN echo 1; sleep 1000\n"
    with pytest.raises(BrokenPipeError):
        engine.images.build(context, dockerfile_text=text.encode(), events=listen)
