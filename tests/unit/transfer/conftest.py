"""A store on vfs, and archives as files."""

import pytest

from lamina.testing.sample_images import as_tar
from lamina.testing.stores import ScratchStore


@pytest.fixture
def store(tmp_path, needs_root):
    made = ScratchStore(str(tmp_path / "root"))
    yield made
    made.close()


@pytest.fixture
def archive(tmp_path):
    """The path of an archive of these files, or of these bytes."""
    made = []

    def make(files):
        path = tmp_path / f"archive{len(made)}.tar"
        path.write_bytes(files if isinstance(files, bytes) else as_tar(files))
        made.append(path)
        return str(path)

    return make
