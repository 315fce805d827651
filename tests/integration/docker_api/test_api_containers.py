"""Containers by docker's own clients against `lamina serve`, and their shapes beside dockerd's."""

import json
import os
import signal
import socket
import subprocess
import tarfile
from urllib.parse import quote

import pytest

import lamina
from lamina.views.api.containers import summaries
from tests.cli.rig import told
from tests.cli.terminal import Terminal
from tests.integration.docker_api.rig import PATIENCE, Api, connected, read, serving
from tests.integration.docker_api.shapes import differences

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
RUN = ("run", "--network", "none")


@pytest.fixture(autouse=True)
def _needs_crun(needs_program):
    needs_program("crun")


def test_run_tells_what_was_written_and_how_it_ended(docker, base):
    said = docker(*RUN, "--rm", "base", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (said.code, said.out, said.err) == (7, "out\n", "err\n")
    assert docker.ok(*RUN, "--rm", "-i", "base", "cat", stdin=b"x" * 300_000) == "x" * 300_000
    assert base.ok("ps", "-aq") == ""


def test_a_short_command_loses_no_word(docker):
    for number in range(8):
        assert docker.ok(*RUN, "--rm", "base", "echo", str(number)) == f"{number}\n"


def test_a_plain_run_has_the_hosts_network_and_says_so(docker):
    said = docker("run", "--rm", "-p", "1:1", "base", "true")
    assert said.code == 0
    assert "there is no bridge" in said.err
    assert "Published ports are discarded" in said.err
    assert docker("run", "--rm", "--network", "bridge", "base", "true").code in (0, 125)
    assert "network mine not found" in docker.fails("run", "--network", "mine", "base", code=125)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("nosuch", 127, "executable file not found in $PATH"),
        ("/nosuch/file", 127, "no such file or directory"),
        ("/etc/passwd", 126, "permission denied"),
        ("/etc", 126, "is a directory"),
    ],
)
def test_what_cannot_be_started_is_told_as_docker_tells_it(docker, base, command, code, words):
    assert words in docker.fails(*RUN, "--rm", "base", command, code=code)
    assert base.ok("ps", "-aq") == ""
    assert words in docker.fails(*RUN, "--name", "kept", "base", command, code=code)
    assert told(base, "inspect", "kept")[0]["State"]["ExitCode"] == code


def test_a_missing_image_and_a_taken_name(docker):
    docker.ok("create", "--network", "none", "--name", "one", "base", "true")
    words = docker.fails("create", "--network", "none", "--name", "one", "base", "true")
    assert 'The container name "/one" is already in use by container' in words
    docker.fails("run", "--pull", "never", "nope", code=125)


