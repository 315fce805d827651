"""The library as its users know it from docker-py, on a real store."""

import io
import os
import threading

import pytest

import lamina
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
    assert sorted(lamina.__all__) == ["Engine", "LaminaError", "__version__", "open", "overlay"]
    for name in lamina.__all__:
        assert getattr(lamina, name)
