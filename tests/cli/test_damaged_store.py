"""A store whose database or identity is lost, cut off or another's: an error, and never an empty
store; one sentence, whatever is asked.
"""

import os
import sqlite3
from collections.abc import Callable

import pytest

from lamina.testing.trees import tar_of
from tests.cli.rig import Lamina

TAR = tar_of("d d")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    made = Lamina(str(tmp_path_factory.mktemp("sound")), "vfs")
    made.ok("import", "-", "x", stdin=TAR)
    return made.root


@pytest.fixture
def store(lamina, sound):
    """A store with one image, of which nothing is damaged yet."""
    lamina.driver = "vfs"
    lamina.begin_as(sound)
    lamina.write("x.tar", TAR)
    return lamina


def _overwrite(path: str, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def _other_database(path: str) -> None:
    os.unlink(path)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other(a)")
    connection.close()


def _without_a_table(path: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE names")
    connection.close()


_DAMAGES: dict[str, tuple[Callable[[str], object], str]] = {
    "emptied": (lambda path: os.truncate(path, 0), "is not a database of Lamina"),
    "cut in the first pages": (lambda path: os.truncate(path, 10_000), "malformed"),
    "cut in a page": (lambda path: os.truncate(path, 41_000), "malformed"),
    "cut at the end": (lambda path: os.truncate(path, 81_920), "malformed"),
    "garbage": (lambda path: _overwrite(path, 0, b"\xa5" * 40_000), "not a database"),
    "garbage in the middle": (lambda path: _overwrite(path, 4096, b"\xa5" * 60_000), "malformed"),
    "another program's": (_other_database, "is not a database of Lamina"),
    "without a table": (_without_a_table, "no such table"),
    "gone": (os.unlink, "is missing"),
}


@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_damaged_database_is_one_sentence(store, damage):
    act, words = _DAMAGES[damage]
    act(f"{store.root}/lamina.db")
    for command in (("images",), ("import", "x.tar", "y")):
        said = store(*command)
        assert said.code == 1, said
        assert said.err.count("\n") == 1
        assert words in said.err
        assert "restore it from a backup" in said.err
    assert os.path.exists(f"{store.root}/store")


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_garbage_beside_the_database_is_none_of_it(store, suffix):
    """SQLite believes no frame without its checksum, and makes the index anew."""
    with open(f"{store.root}/lamina.db{suffix}", "wb") as file:
        file.write(os.urandom(50_000))
    assert store.ok("images", "--format", "{{.Repository}}") == "x\n"
    assert store.ok("check", "--full") == "clean\n"


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        (None, "but not its identity"),
        ("", "is not the identity of a Lamina store"),
        ("lamina store\nuuid=1\nformat=99\ngeneration=0\n", "has format 99"),
        ("lamina store\nuuid=1\nformat=1\ngeneration=0\n", "belongs to another store"),
    ],
)
def test_a_damaged_identity_is_one_sentence(store, identity, words):
    os.unlink(f"{store.root}/store")
    if identity is not None:
        with open(f"{store.root}/store", "w") as file:
            file.write(identity)
    said = store("images")
    assert said.code == 1
    assert said.err.count("\n") == 1
    assert words in said.err


def test_check_finds_a_blob_that_is_lost_or_changed(store):
    folder = f"{store.root}/blobs/sha256"
    (name,) = os.listdir(folder)
    with open(f"{folder}/{name}", "ab") as file:
        file.write(b"x")
    said = store("check", "--full")
    assert said == (2, f"damaged: blob {name[:12]}: the blob sha256:{name} was changed\n", "")
    os.unlink(f"{folder}/{name}")
    assert store("check") == (
        2,
        f"missing: blob {name[:12]}: an image needs it and it is gone\n",
        "",
    )
