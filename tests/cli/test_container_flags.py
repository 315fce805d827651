"""The flags of `run` and `create`: kept with the container, shown by inspect, refused in one line."""

import json
import os

import pytest

from tests.cli.rig import assert_complaint, nothing_left, told

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


def host_config(lamina, *flags):
    made = lamina.ok("create", *flags, "base", "true").strip()
    return told(lamina, "inspect", made)[0]["HostConfig"]


@pytest.mark.parametrize(
    ("flags", "key", "value"),
    [
        ((), "Privileged", False),
        (("--privileged",), "Privileged", True),
        ((), "ReadonlyRootfs", False),
        (("--read-only",), "ReadonlyRootfs", True),
        ((), "CapAdd", None),
        (("--cap-add", "net_admin", "--cap-add=ALL"), "CapAdd", ["CAP_NET_ADMIN", "ALL"]),
        (("--cap-drop", "CAP_CHOWN"), "CapDrop", ["CAP_CHOWN"]),
        (
            ("--tmpfs", "/a", "--tmpfs", "/b:size=1m,exec"),
            "Tmpfs",
            {"/a": "", "/b": "size=1m,exec"},
        ),
        (("--security-opt", "no-new-privileges"), "SecurityOpt", ["no-new-privileges"]),
        (("--security-opt", "seccomp=unconfined"), "SecurityOpt", ["seccomp=unconfined"]),
        (("--group-add", "wheel"), "GroupAdd", ["wheel"]),
        ((), "IpcMode", "private"),
        (("--ipc", "host"), "IpcMode", "host"),
        (("--pid", "host"), "PidMode", "host"),
        (("--uts", "host"), "UTSMode", "host"),
        ((), "ShmSize", 64 << 20),
        (("--shm-size", "1g"), "ShmSize", 1 << 30),
        ((), "Init", None),
        (("--init",), "Init", True),
        (("--privileged",), "MaskedPaths", None),
        ((), "Memory", 0),
        (("-m", "512m"), "Memory", 512 << 20),
        (("-m", "512m"), "MemorySwap", 1 << 30),
        (("-m", "512m", "--memory-swap", "-1"), "MemorySwap", -1),
        (("-m", "512m", "--memory-reservation=8m"), "MemoryReservation", 8 << 20),
        ((), "MemorySwappiness", None),
        (("--cpus", "0.5"), "NanoCpus", 5 * 10**8),
        (("-c", "512"), "CpuShares", 512),
        (("--cpuset-cpus", "0,1"), "CpusetCpus", "0,1"),
        ((), "PidsLimit", None),
        (("--pids-limit", "50"), "PidsLimit", 50),
        (("--pids-limit", "-1"), "PidsLimit", None),
        (("--oom-score-adj", "7"), "OomScoreAdj", 7),
        (("--ulimit", "core=5:6"), "Ulimits", [{"Name": "core", "Soft": 5, "Hard": 6}]),
        ((), "ExtraHosts", None),
        (("--add-host", "db:10.0.0.5"), "ExtraHosts", ["db:10.0.0.5"]),
        (("--dns", "1.1.1.1"), "Dns", ["1.1.1.1"]),
        (("--dns-search", "a.b"), "DnsSearch", ["a.b"]),
        (("--dns-option", "ndots:2", "--dns-opt", "rotate"), "DnsOptions", ["ndots:2", "rotate"]),
        (("--sysctl", "kernel.sem=1 2 3 4"), "Sysctls", {"kernel.sem": "1 2 3 4"}),
        (("--annotation", "a=b=c"), "Annotations", {"a": "b=c"}),
        (("--restart", "no"), "RestartPolicy", {"Name": "no", "MaximumRetryCount": 0}),
        (
            ("--restart", "on-failure:3"),
            "RestartPolicy",
            {"Name": "on-failure", "MaximumRetryCount": 3},
        ),
        (
            ("--device", "/dev/null:/dev/x:rw"),
            "Devices",
            [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "rw"}],
        ),
    ],
)
def test_inspect_shows_what_was_asked_for(standing, flags, key, value):
    assert host_config(standing, *flags)[key] == value


