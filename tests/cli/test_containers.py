"""Containers from the command line: run, look, change, commit, copy, remove."""

import io
import json
import os
import sqlite3
import subprocess
import tarfile

import pytest

from tests.cli.rig import until_told

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


@pytest.fixture(params=["overlay2", "vfs", "erofs"])
def either(lamina, busybox_tar, request):
    """A store with the image `base`, on each driver."""
    lamina.driver = request.param
    lamina.ok("import", busybox_tar, "base")
    return lamina


def test_the_exit_status_is_the_commands(base):
    assert base("run", "--rm", "base", "sh", "-c", "exit 7").code == 7
    assert base("run", "--rm", "base", "sh", "-c", "exit 127") == (127, "", "")
    assert base("run", "--rm", "base", "no-such-command").code == 127
    assert base("run", "--rm", "base", "/etc/passwd").code == 126
    assert base("run", "--rm", "no-such-image", "true").code == 125
    assert base("run", "--bogus", "base").code == 125
    assert base.ok("ps", "-aq") == ""


def test_output_input_environment_and_user(base):
    said = base(
        "run",
        "--rm",
        "-i",
        "-e",
        "A=1",
        "-e",
        "FROM_ME",
        "-u",
        "bob",
        "-w",
        "/tmp",
        "base",
        "sh",
        "-c",
        "cat; id -un; id -Gn; pwd; echo $A $FROM_ME; echo oops >&2",
        stdin=b"hello\n",
        env={"FROM_ME": "mine"},
    )
    assert said.out == "hello\nbob\nbob wheel\n/tmp\n1 mine\n"
    assert said.err == "oops\n"


def test_variables_from_files_and_of_ours(base):
    with open(f"{base.folder}/env", "w") as file:
        file.write("# a comment\n\nA=1\n  B=two words \nMINE\nNOT_SET\nC=file\n")
    base.ok("run", "--name", "made", "base", "true")
    base.ok("commit", "-c", "ENV D=image E=image", "made", "with-env")
    words = ["--env-file", "env", "-e", "C=flag", "-e", "D", "-e", "MINE", "with-env", "env"]
    said = base("run", "--rm", *words, env={"MINE": "mine"})
    found = [line for line in said.out.splitlines() if line[0] in "ABCDEMN" and line[1] in "=IO"]
    assert found == ["A=1", "B=two words ", "MINE=mine", "C=flag", "E=image"]
    said = base("run", "--rm", "-e", "=x", "base", "true")
    assert (said.code, said.err.count("\n")) == (125, 1)


def test_the_textbook_case(either):
    either.ok(
        "run",
        "--name",
        "first",
        "base",
        "sh",
        "-c",
        "echo 1 >/File1; echo 2 >/File2; echo 3 >/File3",
    )
    either.ok("commit", "first", "three:1")
    either.ok(
        "run",
        "--name",
        "second",
        "three:1",
        "sh",
        "-c",
        "echo x >>/File1; rm /File2; echo 4 >/File4",
    )
    assert either.ok("diff", "second") == "C /File1\nD /File2\nA /File4\n"
    either.ok("commit", "-m", "changed", "second", "four")
    assert either.ok("run", "--rm", "four", "sh", "-c", "cat /File*") == "1\nx\n3\n4\n"
    assert either.ok("run", "--rm", "three:1", "sh", "-c", "cat /File*") == "1\n2\n3\n"


def test_nothing_of_the_host_files_is_in_the_diff(either):
    out = either.ok(
        "run",
        "--name",
        "c1",
        "base",
        "sh",
        "-c",
        "cat /etc/resolv.conf /etc/hosts; ls /proc /dev /sys",
    )
    assert "localhost" in out
    assert either.ok("diff", "c1") == ""


def test_what_a_killed_command_leaves_can_be_removed(base):
    base.ok("create", "--name", "c1", "base", "true")
    assert "Created" in base.ok("ps", "-a")
    assert "Created" in base.ok("ps", "-a", "-f", f"id={base.ok('ps', '-aq')[:6]}")
    assert base.ok("ps", "-q", "-f", "id=nothing") == ""
    assert base.ok("rm", "c1") == "c1\n"
    assert base("rm", "c1").code == 1


