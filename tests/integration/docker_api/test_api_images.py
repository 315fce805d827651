"""Images by docker's own clients against `lamina serve`, and their shapes beside dockerd's."""

import json
import os

from lamina.testing.fake_registry import fake_registry
from tests.integration.docker_api.rig import Api
from tests.integration.docker_api.shapes import differences


def test_images_are_listed_named_and_removed(docker, base):
    assert docker.ok("images", "--format", "{{.Repository}}:{{.Tag}}") == "base:latest\n"
    docker.ok("tag", "base", "localhost:5000/team/other:1")
    assert docker.ok("images", "-q", "localhost:5000/team/other").count("\n") == 1
    assert docker.ok("images", "-q", "--filter", "dangling=true") == ""
    assert docker.ok("images", "-q", "--filter", "reference=*/team/*") != ""
    told = json.loads(docker.ok("inspect", "localhost:5000/team/other:1"))[0]
    assert told["RepoTags"] == ["base:latest", "localhost:5000/team/other:1"]
    assert base.ok("images", "-q").count("\n") == 2
    assert docker.ok("history", "-q", "base").count("\n") == 1
    assert docker.ok("rmi", "base") == "Untagged: base:latest\n"
    assert "Deleted: sha256:" in docker.ok("rmi", "localhost:5000/team/other:1")
    assert "No such image: base" in docker.fails("rmi", "base")
    assert base.ok("images", "-q") == ""


def test_archives_go_in_and_out(docker, base):
    path = os.path.join(base.folder, "saved.tar")
    docker.ok("tag", "base", "other:2")
    docker.ok("save", "-o", path, "base", "other:2")
    docker.ok("rmi", "base", "other:2")
    assert docker.ok("load", "-i", path) == "Loaded image: base:latest\nLoaded image: other:2\n"
    assert (
        docker.ok("load", "-q", "-i", path) == "Loaded image: base:latest\nLoaded image: other:2\n"
    )
    base.write("bad.tar", b"nonsense" * 1000)
    docker.fails("load", "-i", os.path.join(base.folder, "bad.tar"))
    assert "No such image: nope" in docker.fails("save", "-o", path, "nope")


def test_a_root_becomes_an_image(docker, base, busybox_tar):
    with open(busybox_tar, "rb") as file:
        image = docker.ok(
            "import", "-c", 'CMD ["ls"]', "-m", "mine", "-", "made:1", stdin=file.read()
        ).strip()
    told = json.loads(docker.ok("image", "inspect", "made:1"))[0]
    assert (told["Id"], told["Config"]["Cmd"], told["Comment"]) == (image, ["ls"], "mine")


def test_prune_takes_what_has_no_name(docker, base, busybox_tar):
    with open(busybox_tar, "rb") as file:
        image = docker.ok("import", "-", stdin=file.read()).strip()
    assert docker.ok("images", "-q", "--no-trunc", "--filter", "dangling=true").strip() == image
    assert f"deleted: {image}" in docker.ok("image", "prune", "-f")
    assert docker.ok("image", "prune", "-f") == "Total reclaimed space: 0B\n"
    assert "untagged: base:latest" in docker.ok("image", "prune", "-a", "-f")


def test_login_pull_and_push(docker, base):
    with fake_registry() as registry:
        name = f"{registry.host}/team/app"
        docker.ok("tag", "base", f"{name}:1")
        told = docker.ok("push", f"{name}:1")
        assert f"The push refers to repository [{name}]" in told
        assert "1: digest: sha256:" in told
        docker.ok("rmi", "base", f"{name}:1")
        told = docker.ok("pull", f"{name}:1")
        assert "1: Pulling from team/app" in told
        assert f"Status: Downloaded newer image for {name}:1" in told
        assert f"Status: Image is up to date for {name}:1" in docker.ok("pull", f"{name}:1")
        assert f"{name}@sha256:" in docker.ok(
            "images", "--digests", "--format", "{{.Repository}}@{{.Digest}}"
        )
        assert "1: Pulling from team/app" in docker.ok("pull", "-a", name)
        docker.fails("pull", f"{name}:nope")
        assert "does not exist locally" in docker.fails("push", f"{name}:nope")


def test_what_cannot_be_pulled_is_an_error_of_http_before_anything_is_told(server):
    with fake_registry() as registry:
        answer = server.api("POST", f"/images/create?fromImage={registry.host}/nope&tag=1")
        assert answer.status == 404
        assert "nope" in answer.message
    answer = server.api("POST", "/images/create?fromImage=127.0.0.1:1/nope&tag=1")
    assert (answer.status, answer.headers["Content-Type"]) == (502, "application/json")
    answer = server.api("POST", "/images/127.0.0.1:1/nope/push?tag=1")
    assert answer.status == 200
    assert "does not exist locally" in answer.records()[-1]["errorDetail"]["message"]


def test_shapes_are_dockers(server, dockerd_socket, busybox_tar):
    theirs = Api(dockerd_socket)
    with open(busybox_tar, "rb") as file:
        data = file.read()
    for api in (theirs, server.api):
        made = api("POST", "/images/create?fromSrc=-&repo=shape&tag=1&changes=LABEL%20a=b", data)
        assert made.status == 200
    for target in (
        "/info",
        "/version",
        "/images/json",
        "/images/shape:1/json",
        "/images/shape:1/history",
    ):
        told = differences(theirs.get(f"/v1.41{target}"), server.api.get(f"/v1.41{target}"))
        # the runtimes' names are this machine's
        assert [each for each in told if not each.startswith(".Runtimes.")] == [], target
    for asked in (("GET", "/v1.41/images/nope/json"), ("DELETE", "/v1.41/images/nope")):
        for api in (theirs, server.api):
            answer = api(*asked)
            assert answer.status == 404
            assert "No such image: nope" in answer.message
