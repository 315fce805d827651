"""The library as its users know it from docker-py, on a real store."""

import io
import os
import threading

import pytest

import lamina
from lamina.build import BuildRequest
from lamina.errors import ConfigurationError, DriverConflict, ImageNotFound, InvalidReference
from lamina.testing.trees import tar_of

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


@pytest.fixture
def engine(tmp_path):
    with lamina.open(str(tmp_path / "root"), run_root=str(tmp_path / "run")) as opened:
        yield opened


def image(engine, name="x:1", text="d d\nf d/a text"):
    return engine.images.import_(io.BytesIO(tar_of(text)), repository=name)


def test_images_are_values_with_layers(engine):
    made = image(engine)
    assert engine.images.get("x:1").id == made.id
    assert made.tags == ["x:1"]
    assert [layer.size for layer in made.layers] == [4]
    assert [each.id for each in engine.images.list()] == [made.id]
    made.tag("y")
    assert engine.images.get("y").tags == ["x:1", "y:latest"]
    with pytest.raises(ImageNotFound):
        engine.images.get("nope")
    with pytest.raises(InvalidReference):
        made.tag("UPPER")


def test_values_say_what_they_are(engine):
    made = image(engine)
    made.tag("y")
    assert repr(engine.images.get("x:1")) == "<Image: x:1, y:latest>"
    image(engine, None, "f other")
    (nameless,) = engine.images.list(dangling=True)
    assert repr(nameless) == f"<Image: {nameless.short_id}>"
    container = engine.containers.create("x:1", ["true"], name="c1")
    assert repr(container) == f"<Container: {container.short_id} c1>"


def test_run_gives_what_was_written(engine, tmp_path):
    context = tmp_path / "context"
    context.mkdir()
    with open("/bin/busybox", "rb") as source, open(context / "sh", "wb") as target:
        target.write(source.read())
    os.chmod(context / "sh", 0o755)
    (context / "Dockerfile").write_text('FROM scratch\nCOPY sh /bin/\nENTRYPOINT ["/bin/sh"]\n')
    built = engine.images.build(str(context), tags=["tool"])
    assert engine.images.get("tool").id == built.id
    result = engine.containers.run(
        "tool", ["-c", "read x; echo got $x"], remove=True, input=b"hi\n"
    )
    assert (result.exit_code, result.output) == (0, "got hi\n")
    assert engine.containers.list(everything=True) == []
    kept = engine.containers.create("tool", ["-c", "echo x >/new"], name="c1")
    with engine.containers.get("c1").running(_silent()) as running:
        assert running.wait().code == 0
    kept.reload()
    assert [(change.kind, change.path) for change in kept.diff()] == [("A", b"new")]
    committed = kept.commit("changed", "1", message="by hand")
    assert committed.history()[0].comment == "by hand"
    assert next(row.size for row in committed.history()) == 2


def _silent():
    from lamina.execution.run import Stdio

    return Stdio(None, None, None)


def test_what_was_built_has_no_names_once_it_is_removed(engine):
    """By somebody else, before the command could tell them."""
    request = BuildRequest(context=None, dockerfile_text=b"FROM scratch\nENV A=1\n", tags=("a",))
    result = engine.images.carry_out(request._replace(dockerfile="x"))
    assert engine.images.tags_of(result) == ["a:latest"]
    engine.images.remove("a")
    assert engine.images.tags_of(result) == []


def test_the_callers_process_is_left_alone(engine, tmp_path):
    here, threads, mask = os.getcwd(), threading.active_count(), os.umask(0o027)
    try:
        image(engine)
        before = os.readlink("/proc/thread-self/ns/mnt")
        with lamina.overlay(lower=[str(tmp_path)]):
            pass
        assert os.readlink("/proc/thread-self/ns/mnt") == before
        assert os.getcwd() == here
        assert threading.active_count() == threads
    finally:
        assert os.umask(mask) == 0o027
    assert [oct(layer.size) for layer in engine.images.get("x:1").layers] == ["0o4"]


