"""`images --from` and `df --from`: another engine's store is told of, and only read."""

import json
import os

import pytest

from lamina.testing.foreign_stores import docker, podman
from lamina.testing.sample_images import sample
from tests.cli.rig import assert_complaint

BASE = ("f base " + "b" * 4000,)
ONE = sample(*BASE, "f one " + "1" * 20000, names=["demo/one:1", "demo/one:also"])
TWO = sample(*BASE, "f two " + "2" * 1000, names=["two:latest"])
MAKERS = {"docker": docker, "containers-storage": podman}


@pytest.fixture(params=MAKERS)
def source(request, tmp_path):
    MAKERS[request.param](tmp_path / "theirs", ONE, TWO)
    return f"{request.param}:{tmp_path}/theirs"


def stamps(folder):
    """Everything of a store and when it was last changed."""
    return sorted(
        (path, os.lstat(path).st_ctime_ns, os.lstat(path).st_mtime_ns)
        for at, folders, names in os.walk(folder)
        for path in (at, *(os.path.join(at, name) for name in (*folders, *names)))
    )


def test_df_counts_shared_and_exclusive_bytes(lamina, source):
    before = stamps(source.partition(":")[2])
    told = json.loads(lamina.ok("df", "--from", source, "--format", "json"))
    images = {image["Names"][0].rpartition("/")[2]: image for image in told["Images"]}
    sizes = {name: (i["SharedSize"], i["UniqueSize"], i["Size"]) for name, i in images.items()}
    (shared, own, size), (also_shared, others, _) = sizes["one:1"], sizes["two:latest"]
    assert shared == also_shared > 0
    assert own > others > 0
    assert size == shared + own
    assert (told["LayersAsked"], told["LayersStored"]) == (4, 3)
    assert told["BytesStored"] == shared + own + others
    assert told["BytesAsked"] == 2 * shared + own + others
    rows = lamina.ok("df", "--from", source).splitlines()
    assert rows[0].split() == [
        "IMAGE",
        "IMAGE",
        "ID",
        "SIZE",
        "SHARED",
        "SIZE",
        "UNIQUE",
        "SIZE",
        "LAYERS",
    ]
    assert {row.split()[0] for row in rows[1:3]} == {"demo/one:1", "two:latest"}
    assert ": 2 images, 3 layers of " in rows[-1]
    assert stamps(source.partition(":")[2]) == before
    assert not os.path.exists(lamina.root)


def test_images_are_listed_by_their_names(lamina, source):
    shown = "{{.Repository}}:{{.Tag}} {{.ID}}"
    listed = lamina.ok("images", "--from", source, "--format", shown).splitlines()
    assert {line.split()[0].removeprefix("localhost/") for line in listed} == {
        "demo/one:1",
        "demo/one:also",
        "two:latest",
    }
    assert {line.split()[1] for line in listed} == {ONE.id[7:19], TWO.id[7:19]}
    assert lamina.ok("images", "-q", "--no-trunc", "--from", source, "two") == f"{TWO.id}\n"
    assert lamina.ok("images", "-q", "--from", source, "none") == ""
    assert_complaint(lamina("images", "--from", source, "-f", "dangling=true"), "--filter is for")
    assert not os.path.exists(lamina.root)


def test_what_is_no_store_is_said(lamina, tmp_path):
    for command in ("images", "df"):
        assert_complaint(lamina(command, "--from", str(tmp_path)), "no store of another engine")
        assert_complaint(lamina(command, "--from", f"docker:{tmp_path}"), "no data root of docker")
        assert_complaint(lamina(command, "--from", "docker:/nowhere"), "/nowhere", "No such file")
