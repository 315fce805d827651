"""Hot commands import little: a budget by module count, which no busy machine can change."""

import os
import subprocess
import sys

import pytest

from lamina.engine.open import open_store
from lamina.testing.trees import tar_of

# modules beyond those that the interpreter has loaded before the command; `exec` has two more than
# it had: it tells of itself (metadata.events), and settings hold how health is checked
BUDGET = {"images": 124, "ps": 141, "logs": 137, "exec": 169, "--version": 46, "build": 193}


def modules(*words, root, run_root=None):
    script = (
        "import sys; before = set(sys.modules)\n"
        "from lamina.cli.main import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "print(len(set(sys.modules) - before), *sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--root", root, "--driver", "vfs", *words],
        capture_output=True,
        env={**os.environ, **({"LAMINA_RUN_ROOT": run_root} if run_root else {})},
        text=True,
        check=True,
    )
    count, *names = done.stderr.split("\n")[-2].split()
    return int(count), set(names)


@pytest.mark.parametrize("words", [["images"], ["ps", "-a"], ["--version"]])
def test_a_hot_command_imports_little(lamina, words):
    lamina.driver = "vfs"
    lamina.ok("images")
    count, names = modules(*words, root=lamina.root)
    assert count <= BUDGET[words[0]], sorted(names)
    heavy = {
        "msgspec",
        "rich",
        "argparse",
        "dataclasses",
        "subprocess",
        "asyncio",
        "pathlib",
        "h11",
    }
    assert not names & heavy


@pytest.mark.usefixtures("needs_root", "needs_mounts")
def test_beside_running_containers_hot_commands_import_as_little(
    lamina, busybox_tar, needs_program
):
    """`exec` enters namespaces, by ctypes, and looks at the container's root beforehand."""
    needs_program("crun")
    lamina.driver = "vfs"
    lamina.ok("import", busybox_tar, "base")
    lamina.ok("run", "-d", "--name", "c1", "base", "sleep", "1000")
    try:
        for words in (["ps"], ["logs", "c1"], ["exec", "c1", "true"]):
            count, names = modules(*words, root=lamina.root, run_root=lamina.env["LAMINA_RUN_ROOT"])
            assert count <= BUDGET[words[0]], sorted(names)
            assert not names & {"lamina.execution.room", "lamina.engine.images", "socket"}
    finally:
        lamina.ok("rm", "-f", "c1")


def test_version_opens_no_store(lamina):
    _, names = modules("--version", root=lamina.root)
    assert "sqlite3" not in names
    assert "lamina.engine" not in names


def test_templates_are_loaded_when_one_is_given(lamina):
    lamina.driver = "vfs"
    lamina.ok("images")
    for words, is_loaded in ((["images"], False), (["images", "--format", "{{.ID}}"], True)):
        _, names = modules(*words, root=lamina.root)
        assert ("lamina.cli.template" in names) is is_loaded


@pytest.mark.usefixtures("needs_root", "needs_mounts")
def test_an_image_that_is_here_needs_no_registry(lamina, busybox_tar):
    lamina.driver = "vfs"
    lamina.ok("import", busybox_tar, "base")
    for words in (["create", "base", "true"], ["run", "--rm", "base", "true"]):
        _, names = modules(*words, root=lamina.root)
        assert not names & {"urllib3", "ssl", "http.client", "lamina.engine.registries"}


def test_what_speaks_to_no_registry_loads_no_http(lamina):
    lamina.driver = "vfs"
    saved, there = f"{lamina.folder}/saved", f"{lamina.folder}/there"
    lamina.ok("import", "-", "x", stdin=tar_of("f a b"))
    for words in (
        *("images", "ps", "info", "df", "tree", "check", "cache ls", "prune -f"),
        *("history x", "inspect x", "ls x", "du x", "find x a", "waste x", "compare x x"),
        *("cat x:/a", f"report -o {there} x"),
        *("squash x -t y", "slim x -t z", f"sbom make -o {there} x", "tag x w"),
        *(f"save -o {saved} x", f"load -i {saved}", f"waste docker-archive:{saved}"),
        *(
            "create --name cc x /a",
            "diff cc",
            "commit cc v",
            f"export -o {there} cc",
            "rm cc",
            "rmi w",
        ),
    ):
        _, names = modules(*words.split(), root=lamina.root)
        assert not names & {"urllib3", "http.client", "ssl", "lamina.registry.session"}, words


def test_a_copy_between_files_speaks_no_http(lamina):
    lamina.driver = "vfs"
    lamina.ok("import", "-", "x", stdin=tar_of("f a b"))
    one, two = f"oci:{lamina.folder}/one", f"dir:{lamina.folder}/two"
    for words in (("lamina:x", one), (one, two), (two, "lamina:y")):
        _, names = modules("copy", "-q", *words, root=lamina.root)
        assert not names & {"urllib3", "http", "ssl", "lamina.registry.session"}
    words = ("save", "--format", "oci", "-o", f"{lamina.folder}/saved", "x")
    _, names = modules(*words, root=lamina.root)
    assert "urllib3" not in names


@pytest.mark.usefixtures("needs_root", "needs_mounts")
def test_a_cached_build_loads_nothing_that_it_does_not_do(lamina, busybox_tar):
    lamina.driver = "vfs"
    lamina.ok("import", busybox_tar, "base")
    lamina.write(
        "Dockerfile", "FROM base\nWORKDIR /d\nENV A=1\nCOPY Dockerfile /\nRUN echo $A >/made\n"
    )
    lamina.ok("build", "-q", "-t", "built", lamina.folder)
    count, names = modules("build", "-q", "-t", "built", lamina.folder, root=lamina.root)
    assert count <= BUDGET["build"], sorted(names)
    assert not names & {"socket", "urllib.parse", "logging", "email", "subprocess", "ctypes"}
    assert not names & {
        "signal",
        "select",
        "zlib",
        "csv",
        "lamina.build.work",
        "lamina.build.fetch",
    }
    idle = ("archive", "containers", "execution", "registry", "runtime", "transfer")
    assert not [name for name in names if name.startswith(tuple(f"lamina.{each}" for each in idle))]


@pytest.mark.usefixtures("needs_root", "needs_mounts")
def test_a_cached_build_writes_nothing_and_claims_nothing(lamina, busybox_tar):
    lamina.driver = "vfs"
    lamina.ok("import", busybox_tar, "base")
    lamina.write("Dockerfile", "FROM base\nWORKDIR /d\nCOPY Dockerfile /\nRUN echo >/made\n")
    words = ("build", "-q", "-t", "built", lamina.folder)
    lamina.ok(*words)
    with open_store(lamina.root, driver="vfs", run_root=lamina.env["LAMINA_RUN_ROOT"]):
        lamina.ok("images")  # while it is open here, nobody folds the log in when it ends
        before = [os.stat(f"{lamina.root}/{name}") for name in ("lamina.db-wal", "locks/leases")]
        lamina.ok(*words)
        after = [os.stat(f"{lamina.root}/{name}") for name in ("lamina.db-wal", "locks/leases")]
    for one, two in zip(before, after, strict=True):
        assert (one.st_size, one.st_mtime_ns) == (two.st_size, two.st_mtime_ns)
