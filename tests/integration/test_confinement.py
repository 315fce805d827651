"""How far a container is kept apart, as its own process sees it, by every isolation."""

import contextlib
import os
import socket
import struct
import subprocess

import pytest

from lamina.errors import CommandNotFound, ProgramMissing, RuntimeFailure, UsageError
from lamina.execution import devices
from lamina.runtime import init
from lamina.runtime.confinement import Confinement, Device
from lamina.runtime.naming import Naming
from lamina.runtime.process import Tmpfs, Volume
from tests.integration.execution_rig import in_python, write

RUNTIMES = ("crun", "runc")


def status(rig, isolation, row, **more) -> str:
    said = rig.run(isolation, "grep", f"^{row}:", "/proc/self/status", **more)
    return said.out.split()[-1]


def confined(**more) -> dict[str, Confinement]:
    return {"confinement": Confinement(**more)}


def test_capabilities_are_added_and_dropped(rig, isolation):
    only = confined(cap_add=("CAP_NET_ADMIN",), cap_drop=("ALL",))
    for row in ("CapEff", "CapPrm", "CapBnd"):
        assert int(status(rig, isolation, row, **only), 16) == 1 << 12
    assert int(status(rig, isolation, "CapEff", user="app", **only), 16) == 0
    less = confined(cap_drop=("CAP_CHOWN",))
    assert int(status(rig, isolation, "CapEff", **less), 16) == 0xA80425FB & ~1
    said = rig.run(isolation, "sh", "-c", "touch /x; chown 5 /x", **less)
    assert "not permitted" in said.err


def test_a_privileged_process_has_all_that_this_one_has(rig, isolation):
    with open("/proc/self/status") as file:
        mine = next(line.split()[1] for line in file if line.startswith("CapBnd"))
    assert status(rig, isolation, "CapEff", privileged=True) == mine


def test_a_privileged_process_has_the_devices_of_this_machine(rig, isolation, needs_fuse):
    script = (
        "stat -c %t:%T /dev/fuse; exec 3</dev/fuse && echo opened; test -L /dev/ptmx && echo own"
    )
    said = rig.run(isolation, "sh", "-c", script, privileged=True)
    assert said.out.split() == ["a:e5", "opened", "own"], said.err
    assert "opened" not in rig.run(isolation, "sh", "-c", script).out
    assert rig.traces() == []


def test_a_privileged_process_has_a_device_where_it_is_asked_for(rig, isolation, needs_fuse):
    places = ("/dev/other", "/dev/vcs")  # the second has another device of that name
    shown = confined(devices=tuple(Device("/dev/fuse", place) for place in places))
    said = rig.run(isolation, "stat", "-c", "%t:%T", *places, privileged=True, **shown)
    assert said.out.split() == ["a:e5", "a:e5"], said.err
    missing = confined(devices=(Device("/dev/none", "/dev/none"),))
    with pytest.raises(RuntimeFailure, match="No such file"):
        rig.run(isolation, "true", privileged=True, **missing)
    assert rig.traces() == []


def test_a_privileged_process_opens_the_devices_of_a_volume(rig, isolation, tmp_path):
    folder = tmp_path / "devices"
    folder.mkdir()
    os.mknod(folder / "zero", 0o20666, os.makedev(1, 5))
    os.mknod(folder / "null", 0o20666, os.makedev(1, 3))
    for place in ("/v", "/dev"):
        volumes = (Volume(str(folder), place, False),)
        script = f"head -c1 {place}/zero | wc -c; ls {place}"
        said = rig.run(isolation, "sh", "-c", script, privileged=True, volumes=volumes)
        assert said.out.split() == ["1", "null", "zero"], said.err
    assert sorted(os.listdir(folder)) == ["null", "zero"]


_HEIR = """
import sys
from tests.integration.execution_rig import Rig
from lamina.runtime.confinement import Confinement
rig = Rig(sys.argv[1], sys.argv[2], "overlay").settle()
none = Confinement(cap_drop=("ALL",))
print(rig.run(sys.argv[3], "grep", "^Cap", "/proc/self/status", confinement=none).out)
"""


