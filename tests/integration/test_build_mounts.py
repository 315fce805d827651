"""RUN --mount in real builds: what is seen, what of it stays (nothing), and who waits for whom."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

import lamina
from lamina.build.secrets import Secret
from lamina.errors import BuildError, DockerfileError, StepFailed
from lamina.metadata import cache
from lamina.values.events import StepOutput
from tests.cli.rig import until
from tests.integration.test_build import BASE, Said, build, changed

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

WORD = "s3cr3t-w0rd"


def opened(path, **options):
    return lamina.open(f"{path}/store", run_root=f"{path}/run", **options)


@pytest.fixture(params=["overlay2", "erofs", "chroot"])
def engine(request, tmp_path):
    kind = request.param
    environ = {"LAMINA_ISOLATION": kind} if kind == "chroot" else {}
    driver = "overlay2" if kind == "chroot" else kind
    with opened(tmp_path, driver=driver, environ=environ) as made:
        assert made.system.isolation.name == environ.get("LAMINA_ISOLATION", "crun")
        yield made


def put(context, name, text):
    path = os.path.join(context, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


# --- bind ---------------------------------------------------------------------------------


def test_a_context_a_stage_and_a_file_are_seen_and_stay_out(engine, context):
    put(context, "src/a", "of the context\n")
    image, said = build(
        engine,
        context,
        BASE.replace("scratch", "scratch AS one")
        + "RUN mkdir /made && echo of the stage > /made/b\n"
        "FROM one\nWORKDIR /w\nENV S=src\n"
        "RUN --mount=target=here,source=$S --mount=from=one,source=/made,dst=/m \\\n"
        " --mount=source=src/a,target=/f cat here/a /m/b /f; touch here/x || touch /m/x || touch /f"
        " || touch /done\n",
    )
    assert said.output.startswith("of the context\nof the stage\nof the context\n")
    assert said.output.count("Read-only file system") == 3
    assert changed(engine, image) == ["done"]


def test_what_is_written_to_a_bind_is_thrown_away(engine, context):
    put(context, "src/a", "as it was\n")
    line = "RUN --mount=target=/s,source=src,rw cat /s/a; echo new > /s/a && cat /s/a >> /kept\n"
    image, said = build(engine, context, BASE + line + line.replace("/kept", "/more"))
    assert said.output == "as it was\nas it was\n"
    with open(f"{context}/src/a") as file:
        assert file.read() == "as it was\n"
    assert changed(engine, image) == ["more"]


def test_a_bind_misses_only_when_what_it_shows_changed(engine, context):
    put(context, "src/a", "1")
    text = BASE.replace("ADD", "COPY") + "ADD root.tar.gz /\n"
    text += "RUN --mount=source=src,target=/s cat /s/a\n"
    build(engine, context, text)
    put(context, "other", "x")
    assert len(build(engine, context, text)[1].cached) == 3
    put(context, "src/a", "2")
    _, said = build(engine, context, text)
    assert said.output == "2"
    assert "what is mounted on /s changed" in said.missed


def test_ignored_files_are_not_mounted(engine, context):
    put(context, "src/a", "1")
    put(context, "src/b.key", WORD)
    put(context, ".dockerignore", "**/*.key\n")
    _, said = build(engine, context, BASE + "RUN --mount=target=/s ls /s/src\n")
    assert said.output == "a\n"


def test_a_source_does_not_lead_out_of_its_tree(engine, context):
    os.symlink("/etc", f"{context}/out")
    put(context, "etc/inside", "x")
    _, said = build(engine, context, BASE + "RUN --mount=target=/s,source=out ls /s\n")
    assert said.output == "inside\n"
    with pytest.raises(BuildError, match=r"has no '\.\./\.\./etc/shadow'"):
        build(engine, context, BASE + "RUN --mount=target=/s,source=../../etc/shadow cat /s\n")


def test_a_target_link_stays_in_the_root(engine, context):
    """CVE-2024-1753: the image's own link decides where inside, and never outside."""
    put(context, "src/a", "seen\n")
    image, said = build(
        engine,
        context,
        BASE + "RUN ln -s /../../../place /link && mkdir /place\n"
        "RUN --mount=target=/link,source=src cat /place/a\n",
    )
    assert said.output == "seen\n"
    assert len(image.layers) == 2
    assert not os.path.exists("/place")


