"""The flags of `run` and `create`: kept with the container, shown by inspect, refused in one line."""

import json

import pytest

from tests.cli.rig import assert_complaint, nothing_left, told

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


def host_config(base, *flags):
    base.ok("create", "--name", "asked", *flags, "base", "true")
    return told(base, "inspect", "asked")[0]["HostConfig"]


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
        (("--privileged",), "MaskedPaths", []),
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
        (
            ("--device", "/dev/null:/dev/x:rw"),
            "Devices",
            [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "rw"}],
        ),
    ],
)
def test_inspect_shows_what_was_asked_for(base, flags, key, value):
    assert host_config(base, *flags)[key] == value


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
def test_what_cannot_be_is_refused_before_anything_is_made(base, flags, words):
    with nothing_left(base):
        assert_complaint(base("run", *flags, "base", "true"), *words, code=125)
        assert base("create", *flags, "base", "true").code == 1
        assert base.ok("ps", "-aq") == ""


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
