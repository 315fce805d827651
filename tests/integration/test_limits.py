"""What a container may use at most, as the kernel holds it to it, by both runtimes."""

import json
import os
import resource
import signal
import subprocess
import time

import pytest

from lamina.errors import RuntimeFailure
from lamina.execution.limiting import may_need_group
from lamina.execution.run import Stdio, start
from lamina.execution.runtimes import last_error
from lamina.fs import cgroups
from lamina.runtime.confinement import Confinement, Device
from lamina.runtime.isolation import choose
from lamina.runtime.limits import Limits, Ulimit
from tests.integration.execution_rig import in_python

_MB = 1 << 20


@pytest.fixture(params=["crun", "runc"])
def runtime(request, needs_program, needs_mounts) -> str:
    needs_program(request.param)
    return request.param


@pytest.fixture
def controllers(needs_mounts) -> dict[str, str]:
    found = cgroups.hierarchies()
    if not found.of and not found.unified:
        pytest.skip("no control groups are mounted")
    return found.of


def left(rig) -> list[str]:
    """Control groups of the rig's container that are still there."""
    places = cgroups.hierarchies().places
    return [place for place in places if os.path.exists(f"{place}/lamina/{rig.name}")]


def limited(**more) -> dict[str, Limits]:
    return {"limits": Limits(**more)}


_EATS = "dd if=/dev/zero of=/dev/null bs=60M count=1"


def test_a_container_that_needs_more_memory_is_killed_and_it_is_said(rig, runtime, controllers):
    job = rig.job("sh", "-c", f"exec {_EATS}", **limited(memory=16 * _MB))
    ended = start(job, choose(runtime), Stdio(None, None, None)).wait()
    assert ended.code == 137
    assert "out of memory" in ended.words
    assert "16MiB" in ended.words
    assert left(rig) == []
    assert rig.left_over() == []


def test_a_child_that_needs_more_memory_is_told_too(rig, runtime, controllers):
    job = rig.job("sh", "-c", f"{_EATS}; exit 5", **limited(memory=16 * _MB))
    ended = start(job, choose(runtime), Stdio(None, None, None)).wait()
    assert (ended.code, "out of memory" in ended.words) == (5, True)


@pytest.mark.parametrize("script", ["exit 3", "kill -9 $$; exit 137"])
def test_an_end_that_has_other_reasons_has_no_words(rig, runtime, controllers, script):
    job = rig.job("sh", "-c", script, **limited(memory=16 * _MB))
    assert start(job, choose(runtime), Stdio(None, None, None)).wait().words == ""


