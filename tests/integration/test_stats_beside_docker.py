"""`stats` beside dockerd's: the same fields, in the same forms."""

import json
import re

import pytest

from tests.cli.rig import in_process

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


def test_every_field_has_dockers_form(docker, busybox_tar, tmp_path):
    ours = in_process(str(tmp_path / "root"))
    shapes = []
    for run in (docker, ours):
        run("import", busybox_tar, "base")
        run("create", "--network", "none", "-m", "32m", "--name", "c1", "base", "sleep", "1000")
        run("start", "c1")
        try:
            row = json.loads(run("stats", "--no-stream", "--format", "{{json .}}", "c1"))
        finally:
            run("rm", "-f", "c1")
        del row["Container"], row["ID"], row["PIDs"]
        shapes.append({key: re.sub(r"[\d.]+([kKM]i?B|B|%)", r"N\1", row[key]) for key in row})
    theirs, ours_ = ({key: re.sub("NKiB|NMiB", "N", row[key]) for key in row} for row in shapes)
    for each in (theirs, ours_):
        each["BlockIO"] = re.sub("N(kB|MB|B)", "N", each["BlockIO"])
    assert ours_ == theirs
