"""The five kinds of image there are, each built, run, and found unchanged by its run.

A root file system with a program; with a runtime and a script; with a package and a program;
with a package, a runtime and a script; and one static program alone. The program is compiled, the
package is a real one that the image's own package manager installs, the runtime is awk.
"""

import json
import shutil
import subprocess

import pytest

from tests.cli.rig import Lamina

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

PROGRAM = """
#include <stdio.h>
int main(int argc, char **argv) {
    char line[80] = "nothing to say\\n";
    FILE *file = fopen("/usr/share/greeting/text", "r");
    if (file && !fgets(line, sizeof line, file)) return 2;
    return printf("program: %s", line) < 0;
}
"""
SCRIPT = """#!/opt/runtime/bin/awk -f
BEGIN {
    line = "nothing to say"
    getline line < "/usr/share/greeting/text"
    print "script: " line
}
"""
ROOTFS = "FROM scratch\nADD rootfs.tar /\n"
PACKAGE = """\
COPY greeting.deb /tmp/
RUN mkdir -p /var/lib/dpkg/info && touch /var/lib/dpkg/status && dpkg -i /tmp/greeting.deb
"""
RUNTIME = "COPY runtime /opt/runtime\n"
WITH_PROGRAM = 'COPY program /usr/bin/\nCMD ["program"]\n'
WITH_SCRIPT = 'COPY --chmod=755 script /usr/bin/\nCMD ["script"]\n'

KINDS = {
    "program": (ROOTFS + WITH_PROGRAM, "program: nothing to say\n"),
    "runtime-script": (ROOTFS + RUNTIME + WITH_SCRIPT, "script: nothing to say\n"),
    "package-program": (ROOTFS + PACKAGE + WITH_PROGRAM, "program: good day\n"),
    "package-runtime-script": (ROOTFS + PACKAGE + RUNTIME + WITH_SCRIPT, "script: good day\n"),
    "static": (
        'FROM scratch\nCOPY program /\nENTRYPOINT ["/program"]\n',
        "program: nothing to say\n",
    ),
}


@pytest.fixture(scope="module")
def context(tmp_path_factory, busybox_tar, needs_program):
    """The build context: a root file system, a program, a runtime, a script and a package."""
    folder = tmp_path_factory.mktemp("context")
    shutil.copy(busybox_tar, folder / "rootfs.tar")
    (folder / "program.c").write_text(PROGRAM)
    source, target = str(folder / "program.c"), str(folder / "program")
    subprocess.run([needs_program("gcc"), "-static", "-s", "-o", target, source], check=True)
    (folder / "runtime" / "bin").mkdir(parents=True)
    shutil.copy(needs_program("busybox"), folder / "runtime" / "bin" / "busybox")
    (folder / "runtime" / "bin" / "awk").symlink_to("busybox")
    (folder / "script").write_text(SCRIPT)
    _package(folder, needs_program("dpkg-deb"))
    return folder


def _package(folder, dpkg_deb):
    root = folder / "greeting"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: greeting\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <n@o>\n"
        "Description: something to say\n"
    )
    (root / "usr" / "share" / "greeting").mkdir(parents=True)
    (root / "usr" / "share" / "greeting" / "text").write_text("good day\n")
    target = str(folder / "greeting.deb")
    command = [dpkg_deb, "--root-owner-group", "-Zgzip", "--build", str(root), target]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module", params=["overlay2", "vfs"])
def store(request, tmp_path_factory, context):
    """All five kinds, built on one store."""
    made = Lamina(str(tmp_path_factory.mktemp(request.param)), request.param)
    for name, (text, _) in KINDS.items():
        path = made.write(f"{name}.Dockerfile", text)
        made.ok("build", "-q", "-t", name, "-f", path, str(context))
    return made


@pytest.mark.parametrize("name", KINDS)
def test_it_runs_and_its_diff_is_empty(store, name):
    said = store("run", "--name", name, name)
    assert said == (0, KINDS[name][1], "")
    assert store.ok("diff", name) == ""
    store.ok("rm", name)


def test_the_four_on_a_root_file_system_share_it(store):
    layers = {name: json.loads(store.ok("inspect", name))[0]["RootFS"]["Layers"] for name in KINDS}
    on_rootfs = [each for name, each in layers.items() if name != "static"]
    assert len({each[0] for each in on_rootfs}) == 1
    assert layers["package-program"][:3] == layers["package-runtime-script"][:3]
    assert len(layers["static"]) == 1
    asked = sum(len(each) for each in layers.values())
    tree = json.loads(store.ok("tree", "--format", "json"))
    assert (tree["LayersAsked"], tree["LayersStored"]) == (asked, 10)


def test_the_package_is_the_package_managers(store):
    assert "greeting" in store.ok("run", "--rm", "package-program", "dpkg", "-l")