# --- tmpfs --------------------------------------------------------------------------------


def test_a_tmpfs_is_empty_limited_and_leaves_no_stub(engine, context):
    image, said = build(
        engine,
        context,
        BASE + "RUN --mount=type=tmpfs,target=/t/new,size=64k ls /t/new && touch /ran &&"
        " busybox head -c 100000 /dev/zero > /t/new/x || cat /proc/mounts | busybox grep t/new\n",
    )
    assert "size=64k" in said.output
    assert changed(engine, image) == ["ran"]


# --- secrets ------------------------------------------------------------------------------


class Watch(Said):
    """Looks for the word in the store and the run root while a command runs and afterwards.

    The command waits for `go` in its cache until it was looked.
    """

    def __init__(self, tmp_path, engine):
        super().__init__()
        self.tmp_path = tmp_path
        self.engine = engine
        self.found = []

    def __call__(self, event):
        super().__call__(event)
        if isinstance(event, StepOutput) and b"ran" in event.data:
            self.look()
            with closing(sqlite3.connect(f"{self.tmp_path}/store/lamina.db")) as db:
                (kept,) = cache.kept_layers(db)  # not the engine's: another thread's
            open(f"{self.engine.layers.driver.writable_root(kept.layer)}/go", "w").close()

    def look(self):
        done = subprocess.run(
            ["grep", "-rl", WORD, f"{self.tmp_path}/store", f"{self.tmp_path}/run"],
            capture_output=True,
            text=True,
            check=False,
        )
        self.found += done.stdout.split("\n")[:-1]


def test_a_secret_is_seen_by_its_command_and_nowhere_else(engine, context, tmp_path):
    text = (
        BASE + "RUN --mount=type=secret,id=key,env=KEY --mount=type=secret,id=key,target=/k/file"
        " --mount=type=cache,target=/c"
        ' --mount=type=secret,id=key,mode=0440,uid=5 cat /k/file | busybox grep -q "^$KEY$" &&'
        " ls -ln /run/secrets/key && echo ran && touch /ran; while [ ! -e /c/go ]; do sleep 0.02; done\n"
    )
    watch = Watch(tmp_path, engine)
    image = engine.images.build(
        context,
        dockerfile_text=text.encode(),
        secrets={"key": Secret.of(WORD.encode())},
        events=watch,
    )
    watch.look()
    assert watch.found == []
    assert watch.output.startswith("-r--r-----")
    assert watch.output.endswith("ran\n")
    assert " 5 " in watch.output
    assert changed(engine, image) == ["ran"]
    assert WORD not in str(image.config.document)
    _, said = build(engine, context, text, secrets={"key": Secret.of(b"another")})
    assert len(said.cached) == 2  # its value is in no key


def test_secrets_that_are_missing(engine, context):
    line = "RUN --mount=type=secret,id=none{} ls /run/secrets/none || touch /ran\n"
    _, said = build(engine, context, BASE + line.format(""))
    assert "No such file" in said.output
    with pytest.raises(BuildError, match=r"Dockerfile:3: the secret 'none' is required"):
        build(engine, context, BASE + line.format(",required"))


# --- ssh ----------------------------------------------------------------------------------


def test_an_agent_is_lent_for_the_time_of_the_command(engine, context, tmp_path):
    agent = str(tmp_path / "agent")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(agent)
        image, said = build(
            engine,
            context,
            BASE + "USER app\nRUN --mount=type=ssh,mode=0666 echo $SSH_AUTH_SOCK &&"
            " [ -w $SSH_AUTH_SOCK ] && ls -ln $SSH_AUTH_SOCK\n"
            "RUN --mount=type=ssh,id=other,target=/s ls /s || ls /run || echo ${SSH_AUTH_SOCK:-no}\n",
            agents={"default": agent},
        )
    lines = said.output.splitlines()
    assert lines[0] == "/run/buildkit/ssh_agent.0"
    assert lines[1].startswith("srw-rw-rw-")
    assert "no" in lines
    assert len(image.layers) == 1
    assert os.listdir(f"{tmp_path}/store/staging") == []
    with pytest.raises(BuildError, match="the ssh agent 'none' is required"):
        build(engine, context, BASE + "RUN --mount=type=ssh,id=none,required true\n")


