"""A store that an older Lamina wrote is brought up to date when it is opened."""

import fcntl
import io
import sqlite3

import pytest

from lamina.errors import ForeignStore, InUse
from lamina.metadata import root
from lamina.metadata.schema import SCHEMA
from lamina.testing.stores import ScratchStore
from lamina.testing.trees import tar_of


def as_format_1(path):
    """Make the database what a Lamina of format 1 would have written."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA foreign_keys = OFF")
    tables = [each for each in SCHEMA if each.startswith("CREATE TABLE layers(")]
    old = "\n".join(
        line for line in tables[0].split("\n") if line.split()[0] not in ("below", "written")
    )
    columns = "id, driver, kind, state, parent, diff_id, chain_id, size, entries, created, lease"
    with database:
        database.execute("DROP INDEX layers_below")
        database.execute("CREATE TABLE kept AS SELECT * FROM layers")
        database.execute("DROP TABLE layers")
        database.execute(old)
        database.execute(
            f"INSERT INTO layers({columns}, boot_id) SELECT {columns}, boot_id FROM kept"
        )
        database.execute("DROP TABLE kept")
        for statement in SCHEMA:
            if " ON layers(" in statement and "below" not in statement:
                database.execute(statement)
        database.execute("PRAGMA user_version = 1")
    database.close()


@pytest.fixture
def store(tmp_path, needs_root):
    made = ScratchStore(str(tmp_path / "root"))
    yield made
    made.close()


def test_format_1(store):
    image = store.make("f a one", "f b two", names=("app",))
    chain = store.images.config(image).top_chain
    store.close()
    as_format_1(f"{store.path}/lamina.db")
    for _ in range(2):
        store.open()
        assert [each.parent is None for each in store.layers.chain(chain)] == [True, False]
        top = store.layers.register(chain, io.BytesIO(tar_of("f c three")))
        assert len(store.layers.chain(top.chain_id)) == 3
        store.close()
    store.open()


def test_a_store_that_an_older_lamina_has_open_stays_as_it_is(store, monkeypatch):
    """It would go on in its own format."""
    monkeypatch.setattr(root, "_MOMENT", 0.0)
    store.close()
    as_format_1(f"{store.path}/lamina.db")
    with open(f"{store.path}/.lock") as older:
        fcntl.flock(older, fcntl.LOCK_SH)
        for _ in range(2):
            with pytest.raises(InUse, match="of an older Lamina"):
                store.open()
    store.open()


def test_a_newer_format_is_refused(store):
    store.close()
    database = sqlite3.connect(f"{store.path}/lamina.db")
    database.execute("PRAGMA user_version = 3")
    database.close()
    with pytest.raises(ForeignStore, match="has format 3, and this Lamina knows formats up to 2"):
        store.open()
    database = sqlite3.connect(f"{store.path}/lamina.db")
    database.execute("PRAGMA user_version = 2")
    database.close()
    store.open()