def test_the_union_as_a_primitive(tmp_path):
    for name in ("one", "two", "upper"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "a").write_text("1")
    (tmp_path / "two" / "b").write_text("2")
    lower = [str(tmp_path / "two"), str(tmp_path / "one")]
    with lamina.overlay(lower=lower) as union:
        assert sorted(os.listdir(union)) == ["a", "b"]
    with lamina.overlay(lower=lower, upper=str(tmp_path / "upper")) as union:
        os.unlink(f"{union}/a")
        with open(f"{union}/c", "w") as file:
            file.write("3")
        assert sorted(os.listdir(union)) == ["b", "c"]
    assert sorted(os.listdir(tmp_path / "upper")) == ["a", "c"]
    assert (tmp_path / "one" / "a").read_text() == "1"
    with open("/proc/self/mountinfo") as file:
        assert str(tmp_path) not in file.read()


def test_an_explicit_driver_that_contradicts_the_layers_is_refused(tmp_path):
    root = str(tmp_path / "root")
    with lamina.open(root, driver="vfs") as opened:
        image(opened)
    with lamina.open(root) as opened:
        assert opened.driver.name == "vfs"
    with (
        pytest.raises(DriverConflict, match="1 layer on vfs"),
        lamina.open(root, driver="overlay2"),
    ):
        pass


def test_configuration_comes_from_the_file_named(tmp_path):
    file = tmp_path / "daemon.json"
    file.write_text('{"storage-driver": "vfs", "data-root": "%s"}' % (tmp_path / "there"))
    with lamina.open(config=str(file), run_root=str(tmp_path / "run")) as opened:
        assert (opened.driver.name, opened.root.path) == ("vfs", str(tmp_path / "there"))
    file.write_text("[]")
    with (
        pytest.raises(ConfigurationError, match="not a JSON object"),
        lamina.open(config=str(file)),
    ):
        pass


def test_two_stores_do_not_meet(tmp_path):
    with lamina.open(str(tmp_path / "1")) as first, lamina.open(str(tmp_path / "2")) as second:
        image(first)
        assert second.images.list() == []


def test_public_names_are_those_listed():
    names = ["Engine", "LaminaError", "Mount", "Stage", "__version__", "build", "open", "overlay"]
    assert sorted(lamina.__all__) == names
    for name in lamina.__all__:
        assert getattr(lamina, name)


def test_what_an_image_wastes_holds_and_shares_is_told_as_values(engine):
    made = image(engine, text="d d\nf d/a text\nf d/b 1\nl d/l -> a")
    dockerfile = b"FROM x:1\nCOPY b /d/a\n"
    context = os.path.join(os.path.dirname(engine.root.path), "context")
    os.mkdir(context)
    with open(f"{context}/b", "w") as file:
        file.write("changed")
    built = engine.images.build(context, dockerfile_text=dockerfile, tags=["y:1"])

    waste = built.waste()
    assert (waste.stored, waste.visible, waste.wasted, waste.unshared) == (12, 8, 4, 0)
    (finding,) = waste.findings
    assert (finding.kind, finding.where, finding.layer, finding.by) == ("overwritten", b"d/a", 0, 1)
    assert [step.short for step in built.steps()] == ["Imported from -", "COPY b /d/a"]

    (found,) = built.find("/d/a")
    assert [(each.layer, each.change, each.size) for each in found.versions] == [
        (0, "added", 4),
        (1, "changed", 7),
    ]
    assert [each.path for each in built.listdir("/d")] == [b"d/a", b"d/b", b"d/l"]
    read = []
    built.read("/d/l", read.append)
    assert b"".join(read) == b"changed"
    assert [(each.path, each.size) for each in built.du()] == [(b"d", 8), (b"", 8)]
    assert [each.path for each in made.compare(built).files] == [b"d/a"]

    shared = engine.sharing()
    assert (shared.asked, shared.stored, shared.asked_bytes, shared.stored_bytes) == (3, 2, 17, 12)
    assert {(each.shared, each.exclusive) for each in shared.images} == {(5, 0), (5, 7)}
    with pytest.raises(AttributeError):
        waste.stored = 0