def test_a_container_sees_its_limits(rig, runtime, controllers):
    if not controllers:
        pytest.skip("names of version 1")
    said = rig.run(
        runtime,
        *("cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        *("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", "/sys/fs/cgroup/pids/pids.max"),
        *("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpuset/cpuset.cpus"),
        **limited(memory=16 * _MB, pids=50, nano_cpus=5 * 10**8, cpuset_cpus="0"),
    )
    assert said.out.split() == ["16777216", "33554432", "50", "50000", "0"], said.err
    assert (
        "Read-only"
        in rig.run(
            runtime, "sh", "-c", "echo 1 >/sys/fs/cgroup/memory/tasks", **limited(memory=16 * _MB)
        ).err
    )


def test_a_container_sees_its_limits_in_version_2(rig, runtime, controllers):
    if controllers:
        pytest.skip("names of version 2")
    place = "/sys/fs/cgroup"
    said = rig.run(
        runtime,
        *("cat", "/proc/self/cgroup", f"{place}/memory.max", f"{place}/memory.swap.max"),
        *(f"{place}/pids.max", f"{place}/cpu.max", f"{place}/cpuset.cpus"),
        **limited(memory=16 * _MB, pids=50, nano_cpus=5 * 10**8, cpuset_cpus="0"),
    )
    assert said.out.split() == [*("0::/", "16777216", "16777216", "50", "50000", "100000", "0")], (
        said.err
    )
    script = f"echo 1 >{place}/cgroup.procs"
    assert "Read-only" in rig.run(runtime, "sh", "-c", script, **limited(pids=50)).err


def test_too_many_processes(rig, runtime, controllers):
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 9 & done; echo all"
    said = rig.run(runtime, "sh", "-c", script, **limited(pids=5))
    assert "can't fork" in said.err
    assert "all" not in said.out
    assert left(rig) == []


def test_shares_count_beside_other_containers(rig, runtime, controllers):
    """The group that the runtime makes stands alone in ours: ours is what is weighed."""
    place, file, weight = controllers.get("cpu", ""), "cpu.shares", "256\n"
    if not place:
        place, file, weight = cgroups.hierarchies().unified, "cpu.weight", "10\n"
    reader, writer = os.pipe2(os.O_CLOEXEC)
    job = rig.job("sh", "-c", "echo up; sleep 600", **limited(cpu_shares=256))
    running = start(job, choose(runtime), Stdio(None, writer, None))
    os.close(writer)
    try:
        os.read(reader, 3)
        with open(f"{place}/lamina/{rig.name}/{file}") as shares:
            assert shares.read() == weight
    finally:
        os.close(reader)
        running.kill()
        running.wait()
    assert left(rig) == []


def test_a_device_that_may_only_be_read(rig, runtime, controllers, needs_fuse):
    script = "exec 3</dev/fuse && echo read; (exec 4<>/dev/fuse) && echo wrote; echo x >/dev/null"
    for access, expected in (("r", ["read"]), ("rw", ["read", "wrote"])):
        shown = Confinement(devices=(Device("/dev/fuse", "/dev/fuse", access),))
        said = rig.run(runtime, "sh", "-c", script, confinement=shown)
        assert said.out.split() == expected, said.err
        assert "null" not in said.err


def test_the_right_to_mount_opens_no_device(rig, runtime, controllers, needs_fuse):
    """As in docker: `nodev` holds nobody who may mount a file system without it."""
    script = (
        "busybox mount -t tmpfs none /tmp; mknod /tmp/fuse c 10 229; mknod /tmp/null c 1 3;"
        " echo >/tmp/null && echo null; exec 3</tmp/fuse && echo fuse"
    )
    for more in (("CAP_SYS_ADMIN",), ("ALL",)):
        confined = Confinement(cap_add=more)
        said = rig.run(runtime, "sh", "-c", script, confinement=confined)
        assert said.out.split() == ["null"], said.err
        assert left(rig) == []
    kept = Confinement(cap_add=("ALL",), cap_drop=("CAP_MKNOD",))
    assert not may_need_group(rig.job("true", confinement=kept).process)


@pytest.mark.parametrize("field", ["memory", "pids", "nano_cpus"])
def test_a_chroot_holds_no_limits_and_says_so(rig, needs_mounts, field):
    with pytest.raises(RuntimeFailure, match="chroot cannot hold"):
        rig.run("chroot", "true", **limited(**{field: 16 * _MB}))
    assert rig.left_over() == []


def test_limits_of_each_process(rig, isolation):
    limits = limited(ulimits=(Ulimit("nofile", 100, 200), Ulimit("core", 0, 0)))
    script = "ulimit -n; ulimit -Hn; ulimit -Hc"
    assert rig.run(isolation, "sh", "-c", script, **limits).out.split() == ["100", "200", "0"]


def test_a_limit_that_this_process_may_not_raise_is_refused(rig, isolation, monkeypatch):
    monkeypatch.setattr("lamina.execution.limiting.has_capability", lambda _: False)
    own = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with pytest.raises(RuntimeFailure, match=f"only go to {own}"):
        rig.run(isolation, "true", **limited(ulimits=(Ulimit("nofile", own + 1, own + 1),)))
    with pytest.raises(RuntimeFailure, match="OOM score"):
        rig.run(isolation, "true", **limited(oom_score_adj=-999))
    assert rig.left_over() == []


def test_a_limit_that_the_kernel_refuses_is_no_traceback(rig, needs_mounts, monkeypatch):
    """Beyond /proc/sys/fs/nr_open not even root may go."""
    monkeypatch.setattr("lamina.execution.limiting._may_raise", lambda: True)
    with pytest.raises(RuntimeFailure, match="nofile cannot be 9000000000:9000000000"):
        rig.run("chroot", "true", **limited(ulimits=(Ulimit("nofile", 9 * 10**9, 9 * 10**9),)))
    assert rig.left_over() == []


def test_a_start_that_its_own_limits_hinder_is_told_in_words(rig, needs_program, needs_mounts):
    """crun's own children are limited, too; what they log it logs as it is."""
    needs_program("crun")
    with pytest.raises(RuntimeFailure, match=r"cannot start the container: [a-z]"):
        rig.run("crun", "true", **limited(ulimits=(Ulimit("as", 10**6, 10**6),)))
    assert rig.left_over() == []


def test_words_that_are_no_log_are_taken_as_they_are(tmp_path):
    for words in ("[" * 60_000, '{"msg": 5'):
        (tmp_path / "log").write_text(words)
        assert last_error(str(tmp_path / "log")) == words
    (tmp_path / "log").write_text(json.dumps({"msg": json.dumps({"msg": "deep"})}))
    assert last_error(str(tmp_path / "log")) == "deep"


def test_processors_that_are_not_there(rig, runtime, controllers):
    with pytest.raises(RuntimeFailure, match="processors 9999 were asked for, and there are 0"):
        rig.run(runtime, "true", **limited(cpuset_cpus="9999"))
    with pytest.raises(RuntimeFailure, match="memory nodes 0-99"):
        rig.run(runtime, "true", **limited(cpuset_mems="0-99"))


def test_a_limit_as_large_as_a_number_can_be(rig, runtime, controllers):
    largest = limited(memory=(1 << 63) - 1, cpu_shares=10**9)
    assert rig.run(runtime, "true", **largest) == (0, "", "")


def test_the_score_by_which_the_kernel_chooses(rig, isolation):
    said = rig.run(isolation, "cat", "/proc/self/oom_score_adj", **limited(oom_score_adj=321))
    assert said.out == "321\n"


_SPARED = """
import sys
from tests.integration.execution_rig import Rig
with open("/proc/self/oom_score_adj", "w") as file:
    file.write("-500")
rig = Rig(sys.argv[1], sys.argv[2], "overlay").settle()
print(rig.run(sys.argv[3], "cat", "/proc/self/oom_score_adj").out)
"""


def test_who_is_spared_does_not_spare_its_containers(template, tmp_path, isolation):
    """As a service that must not be killed is, or docker's own."""
    arguments = (str(tmp_path / "rig"), template, isolation)
    done = subprocess.run(
        in_python(_SPARED, *arguments), capture_output=True, text=True, check=False
    )
    if "PermissionError" in done.stderr:
        pytest.skip("this process may not lower its score (no CAP_SYS_RESOURCE)")
    assert done.stdout.strip() == "0", done.stderr


_WITHOUT = """
import sys
from tests.integration.execution_rig import Rig
from lamina.errors import RuntimeFailure
from lamina.kernel import mount
from lamina.kernel.namespaces import CLONE_NEWNS, unshare
from lamina.runtime.limits import Limits
unshare(CLONE_NEWNS)
mount.mount("none", "/", "", mount.MS_REC | mount.MS_PRIVATE)
{change}
rig = Rig(sys.argv[1], sys.argv[2], "overlay").settle()
try:
    rig.run(sys.argv[3], "true", limits=Limits(memory=16 << 20))
except RuntimeFailure as error:
    print(error)
print(rig.run(sys.argv[3], "echo", "others", limits=Limits(pids=20)).out, rig.left_over())
"""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("mount.umount({memory!r})", "no control group controller memory"),
        (
            "mount.mount('none', {memory!r}, '', mount.MS_REMOUNT | mount.MS_BIND | mount.MS_RDONLY)",
            "Read-only file system",
        ),
    ],
)
def test_a_limit_without_its_controller_is_refused(
    template, tmp_path, runtime, controllers, change, words
):
    if "memory" not in controllers:
        pytest.skip("controllers cannot be taken away one by one")
    script = _WITHOUT.format(change=change.format(memory=controllers["memory"]))
    arguments = (str(tmp_path / "rig"), template, runtime)
    done = subprocess.run(
        in_python(script, *arguments), capture_output=True, text=True, check=False
    )
    refusal = done.stdout.partition("\n")[0]
    assert "--memory cannot be held on this machine" in refusal, done.stderr
    assert words in refusal
    if words.startswith("no"):
        assert "others" in done.stdout, done.stderr