def test_names_are_unique(base):
    base.ok("create", "--name", "c1", "base", "true")
    said = base("create", "--name", "c1", "base", "true")
    assert said.code == 1
    assert "is in use" in said.err
    assert said.err.count("\n") == 1


def test_network_none_has_only_loopback(base):
    out = base.ok("run", "--rm", "--network", "none", "base", "ls", "/sys/class/net")
    assert out == "lo\n"


def test_volumes(base):
    os.makedirs(f"{base.folder}/data")
    base.ok("run", "--rm", "-v", f"{base.folder}/data:/data", "base", "sh", "-c", "echo x >/data/y")
    with open(f"{base.folder}/data/y") as file:
        assert file.read() == "x\n"
    said = base(
        "run", "--rm", "-v", f"{base.folder}/data:/data:ro", "base", "sh", "-c", "echo x >/data/z"
    )
    assert said.code != 0


def test_copy_both_ways(either):
    either.ok("create", "--name", "c1", "base", "true")
    os.makedirs(f"{either.folder}/d/sub")
    with open(f"{either.folder}/d/sub/f", "w") as file:
        file.write("content")
    os.symlink("sub/f", f"{either.folder}/d/link")
    either.ok("cp", "d", "c1:/")
    either.ok("cp", "d/.", "c1:/etc")
    either.ok("cp", "d/sub/f", "c1:/tmp/renamed")
    either.ok("cp", "c1:/d", "back")
    either.ok("cp", "c1:/tmp/renamed", ".")
    assert os.readlink(f"{either.folder}/back/link") == "sub/f"
    for name in ("back/sub/f", "renamed"):
        with open(f"{either.folder}/{name}") as file:
            assert file.read() == "content"
    assert "A /etc/sub/f" in either.ok("diff", "c1").split("\n")
    archive = tarfile.open(fileobj=io.BytesIO(either("cp", "c1:/d/sub", "-").out.encode()))
    assert archive.getnames() == ["sub", "sub/f"]
    assert either("cp", "c1:/nothing", ".").code == 1


@pytest.fixture(params=["crun", "runc", "chroot"])
def running(base, request, needs_program, monkeypatch, tmp_path):
    """A function that starts a container and gives its process once it says that it is up."""
    if request.param != "chroot":
        needs_program(request.param)
    base.env["LAMINA_ISOLATION"] = request.param
    started = []

    def start(*words):
        command = base.command(*words)
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=base.env, cwd=base.folder
        )
        started.append(process)
        assert process.stdout.readline() == b"up\n"
        until_told(base, "c1")
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_a_running_container_is_copied_from_and_into_and_nothing_else(base, running):
    os.makedirs(f"{base.folder}/volume")
    shown = ["-v", f"{base.folder}/volume:/data"]
    script = "echo inside >/etc/mark; echo up; read line; cat /etc/planted /data/planted"
    process = running("run", "--name", "c1", "-i", *shown, "base", "sh", "-c", script)
    base.ok("cp", "c1:/etc/mark", "got")
    with open(f"{base.folder}/got") as file:
        assert file.read() == "inside\n"
    for target in ("/etc/planted", "/data/planted"):
        base.ok("cp", "got", f"c1:{target}")
    assert not os.path.exists("/etc/planted")
    out, _ = process.communicate(b"\n")
    assert out == b"inside\ninside\n"
    assert os.listdir(f"{base.folder}/volume") == ["planted"]
    base.ok("cp", "c1:/etc/planted", "back")


def test_what_is_in_use_is_not_taken_away(base, running):
    process = running("run", "--name", "c1", "-i", "base", "sh", "-c", "echo up; read line; exit 4")
    for words in (["rm", "c1"], ["rmi", "base"]):
        said = base(*words)
        assert said.code == 1
        assert said.err.count("\n") == 1
        assert "c1" in said.err
    assert base.ok("prune", "-f")
    assert base("run", "--name", "c1", "base", "true").code == 125
    base.ok("commit", "c1", "copy")
    process.communicate(b"\n")
    assert process.returncode == 4
    base.ok("rm", "c1")


