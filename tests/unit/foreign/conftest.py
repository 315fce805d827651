"""A store of ours, to take images into."""

import pytest

from lamina.testing.stores import ScratchStore


@pytest.fixture
def store(tmp_path, needs_root):
    made = ScratchStore(str(tmp_path / "root"))
    yield made
    made.close()
