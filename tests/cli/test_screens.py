"""The screens people see, held whole against files: `screens/<name>.txt`.

They are drawn in this process, on a store made here, by a clock that stands: so ages, sizes and
columns are always the same. What depends on the machine (IDs, paths, the kernel's words) is put
out of sight in place, as long as it was. `LAMINA_WRITE_SCREENS=1` writes the files anew, to be
looked at before they are committed.
"""

import os
import re
import time

import pytest

from lamina.cli.main import main
from lamina.testing.trees import tar_of

SCREENS = os.path.join(os.path.dirname(__file__), "screens")
BEGAN = 1_700_000_000  # seconds since the epoch
WEEKS_LATER = BEGAN + 3 * 7 * 86400
BASE = tar_of("d etc\nf etc/motd hello\nd bin\nf bin/program " + "p" * 150_000)
APP = "FROM base:1\nLABEL a=b\nCOPY site /srv/site\nENV MODE=quick\nCMD serve --all\n"
TOOL = 'FROM base:1\nCOPY site/index /srv/index\nWORKDIR /srv\nENTRYPOINT ["/bin/program"]\n'
# The rows of `info` that tell of the machine and not of the store.
MACHINE = (
    *("Isolation", "Lamina Version", " Backing Filesystem", "Kernel Version", "Operating System"),
    *("Architecture", "CPUs", "Total Memory", "Name", "ID", "Lamina Root Dir"),
)


class Clock:
    """A clock that stands until it is set."""

    def __init__(self):
        self.now = BEGAN

    def __call__(self):
        return float(self.now)


@pytest.fixture(scope="module")
def clock():
    with pytest.MonkeyPatch.context() as patch:
        made = Clock()
        patch.setattr(time, "time", made)
        patch.setenv("SOURCE_DATE_EPOCH", str(BEGAN - 3600))
        patch.setenv("COLUMNS", "100")
        yield made


@pytest.fixture(scope="module")
def store(clock, tmp_path_factory):
    """Global flags for a store of four images, three layers they share, and two containers."""
    folder = str(tmp_path_factory.mktemp("screens"))
    flags = ["--root", f"{folder}/root", "--run-root", f"{folder}/run", "--driver", "vfs"]

    def run(*words):
        assert main([*flags, *words]) == 0

    os.makedirs(f"{folder}/context/site")
    for name, text in (("index", "i" * 2_000), ("style", "s" * 30_000)):
        with open(f"{folder}/context/site/{name}", "w") as file:
            file.write(text)
    with open(f"{folder}/base.tar", "wb") as file:
        file.write(BASE)
    run("import", f"{folder}/base.tar", "base:1")
    for name, text in (("app", APP), ("registry.example:5000/team/tool:v2", TOOL)):
        with open(f"{folder}/Dockerfile", "w") as file:
            file.write(text)
        run("build", "-q", "-t", name, "-f", f"{folder}/Dockerfile", f"{folder}/context")
    run("create", "--name", "web", "app")
    clock.now = BEGAN + 7200
    run(
        "create",
        "--name",
        "worker",
        "-e",
        "A=1",
        "base:1",
        "/bin/program",
        "--with",
        "a long argument",
    )
    _change(flags, folder)
    clock.now = WEEKS_LATER
    return flags


def _change(flags, folder):
    """Let a container have changed, added and deleted something."""
    assert main([*flags, "cp", f"{folder}/base.tar", "web:/srv/added"]) == 0
    (home,) = {each for each in os.listdir(f"{folder}/root/vfs/dir") if _has(folder, each)}
    os.unlink(f"{folder}/root/vfs/dir/{home}/etc/motd")
    with open(f"{folder}/root/vfs/dir/{home}/bin/program", "w") as file:
        file.write("changed")


def _has(folder, layer):
    return os.path.exists(f"{folder}/root/vfs/dir/{layer}/srv/added")


def hidden(text):
    """The text without IDs, each put out of sight in as many characters."""
    return re.sub(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b", lambda found: "#" * len(found[0]), text)


def machine_hidden(text):
    """`info` without what the machine brings to it."""
    rows = [line.partition(": ") for line in text.splitlines()]
    return "".join(f"{key}: {'...' if key in MACHINE else value}\n" for key, _, value in rows)


def probes_hidden(text):
    """`info --why` without what the kernel said, and which of the others would work here."""
    kept = []
    for line in text.splitlines():
        if line.startswith(" " * 16):
            continue
        kept.append(re.sub(r"^(\S+ +)(works|no   ) ", r"\1..... ", line))
    return re.sub(r"on kernel \S+;", "on kernel ...;", "\n".join(kept) + "\n")


SHOWN = {
    "help": (["--help"], hidden),
    "help-images": (["images", "--help"], hidden),
    "help-run": (["run", "--help"], hidden),
    "help-build": (["build", "--help"], hidden),
    "images": (["images"], hidden),
    "images-digests": (["images", "--digests", "--no-trunc"], hidden),
    "ps": (["ps"], hidden),
    "ps-all": (["ps", "-a", "--size"], hidden),
    "history": (["history", "app"], hidden),
    "history-whole": (["history", "--no-trunc", "registry.example:5000/team/tool:v2"], hidden),
    "df": (["df"], hidden),
    "df-verbose": (["df", "-v"], hidden),
    "tree": (["tree"], hidden),
    "tree-ascii": (["tree", "--ascii"], hidden),
    "diff": (["diff", "web"], hidden),
    "waste": (["waste", "app"], hidden),
    "info": (["info"], machine_hidden),
    "info-why": (["info", "--why"], probes_hidden),
}


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.usefixtures("needs_root")
def test_a_screen_is_what_it_was(store, name, capsys):
    words, hide = SHOWN[name]
    capsys.readouterr()
    assert main([*store, *words]) == 0
    shown = hide(capsys.readouterr().out)
    path = os.path.join(SCREENS, f"{name}.txt")
    if os.environ.get("LAMINA_WRITE_SCREENS"):
        os.makedirs(SCREENS, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(shown)
    with open(path, encoding="utf-8") as file:
        assert shown == file.read()


def test_every_screen_in_the_folder_is_shown():
    assert sorted(os.listdir(SCREENS)) == sorted(f"{name}.txt" for name in SHOWN)
