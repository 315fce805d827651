"""`commit` beside dockerd's: the config of the image that comes of the same wishes."""

import json
import os
import tarfile

import pytest

from tests.cli.rig import in_process

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


IMAGE = [
    *("-c", "ENV A=1 PATH=/bin"),
    *("-c", 'CMD ["echo", "img"]'),
    *("-c", 'ENTRYPOINT ["/bin/echo", "ep"]'),
    *("-c", "LABEL l=1"),
    *("-c", "USER 0"),
    *("-c", "WORKDIR /tmp"),
    *("-c", "EXPOSE 80 53/UDP"),
    *("-c", "VOLUME /vol"),
    *("-c", "HEALTHCHECK --interval=5s CMD true"),
    *("-c", "ONBUILD RUN x"),
]
# What says how containers of an image are run; the rest of docker's config is of one container.
FIELDS = (
    *("Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "OnBuild", "User"),
    *("Volumes", "WorkingDir", "StopSignal", "Shell"),
)
WISHES = {
    "nothing": ([], [], []),
    "a command": ([], ["ls", "-l"], []),
    "an entrypoint": (["--entrypoint", "/bin/sh"], ["-c", "echo hi"], []),
    "an entrypoint alone": (["--entrypoint", "/bin/sh"], [], []),
    "no entrypoint": (["--entrypoint", ""], ["ls"], []),
    "variables": (["-e", "B=2", "-e", "A=9", "-e", "B=3", "-e", "E="], [], []),
    "a user, a directory": (["-u", "5:6", "-w", "/etc"], [], []),
    "labels": (["-l", "l=2", "-l", "m=3", "-l", "bare"], [], []),
    "nothing said": (["-u", "", "-w", ""], [], []),
    "ENV": (["-e", "B=2"], [], ["ENV A=8 C=3", "ENV D=$B"]),
    "CMD": (["--entrypoint", "/bin/sh"], ["x"], ["CMD foo bar"]),
    "CMD []": ([], ["x"], ["CMD []"]),
    "ENTRYPOINT": ([], ["x"], ['ENTRYPOINT ["y"]']),
    "ENTRYPOINT and CMD": ([], ["x"], ['CMD ["z"]', 'ENTRYPOINT ["y"]']),
    "HEALTHCHECK": ([], [], ["HEALTHCHECK --retries=3 CMD foo"]),
    "no HEALTHCHECK": ([], [], ["HEALTHCHECK NONE"]),
    "the others": (
        ["-l", "m=3"],
        [],
        ["EXPOSE 99/udp 7-8", "LABEL z=y", "USER 7", "VOLUME /w", "WORKDIR sub", "ONBUILD ADD a b"],
    ),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    os.makedirs(folder / "etc")
    (folder / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    with tarfile.open(folder / "tiny.tar", "w") as archive:
        archive.add(folder / "etc", "etc")
    return str(folder / "tiny.tar")


@pytest.fixture(scope="module")
def both(docker, tiny, tmp_path_factory):
    """The same image in docker and in a Lamina store; functions that run the two."""
    folder = tmp_path_factory.mktemp("lamina")
    lamina = in_process(str(folder / "root"))
    for run in (docker, lamina):
        run("import", *IMAGE, tiny, "tiny:1")
        run("import", tiny, "bare:1")
    return docker, lamina


def committed(run, image, flags, command, changes):
    container = run("create", "--network", "host", *flags, image, *command).strip()
    words = [word for change in changes for word in ("-c", change)]
    image = run("commit", "-m", "msg", "-a", "me <a@b>", *words, container).strip()
    document = json.loads(run("inspect", image))[0]
    config = {key: document["Config"].get(key) or None for key in FIELDS}
    config["Env"] = sorted(config["Env"])  # docker's client shuffles what it is given
    return config, document["Author"], document["Comment"]


@pytest.mark.parametrize("name", WISHES)
def test_the_same_image_comes_of_the_same_wishes(both, name):
    docker, lamina = both
    assert committed(lamina, "tiny:1", *WISHES[name]) == committed(docker, "tiny:1", *WISHES[name])


def test_over_an_image_that_says_nothing(both):
    docker, lamina = both
    wishes = ["-e", "A=1"], ["ls", "/"], []
    assert committed(lamina, "bare:1", *wishes) == committed(docker, "bare:1", *wishes)


def test_history(both):
    found = []
    for run in both:
        container = run("create", "--network", "host", "tiny:1", "ls", "-l").strip()
        image = run("commit", "-m", "msg", container).strip()
        columns = "{{.CreatedBy}}|{{.Comment}}"
        found.append(run("history", "--no-trunc", "--format", columns, image))
    assert found[1] == found[0]


def test_what_docker_could_not_take_away(both):
    """docker lays the container's entrypoint over an empty one; here what is asked for is done."""
    _, lamina = both
    config, *_ = committed(lamina, "tiny:1", [], ["x"], ["ENTRYPOINT []"])
    assert config["Entrypoint"] is None


def test_inspect_tells_of_a_container_what_dockers_does(both):
    found = []
    for run in both:
        flags = ["--network", "host", "--hostname", "h", "-e", "B=2", "-i", "-u", "5", "-l", "m=2"]
        name = run("create", *flags, "tiny:1", "ls", "-l").strip()
        document = json.loads(run("inspect", name))[0]
        run("rm", name)
        config = {**document["Config"], "Env": sorted(document["Config"]["Env"])}
        found.append((config, document["Path"], document["Args"]))
    assert found[1] == found[0]
