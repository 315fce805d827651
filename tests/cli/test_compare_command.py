"""`lamina compare`: two images beside each other."""

import json

import pytest

from lamina.testing.trees import tar_of
from tests.cli.rig import assert_complaint

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
DPKG = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {}\n\n"


@pytest.fixture
def pair(lamina):
    base = "d etc\nf etc/keep text\nd var/lib/dpkg/status.d"
    lamina.ok("import", lamina.write("base.tar", tar_of(base)), "base")
    lamina.write("one/status", DPKG.format("curl", "1") + DPKG.format("old", "1"))
    lamina.write("two/status", DPKG.format("curl", "2"))
    lamina.write("two/extra", DPKG.format("tiny", "3"))
    lamina.write("one/installed", "P:musl\nV:1\nA:x\n\n")
    lamina.write("two/installed", "P:musl\nV:1\nA:x\n\n")
    lamina.write("two/x/requests-2.0.dist-info/METADATA", "")
    copies = "COPY status /var/lib/dpkg/status\nCOPY installed /lib/apk/db/installed\n"
    more = "COPY extra /var/lib/dpkg/status.d/tiny\nCOPY x /usr/lib/python3/\n"
    lamina.write("one/Dockerfile", f"FROM base\nENV A=1\n{copies}CMD one")
    lamina.write("two/Dockerfile", f"FROM base\nENV A=2\n{copies}{more}CMD one")
    for name in ("one", "two"):
        lamina.ok("build", "-q", "-t", name, f"{lamina.folder}/{name}")
    return lamina


def test_config_layers_packages_and_files(pair):
    found = json.loads(pair.ok("compare", "--json", "one", "two"))
    assert not found["Same"]
    assert found["Config"] == [{"Name": "Env.A", "Before": '"1"', "After": '"2"'}]
    assert found["Layers"]["Common"] == 1
    assert (len(found["Layers"]["Before"]), len(found["Layers"]["After"])) == (2, 4)
    assert [(each["Manager"], each["Name"]) for each in found["Packages"]] == [
        ("deb", "curl"),
        ("deb", "old"),
        ("deb", "tiny"),
        ("pip", "requests"),
    ]
    changed = {each["Path"]: (each["Kind"], each["What"]) for each in found["Files"]}
    assert changed["/var/lib/dpkg/status"] == ("C", ["content"])
    assert changed["/usr/lib/python3/requests-2.0.dist-info/METADATA"] == ("A", [])
    assert "/lib/apk/db/installed" not in changed


def test_the_screen(pair):
    shown = pair.ok("compare", "one", "two").splitlines()
    assert shown[0] == "Layers: 1 in common, 2 only in the first, 4 only in the second"
    for line in (
        '  Env.A: "1" -> "2"',
        "Packages: 2 added, 1 deleted, 1 changed",
        "  ~ deb curl 1 -> 2 (amd64)",
        "  - deb old 1 (amd64)",
        "  + pip requests 2.0",
        "  C /var/lib/dpkg/status (content)",
    ):
        assert line in shown


def test_an_exit_code_is_given_when_it_is_asked_for(pair):
    assert pair("compare", "one", "two").code == 0
    assert pair("compare", "--exit-code", "one", "two").code == 1
    said = pair("compare", "--exit-code", "one", "one")
    assert (said.code, said.out.splitlines()[1]) == (0, "Config, packages and files are the same")
    assert_complaint(pair("compare", "one", "none"), "no such image: none")