def test_groups_that_a_container_made_go_with_it(rig, runtime, controllers):
    place = "/sys/fs/cgroup/memory" if controllers else "/sys/fs/cgroup"
    script = f"cd {place}; mkdir -p a/b c && echo $$ >a/b/cgroup.procs && echo made"
    said = rig.run(runtime, "sh", "-c", script, privileged=True, **limited(memory=16 * _MB))
    assert said.out == "made\n", said.err
    assert left(rig) == []


def test_who_sweeps_comes_again_where_somebody_cannot_be_ended_yet(rig, controllers):
    from lamina.execution.room import sweep

    name, place = rig.name, cgroups.hierarchies().places[0]
    os.makedirs(f"{place}/lamina/{name}/box")
    os.makedirs(f"{rig.run_dir}/{name}")
    for mark in ("group", "upper"):
        with open(f"{rig.run_dir}/{name}/{mark}", "w") as file:
            file.write(rig.upper if mark == "upper" else "")
    with subprocess.Popen(["sleep", "600"]) as lingering:
        with open(f"{place}/lamina/{name}/box/cgroup.procs", "w") as file:
            file.write(str(lingering.pid))
        assert sweep(rig.run_dir) == 0
        assert left(rig) == [place]
        lingering.kill()
    assert sweep(rig.run_dir) == 1
    assert left(rig) == []


