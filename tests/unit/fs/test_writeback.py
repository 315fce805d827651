"""Early writing: begun only when it is worth it, its failure told once and never lost."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.errors import StorageError
from lamina.fs.writeback import Writeback

Find = Callable[[str], str]

_MUCH = 40 << 20  # bytes, more than a step

_SCRIPT = """
import sys
from lamina.fs.writeback import Writeback
with Writeback(sys.argv[1]) as writeback:
    writeback.passed(int(sys.argv[2]))
"""


def _syncs(directory: Path, count: int) -> int:
    """How many times the kernel was asked to write while `count` bytes passed."""
    trace = directory / "trace"
    command = ["strace", "-f", "-e", "trace=syncfs", "-o", str(trace)]
    script = [sys.executable, "-c", _SCRIPT, str(directory), str(count)]
    subprocess.run([*command, *script], check=True)
    return trace.read_text().count("syncfs(")


def test_much_is_written_while_more_is_to_come(tmp_path: Path, needs_program: Find) -> None:
    needs_program("strace")
    assert _syncs(tmp_path, _MUCH) == 1


def test_little_is_left_to_the_barrier(tmp_path: Path, needs_program: Find) -> None:
    needs_program("strace")
    assert _syncs(tmp_path, 1 << 20) == 0


def test_a_failure_to_write_is_raised_at_the_end(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gone"), Writeback(str(tmp_path / "gone")) as writeback:
        writeback.passed(_MUCH)


def test_the_error_that_came_first_is_the_one_that_is_raised(tmp_path: Path) -> None:
    def fail() -> None:
        with Writeback(str(tmp_path / "gone")) as writeback:
            writeback.passed(_MUCH)
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        fail()
