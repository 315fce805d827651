"""Taking back what a killed start left, where fuse-overlayfs no longer hides its own marks."""

import json
import os

import pytest

from lamina.execution.traces import recover


@pytest.mark.parametrize(("inside", "stays"), [((".wh..wh..opq", ".wh..opq"), []), (("x",), ["x"])])
def test_only_marks_go_with_a_directory_that_was_made(tmp_path, inside, stays):
    root, folder = tmp_path / "root", tmp_path / "room"
    for each in (folder, root / "proc"):
        each.mkdir(parents=True)
    for name in inside:
        (root / "proc" / name).write_bytes(b"")
    (folder / "traces").write_text(json.dumps(["directory", "proc", "", 0, 0]) + "\n")
    recover(str(folder), str(root))
    assert [name for _, _, names in os.walk(root) for name in names] == stays
    assert os.listdir(root) == (["proc"] if stays else [])