def test_the_content_of_a_seccomp_profile_is_kept(base):
    path = base.write("profile", '{"defaultAction": "SCMP_ACT_ALLOW"}')
    (option,) = host_config(base, "--security-opt", f"seccomp={path}")["SecurityOpt"]
    assert json.loads(option.removeprefix("seccomp=")) == {"defaultAction": "SCMP_ACT_ALLOW"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--cap-add", "NET_ADMN"), ("unknown capability 'NET_ADMN'", "did you mean NET_ADMIN")),
        (("--security-opt", "secomp=x"), ("unknown security option",)),
        (("--security-opt", "seccomp=/none"), ("/none", "No such file")),
        (("--device", "fuse"), ("invalid device 'fuse'",)),
        (("--ipc", "mine"), ("no IPC mode 'mine'",)),
        (("--pid", "container:x"), ("no PID mode",)),
        (("--userns", "keep-id"), ("no user namespace mode",)),
        (("--tmpfs", "/x:what"), ("invalid option 'what'", "/x")),
        (("--tmpfs", "x"), ("invalid tmpfs 'x'",)),
        (("--tmpfs", "/x:dev"), ("every disk", "--device")),
        (("--shm-size", "much"), ("invalid size 'much'",)),
        (("--uts", "host", "-h", "me"), ("UTS",)),
        (("--add-host", "db"), ("invalid host 'db'",)),
        (("--dns", "one"), ("invalid IP address 'one'",)),
        (("--sysctl", "kernel.panic=1"), ("kernel.panic", "whole machine")),
        (("--sysctl", "kernel.sem"), ("invalid sysctl",)),
        (("--expose", "http"), ("invalid port 'http'",)),
        (("--restart", "sometimes"), ("'sometimes'", "unless-stopped")),
        (("--restart", "always:3"), ("always", "retries")),
        (("--privileged", "--device", "/dev/null:r"), ("/dev/null", "--privileged")),
        (("--tmpfs", "/t", "--tmpfs", "/a/../t/"), ("duplicate mount point: /t",)),
        (("-h", "x" * 65), ("invalid host name", "64 bytes")),
        (("-h", "a\n127.0.0.1 b"), ("invalid host name",)),
        (("--ipc", "host", "--shm-size", "1g"), ("IPC mode host", "--shm-size")),
        (("--ipc", "none", "--shm-size", "1g"), ("IPC mode none", "--shm-size")),
        (("-m", "much"), ("invalid size 'much'",)),
        (("--memory=",), ("invalid size ''",)),
        (("--memory-swap", "", "-m", "8m"), ("invalid size ''",)),
        (("-m", "1m"), ("6m at least",)),
        (("--memory-swap", "8m"), ("needs one of memory",)),
        (("--cpus", "5000"), ("5000 processors",)),
        (("--pids-limit", "few"), ("--pids-limit 'few' is no whole number",)),
        (("--ulimit", "files=1"), ("unknown limit 'files'", "nofile")),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(standing, flags, words):
    before = standing.ok("ps", "-aq")
    with nothing_left(standing):
        assert_complaint(standing("run", *flags, "base", "true"), *words, code=125)
        assert standing("create", *flags, "base", "true").code == 1
        assert standing.ok("ps", "-aq") == before


def test_flags_reach_the_container(base):
    script = "grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; echo x >/x; df /t /dev/shm | wc -l"
    flags = ("--cap-drop", "all", "--security-opt", "no-new-privileges", "--read-only")
    said = base("run", "--rm", *flags, "--tmpfs", "/t", "--init", "base", "sh", "-c", script)
    assert said.out.split() == ["CapEff:", "0" * 16, "NoNewPrivs:", "1", "3"]
    assert "Read-only" in said.err


def test_the_library_takes_docker_pys_names(base):
    import lamina

    with lamina.open(root=base.root, run_root=base.env["LAMINA_RUN_ROOT"]) as engine:
        result = engine.containers.run(
            "base",
            ["sh", "-c", "grep ^CapEff /proc/self/status; id -G; df -m /dev/shm | tail -1"],
            remove=True,
            cap_drop=["ALL"],
            cap_add=["NET_RAW"],
            group_add=[5],
            shm_size="3m",
            read_only=True,
        )
    lines = result.output.splitlines()
    assert lines[:2] == [f"CapEff:\t{1 << 13:016x}", "0 5"]
    assert lines[2].split()[1] == "3"


def test_an_out_of_memory_kill_is_said_in_words(base):
    script = "exec dd if=/dev/zero of=/dev/null bs=60M count=1"
    said = base("run", "--name", "big", "-m", "16m", "base", "sh", "-c", script)
    assert_complaint(said, "out of memory", "16MiB", "--memory", code=137)
    state = told(base, "inspect", "big")[0]["State"]
    assert state["OOMKilled"] is True
    assert state["ExitCode"] == 137
    base.ok("run", "--name", "small", "-m", "16m", "base", "true")
    assert told(base, "inspect", "small")[0]["State"]["OOMKilled"] is False


def test_the_id_goes_into_a_file_that_was_not_there(base):
    path = f"{base.folder}/cid"
    base.ok("run", "--cidfile", path, "base", "true")
    with open(path) as file:
        assert file.read() == base.ok("ps", "-aq", "--no-trunc").strip()
    assert_complaint(
        base("run", "--cidfile", path, "base", "true"), path, "there already", code=125
    )
    os.unlink(path)
    assert base("create", "--cidfile", path, "no-such-image:1", "true").code == 1
    assert not os.path.exists(path)


def test_only_the_streams_that_are_asked_for(base):
    script = "echo out; echo err >&2"
    for streams, out, err in (("stdout", "out\n", ""), ("STDERR", "", "err\n")):
        said = base("run", "--rm", "-a", streams, "base", "sh", "-c", script)
        assert said == (0, out, err)
    said = base("run", "--rm", "-a", "stdin", "-a", "stdout", "base", "cat", stdin=b"hello")
    assert said.out == "hello"
    assert_complaint(base("run", "-a", "both", "base", "true"), "no stream 'both'", code=125)
    assert_complaint(base("run", "-d", "-a", "stdout", "base", "true"), "-a or -d", code=125)


def test_noted_ports_are_in_the_config_and_in_commits(base):
    base.ok("create", "--name", "c1", "--expose", "80-81", "--expose", "53/udp", "base", "true")
    ports = {"80/tcp": {}, "81/tcp": {}, "53/udp": {}}
    assert told(base, "inspect", "c1")[0]["Config"]["ExposedPorts"] == ports
    base.ok("commit", "c1", "noted")
    assert told(base, "inspect", "noted")[0]["Config"]["ExposedPorts"] == ports


def test_labels_from_files(base):
    path = base.write("labels", "# a comment\na=1\nb=2\n")
    base.ok("create", "--name", "c1", "--label-file", path, "-l", "b=3", "base", "true")
    assert told(base, "inspect", "c1")[0]["Config"]["Labels"] == {"a": "1", "b": "3"}
    said = base("create", "--label-file", "/none", "base", "true")
    assert_complaint(said, "/none", "No such file")


def test_a_seccomp_profile_for_all_containers(base, needs_program):
    needs_program("crun")
    profile = base.write("profile", '{"defaultAction": "SCMP_ACT_ALLOW"}')
    config = base.write("daemon.json", json.dumps({"seccomp-profile": profile}))
    command = ("base", "grep", "^Seccomp:", "/proc/self/status")
    for flags, mode in (
        ((), "2"),
        (("--security-opt", "seccomp=unconfined"), "0"),
        (("--security-opt", "no-new-privileges"), "2"),
        (("--privileged",), "0"),
    ):
        assert base.ok("--config", config, "run", "--rm", *flags, *command).split()[1] == mode
    config = base.write("daemon.json", json.dumps({"seccomp-profile": "/none"}))
    said = base("--config", config, "run", "base", "true")
    assert_complaint(said, "/none", "No such file", code=125)
