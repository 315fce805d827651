"""Images of very many layers, run by processes that may open few files."""

import io
import os
import resource
import subprocess
import sys

import pytest

import lamina
from lamina.spec.imageconfig import ImageConfig
from lamina.testing.sample_images import sample
from lamina.testing.trees import tar_of
from lamina.values.reference import Reference

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
COUNTS = (128, 400)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Two images; every layer changes /etc/mark, so that all of them have /etc."""
    folder = str(tmp_path_factory.mktemp("many"))
    places = {"root": f"{folder}/root", "run_root": f"{folder}/run", "driver": "overlay2"}
    with lamina.open(**places) as engine:
        with open("/bin/busybox", "rb") as file:
            program = file.read()
        top, layers = None, []
        for number in range(max(COUNTS)):
            tar = _with_program(program) if not number else tar_of(f"f etc/mark {number}")
            layer = engine.layers.register(top, io.BytesIO(tar))
            top = layer.chain_id
            layers.append(str(layer.diff_id))
            if number + 1 in COUNTS:
                document = {
                    **ImageConfig.parse(sample().config).document,
                    "rootfs": {"type": "layers", "diff_ids": list(layers)},
                }
                name = Reference.parse(f"of-{number + 1}")
                engine.image_store.create(ImageConfig.of(document), (name,))
    return places


def _with_program(program: bytes) -> bytes:
    import tarfile

    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name in ("bin", "etc"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        info = tarfile.TarInfo("bin/cat")
        info.size, info.mode = len(program), 0o755
        archive.addfile(info, io.BytesIO(program))
    return made.getvalue()


@pytest.mark.parametrize(
    ("layers", "files", "works"),
    [(128, 1024, True), (128, 256, False), (400, 1024, True), (400, 256, False)],
)
def test_run(many, layers, files, works):
    """Where it does not work, one sentence says what to do."""
    command = [sys.executable, "-m", "lamina", "--root", many["root"]]
    command += ["--run-root", many["run_root"], "run", "--rm", f"of-{layers}", "cat", "/etc/mark"]
    done = subprocess.run(
        ["sh", "-c", f'ulimit -Sn {files}; exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        assert done.stdout == str(layers - 1)
    else:
        assert not works, done.stderr
        assert done.returncode == 125
        assert done.stderr.count("\n") == 1
        assert "Too many open files" in done.stderr
        assert "ulimit -n" in done.stderr


def test_the_callers_limits_and_descriptors_stay(many):
    before = resource.getrlimit(resource.RLIMIT_NOFILE), len(os.listdir("/proc/self/fd"))
    with lamina.open(**many) as engine:
        result = engine.containers.run("of-400", ["cat", "/etc/mark"], remove=True)
        assert result.output == "399", result.errors
        assert engine.containers.list(everything=True) == []
    after = resource.getrlimit(resource.RLIMIT_NOFILE), len(os.listdir("/proc/self/fd"))
    assert after == before