# --- caches -------------------------------------------------------------------------------

ADDS = "RUN --mount=type=cache,target=/c{} ls /c; touch /c/{}\n"


def test_a_cache_lasts_and_is_in_no_layer(engine, context):
    image, said = build(engine, context, BASE + ADDS.format("", "one") + ADDS.format("", "two"))
    assert said.output == "one\n"
    assert len(image.layers) == 1
    (mount,) = engine.system.usage().cache_mounts
    assert mount.title == "/c"
    _, said = build(engine, context, BASE + ADDS.format("", "three"))
    assert said.output == "one\ntwo\n"
    engine.system.prune_cache()
    assert engine.system.usage().cache_mounts == ()
    assert [each for each in engine.layers.all() if each not in image.layers] == []
    _, said = build(engine, context, BASE + ADDS.format("", "four"))
    assert said.output == ""


def test_which_cache_is_meant(engine, context):
    lines = ["", ",id=/c", ",id=x", ",uid=7", ",mode=0700", ",source=sub"]
    text = BASE + "".join(ADDS.format(more, number) for number, more in enumerate(lines))
    _, said = build(engine, context, text + "RUN --mount=type=cache,id=/c,target=/d ls /d\n")
    assert said.output == "0\n0\n1\nsub\n"


def test_a_cache_that_begins_with_a_stage(engine, context):
    text = BASE.replace("scratch", "scratch AS one") + (
        "RUN mkdir /seed && touch /seed/first\nFROM one\n"
        "RUN --mount=type=cache,from=one,source=seed,target=/c ls /c; touch /c/second\n"
        "RUN --mount=type=cache,from=one,source=seed,target=/c ls /c; ls /seed\n"
    )
    _, said = build(engine, context, text)
    assert said.output == "first\nfirst\nsecond\nfirst\n"


def test_a_path_in_a_cache_stays_in_it(engine, context):
    """CVE-2024-23651, CVE-2024-9675: a link in the cache, also one that another build put there."""
    text = BASE + (
        "RUN --mount=type=cache,target=/c ln -s ../../../../etc /c/out\n"
        "RUN --mount=type=cache,target=/c,source=out/made touch /c/here\n"
        "RUN --mount=type=cache,target=/c ls /c /c/etc/made\n"
    )
    _, said = build(engine, context, text)
    assert "here" in said.output
    assert not os.path.exists("/etc/made")


def test_the_store_is_sound_with_caches(engine, context):
    build(engine, context, BASE + ADDS.format("", "one"))
    assert engine.system.check() == []


BUILDER = """\
import sys, lamina
from lamina.values.events import StepOutput, Notice
def show(event):
    if isinstance(event, StepOutput):
        print(event.data.decode(), end="", flush=True)
    elif isinstance(event, Notice):
        print(event.text, flush=True)
path, context, text = sys.argv[1:]
with lamina.open(f"{path}/store", run_root=f"{path}/run") as engine:
    engine.images.build(context, dockerfile_text=text.encode(), events=show)
"""


def start(tmp_path, context, text):
    command = [sys.executable, "-c", BUILDER, str(tmp_path), context, text]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


WAITS = "RUN --mount=type=cache,target=/c,sharing={} touch /c/in; echo in; while [ ! -e /c/go ]; do sleep 0.1; done\n"


def test_a_locked_cache_is_waited_for_and_a_kill_lets_go(tmp_path, context):
    first = start(tmp_path, context, BASE + WAITS.format("locked"))
    try:
        assert first.stdout.readline() == "in\n"
        second = start(tmp_path, context, BASE + "RUN --mount=type=cache,target=/c ls /c\n")
        assert second.stdout.readline().startswith("waiting for the cache /c")
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert second.stdout.read() == "in\n"
        assert second.wait() == 0
    finally:
        first.kill()
        first.stdout.close()
        second.stdout.close()
    with opened(tmp_path) as engine:
        assert engine.system.check() == []
        assert [mount.title for mount in engine.system.usage().cache_mounts] == ["/c"]


