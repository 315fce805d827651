"""How `pull`, `push`, `copy` and `load` show what moves: on a terminal, as lines, as JSON."""

import io
import json
import random
import re
import tarfile
import threading

import pytest

from lamina.spec import mediatypes
from lamina.testing.fake_registry import fake_registry
from lamina.testing.sample_images import oci_manifest, packed, sample
from lamina.testing.trees import tar_of
from tests.cli.tmux import Terminal

pytestmark = pytest.mark.usefixtures("needs_root")
COUNT = 6


def tar_with(data):
    """A layer of one file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("big")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


IMAGE = sample(*(tar_with(random.Random(each).randbytes(3 << 20)) for each in range(COUNT)))


@pytest.fixture(scope="module")
def registry():
    """A registry with one image, that gives its layers' second halves when `gate` is open."""
    with fake_registry() as made:
        raw = oci_manifest(IMAGE)
        for data in (IMAGE.config, *map(packed, IMAGE.layers)):
            made.add_blob(data)
        made.add_manifest("demo", "1", raw, mediatypes.OCI_MANIFEST)
        yield made


@pytest.fixture
def gate(registry):
    """What the second half of every layer waits for."""
    opened = threading.Event()

    def half(exchange):
        data = registry.blobs[exchange.path.rpartition("/")[2]]
        if len(data) < 1 << 20:
            return False
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(len(data)))
        exchange.end_headers()
        exchange.wfile.write(data[: len(data) // 2])
        exchange.wfile.flush()
        opened.wait(60)
        exchange.wfile.write(data[len(data) // 2 :])
        return True

    registry.wrong("GET .*/blobs/", half)
    yield opened
    opened.set()
    registry.faults.clear()


@pytest.fixture
def terminal(lamina, needs_program):
    """A function that runs the command on a terminal."""
    made = []
    lamina.driver = "vfs"

    def start(*words, **options):
        made.append(Terminal(needs_program("tmux"), lamina, *words, **options))
        return made[-1]

    yield start
    for each in made:
        each.end()


def layers(screen):
    return [line for line in screen.splitlines() if re.match(r"[0-9a-f]{12} ", line)]


def layers_at_the_end(screen):
    """The newest list, whatever of an older one a change of size has left above it."""
    return "\n".join(layers(screen)[-COUNT:])


def test_a_pull_is_a_line_for_each_layer_and_nothing_else_stays(registry, gate, terminal):
    shown = terminal("pull", f"{registry.host}/demo:1", size=(90, 20))
    screen = shown.until(lambda seen: seen.count("B/s") == 3, "three layers on their way")
    assert screen.count(" Waiting") == COUNT - 3
    assert len(re.findall(r"\[=+> +\] [\d.]+[kM]B/[\d.]+[kM]B [\d.]+k?M?B/s", screen)) == 3
    gate.set()
    screen = shown.shows("left: 0")
    assert len(layers(screen)) == screen.count("Pull complete") == COUNT
    assert screen.count("Status: Downloaded newer image") == 1
    assert shown.ask("display-message", "-p", "#{cursor_flag}") == "1\n"


def test_a_terminal_may_change_its_size(registry, gate, terminal):
    shown = terminal("pull", f"{registry.host}/demo:1", size=(90, 5))
    shown.until(lambda seen: seen.count("B/s") == 3 and "... and 3 more: " in seen, "a small one")
    shown.resize(34, 20)
    shown.until(lambda seen: not re.search(r"more: |\[=", layers_at_the_end(seen)), "a narrow one")
    shown.resize(90, 20)
    shown.until(lambda seen: layers_at_the_end(seen).count("B/s") == 3, "a wide one")
    gate.set()
    screen = shown.shows("left: 0")
    assert layers_at_the_end(screen).count("Pull complete") == COUNT


def test_a_ctrl_c_leaves_what_was_shown(registry, gate, terminal):
    shown = terminal("pull", f"{registry.host}/demo:1", size=(90, 20))
    shown.until(lambda seen: seen.count("B/s") == 3, "three layers on their way")
    shown.press("C-c")
    screen = shown.shows("left: 130")
    assert len(layers(screen)) == COUNT
    assert "^C" not in screen


def test_json_tells_of_each_layer_on_standard_error(registry, lamina):
    lamina.driver = "vfs"
    name = f"{registry.host}/demo:1"
    said = lamina("pull", "--json", name)
    assert said.code == 0, said
    assert said.out.endswith(f"{name}\n")
    told = [json.loads(line) for line in said.err.splitlines()]
    for each in told:
        assert set(each) == {"event", "layer", "state", "current", "total"}
        assert each["event"] == "LayerProgress"
    blobs = {packed(layer) for layer in IMAGE.layers}
    sizes = sorted(len(each) for each in blobs)
    assert sorted(each["total"] for each in told if each["state"] == "waiting") == sizes
    assert sum(each["state"] == "complete" for each in told) == COUNT
    seen = [each["current"] for each in told if each["state"] == "downloading"]
    assert len(seen) > COUNT
    plain = lamina.ok("pull", name)
    assert plain.count(": Already exists\n") == COUNT
    assert lamina("pull", "--progress", "json", name).err.count("already exists") == COUNT
    quiet = lamina("pull", "--progress", "quiet", name)
    assert (quiet.out, quiet.err) == (f"{name}\n", "")


def test_the_others_tell_json_too(registry, lamina):
    lamina.driver = "vfs"
    lamina.ok("import", "-", f"{registry.host}/own:1", stdin=tar_of("f a b"))
    lamina.ok("save", "-o", f"{lamina.folder}/saved", f"{registry.host}/own:1")
    for words, states in (
        (("push", f"{registry.host}/own:1"), ["compressing", "compressed", "waiting", "pushed"]),
        (("copy", "lamina:" + f"{registry.host}/own:1", f"oci:{lamina.folder}/o"), ["copied"]),
        (("load", "-i", f"{lamina.folder}/saved"), ["already exists"]),
    ):
        said = lamina(words[0], "--progress=rawjson", *words[1:])
        assert said.code == 0, said
        told = [json.loads(line)["state"] for line in said.err.splitlines()]
        assert set(states) <= set(told), told
        assert said.out


def test_a_progress_that_is_none_is_named(lamina):
    for words in (("copy", "lamina:x", "lamina:y"), ("pull", "127.0.0.1:1/x")):
        said = lamina(*words, "--progress", "loud")
        assert "there is no progress 'loud'" in said.err
        assert said.out == ""
    said = lamina("copy", "--progress", "tty", "lamina:x", "lamina:y")
    assert "needs a terminal on standard output" in said.err


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, None])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(registry, terminal, env):
    shown = terminal("pull", f"{registry.host}/demo:1", size=(90, 40), env=env)
    screen = shown.shows("left: 0")
    assert (screen.count(": Pull complete") == COUNT) is (env is not None)
    assert screen.count(" Pull complete") == COUNT