_VICTIM = """
import sys
from tests.integration.execution_rig import Rig
from lamina.execution.run import Stdio, start
from lamina.runtime.isolation import choose
from lamina.runtime.limits import Limits
rig = Rig(sys.argv[1], sys.argv[2], "overlay").settle()
script = (
    "cd /sys/fs/cgroup; test ! -e memory || cd memory; mkdir -p a/b && echo $$ >a/b/cgroup.procs"
    " && echo up; sleep 600"
)
job = rig.job("sh", "-c", script, privileged=True, limits=Limits(memory=16 << 20))
running = start(job, choose(sys.argv[3]), Stdio(None, 1, None))
print(rig.name, file=sys.stderr, flush=True)
running.wait()
"""


def test_a_killed_engine_leaves_no_control_group(template, tmp_path, runtime, controllers):
    from lamina.execution.room import sweep

    arguments = (str(tmp_path / "rig"), template, runtime)
    victim = subprocess.Popen(
        in_python(_VICTIM, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with victim:
        assert victim.stdout.readline() == "up\n"
        name = victim.stderr.readline().strip()
        victim.send_signal(signal.SIGKILL)
    there = [
        place for place in cgroups.hierarchies().places if os.path.exists(f"{place}/lamina/{name}")
    ]
    assert there
    limit = time.monotonic() + 10
    while not sweep(str(tmp_path / "rig" / "run")):  # until the kernel has ended what hangs on it
        assert time.monotonic() < limit
    assert not [place for place in there if os.path.exists(f"{place}/lamina/{name}")]