@pytest.mark.parametrize(("sharing", "seen"), [("shared", "in\n"), ("private", "")])
def test_who_comes_second(tmp_path, context, sharing, seen):
    """Shared: the same at once; private: another one of its own."""
    first = start(tmp_path, context, BASE + WAITS.format(sharing))
    try:
        assert first.stdout.readline() == "in\n"
        with opened(tmp_path) as engine:
            line = f"RUN --mount=type=cache,target=/c,sharing={sharing} ls /c; touch /c/go\n"
            _, said = build(engine, context, BASE + line)
            assert said.output == seen
            assert len(engine.system.usage().cache_mounts) == (1 if seen else 2)
    finally:
        first.kill()
        first.wait()
        first.stdout.close()


def test_a_cache_that_is_used_outlives_its_pruning(tmp_path, context):
    first = start(tmp_path, context, BASE + WAITS.format("shared"))
    try:
        assert first.stdout.readline() == "in\n"
        with opened(tmp_path) as engine:
            engine.system.prune_cache()
            build(engine, context, BASE + "RUN --mount=type=cache,target=/c touch /c/go\n")
            assert engine.system.check() == []
    finally:
        first.kill()
        first.wait()
        first.stdout.close()
    until(lambda: active_layers(tmp_path) == 1)  # the kernel takes its time with who was killed


def active_layers(tmp_path):
    """How many there are after an opener has put in order what the dead left."""
    with opened(tmp_path) as engine, engine.layers.root.database.read() as db:
        return db.execute("SELECT count(*) FROM layers WHERE kind = 'active'").fetchone()[0]


# --- the rest -----------------------------------------------------------------------------


def test_mount_points_are_made_in_what_is_mounted(engine, context):
    put(context, "src/a", "1")
    image, said = build(
        engine,
        context,
        BASE + "RUN --mount=type=tmpfs,target=/t --mount=target=/t/deep/s,source=src"
        " --mount=type=cache,target=/t/c ls /t /t/deep/s; touch /ran\n",
    )
    assert said.output == "/t:\nc\ndeep\n\n/t/deep/s:\na\n"
    assert changed(engine, image) == ["ran"]


def test_a_heredoc_that_is_a_program(engine, context):
    text = BASE + "RUN <<EOF\n#!/bin/cat\nas it is: $HOME\nEOF\n"
    _, said = build(engine, context, text)
    assert said.output == "#!/bin/cat\nas it is: $HOME\n"
    assert len(build(engine, context, text)[1].cached) == 2
    assert len(build(engine, context, text.replace("it is", "it was"))[1].cached) == 1


def test_insecure_is_asked_for_twice(engine, context):
    text = BASE + "RUN --security=insecure busybox grep CapEff /proc/self/status\n"
    with pytest.raises(DockerfileError, match="is not allowed") as caught:
        build(engine, context, text)
    assert "--allow security.insecure" in caught.value.hint
    _, said = build(engine, context, text, allow=["security.insecure"])
    mask = int(said.output.split()[1], 16)
    assert mask >> 21 & 1  # CAP_SYS_ADMIN


def test_a_failed_command_leaves_nothing_of_its_mounts(engine, context):
    with pytest.raises(StepFailed):
        build(
            engine,
            context,
            BASE + "RUN --mount=type=cache,target=/c --mount=target=/s,rw touch /c/x; false\n",
        )
    with engine.layers.root.database.read() as db:
        kinds = dict(db.execute("SELECT kind, count(*) FROM layers GROUP BY kind"))
    assert kinds["active"] == 1


def test_without_the_right_to_mount_it_is_said_which_cannot_be(tmp_path, context):
    """CAP_SYS_ADMIN is given up; everything else stays as it is."""
    program = (
        "import ctypes, sys, lamina\n"
        "from lamina.errors import LaminaError\n"
        "path, context, text = sys.argv[1:]\n"
        "with lamina.open(path + '/store', run_root=path + '/run', driver='vfs') as engine:\n"
        "    try:\n"
        "        engine.images.build(context, dockerfile_text=text.encode())\n"
        "    except LaminaError as error:\n"
        "        print(error)\n"
    )
    text = BASE + "RUN --mount=type=cache,target=/c --mount=type=secret,id=k true\n"
    caps = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
    done = subprocess.run(
        [*caps, sys.executable, "-c", program, str(tmp_path), context, text],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "mounting something on /c needs the right to mount" in done.stdout, done
