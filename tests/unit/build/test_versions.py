"""A large copy of which little changed: a layer that stands on the one that was copied before."""

import hashlib
import os
import shutil
from contextlib import closing

import pytest

from lamina.build.cache import StoreCache
from lamina.errors import BuildError
from lamina.fs.mounting import detached
from lamina.fs.status import packed
from lamina.layers.check import check
from lamina.testing.trees import describe

COPY = "FROM scratch\nCOPY . /data\n"
EPOCH = 1_500_000_000


@pytest.fixture
def rig(rig_on, needs_mounts):
    return filled(rig_on("overlay2"))


def filled(rig):
    """With a context of 1,050 files in 21 folders."""
    for folder in range(21):
        os.makedirs(f"{rig.context}/{folder:02d}")
        for number in range(50):
            with open(f"{rig.context}/{folder:02d}/{number}", "w") as file:
                file.write(f"{folder} {number}")
    return rig


def build(rig, text=COPY, **wishes):
    return rig.build(text, source_date_epoch=EPOCH, **wishes)


def top(rig, config):
    return rig.layers.get(config.top_chain)


def upper(rig, config):
    """What the driver holds of the top layer alone, but for directories."""
    rows = dict(rig.layers.driver.data(top(rig, config).id))
    return sorted(
        os.path.relpath(os.path.join(folder, name), rows["UpperDir"])
        for folder, _, names in os.walk(rows["UpperDir"])
        for name in names
    )


def shown(rig, config):
    """The image's tree as a container sees it."""
    with detached(rig.layers.mounts(top(rig, config).id, writable=False)) as tree:
        return describe(f"/proc/self/fd/{tree}/.")


def as_from_nothing(rig, other, config, text=COPY):
    """The same context, built on vfs in a store that knows nothing: the same image and tar."""
    assert build(other, text, context=rig.context).raw == config.raw
    tars = ([], [])
    for each, tar in zip((rig, other), tars, strict=True):
        each.layers.export(config.top_chain, tar.append)
    assert b"".join(tars[0]) == b"".join(tars[1])


def test_only_what_changed_is_written(rig, other_rig):
    build(rig)
    rig.write(**{"03__7": "another text", "03__new": "new"})
    os.unlink(f"{rig.context}/05/9")
    shutil.rmtree(f"{rig.context}/06")
    os.unlink(f"{rig.context}/07/1")
    os.mkdir(f"{rig.context}/07/1")
    os.chmod(f"{rig.context}/08/2", 0o600)
    os.utime(f"{rig.context}/09/3", ns=(5, 5))
    config = build(rig)
    assert upper(rig, config) == [
        "data/03/7",
        "data/03/new",
        "data/05/9",
        "data/06",
        "data/08/2",
        "data/09/3",
    ]
    tree = {line.split()[1] for line in shown(rig, config)}
    assert {"data/03/new", "data/07/1", "data/20/49"} <= tree
    assert not {"data/05/9", "data/06", "data/06/1"} & tree
    assert len(rig.layers.chain(config.top_chain)) == len(config.diff_ids) == 1
    assert top(rig, config).entries == 1072 - 51
    as_from_nothing(rig, other_rig, config)
    assert check(rig.root, rig.layers.driver, full=True) == []


def test_on_fuse_overlayfs(rig_on, other_rig, needs_fuse):
    rig = filled(rig_on("fuse-overlayfs"))
    build(rig)
    rig.write(**{"03__7": "another text"})
    os.unlink(f"{rig.context}/05/9")
    config = build(rig)
    assert upper(rig, config) == ["data/03/7", "data/05/9"]
    as_from_nothing(rig, other_rig, config)
    assert check(rig.root, rig.layers.driver, full=True) == []


@pytest.mark.parametrize("storage", ["vfs", "erofs"])
def test_other_drivers_make_each_layer_by_itself(rig_on, storage, needs_erofs):
    rig = filled(rig_on(storage))
    old = build(rig)
    rig.write(**{"03__7": "another text"})
    new = build(rig)
    assert old.diff_ids != new.diff_ids
    rig.images.remove(old.id)
    rig.layers.release()
    rig.layers.reclaim()
    assert [each.chain_id for each in rig.layers.all()] == [new.top_chain]


def test_large_files_are_read_and_hashed_all_the_same(rig, other_rig):
    rig.write(large="x" * 100_000, larger="y" * (3 << 20))
    build(rig)
    rig.write(**{"03__7": "another text"})
    config = build(rig)
    assert upper(rig, config) == ["data/03/7"]
    as_from_nothing(rig, other_rig, config)


