"""What is done in a mounted tree, measured there: `python -m bench.inside ACT TARGET`.

The store is that of LAMINA_ROOT. Prints seconds on its last line. `walk` and `read` begin with
cold caches, where this process may drop them.
"""

import io
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable

import lamina
from lamina.engine import Engine
from lamina.fs.mounting import MountPlan, attach, detached, in_private_namespace
from lamina.values.ids import LayerID

_CHANGED = 100
_CHUNK = 1 << 20


def forget_caches() -> None:
    """Let nothing of any disk be in memory."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("3")


def read(root: str) -> float:
    """Seconds to read every file once."""
    begun = time.perf_counter()
    for folder, _, names in os.walk(root):
        for name in names:
            with open(os.path.join(folder, name), "rb", buffering=0) as file:
                while file.read(_CHUNK):
                    pass
    return time.perf_counter() - begun


def walk(root: str) -> float:
    """Seconds to find and stat every file."""
    begun = time.perf_counter()
    for folder, _, names in os.walk(root):
        for name in names:
            os.lstat(os.path.join(folder, name))
    return time.perf_counter() - begun


def copy_up(root: str) -> float:
    """Seconds of the first byte that is written to a large file of the image."""
    begun = time.perf_counter()
    with open(os.path.join(root, "large"), "r+b", buffering=0) as file:
        file.write(b"x")
    return time.perf_counter() - begun


def change(root: str) -> float:
    """Change a hundred files."""
    begun = time.perf_counter()
    left = _CHANGED
    for folder, _, names in os.walk(root):
        for name in names[:10]:
            if name == "large" or not left:
                continue
            left -= 1
            with open(os.path.join(folder, name), "ab") as file:
                file.write(b"changed")
    return time.perf_counter() - begun


def main(act: str, target: str) -> float:
    """Seconds."""
    with lamina.open(environ=os.environ) as engine:
        if act == "mount":
            return _mounting(engine, int(target))
        if act == "change":
            stored = engine.container_store.get(target)
            return _in(engine.layers.mounts(stored.row.layer_id, writable=True), change)
        layer = _fresh(engine, target)
        plan_of = engine.layers.mounts(layer, writable=True)
        if act == "copy-up":
            return _in(plan_of, copy_up)
        forget_caches()
        return _in(plan_of, walk if act == "walk" else read)


def _fresh(engine: Engine, image: str) -> LayerID:
    """A read-write layer over an image; it goes with this process."""
    top = engine.images.get(image).layers[-1].chain_id
    return engine.layers.create_rw(top)


def _in(plan: MountPlan, work: Callable[[str], float]) -> float:
    with tempfile.TemporaryDirectory() as target:

        def there() -> float:
            attach(plan, target)
            return work(target)

        return in_private_namespace(there)


def _mounting(engine: Engine, count: int) -> float:
    """Mount a chain of so many layers, the second time."""
    top = None
    for number in range(count):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as archive:
            archive.addfile(tarfile.TarInfo(f"file{number}"))
        made.seek(0)
        top = engine.layers.register(top, made).chain_id
    layer = engine.layers.create_rw(top)
    seconds = 0.0
    for _ in range(2):
        begun = time.perf_counter()
        with detached(engine.layers.mounts(layer, writable=True)):
            seconds = time.perf_counter() - begun
    return seconds


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