def test_what_this_process_hands_down_does_not_come_to_the_container(
    template, tmp_path, isolation, needs_program
):
    """Inheritable and ambient capabilities pass by the bounding set."""
    handing = [needs_program("setpriv"), "--inh-caps=+chown,+net_admin", "--ambient-caps=+chown"]
    script = in_python(_HEIR, str(tmp_path / "rig"), template, isolation)
    done = subprocess.run(
        [*handing, *script],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = dict(line.split() for line in done.stdout.splitlines() if line)
    assert len(rows) == 5, done.stderr
    assert {int(mask, 16) for mask in rows.values()} == {0}


def test_no_new_privileges(rig, isolation):
    assert status(rig, isolation, "NoNewPrivs") == "0"
    assert status(rig, isolation, "NoNewPrivs", **confined(no_new_privileges=True)) == "1"


def test_dockers_filter_is_there_unless_it_is_taken_away(rig, isolation):
    for more in ({}, {"user": "app"}, confined(no_new_privileges=True)):
        assert status(rig, isolation, "Seccomp", **more) == "2"
        assert "not permitted" in rig.run(isolation, "busybox", "unshare", "-m", "true", **more).err
    assert status(rig, isolation, "Seccomp", **confined(seccomp="unconfined")) == "0"
    assert status(rig, isolation, "Seccomp", privileged=True) == "0"


def test_the_program_of_a_filter_is_made_once(rig, isolation):
    if isolation == "runc":
        pytest.skip("runc makes its own")
    folder = os.path.join(rig.run_dir, "filters")
    for _ in range(2):
        rig.run(isolation, "true")
        rig.run(isolation, "true", **confined(cap_add=("CAP_SYS_CHROOT",)))
        assert len(os.listdir(folder)) == 1
    rig.run(isolation, "true", **confined(cap_drop=("CAP_SYS_CHROOT",)))
    assert len(os.listdir(folder)) == 2
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(struct.pack("=HBBI", 0x06, 0, 0, 0x00050000 | 11))  # refuses everything
    with contextlib.suppress(RuntimeFailure):  # taken from there, as this shows
        assert rig.run(isolation, "true").code != 0


@pytest.mark.parametrize("left", [b"", bytes(80), bytes(7)], ids=["nothing", "zeros", "a piece"])
def test_the_program_of_a_filter_that_a_power_cut_took_is_made_anew(rig, isolation, left):
    """An empty one would filter nothing."""
    rig.run(isolation, "true")
    folder = os.path.join(rig.run_dir, "filters")
    for name in os.listdir(folder) if isolation != "runc" else ():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(left)
    assert status(rig, isolation, "Seccomp") == "2"
    sizes = [os.stat(each).st_size for each in os.scandir(folder)] if isolation != "runc" else []
    assert all(size > 80 for size in sizes)


def test_a_filter_of_system_calls(rig, isolation):
    profile = (
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": '
        '[{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}'
    )
    wanted = confined(seccomp=profile)
    assert status(rig, isolation, "Seccomp", **wanted) == "2"
    said = rig.run(isolation, "mkdir", "/made", **wanted)
    assert (said.code, "not supported" in said.err) == (1, True)
    assert status(rig, isolation, "Seccomp", **confined(seccomp="unconfined")) == "0"


def test_a_profile_of_apparmor_that_cannot_be_had_is_refused(rig, isolation):
    if os.path.exists("/sys/kernel/security/apparmor"):
        pytest.skip("this kernel runs AppArmor")
    with pytest.raises(RuntimeFailure, match="AppArmor"):
        rig.run(isolation, "true", **confined(apparmor="mine"))
    assert rig.run(isolation, "true", **confined(apparmor="unconfined")).code == 0
    assert rig.traces() == []


def test_nothing_of_proc_is_hidden_when_asked(rig, isolation):
    script = (
        "head -c 1 /proc/timer_list | wc -c; f=/proc/sys/kernel/panic; echo $(cat $f) >$f; echo $?"
    )
    assert rig.run(isolation, "sh", "-c", script).out.split() == ["0", "1"]
    assert rig.run(isolation, "sh", "-c", script, **confined(unmasked=True)).out.split() == [
        "1",
        "0",
    ]


def test_a_read_only_root(rig, isolation):
    script = (
        "for f in /x /etc/hosts /sys/x; do echo y >$f; done; echo shm >/dev/shm/x; cat /dev/shm/x"
    )
    said = rig.run(isolation, "sh", "-c", script, readonly_root=True)
    assert said.err.count("Read-only file system") == 3, said.err
    assert said.out == "shm\n"
    assert rig.traces() == []
    assert rig.left_over() == []


def test_a_read_only_root_can_be_written_to_where_something_is_mounted(rig, isolation, tmp_path):
    mounted = {"volumes": (Volume(str(tmp_path), "/v", False),), "tmpfs": (Tmpfs("/t"),)}
    said = rig.run(
        isolation, "sh", "-c", "echo 1 >/v/f; echo 2 >/t/f", readonly_root=True, **mounted
    )
    assert said == (0, "", "")
    assert (tmp_path / "f").read_text() == "1\n"
    assert rig.traces() == []


def test_a_tmpfs_is_empty_and_leaves_nothing(unsettled, isolation):
    write(f"{unsettled.base}/etc/hidden", "x")
    os.chmod(f"{unsettled.base}/tmp", 0o1777)
    rig = unsettled.settle()
    wanted = (
        Tmpfs("/tmp"),
        Tmpfs("/made/here", ("size=1m", "exec", "mode=700")),
        Tmpfs("/etc", ("ro",)),
    )
    script = "stat -c %a /tmp /made/here; ls /etc/hidden; grep -E ' (/tmp|/made/here|/etc) ' /proc/mounts"
    script += "; head -c 2000000 /dev/zero >/made/here/f; stat -c %s /made/here/f"
    said = rig.run(isolation, "sh", "-c", script, tmpfs=wanted)
    tmp, made, *rows, size = said.out.splitlines()
    assert (tmp, made, size) == ("1777", "700", "1048576")
    options = {row.split()[1]: set(row.split()[3].split(",")) for row in rows}
    assert options["/tmp"] >= {"rw", "nosuid", "nodev", "noexec"}
    assert options["/made/here"] >= {"rw", "nosuid", "nodev", "size=1024k"}
    assert "noexec" not in options["/made/here"]
    assert "ro" in options["/etc"]
    assert "/etc/hidden: No such file" in said.err
    assert rig.traces() == []


@pytest.mark.parametrize("target", ["/", "/proc", "/proc/x"])
def test_a_tmpfs_in_an_impossible_place(rig, isolation, target):
    with pytest.raises(UsageError, match="tmpfs"):
        rig.run(isolation, "true", tmpfs=(Tmpfs(target),))


def test_ones_own_file_stands_in_the_place_of_ours(rig, isolation, tmp_path):
    """Also where the image has none."""
    (tmp_path / "hosts").write_text("mine\n")
    volumes = (Volume(str(tmp_path / "hosts"), "/etc/hosts", False),)
    said = rig.run(isolation, "cat", "/etc/hosts", "/etc/hostname", volumes=volumes, hostname="h")
    assert said.out == "mine\nh\n", said.err
    assert rig.traces() == []


def test_a_link_does_not_lead_a_tmpfs_elsewhere(unsettled, isolation, tmp_path):
    os.symlink("../../../../../../opt", f"{unsettled.base}/away")
    rig = unsettled.settle()
    said = rig.run(
        isolation, "sh", "-c", "grep -c ' /opt tmpfs' /proc/mounts", tmpfs=(Tmpfs("/away"),)
    )
    assert said.out == "1\n"
    assert rig.traces() == []


def test_a_device(rig, isolation, needs_fuse):
    shown = confined(devices=(Device("/dev/fuse", "/dev/other"),))
    script = "stat -c %t:%T /dev/other; exec 3<>/dev/other && echo opened"
    said = rig.run(isolation, "sh", "-c", script, **shown)
    assert said.out.split() == ["a:e5", "opened"], said.err
    assert rig.traces() == []


def test_what_an_image_has_in_dev_decides_nothing(unsettled, isolation, needs_fuse):
    """It is covered when the device is shown."""
    os.symlink("/etc/passwd", f"{unsettled.base}/dev/fuse")
    os.mkdir(f"{unsettled.base}/dev/other")
    os.symlink("/etc", f"{unsettled.base}/dev/shm")
    os.symlink("/etc", f"{unsettled.base}/dev/deep")
    os.symlink("/dev/shm", f"{unsettled.base}/memory")
    rig = unsettled.settle()
    places = ("/dev/fuse", "/dev/other", "/dev/deep/fuse")
    shown = confined(devices=tuple(Device("/dev/fuse", place) for place in places))
    script = f"stat -c %t:%T {' '.join(places)}; head -c 4 /etc/passwd; cat /proc/mounts"
    tmpfs = (Tmpfs("/memory", ("size=1m",)),)
    said = rig.run(isolation, "sh", "-c", script, tmpfs=tmpfs, **shown)
    assert said.out.startswith("a:e5\na:e5\na:e5\nroot"), said.err
    assert " /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k" in said.out
    assert " /etc tmpfs" not in said.out
    assert rig.traces() == []


def test_devices_come_and_go_while_they_are_looked_for(tmp_path):
    for name in ("one", "two"):
        os.mknod(tmp_path / name, 0o20666, os.makedev(1, 5))
    found = devices._walk(str(tmp_path))
    assert next(found) == f"{tmp_path}/one"
    os.unlink(tmp_path / "two")
    assert list(found) == []


def test_a_directory_of_devices(rig, isolation):
    found = sorted(name for name in os.listdir("/dev/net") if name == "tun") or pytest.skip(
        "no tun"
    )
    said = rig.run(isolation, "ls", "/dev/n", **confined(devices=(Device("/dev/net", "/dev/n"),)))
    assert said.out.split() == found


@pytest.mark.parametrize(
    ("source", "words"), [("/dev/none", "No such file"), ("/etc/passwd", "is no device")]
)
def test_what_is_no_device(rig, isolation, source, words):
    with pytest.raises(RuntimeFailure, match=words):
        rig.run(isolation, "true", **confined(devices=(Device(source, source),)))
    assert rig.traces() == []


def test_groups_by_name_and_number(rig, isolation):
    groups = confined(groups=("audio", "77", "4242"))
    assert rig.run(isolation, "id", "-G", **groups).out.split() == ["0", "29", "77", "4242"]
    assert rig.run(isolation, "id", "-G", user="1000:5", **groups).out.split() == [
        *("5", "29", "77", "4242")
    ]
    with pytest.raises(RuntimeFailure, match="unable to find group nobody"):
        rig.run(isolation, "true", **confined(groups=("nobody",)))


def test_the_hosts_name(rig, isolation):
    said = rig.run(isolation, "hostname", **confined(uts="host"), hostname="inside")
    assert said.out.strip() == socket.gethostname()


def test_the_hosts_shared_memory(rig, isolation):
    script = "readlink /proc/self/ns/ipc; ls /dev/shm"
    name = f"lamina-{os.urandom(4).hex()}"
    mine = os.readlink("/proc/self/ns/ipc")
    with open(f"/dev/shm/{name}", "w"):
        pass
    try:
        shared = rig.run(isolation, "sh", "-c", script, **confined(ipc="host")).out.split()
        apart = rig.run(isolation, "sh", "-c", script).out.split()
    finally:
        os.unlink(f"/dev/shm/{name}")
    assert (shared[0] == mine, name in shared) == (True, True)
    assert (apart[0] == mine, name in apart) == (False, False)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_queues_are_those_of_the_ipc_namespace(rig, runtime, needs_program, needs_mounts):
    needs_program(runtime)
    for ipc in ("", "host", "none"):
        said = rig.run(
            runtime, "grep", "-c", " /dev/mqueue mqueue ", "/proc/mounts", **confined(ipc=ipc)
        )
        assert said.out == "1\n", ipc


def test_the_size_of_shared_memory(rig, isolation):
    script = "grep ' /dev/shm ' /proc/mounts"
    assert "size=65536k" in rig.run(isolation, "sh", "-c", script).out
    assert "size=3072k" in rig.run(isolation, "sh", "-c", script, **confined(shm_size=3 << 20)).out
    assert rig.run(isolation, "sh", "-c", script, **confined(ipc="none")).out == ""


def test_the_processes_of_this_machine(rig, isolation):
    wanted = confined(pid="host")
    if isolation != "chroot":
        with pytest.raises(RuntimeFailure, match="processes of this machine"):
            rig.run(isolation, "true", **wanted)
        return
    said = rig.run(isolation, "cat", f"/proc/{os.getpid()}/stat", **wanted)
    assert said.out.startswith(f"{os.getpid()} ")
    assert rig.left_over() == []


def test_an_init_is_first_and_buries_orphans(rig, isolation):
    script = (
        "tr '\\0' ' ' </proc/1/cmdline; sh -c 'sleep 0.1 & exit'; sleep 0.3;"
        " grep -l '^State:.Z' /proc/[0-9]*/status | wc -l; exit 7"
    )
    said = rig.run(isolation, "sh", "-c", script, **confined(init=True))
    assert (said.code, said.out.split()[-1]) == (7, "0")
    if isolation != "chroot":  # whose supervisor is one
        assert said.out.startswith(f"{init.PLACE} -- sh -c ")
    assert rig.traces() == []
    with pytest.raises(CommandNotFound):
        rig.run(isolation, "nosuch", **confined(init=True))


def test_an_init_that_is_not_there_names_its_packages(rig, monkeypatch, needs_program):
    needs_program("crun")
    monkeypatch.setattr(init, "find_program", lambda name: None)
    with pytest.raises(ProgramMissing, match="tini"):
        rig.run("crun", "true", **confined(init=True))


def test_names_that_the_caller_says(rig, isolation):
    said = Naming((("db", "10.0.0.5"),), ("1.1.1.1",), ("a.b",), ("ndots:2",))
    script = "cat /etc/hosts /etc/resolv.conf"
    out = rig.run(isolation, "sh", "-c", script, naming=said).out
    assert "10.0.0.5\tdb\n" in out
    assert out.endswith("nameserver 1.1.1.1\nsearch a.b\noptions ndots:2\n")
    assert rig.traces() == []


def test_kernel_parameters_of_its_own(rig, isolation):
    wanted = confined(sysctls=(("kernel.shmmax", "12345"),))
    if isolation == "chroot":
        with pytest.raises(RuntimeFailure, match="kernel parameters"):
            rig.run(isolation, "true", **wanted)
        return
    assert rig.run(isolation, "cat", "/proc/sys/kernel/shmmax", **wanted).out == "12345\n"


def test_what_is_read_only_is_so_with_what_is_mounted_below(rig, isolation, tmp_path):
    (tmp_path / "below").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "t", str(tmp_path / "below")], check=True)
    try:
        (tmp_path / "below" / "there").touch()
        shown = {"volumes": (Volume(str(tmp_path), "/v", True),)}
        said = rig.run(isolation, "sh", "-c", "touch /v/x; touch /v/below/x", **shown)
        above = (Volume(str(tmp_path), "/v", False, recursive=False),)
        alone = rig.run(isolation, "ls", "/v/below", volumes=above)
    finally:
        subprocess.run(["umount", str(tmp_path / "below")], check=True)
    assert said.err.count("Read-only file system") == 2
    assert alone.out == ""


def test_a_volumes_devices_stay_closed(rig, isolation, tmp_path):
    """Without a device control group, it is nodev that keeps the host's disks closed."""
    os.mknod(tmp_path / "zero", 0o20666, os.makedev(1, 5))
    said = rig.run(
        isolation, "head", "-c1", "/v/zero", volumes=(Volume(str(tmp_path), "/v", False),)
    )
    assert "ermission denied" in said.err