def test_versions_stand_on_the_first_and_never_on_each_other(rig):
    first = build(rig)
    lowers = []
    for number in range(3):
        rig.write(**{"03__7": f"text {number}"})
        config = build(rig)
        assert upper(rig, config) == ["data/03/7"]
        lowers.append(dict(rig.layers.driver.data(top(rig, config).id))["LowerDir"])
    below = dict(rig.layers.driver.data(top(rig, first).id))["UpperDir"]
    assert lowers == [os.path.realpath(below)] * 3


def test_what_changed_much_is_written_anew(rig):
    build(rig)
    for folder in range(6):
        for number in range(50):
            rig.write(**{f"{folder:02d}__{number}": "another text"})
    config = build(rig)
    assert len(upper(rig, config)) == 1050


def test_many_changed_bytes_are_written_anew(rig):
    """The old ones would be kept as long as the new layer."""
    rig.write(large="x" * 100_000)
    build(rig)
    rig.write(large="y" * 100_000)
    config = build(rig)
    assert len(upper(rig, config)) == 1051


def test_what_lay_in_a_folder_that_goes_is_counted(rig, other_rig):
    """One whiteout hides all of it, but all of it would be kept as long as the new layer."""
    for number in range(400):
        rig.write(**{f"gone__{number}": "x"})
    build(rig)
    shutil.rmtree(f"{rig.context}/gone")
    config = build(rig)
    assert len(upper(rig, config)) == 1050
    rig.write(gone__large="x" * 100_000)
    build(rig, no_cache=True)
    shutil.rmtree(f"{rig.context}/gone")
    rig.write(gone="a file")
    config = build(rig)
    assert len(upper(rig, config)) == 1051
    as_from_nothing(rig, other_rig, config)


def test_small_copies_are_written_anew(rig):
    text = "FROM scratch\nCOPY 03 04 /data/\n"
    build(rig, text)
    rig.write(**{"03__7": "another text"})
    assert len(upper(rig, build(rig, text))) == 50


def test_a_link_copy_and_no_cache_stand_on_nothing(rig):
    link = "FROM scratch\nCOPY --link . /data\n"
    for text, wishes in ((COPY, {"no_cache": True}), (link, {})):
        build(rig, text)
        rig.write(**{"03__7": text})
        assert len(upper(rig, build(rig, text, **wishes))) == 1050


def test_what_the_old_layer_hid_is_seen_again(rig, other_rig):
    """Of a base that has the file, too, a layer above the old one could not show it."""
    for each in (rig, other_rig):
        each.build("FROM scratch\nRUN put /base x\n", tags=("base",), source_date_epoch=EPOCH)
    text = "FROM base\nCOPY . /\n"
    rig.write(base="copied")
    build(rig, text)
    os.unlink(f"{rig.context}/base")
    config = build(rig, text)
    assert "f base x 644 0:0" in shown(rig, config)
    assert len(upper(rig, config)) == 1050
    as_from_nothing(rig, other_rig, config, text)


def test_over_a_base_and_under_further_layers(rig, other_rig):
    for each in (rig, other_rig):
        each.build("FROM scratch\nRUN put /base x\n", tags=("base",), source_date_epoch=EPOCH)
    text = "FROM base\nCOPY . /\nRUN put /above y\n"
    build(rig, text)
    rig.write(**{"03__7": "another text"})
    os.unlink(f"{rig.context}/03/8")
    config = build(rig, text)
    lines = shown(rig, config)
    assert {"f base x 644 0:0", "f above y 644 0:0", "f 03/7 'another text' 644 0:0"} <= set(lines)
    assert not any(line.startswith("f 03/8 ") for line in lines)
    as_from_nothing(rig, other_rig, config, text)


# --- what becomes of the old layer ------------------------------------------------------


def test_the_old_layer_stays_as_long_as_one_stands_on_it(rig):
    old = build(rig, tags=("app",))
    rig.write(**{"03__7": "another text"})
    new = build(rig, tags=("app",))
    rig.images.remove(old.id)
    rig.layers.release()
    rig.layers.reclaim()
    assert "f data/20/49 '20 49' 644 0:0" in shown(rig, new)
    assert check(rig.root, rig.layers.driver, full=True) == []
    rig.images.remove(new.id)
    assert rig.layers.all() == ()
    assert list(rig.layers.driver.layers()) == []
    assert os.listdir(rig.root.folder("index")) == []


