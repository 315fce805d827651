"""What a store's layers were written by is kept, and told when this machine does it otherwise.

Another kernel is played by what the store remembers: that is what a store from there would say.
"""

import json

import pytest

import lamina
from lamina.engine.open import Caution
from lamina.errors import DriverConflict
from lamina.metadata.db import set_meta
from lamina.testing.trees import tar_of

DRIVERS = ["overlay2", "fuse-overlayfs", "erofs", "vfs"]
OPAQUE = "trusted.overlay.opaque"


@pytest.fixture
def opened(site):
    """A function that opens the store on a driver, with what it says while it does."""
    folders = {}

    def make(driver):
        folder = folders.setdefault(driver, site(driver))
        said = []
        engine = lamina.open(
            f"{folder}/root", run_root=f"{folder}/run", driver=driver, events=said.append
        )
        return engine, [each.text for each in said if isinstance(each, Caution)]

    return make


def with_a_layer(opened, driver):
    import io

    engine, _ = opened(driver)
    with engine:
        layer = engine.layers.register(None, io.BytesIO(tar_of("f a 1")))
        engine.layers.barrier()
        with engine.root.database.write() as db:
            db.execute("INSERT INTO refs VALUES ('image', 'kept', ?)", (layer.chain_id,))


def remembered(opened, driver, **others):
    """Let the store say that it was on another kernel, where some features were other ones."""
    engine, _ = opened(driver)
    with engine, engine.root.database.write() as db:
        name, *found = json.loads(engine.root.database.meta()["driver_features"])
        assert name == driver
        were = {**dict(found), **others}
        set_meta(db, "driver_features", json.dumps([driver, *were.items()]))
        set_meta(db, "driver_proof", "another boot")
    return dict(found)


def features(opened, driver):
    engine, _ = opened(driver)
    with engine:
        name, *found = json.loads(engine.root.database.meta()["driver_features"])
    assert name == driver
    return dict(found)


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_was_found_is_kept(opened, driver):
    found = features(opened, driver)
    wanted = {
        "overlay2": {"whiteouts": "devices 0:0", "opaque": OPAQUE, "native diff": "true"},
        "fuse-overlayfs": {"whiteouts": "devices 0:0", "opaque": OPAQUE},
        "erofs": {"images mounted": "by files"},
        "vfs": {},
    }[driver]
    assert {name: found[name] for name in wanted} == wanted
    assert driver == "erofs" or found["reflink"] in ("true", "false")


@pytest.mark.parametrize("driver", ["overlay2", "fuse-overlayfs"])
def test_layers_that_would_mean_something_else_are_refused(opened, driver):
    with_a_layer(opened, driver)
    remembered(opened, driver, opaque="user.other.opaque", whiteouts="files")
    for _ in range(2):
        with pytest.raises(DriverConflict) as raised:
            opened(driver)
        assert "opaque: user.other.opaque before, trusted.overlay.opaque now" in raised.value.brief
        assert "whiteouts: files before, devices 0:0 now" in raised.value.brief


def test_what_became_dearer_is_a_warning_once(opened):
    with_a_layer(opened, "overlay2")
    other = {"true": "false", "false": "true"}
    was = other[features(opened, "overlay2")["reflink"]]
    now = remembered(opened, "overlay2", reflink=was)["reflink"]
    engine, said = opened("overlay2")
    engine.close()
    assert said == [
        f"overlay2 in {engine.root.path} is not as it was: reflink: {was} before, {now} now"
    ]
    engine, said = opened("overlay2")
    engine.close()
    assert said == []


def test_without_layers_nothing_is_compared(opened):
    remembered(opened, "overlay2", opaque="user.other.opaque")
    engine, said = opened("overlay2")
    engine.close()
    assert said == []
    assert features(opened, "overlay2")["opaque"] == OPAQUE