@pytest.mark.parametrize(
    ("flags", "said"),
    [((), b"went on\n"), (("-p",), b"went on\n"), (("--pause=false",), b"")],
)
def test_a_commit_holds_its_container_still_unless_told_not_to(base, running, flags, said):
    script = "trap 'echo went on' CONT; echo up; read line; exit 0"
    process = running("run", "--name", "c1", "-i", "base", "sh", "-c", script)
    base.ok("commit", *flags, "c1", "copy")
    assert process.communicate(b"\n")[0] == said


def test_only_what_runs_in_a_container_is_listed_not_the_runtime_beside_it(base, running):
    process = running("run", "--name", "c1", "-i", "base", "sh", "-c", "echo up; read line")
    titles, *rows = base.ok("top", "c1", "-o", "pid,args").splitlines()
    assert titles.split() == ["PID", "COMMAND"]
    assert [row.split(None, 1)[1] for row in rows] == ["sh -c echo up; read line"]
    process.communicate(b"\n")


def test_a_container_that_is_removed_while_it_runs_ends_as_killed(base, running):
    process = running("run", "--rm", "--name", "c1", "base", "sh", "-c", "echo up; sleep 1000")
    base.ok("rm", "-f", "c1")
    assert process.wait() == 137
    assert base.ok("ps", "-aq") == ""
    assert os.listdir(f"{base.root}/locks/containers") == []


def test_a_link_in_the_container_leads_copies_nowhere_else(either):
    either.ok(
        "run",
        "--name",
        "c1",
        "base",
        "sh",
        "-c",
        f"ln -s {either.folder} /out; ln -s /etc/passwd /p",
    )
    with open(f"{either.folder}/f", "w") as file:
        file.write("x")
    either("cp", "f", "c1:/out/planted")
    assert not os.path.exists(f"{either.folder}/planted")
    either.ok("cp", "c1:/p", "got")
    assert os.readlink(f"{either.folder}/got") == "/etc/passwd"


def test_export_is_the_whole_tree(either):
    either.ok("run", "--name", "c1", "base", "sh", "-c", "rm /etc/group; echo new >/new")
    either.ok("export", "-o", f"{either.folder}/e.tar", "c1")
    with tarfile.open(f"{either.folder}/e.tar") as archive:
        names = archive.getnames()
    assert "new" in names
    assert "bin/busybox" in names
    assert "etc/group" not in names


def test_inspect_and_formats(base):
    assert base("run", "--name", "c1", "-l", "a=b", "base", "sh", "-c", "exit 3").code == 3
    document = json.loads(base.ok("inspect", "c1"))[0]
    assert document["State"]["ExitCode"] == 3
    assert document["Config"]["Labels"] == {"a": "b"}
    assert base.ok("inspect", "-f", "{{.State.Status}} {{.Name}}", "c1") == "exited /c1\n"
    assert base.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "c1") == "\n"
    networks = (
        "{{range $name, $one := .NetworkSettings.Networks}}{{$name}}:{{$one.IPAddress}}{{end}}"
    )
    assert base.ok("inspect", "-f", networks, "c1") == "host:\n"
    assert base.ok("ps", "-a", "--format", "{{.Names}}: {{.Image}}") == "c1: base\n"
    assert json.loads(base.ok("ps", "-a", "--format", "json"))["State"] == "exited"
    said = base("ps", "-a", "--format", "{{.Nope}}")
    assert said.code == 1
    assert "can't evaluate field Nope" in said.err


