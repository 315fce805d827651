"""Volumes from the command line: kept beside containers, filled from images, removed when asked."""

import os

import pytest

from tests.cli.rig import assert_complaint, build_app, nothing_left, told

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

_IMAGE = """\
FROM base
RUN mkdir -p /data/sub && echo seed >/data/f && ln -s f /data/l && chown 5:6 /data && chmod 750 /data
VOLUME /data
"""


@pytest.fixture(scope="module")
def with_app(standing):
    return build_app(standing, _IMAGE).root


@pytest.fixture
def app(lamina, with_app):
    """A store with the image `app`, which declares a volume with something in it."""
    lamina.begin_as(with_app)
    return lamina


@pytest.fixture(params=["crun", "runc", "chroot"])
def isolated(app, request, needs_program):
    if request.param != "chroot":
        needs_program(request.param)
    app.env["LAMINA_ISOLATION"] = request.param
    return app


def names(lamina, *words):
    return lamina.ok("volume", "ls", "-q", *words).split()


def test_a_volume_outlives_its_containers(isolated):
    isolated.ok("run", "--rm", "-v", "kept:/data", "app", "sh", "-c", "echo more >/data/g")
    assert names(isolated) == ["kept"]
    said = isolated.ok(
        "run", "--rm", "-v", "kept:/elsewhere", "base", "sh", "-c", "cat /elsewhere/?"
    )
    assert said == "seed\nmore\nseed\n"
    readonly = isolated("run", "--rm", "-v", "kept:/x:ro", "base", "touch", "/x/new")
    assert "Read-only" in readonly.err


def test_an_empty_volume_gets_what_the_image_has(isolated):
    script = "ls -lnd /data; ls /data; readlink /data/l"
    said = isolated.ok("run", "--rm", "-v", "new:/data", "app", "sh", "-c", script)
    first, *rest = said.splitlines()
    assert first.split()[0] == "drwxr-x---"
    assert first.split()[2:4] == ["5", "6"]
    assert rest == ["f", "l", "sub", "f"]
    bare = isolated.ok(
        "run", "--rm", "--mount", "src=bare,dst=/data,volume-nocopy", "app", "ls", "/data"
    )
    assert bare == ""


def test_a_volume_that_holds_something_is_left_as_it_is(app):
    app.ok("run", "--rm", "-v", "used:/x", "base", "touch", "/x/mine")
    assert app.ok("run", "--rm", "-v", "used:/data", "app", "ls", "/data") == "mine\n"
    app.ok("create", "--name", "first", "-v", "shared:/x", "base", "true")
    assert app.ok("run", "--rm", "-v", "shared:/data", "app", "ls", "/data") == ""


def test_an_images_volumes_have_no_name_and_go_as_docker_has_it(app):
    app.ok("run", "--rm", "app", "true")
    assert names(app) == []
    app.ok("run", "--name", "c1", "app", "sh", "-c", "echo x >/data/new; echo y >/other")
    (anonymous,) = names(app)
    assert len(anonymous) == 64
    assert app.ok("diff", "c1") == "A /other\n"
    (mount,) = told(app, "inspect", "c1")[0]["Mounts"]
    assert (mount["Type"], mount["Name"], mount["Destination"]) == ("volume", anonymous, "/data")
    assert "new" in os.listdir(mount["Source"])
    assert_complaint(app("volume", "rm", anonymous), "is used by c1")
    app.ok("rm", "c1")
    assert names(app) == [anonymous]
    assert names(app, "-f", "dangling=true") == [anonymous]
    app.ok("run", "--name", "c2", "app", "true")
    app.ok("rm", "-v", "c2")
    assert names(app) == [anonymous]


def test_what_another_container_is_shown(app):
    app.ok("run", "--name", "c1", "-v", f"{app.folder}:/here", "app", "touch", "/data/mine")
    app.write("seen", "")
    script = "ls /data; ls /here/seen; touch /data/x"
    said = app("run", "--rm", "--volumes-from", "c1:ro", "base", "sh", "-c", script)
    assert said.out.split() == ["f", "l", "mine", "sub", "/here/seen"]
    assert "Read-only" in said.err
    app.ok("rm", "-v", "c1")
    assert_complaint(app("run", "--volumes-from", "none", "base", "true"), "none", code=125)


def test_prune_leaves_what_has_a_name_or_a_user(app):
    app.ok("volume", "create", "named")
    app.ok("volume", "create", "--label", "a=b")
    app.ok("create", "--name", "c1", "app", "true")
    assert len(names(app)) == 3
    said = app.ok("volume", "prune", "-f")
    assert said.count("Deleted volume: ") == 1
    assert len(names(app)) == 2
    app.ok("volume", "prune", "-f", "-a")
    assert len(names(app)) == 1
    app.ok("rm", "c1")
    app.ok("prune", "-f")
    assert len(names(app)) == 1
    app.ok("prune", "-f", "--volumes")
    assert names(app) == []
    assert os.listdir(f"{app.root}/volumes") == []


