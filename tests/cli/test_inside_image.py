"""`find`, `ls`, `cat` and `du`: into an image, without a container, on every driver alike."""

import json
import subprocess

import pytest

from lamina.testing.trees import tar_of
from tests.cli.rig import Lamina, assert_complaint

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
BASE = (
    "d etc\nf etc/motd hello 600 5:6\nl etc/out -> ../../../etc/motd\nl etc/loop -> loop\n"
    "l abs -> /etc\nc null 1:3 666\np fifo\nd empty\nf 'a\tb' 1"
)


@pytest.fixture(scope="module", params=["overlay2", "vfs", "erofs"])
def image(request, tmp_path_factory):
    """A store with the images `base` and `app`, to which tests add others."""
    lamina = Lamina(str(tmp_path_factory.mktemp("image")), request.param)
    lamina.ok("import", lamina.write("base.tar", tar_of(BASE)), "base")
    lamina.write("Dockerfile", "FROM base\nCOPY new /etc/motd\nCOPY new /srv/new\n")
    lamina.write("new", "new motd\n")
    lamina.ok("build", "-q", "-t", "app", lamina.folder)
    return lamina


def test_a_file_is_read_through_links_that_never_leave_the_image(image):
    assert image.ok("cat", "app:/etc/motd", "base:/etc/motd") == "new motd\nhello"
    assert image.ok("cat", "app:/etc/out") == image.ok("cat", "app:/abs/motd") == "new motd\n"


def test_where_it_is_written_to_is_not_blamed_on_the_file(image):
    image.write("large", "x" * 3_000_000)
    image.write("Dockerfile", "FROM base\nCOPY large /large\n")
    image.ok("build", "-q", "-t", "large", image.folder)
    image.ok("save", "-o", f"{image.folder}/large.tar", "large")
    for where in ("large", f"docker-archive:{image.folder}/large.tar"):
        words = image.command("cat", f"{where}:/large")
        script = 'set -o pipefail; "$@" | head -c 1; echo " $?"'
        said = subprocess.run(
            ["bash", "-c", script, "bash", *words], env=image.env, capture_output=True, check=True
        )
        assert said.stdout == b"x 1\n"  # ended early, as asked, and silently
        assert said.stderr == b""
        with open("/dev/full", "wb") as full:
            said = subprocess.run(
                words, env=image.env, stdout=full, stderr=subprocess.PIPE, check=False
            )
        assert said.returncode == 1
        assert b"No space left" in said.stderr
        assert b"/large" not in said.stderr


def test_what_is_no_file_is_not_read(image):
    assert_complaint(image("cat", "app:/none"), "no such path in the image: '/none'")
    assert_complaint(image("cat", "app:/etc/loop"), "/etc/loop", "Too many levels")
    assert_complaint(image("cat", "app:/etc"), "Is a directory")
    assert_complaint(image("cat", "app:/fifo"), "neither a file nor a directory")
    assert_complaint(image("cat", "app:/null"), "neither a file nor a directory")
    assert_complaint(image("cat", "app"), "names no file")
    assert_complaint(image("cat", "none:/x"), "no such image: none")


def test_directories_are_listed(image):
    names = ["a\\tb", "abs", "empty", "etc", "fifo", "null", "srv"]
    assert image.ok("ls", "app").splitlines() == names
    assert image.ok("ls", "app:/abs") == "loop\nmotd\nout\n"
    assert image.ok("ls", "app:/empty") == ""
    assert_complaint(image("ls", "app:/etc/loop"), "/etc/loop", "Too many levels")
    rows = [json.loads(line) for line in image.ok("ls", "--format", "json", "base").splitlines()]
    assert [(row["Mode"], row["SizeOrDevice"]) for row in rows] == [
        ("-rw-r--r--", "1"),
        ("lrwxrwxrwx", "4"),
        ("drwxr-xr-x", "-"),
        ("drwxr-xr-x", "-"),
        ("prw-r--r--", "0"),
        ("crw-rw-rw-", "1, 3"),
    ]
    long = image.ok("ls", "-l", "base:/etc/motd").splitlines()[1].split()
    assert long == ["-rw-------", "1", "5", "6", "5", "2001-09-09T01:46:40Z", "motd"]
    assert image.ok("ls", "-l", "app:/abs").splitlines()[-1].endswith("out -> ../../../etc/motd")
    assert_complaint(image("ls", "app:/none"), "no such path in the image: '/none'")


def test_a_file_is_traced_to_the_instruction_that_brought_it(image):
    shown = image.ok("find", "app", "/abs/motd").splitlines()
    assert shown[0] == "/etc/motd"
    assert [line.split()[:3] for line in shown[1:]] == [
        ["layer", "1", "added"],
        ["layer", "2", "changed"],
    ]
    assert shown[2].endswith("COPY new /etc/motd")
    (found,) = json.loads(image.ok("find", "--json", "app", "new"))
    assert (found["Path"], found["Present"]) == ("/srv/new", True)
    assert found["Versions"][0]["CreatedBy"] == "COPY new /srv/new"
    assert_complaint(image("find", "app", "/none"), "nothing in app fits '/none'")


def test_what_an_image_takes_up(image):
    rows = [line.split() for line in image.ok("du", "-b", "app").splitlines()]
    assert rows == [
        ["SIZE", "ENTRIES", "PATH"],
        ["0", "1", "/empty"],
        ["9", "4", "/etc"],
        ["9", "2", "/srv"],
        ["19", "12", "/"],
    ]
    assert image.ok("du", "-s", "app:/abs").split()[-3:] == ["9B", "4", "/etc"]
    assert_complaint(image("du", "app:/none"), "no such path")
    assert_complaint(image("du", "-d", "x", "app"), "invalid --max-depth")


def test_an_image_without_layers_holds_nothing(image):
    image.write("Dockerfile", 'FROM scratch\nCMD ["x"]\n')
    image.ok("build", "-q", "-t", "bare", image.folder)
    assert image.ok("ls", "bare") == image.ok("ls", "bare:/") == ""
    assert_complaint(image("ls", "bare:/x"), "no such path in the image: '/x'")
    assert_complaint(image("cat", "bare:/x"), "no such path in the image: '/x'")
    assert image.ok("du", "bare").split()[-3:] == ["0B", "1", "/"]


def test_what_would_steer_a_terminal_is_spelt_out_in_tables(image):
    image.write("Dockerfile", "FROM base\nRUN_\n".replace("RUN_", "LABEL a=\x1b[2J\u202e"))
    image.ok("build", "-q", "-t", "evil", image.folder)
    shown = image.ok("history", "evil")
    assert "\\x1b[2J\\u202e" in shown
    assert "\x1b" not in shown
    assert "\x1b" in image.ok("history", "--format", "{{.CreatedBy}}", "evil")