def test_a_version_goes_alone(rig):
    old = build(rig)
    rig.write(**{"03__7": "another text"})
    new = build(rig)
    rig.images.remove(new.id)
    rig.layers.release()
    rig.layers.reclaim()
    assert [each.chain_id for each in rig.layers.all()] == [old.top_chain]
    assert "f data/03/7 '3 7' 644 0:0" in shown(rig, old)


def test_an_old_layer_that_is_gone_is_not_missed(rig, other_rig):
    old = build(rig)
    rig.images.remove(old.id)
    rig.layers.release()
    rig.layers.reclaim()
    assert rig.layers.all() == ()
    rig.write(**{"03__7": "another text"})
    config = build(rig)
    assert len(upper(rig, config)) == 1050
    as_from_nothing(rig, other_rig, config)


def test_an_old_layer_that_goes_meanwhile_is_not_missed(rig, other_rig):
    """Its image is removed, and what the build held of it, just before the layer is made."""
    old = build(rig)
    rig.layers.release()
    rig.write(**{"03__7": "another text"})
    register = rig.layers.register_entries

    def meanwhile(*arguments):
        if rig.images.all():
            rig.images.remove(old.id)
        return register(*arguments)

    rig.layers.register_entries = meanwhile
    config = build(rig)
    assert len(upper(rig, config)) == 1050
    assert "f data/03/7 'another text' 644 0:0" in shown(rig, config)
    as_from_nothing(rig, other_rig, config)


@pytest.mark.parametrize("damage", ["missing", "cut", "records"])
def test_an_old_layer_without_a_sound_index_is_left_alone(rig, other_rig, damage):
    old = top(rig, build(rig))
    path = rig.root.folder("index", old.diff_id.hex)
    if damage == "missing":
        os.unlink(path)
    else:
        with open(path, "r+b") as file:
            file.seek(500)
            file.write(bytes(100)) if damage == "records" else file.truncate()
    rig.write(**{"03__7": "another text"})
    config = build(rig)
    assert len(upper(rig, config)) == 1050
    as_from_nothing(rig, other_rig, config)


# --- a context that changes under the build's hands --------------------------------------


def changing(rig, change):
    """`change` happens between the look at the context and the making of the layer."""
    version = rig.layers.version

    def meanwhile(*arguments):
        change()
        return version(*arguments)

    rig.layers.version = meanwhile


def test_small_files_that_change_meanwhile_are_copied_as_they_were(rig):
    build(rig)
    rig.write(**{"03__7": "another text"})
    changing(rig, lambda: rig.write(**{"04__1": "later", "03__7": "later still"}))
    config = build(rig)
    assert {"f data/04/1 '4 1' 644 0:0", "f data/03/7 'another text' 644 0:0"} <= set(
        shown(rig, config)
    )
    with closing(rig.layers.index(top(rig, config))) as index:
        names = [record.name for record in index.records()]
    assert len(names) == 1050 + 22 + 1


@pytest.mark.parametrize("keeps_time", [False, True])
def test_a_large_file_that_changes_meanwhile_ends_the_build(rig, keeps_time):
    """No layer holds other bytes than its key counts, nor stands for a file that is another."""
    rig.write(large="x" * (2 << 20))
    build(rig)
    rig.write(**{"03__7": "another text"})
    status = os.stat(f"{rig.context}/large")

    def change():
        rig.write(large="y" * (2 << 20))
        if keeps_time:
            os.utime(f"{rig.context}/large", ns=(status.st_atime_ns, status.st_mtime_ns))

    changing(rig, change)
    with pytest.raises(BuildError, match="changed while it was read"):
        build(rig)
    assert len(rig.layers.all()) == len(list(rig.layers.driver.layers())) == 1
    assert os.listdir(rig.root.folder("staging")) == []


def test_large_bytes_that_are_not_those_of_the_stat_cache_end_the_build(rig):
    """As after a write to memory, which may change no time: all is held against its digest."""
    rig.write(large="x" * (2 << 20))
    build(rig)
    rig.write(large="y" * (2 << 20), **{"03__7": "another text"})
    status = os.lstat(f"{rig.context}/large")
    stats = StoreCache(rig.root).stat_cache(rig.context)
    digest = hashlib.sha256(b"x" * (2 << 20)).digest()
    stats.note(packed(status), digest, status.st_ctime_ns + 60 * 10**9)
    stats.save()
    with pytest.raises(BuildError, match="changed while it was read"):
        build(rig)
    assert len(rig.layers.all()) == 1