def test_volumes_are_listed_and_shown(app):
    assert app.ok("volume", "create", "--label", "of=me", "v1") == "v1\n"
    assert app.ok("volume", "create", "v1") == "v1\n"
    app.ok("run", "--rm", "-v", "v1:/x", "base", "sh", "-c", "echo 12345 >/x/f")
    (shown,) = told(app, "volume", "inspect", "v1")
    assert shown["Labels"] == {"of": "me"}
    with open(f"{shown['Mountpoint']}/f") as file:
        assert file.read() == "12345\n"
    row = told(app, "volume", "ls", "--size", "--format", "json")
    assert (row["Name"], row["Driver"], row["Size"]) == ("v1", "local", "6B")
    assert names(app, "-f", "label=of=me") == ["v1"]
    assert names(app, "-f", "label=of=you") == []
    assert "Local Volumes   1       0        6B" in app.ok("df")
    assert app.ok("volume", "rm", "v1") == "v1\n"
    assert_complaint(app("volume", "rm", "v1"), "no such volume: v1")
    assert app.ok("volume", "rm", "-f", "v1") == "v1\n"
    assert_complaint(app("volume", "inspect", "v1"), "no such volume: v1")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("volume", "create", "a/b"), "invalid volume name 'a/b'"),
        (("volume", "create", ".."), "invalid volume name '..'"),
        (("volume", "create", "-d", "nfs", "vv"), "no volume driver 'nfs'"),
        (("volume",), "needs a command"),
        (("volume", "ls", "-f", "what=x"), "Invalid filter 'what'"),
        (("create", "-v", "x:/a", "base", "true"), "invalid volume name 'x'"),
        (("create", "-v", "xx:/a", "-v", "yy:/a", "base", "true"), "duplicate mount point: /a"),
        (("create", "-v", "/none/such:/a", "base", "true"), "/none/such does not exist"),
    ],
)
def test_what_cannot_be_is_refused(base, words, complaint):
    with nothing_left(base):
        assert_complaint(base(*words), complaint)
    assert names(base) == []


def test_a_volume_of_an_image_stays_in_the_container(base):
    """CVE-2022-23648: a declared path with links and dots copies nothing of this machine."""
    dockerfile = "FROM base\nRUN ln -s ../../../../../../../etc /out\nVOLUME /out/../../x /out\n"
    app = build_app(base, dockerfile)
    app.ok("run", "--name", "c1", "app", "true")
    mounts = told(app, "inspect", "c1")[0]["Mounts"]
    listed = {each["Destination"]: os.listdir(each["Source"]) for each in mounts}
    assert listed["/x"] == []
    assert sorted(listed["/out"]) == ["group", "passwd"]


@pytest.mark.parametrize("point", ["volume-doomed", "volume-erased"])
def test_a_killed_removal_is_finished_by_the_next_command(base, point):
    base.ok("run", "--rm", "-v", "big:/x", "base", "touch", "/x/f")
    done = base("volume", "rm", "big", env={"LAMINA_TEST_CRASH": point})
    assert done.code == -9
    assert names(base) == []
    assert os.listdir(f"{base.root}/volumes") == []
    assert base.ok("run", "--rm", "-v", "big:/x", "base", "ls", "/x") == ""


def test_a_killed_run_leaves_no_volume_without_a_name(app):
    done = app("run", "--rm", "app", "true", env={"LAMINA_TEST_CRASH": "container-recorded"})
    assert done.code == -9
    assert app.ok("ps", "-aq") == ""
    assert names(app) == []
    assert os.listdir(f"{app.root}/volumes") == []


def test_a_copy_that_was_killed_is_begun_anew(app):
    app.ok("create", "--name", "c1", "-v", "vol:/data", "app", "true")
    os.makedirs(f"{app.root}/volumes/vol/_data")
    os.makedirs(f"{app.root}/volumes/vol/_new/half")
    said = app.ok("run", "--rm", "--volumes-from", "c1", "base", "ls", "/data")
    assert said == ""  # c1 uses it, too, and has yet to start
    app.ok("rm", "c1")
    assert app.ok("run", "--rm", "-v", "vol:/data", "app", "ls", "/data") == "f\nl\nsub\n"
    assert sorted(os.listdir(f"{app.root}/volumes/vol")) == ["_data"]


def test_the_library_keeps_volumes(app):
    import lamina

    with lamina.open(root=app.root, run_root=app.env["LAMINA_RUN_ROOT"]) as engine:
        volume = engine.volumes.create("mine", labels={"a": "b"})
        engine.containers.run("base", ["touch", "/x/f"], remove=True, volumes=["mine:/x"])
        assert os.listdir(volume.mountpoint) == ["f"]
        assert [each.name for each in engine.volumes.list()] == ["mine"]
        volume.remove()
        assert engine.volumes.list() == []


def test_files_are_copied_from_and_to_what_a_stopped_container_is_shown(app):
    app.ok("volume", "create", "out")
    shown = ("-v", "out:/made/here", "-v", f"{app.folder}:/host:ro")
    app.ok("create", "--name", "c1", *shown, "app", "sh", "-c", "cat /made/here/sub/in")
    app.ok("cp", "c1:/data/f", f"{app.folder}/seed")  # what the image has there
    assert os.path.exists(f"{app.folder}/seed")
    app.write("given/sub/in", "from outside\n")
    app.ok("cp", f"{app.folder}/given/.", "c1:/made/here")
    assert app.ok("start", "-a", "c1") == "from outside\n"
    assert app.ok("diff", "c1") == ""
    app.ok("cp", "c1:/made/here", f"{app.folder}/back")
    with open(f"{app.folder}/back/sub/in") as file:
        assert file.read() == "from outside\n"
    os.makedirs(f"{app.folder}/into")
    app.ok("cp", "c1:/made/here/sub", f"{app.folder}/into")
    assert os.listdir(f"{app.folder}/into") == ["sub"]
    app.ok("cp", "c1:/host/given/sub/in", f"{app.folder}/single")
    assert os.path.exists(f"{app.folder}/single")
    said = app("cp", f"{app.folder}/single", "c1:/host/new")
    assert_complaint(said, "read-only")
    assert_complaint(app("cp", "c1:/made/here/none", "-"), "no such path", "/made/here/none")
    app.ok("cp", f"{app.folder}/single", "c1:/etc/beside")
    assert app.ok("diff", "c1") == "C /etc\nA /etc/beside\n"