def test_a_detached_one_lives_by_itself(docker, server, base):
    script = "echo one; echo two >&2; read line; echo got $line; exit 5"
    box = docker.ok(*RUN, "-d", "-i", "--name", "box", "base", "sh", "-c", script).strip()
    assert docker.ok("ps", "-q", "--no-trunc").strip() == box
    assert docker.ok("ps", "--filter", "name=bo", "--format", "{{.State}}") == "running\n"
    server.process.send_signal(signal.SIGKILL)  # the server holds nothing of it
    server.process.wait()
    with serving(base):
        attached = subprocess.Popen(
            [docker.program, "attach", "--no-stdin=false", "box"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=docker.env,
        )
        out, _ = attached.communicate(b"words\n", PATIENCE)
        assert (attached.returncode, b"got words\n" in out) == (5, True)
        said = docker("logs", "box")
        assert (said.out, said.err) == ("one\ngot words\n", "two\n")
        assert docker.ok("logs", "--tail", "1", "box") == "got words\n"
        assert docker.ok("wait", "box") == "5\n"
        state = json.loads(docker.ok("inspect", "box"))[0]["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 5)


def test_logs_follow_to_the_end(docker):
    docker.ok(*RUN, "-d", "--name", "box", "base", "sh", "-c", "echo one; exec sleep 1000")
    following = subprocess.Popen(
        [docker.program, "logs", "-f", "box"], stdout=subprocess.PIPE, env=docker.env
    )
    assert following.stdout is not None
    assert following.stdout.readline() == b"one\n"
    docker.ok("kill", "box")
    assert following.stdout.read() == b""
    following.stdout.close()
    assert following.wait(PATIENCE) == 0


def test_logs_have_times_and_both_streams(docker):
    docker.ok(*RUN, "--name", "box", "base", "sh", "-c", "echo one; echo two >&2")
    said = docker("logs", "-t", "box")
    assert said.out.endswith(" one\n")
    assert said.err.endswith(" two\n")
    assert said.out[:4].isdigit()
    assert docker.ok("logs", "--since", "2030-01-01T00:00:00", "box") == ""


def test_start_attached_and_in_a_row(docker):
    docker.ok("create", "--network", "none", "--name", "box", "base", "sh", "-c", "echo a; exit 3")
    for _ in range(3):
        said = docker("start", "-a", "box")
        assert (said.code, said.out) == (3, "a\n")


def test_stop_kill_restart_pause_and_rename(docker):
    docker.ok(
        *RUN,
        "-d",
        "--name",
        "box",
        "base",
        "sh",
        "-c",
        "trap 'exit 4' TERM; while :; do sleep 1; done",
    )
    docker.ok("pause", "box")
    assert docker.ok("ps", "--format", "{{.Status}}").rstrip().endswith("(Paused)")
    assert "is paused" in docker.fails("exec", "box", "true", code=1)
    docker.ok("unpause", "box")
    docker.ok("rename", "box", "other")
    assert docker.fails("rename", "other", "other").count("same name") == 1
    docker.ok("stop", "other")
    assert docker.ok("inspect", "-f", "{{.State.ExitCode}}", "other") == "4\n"
    docker.ok("stop", "other")
    docker.ok("restart", "-t", "0", "other")
    assert "You cannot remove a running container" in docker.fails("rm", "other")
    docker.ok("kill", "-s", "KILL", "other")
    assert docker.ok("wait", "other") == "137\n"
    assert "is not running" in docker.fails("kill", "other")
    docker.ok("rm", "other")


def test_exec_hands_streams_and_status_on(docker):
    docker.ok(*RUN, "-d", "--name", "box", "base", "sleep", "1000")
    said = docker("exec", "box", "sh", "-c", "echo out; echo err >&2; exit 9")
    assert (said.code, said.out, said.err) == (9, "out\n", "err\n")
    data = os.urandom(3_000_000).hex()
    assert docker.ok("exec", "-i", "box", "cat", stdin=data.encode()) == data
    assert docker.ok(
        "exec", "-e", "A=b", "-w", "/tmp", "-u", "bob", "box", "sh", "-c", "id -un; pwd; echo $A"
    ) == ("bob\n/tmp\nb\n")
    assert docker.ok("exec", "-i", "box", "true", stdin=b"y" * 1_000_000) == ""
    docker.ok("exec", "-d", "box", "sh", "-c", "echo > /there; sleep 1000")
    for _ in range(200):
        if docker("exec", "box", "test", "-e", "/there").code == 0:
            break
    docker.ok("exec", "box", "test", "-e", "/there")
    assert docker("exec", "box", "nosuch").code in (126, 127)
    assert "No such container" in docker.fails("exec", "nope", "true")
    assert docker.ok("top", "box").count("sleep 1000") == 2


@pytest.fixture
def terminal(docker, base):
    made = []

    def start(*words, size=(30, 90)):
        made.append(Terminal([docker.program, *words], docker.env, base.folder, size))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_run_at_a_terminal(terminal):
    shell = terminal(*RUN, "--rm", "-it", "base", "sh")
    shell.see(b"# ")
    shell.type(b"while [ \"$(stty size)\" != '30 90' ]; do :; done; echo $((40 + 2))\n")
    shell.see(b"\r\n42\r\n")
    shell.resize(20, 50)
    shell.type(b"while [ \"$(stty size)\" != '20 50' ]; do :; done; echo as''ked\n")
    # docker's client listens for the signal only after it has told the first size
    shell.see(b"asked", again=lambda: os.kill(shell.process.pid, signal.SIGWINCH))
    shell.type(b"exit 6\n")
    assert shell.end() == 6


def test_exec_at_a_terminal_and_keys_that_detach(terminal, docker):
    docker.ok(*RUN, "-d", "-it", "--name", "box", "base", "sh")
    shell = terminal("exec", "-it", "box", "sh")
    shell.see(b"# ")
    # the size comes after the command's start
    shell.type(b"while [ \"$(stty size)\" != '30 90' ]; do :; done; tty; echo $((40 + 2))\n")
    shell.see(b"\r\n42\r\n")
    assert shell.screen.count(b"echo $((40 + 2))") == 1
    shell.type(b"exit 8\n")
    assert shell.end() == 8
    attached = terminal("attach", "box")
    attached.type(b"echo $((50 + 5))\n")
    attached.see(b"55\r\n")
    attached.type(b"\x10\x11")
    attached.process.wait(PATIENCE)
    assert docker.ok("inspect", "-f", "{{.State.Running}}", "box") == "true\n"


def test_copies_go_both_ways(docker, base, tmp_path):
    docker.ok("create", "--network", "none", "--name", "box", "base", "true")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("words")
    docker.ok("cp", str(tmp_path / "folder"), "box:/tmp")
    docker.ok("cp", str(tmp_path / "folder" / "file"), "box:/tmp/other")
    docker.ok("cp", "box:/tmp/folder/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "words"
    docker.ok("cp", "-L", "box:/bin/sh", str(tmp_path / "sh"))
    assert (tmp_path / "sh").read_bytes() == read(
        "/usr/bin/busybox" if os.path.exists("/usr/bin/busybox") else "/bin/busybox"
    )
    assert "/nope" in docker.fails("cp", "box:/nope", str(tmp_path))
    assert docker.ok("diff", "box") == "C /tmp\nA /tmp/folder\nA /tmp/folder/file\nA /tmp/other\n"
    path = str(tmp_path / "whole.tar")
    docker.ok("export", "-o", path, "box")
    with tarfile.open(path) as whole:
        assert "tmp/folder/file" in whole.getnames()


def test_commit_makes_an_image(docker, base):
    docker.ok(*RUN, "--name", "box", "base", "sh", "-c", "echo words > /file")
    docker.ok("commit", "-m", "why", "-a", "me", "-c", 'CMD ["cat", "/file"]', "box", "made:1")
    assert docker.ok(*RUN, "--rm", "made:1") == "words\n"
    found = json.loads(docker.ok("inspect", "made:1"))[0]
    assert (found["Comment"], found["Author"]) == ("why", "me")


def test_volumes_are_kept(docker):
    docker.ok("volume", "create", "--label", "a=b", "data")
    docker.ok(*RUN, "--rm", "-v", "data:/data", "base", "sh", "-c", "echo kept > /data/file")
    assert (
        docker.ok(*RUN, "--name", "box", "-v", "data:/data:ro", "base", "cat", "/data/file")
        == "kept\n"
    )
    assert docker.ok("volume", "ls", "-q", "--filter", "label=a") == "data\n"
    assert "is used by box" in docker.fails("volume", "rm", "data")
    docker.ok("rm", "-v", "box")
    assert json.loads(docker.ok("volume", "inspect", "data"))[0]["Labels"] == {"a": "b"}
    docker.ok("volume", "rm", "data")
    assert "No such volume" in docker.fails("volume", "inspect", "data")


def test_limits_and_health_are_told_and_changed(docker, base):
    docker.ok(
        *(*RUN, "-d", "--name", "box", "-m", "64m", "--health-interval", "1s"),
        *("--health-cmd", "test -e /well", "base", "sleep", "1000"),
    )
    assert docker.ok("inspect", "-f", "{{.HostConfig.Memory}}", "box") == f"{64 << 20}\n"
    docker.ok("exec", "box", "touch", "/well")
    while docker.ok("inspect", "-f", "{{.State.Health.Status}}", "box") != "healthy\n":
        pass
    assert docker.ok("ps", "--filter", "health=healthy", "--format", "{{.Names}}") == "box\n"
    docker.ok("update", "-m", "128m", "--memory-swap", "256m", "box")
    assert docker.ok("inspect", "-f", "{{.HostConfig.Memory}}", "box") == f"{128 << 20}\n"
    docker.ok("update", "--restart", "always", "box")
    policy = "{{.HostConfig.RestartPolicy.Name}}"
    assert docker.ok("inspect", "-f", policy, "box") == "always\n"


def test_prune_and_df_count_what_there_is(docker):
    docker.ok(*RUN, "base", "sh", "-c", "head -c 1000000 /dev/zero > /file")
    assert (
        "1MB"
        in docker.ok("system", "df", "--format", "{{.Type}} {{.Size}}").split("Containers ")[1]
    )
    assert "Total reclaimed space: 1MB" in docker.ok("container", "prune", "-f")


@pytest.mark.parametrize(
    "words",
    [["--domainname", "d"], ["--cgroup-parent", "/x"]],
)
def test_what_cannot_be_had_is_refused(docker, base, words):
    said = docker.fails("create", "--network", "none", *words, "base", "true")
    assert "cannot be had here" in said
    assert base.ok("ps", "-aq") == ""


def test_health_and_restarts_are_had(docker, base):
    words = ("--health-cmd", "exit 1", "--health-retries", "4", "--restart", "on-failure:2")
    docker.ok("create", "--network", "none", "--name", "c1", *words, "base", "true")
    policy = docker.ok("inspect", "--format", "{{json .HostConfig.RestartPolicy}}", "c1")
    assert '"on-failure"' in policy
    assert '"MaximumRetryCount":2' in policy
    health = docker.ok("inspect", "--format", "{{json .Config.Healthcheck}}", "c1")
    assert '{"Test":["CMD-SHELL","exit 1"],"Retries":4}' in health
    docker.ok("rm", "c1")


def test_waits_are_told_at_once_and_to_the_end(server):
    made = server.api(
        "POST",
        "/containers/create",
        {
            "Image": "base",
            "Cmd": ["sh", "-c", "exit 3"],
            "HostConfig": {"NetworkMode": "none", "AutoRemove": True},
        },
    )
    box = made.json()["Id"]
    with connected(server.path) as waiting, connected(server.path) as other:
        for client, condition in ((waiting, "removed"), (other, "next-exit")):
            client.sendall(
                f"POST /containers/{box}/wait?condition={condition} HTTP/1.1\r\nHost: d\r\n\r\n".encode()
            )
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")
        assert server.api("POST", f"/containers/{box}/start").status == 204
        for client in (waiting, other):
            assert b'{"StatusCode":3,"Error":null}' in client.recv(1 << 16)
    assert server.api("GET", f"/containers/{box}/json").status == 404
    assert server.api("POST", f"/containers/{box}/wait?condition=nope").status in (400, 404)


def test_an_exec_that_was_asked_for_wrongly_may_still_be_started(server):
    sleeps = {"Image": "base", "Cmd": ["sleep", "60"], "HostConfig": {"NetworkMode": "none"}}
    box = server.api("POST", "/containers/create", sleeps).json()["Id"]
    assert server.api("POST", f"/containers/{box}/start").status == 204
    made = server.api("POST", f"/containers/{box}/exec", {"Cmd": ["true"]}).json()["Id"]
    assert server.api("POST", f"/exec/{made}/start", {"Tty": "yes"}).status == 400
    assert server.api("GET", f"/exec/{made}/json").json()["Running"] is False
    assert server.api("POST", f"/exec/{made}/start", {"Detach": True}).status == 200


def test_a_container_that_is_not_made_makes_no_directory(server, tmp_path):
    folder = tmp_path / "host"
    folder.mkdir()

    def create(name, image="base", **host):
        mounts = [
            {"Type": "bind", "Target": "/m", "Source": f"{folder}/asked"}
            | {"BindOptions": {"CreateMountpoint": True}}
        ]
        host = {"Binds": [f"{folder}/new/folder:/b"], "Mounts": mounts, **host}
        body = {"Image": image, "Cmd": ["true"], "HostConfig": host}
        return server.api("POST", f"/containers/create?name={name}", body).status

    assert create("one", "nope") == 404
    assert create("one", CapAdd=["NOPE"]) == 400
    assert create("one!") == 400
    assert list(folder.iterdir()) == []
    assert create("one") == 201
    assert (folder / "new" / "folder").is_dir()
    assert (folder / "asked").is_dir()
    (folder / "new" / "folder").rmdir()
    assert create("one") == 409
    assert list((folder / "new").iterdir()) == []


def test_a_name_may_be_sought_by_no_expression_that_takes_for_ever(server):
    name = "a" * 40 + "-"
    made = server.api("POST", f"/containers/create?name={name}", {"Image": "base", "Cmd": ["true"]})
    assert made.status == 201, made

    def sought(text):
        filters = quote(json.dumps({"name": [text]}))
        return server.api("GET", f"/containers/json?all=1&filters={filters}")

    assert sought("(a+)+$").json() == []
    assert [each["Id"] for each in sought("^/(a+)+-$").json()] == [made.json()["Id"]]
    assert sought("(?=a)").status == 400


def test_who_waits_for_what_is_removed_waits_no_longer(server):
    box = server.api("POST", "/containers/create", {"Image": "base", "Cmd": ["true"]}).json()["Id"]
    with connected(server.path) as waiting, connected(server.path) as attached:
        waiting.sendall(
            f"POST /containers/{box}/wait?condition=next-exit HTTP/1.1\r\nHost: d\r\n\r\n".encode()
        )
        waiting.recv(1 << 16)
        head = f"POST /containers/{box}/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: d\r\n"
        attached.sendall(f"{head}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
        assert attached.recv(1 << 16).startswith(b"HTTP/1.1 101 UPGRADED\r\n")
        assert server.api("DELETE", f"/containers/{box}").status == 204
        assert b"StatusCode" in waiting.recv(1 << 16)
        assert attached.recv(1) == b""


def test_half_closed_is_not_gone(server):
    box = server.api(
        "POST",
        "/containers/create",
        {"Image": "base", "Cmd": ["echo", "words"], "HostConfig": {"NetworkMode": "none"}},
    ).json()["Id"]
    with connected(server.path) as client:
        head = f"POST /v1.41/containers/{box}/attach?stream=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: d\r\n"
        client.sendall(f"{head}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
        got = client.recv(1 << 16)
        client.shutdown(socket.SHUT_WR)
        server.api("POST", f"/containers/{box}/start")
        while more := client.recv(1 << 16):
            got += more
    assert got.endswith(b"\1\0\0\0\0\0\0\6words\n")


def test_shapes_are_dockers(server, dockerd_socket, busybox_tar):
    theirs = Api(dockerd_socket)
    body = {
        "Image": "shape:1",
        "Cmd": ["true"],
        "Labels": {"a": "b"},
        "Volumes": {"/data": {}},
        "HostConfig": {"NetworkMode": "none", "Binds": ["/tmp:/seen:ro"]},
    }
    for api in (theirs, server.api):
        data = read(busybox_tar)
        assert api("POST", "/images/create?fromSrc=-&repo=shape&tag=1", data).status == 200
        made = api("POST", "/v1.41/containers/create?name=shape", body)
        assert (made.status, len(made.json()["Id"])) == (201, 64)
        assert api("POST", "/containers/shape/start").status == 204
        assert api("POST", "/containers/shape/wait").json()["StatusCode"] == 0
        assert api("POST", "/v1.41/volumes/create", {"Name": "shape"}).status == 201
    for target in (
        "/containers/shape/json?size=1",
        "/containers/json?all=1&size=1",
        "/system/df",
        "/volumes",
        "/volumes/shape",
        "/containers/shape/changes",
    ):
        found = differences(theirs.get(f"/v1.41{target}"), server.api.get(f"/v1.41{target}"))
        assert found == [], target


def test_a_list_with_sizes_stands_a_container_that_goes(base):
    base.ok("create", "--name", "c1", "base", "true")
    base.ok("create", "--name", "c2", "base", "true")
    with lamina.open(base.root, run_root=base.env["LAMINA_RUN_ROOT"]) as engine:
        found = engine.containers.list(everything=True)
        base.ok("rm", "c1")
        left = summaries(engine, found, 0.0, size=True)
        assert [each["Names"] for each in left] == [["/c2"]]
