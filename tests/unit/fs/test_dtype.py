import os

import pytest

from lamina.fs.dtype import supports_dtype


def _fill(folder: str) -> str:
    os.mkdir(f"{folder}/directory")
    open(f"{folder}/file", "w").close()
    return folder


def test_an_ordinary_file_system_keeps_the_type(tmp_path):
    assert supports_dtype(_fill(str(tmp_path)))


@pytest.mark.parametrize(("feature", "keeps"), [("^filetype", False), ("filetype", True)])
def test_ext4_keeps_it_or_not(file_system, needs_program, feature, keeps):
    mounted = file_system("16M", needs_program("mkfs.ext4"), "-q", "-O", feature)
    assert supports_dtype(_fill(mounted)) is keeps