@pytest.fixture(scope="module")
def several(standing):
    """Containers that ended with 0 and 1, one that was only made, and an image on another."""
    standing.ok("run", "--name", "web", "-l", "tier=front", "-l", "x", "base", "true")
    assert standing("run", "--name", "web-2", "-l", "tier=back", "base", "false").code == 1
    standing.ok("build", "-q", "-t", "child", "-", stdin=b"FROM base\nRUN echo > /added\n")
    standing.ok("create", "--name", "job", "--network", "none", "child", "true")
    return standing


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["name=web"], "web-2 web"),
        (["name=^/?web$"], "web"),
        (["name=^/web$", "name=job"], "job web"),
        (["exited=0"], "web"),
        (["exited=0", "exited=1"], "web-2 web"),
        (["status=exited", "status=created"], "job web-2 web"),
        (["status=exited", "name=2"], "web-2"),
        (["status=running"], ""),
        (["label=tier"], "web-2 web"),
        (["label=tier", "label=x"], "web"),
        (["label=tier=back"], "web-2"),
        (["ancestor=base"], "job web-2 web"),
        (["ancestor=child"], "job"),
        (["ancestor=no-such-image"], ""),
        (["before=job"], "web-2 web"),
        (["since=web"], "job web-2"),
        (["network=none"], "job"),
    ],
)
def test_filters_choose_as_dockers_do(several, filters, found):
    words = [word for text in filters for word in ("--filter", text)]
    assert several.ok("ps", "-a", "--format", "{{.Names}}", *words).split() == found.split()


def test_a_filter_alone_shows_no_container_that_does_not_run(several):
    assert several.ok("ps", "-q", "--filter", "name=web") == ""
    assert several.ok("ps", "-q", "--filter", "status=created").count("\n") == 1
    assert several.ok("ps", "-n", "1", "-f", "exited=0", "--format", "{{.Names}}") == "web\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("color=red", "Invalid filter 'color'; there are ancestor, before"),
        ("name", "the filter 'name' has no value"),
        ("status=ended", "there is no status 'ended' to filter by; there are created"),
        ("name=[", "'[' is no regular expression"),
        ("exited=no", "'no' is no exit status"),
        ("before=nobody", "no such container: nobody"),
    ],
)
def test_a_filter_that_means_nothing_is_told(standing, text, words):
    said = standing("ps", "--filter", text)
    assert said.code == 1
    assert words in said.err


def test_a_command_stands_on_one_line_with_its_words_told_apart(base):
    base.ok("create", "--name", "c1", "base", "sh", "-c", 'echo "a\nb"; true')
    whole, cut = (base.ok("ps", "-a", *more).splitlines()[1:] for more in (["--no-trunc"], []))
    assert r""" "sh -c 'echo \"a\nb\"; true'" """ in whole[0]
    assert r""" "sh -c 'echo \"a\nb\"; …" """ in cut[0]


def test_what_an_image_does_not_say_is_empty_and_no_error(base):
    base.ok("import", "-", "bare", stdin=b"\0" * 1024)
    template = "<{{.Config.User}}{{range .Config.Env}}{{.}}{{end}}{{index .Config.Labels `a`}}>"
    assert base.ok("inspect", "-f", template, "bare") == "<>\n"
    assert base.ok("inspect", "-f", "{{json .Config.Entrypoint}}", "bare") == "null\n"


def test_what_is_removed_by_force_need_not_be_there(base):
    base.ok("create", "--name", "c1", "base", "true")
    assert base("rm", "no-such", "c1").code == 1
    said = base("rm", "-f", "no-such")
    assert (said.code, said.out) == (0, "")
    assert "no such container: no-such" in said.err
    base.ok("create", "--name", "c1", "base", "true")
    assert base.ok("rm", "-f", "no-such", "c1") == "c1\n"
    assert base("rmi", "no-such").code == 1
    said = base("rmi", "-f", "no-such")
    assert (said.code, said.out) == (0, "")
    assert "no such image: no-such" in said.err


def test_the_image_of_a_container_is_kept(base):
    base.ok("create", "--name", "c1", "base", "true")
    said = base("rmi", "base")
    assert said.code == 1
    assert "used by the container c1" in said.err
    base.ok("rm", "c1")
    base.ok("rmi", "base")
    assert base.ok("images", "-q") == ""


def test_settings_that_cannot_be_read_are_named(base):
    base.ok("create", "--name", "c1", "base", "true")
    with sqlite3.connect(f"{base.root}/lamina.db") as db:
        db.execute("UPDATE containers SET settings = '{}'")
    said = base("ps", "-a")
    assert said.code == 1
    assert said.err.startswith("lamina: the settings of the container c1 cannot be read")
    assert said.err.count("\n") <= 2
