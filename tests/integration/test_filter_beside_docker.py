"""The default filter of system calls: what it lets by and how it refuses, beside docker's own."""

import subprocess
import tarfile

import pytest

from tests.cli.rig import in_process

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

# Each call is harmless: what is let by fails for what it is asked, or only looks.
CALLS = {
    "unshare": "SYS_unshare, 0x20000",
    "clone a user namespace": "SYS_clone, 0x10000000 | 17, 0, 0, 0, 0",
    "clone a network": "SYS_clone, 0x40000000 | 17, 0, 0, 0, 0",
    "clone3": "SYS_clone3, 0, 0",
    "setns": "SYS_setns, -1, 0",
    "mount": 'SYS_mount, "", "/none", "tmpfs", 0, 0',
    "umount": 'SYS_umount2, "/none", 0',
    "open_tree": "SYS_open_tree, -1, 0, 0",
    "fsopen": "SYS_fsopen, 0, 0",
    "pivot_root": 'SYS_pivot_root, "/none", "/none"',
    "chroot": 'SYS_chroot, "/none"',
    "bpf": "SYS_bpf, -1, 0, 0",
    "perf_event_open": "SYS_perf_event_open, 0, 0, 0, 0, 0",
    "userfaultfd": "SYS_userfaultfd, -1",
    "add_key": "SYS_add_key, 0, 0, 0, 0, 0",
    "request_key": "SYS_request_key, 0, 0, 0, 0",
    "keyctl": "SYS_keyctl, -1",
    "kexec_load": "SYS_kexec_load, 0, 17, 0, 0",
    "init_module": "SYS_init_module, 0, 0, 0",
    "delete_module": "SYS_delete_module, 0, 0",
    "swapon": "SYS_swapon, 0, 0",
    "reboot": "SYS_reboot, 0, 0, 0, 0",
    "acct": "SYS_acct, 1",
    "quotactl": "SYS_quotactl, -1, 0, 0, 0",
    "settimeofday": "SYS_settimeofday, 1, 1",
    "iopl": "SYS_iopl, 9",
    "vhangup": "SYS_vhangup",
    "syslog": "SYS_syslog, -1, 0, 0",
    "open_by_handle_at": "SYS_open_by_handle_at, -1, 0, 0",
    "process_vm_readv": "SYS_process_vm_readv, 0, 0, 0, 0, 0, 0",
    "kcmp": "SYS_kcmp, 0, 0, 0, 0, 0",
    "move_pages": "SYS_move_pages, 0, 0, 0, 0, 0, 0",
    "mbind": "SYS_mbind, 0, 0, 0, 0, 0, 0",
    "ptrace": "SYS_ptrace, -1, 0, 0, 0",
    "uselib": "SYS_uselib, 0",
    "what personality": "SYS_personality, 0xffffffff",
    "no random addresses": "SYS_personality, 0x40000",
    "socket": "SYS_socket, 1, 1, 0",
    "futex": "SYS_futex, 0, -1, 0, 0, 0, 0",
    "statx": "SYS_statx, -1, 0, 0, 0, 0",
    "memfd_create": "SYS_memfd_create, 0, 0",
    "seccomp": "SYS_seccomp, -1, 0, 0",
    "landlock": "SYS_landlock_create_ruleset, 0, 0, 1",
    "mknod": "SYS_mknod, 0, 0, 0",
    "splice": "SYS_splice, -1, 0, -1, 0, 0, 0",
    "a call that is none": "999",
}
OTHERWISE = "no random addresses"  # EPERM by docker; ENOSYS here, as for every call that is unknown
RIGHTS = {"nothing": [], "admin": ["--cap-add", "SYS_ADMIN"], "less": ["--cap-drop", "SYS_CHROOT"]}


@pytest.fixture(scope="module")
def archive(tmp_path_factory, needs_program) -> str:
    """The tar of a root with one program, which makes each of the calls and tells the errors."""
    folder = tmp_path_factory.mktemp("probe")
    lines = [
        f'if ((child = fork()) == 0) {{ errno = 0; if (syscall({call}) >= 0) errno = 0; tell("{name}"); }}'
        " waitpid(child, 0, 0);"
        for name, call in CALLS.items()
    ]
    (folder / "probe.c").write_text(
        "#define _GNU_SOURCE\n#include <errno.h>\n#include <stdio.h>\n#include <string.h>\n"
        "#include <sys/syscall.h>\n#include <sys/wait.h>\n#include <unistd.h>\n"
        "static void tell(const char *name) {\n"
        '  printf("%s=%s\\n", name, strerrorname_np(errno)); fflush(stdout); _exit(0);\n}\n'
        "int main(void) {\n  pid_t child;\n" + "\n".join(lines) + "\n  return 0;\n}\n"
    )
    compiled = [
        needs_program("gcc"),
        "-static",
        "-o",
        str(folder / "probe"),
        str(folder / "probe.c"),
    ]
    subprocess.run(compiled, check=True, capture_output=True)
    path = str(folder / "root.tar")
    with tarfile.open(path, "w") as tar:
        tar.add(folder / "probe", "probe")
    return path


@pytest.fixture(scope="module")
def theirs(docker, archive):
    """What docker's containers answer, by their rights."""
    docker("import", archive, "probe")
    said = {
        name: docker("run", "--rm", "--network", "none", *flags, "probe", "/probe")
        for name, flags in RIGHTS.items()
    }
    return {name: answers(text) for name, text in said.items()}


def answers(said: str) -> dict[str, str]:
    return dict(line.split("=") for line in said.splitlines())


@pytest.mark.parametrize("rights", RIGHTS)
@pytest.mark.parametrize("isolation", ["crun", "runc", "chroot"])
def test_calls_are_let_by_and_refused_as_dockers(
    theirs, archive, tmp_path, monkeypatch, capfd, isolation, rights
):
    monkeypatch.setenv("LAMINA_ISOLATION", isolation)
    lamina = in_process(str(tmp_path / "root"))
    lamina("import", archive, "probe")
    capfd.readouterr()
    lamina("run", "--rm", *RIGHTS[rights], "probe", "/probe")
    ours = answers(capfd.readouterr().out)
    assert ours.keys() == CALLS.keys()
    expected = dict(theirs[rights])
    assert (expected.pop(OTHERWISE), ours.pop(OTHERWISE)) == ("EPERM", "ENOSYS")
    if isolation == "chroot":  # in which the kernel makes no user namespace (clone(2))
        assert ours.pop("clone a user namespace") == "EPERM"
        expected.pop("clone a user namespace")
    assert ours == expected
    assert ours["unshare"] == ("0" if rights == "admin" else "EPERM")
