"""Builds by docker's own clients against `lamina serve`, which are docker's classic ones."""

import io
import os
import re
import tarfile

import pytest

from tests.cli.rig import nothing_left
from tests.integration.docker_api.rig import connected

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

DOCKERFILE = """FROM base AS first
ARG WORD=none
RUN echo said $WORD; echo aside >&2
COPY file /file
FROM base
ENV KEY=value
RUN --mount=type=bind,source=file,target=/lent cat /lent
RUN <<EOF
echo from the document
EOF
COPY --from=first /file /kept
CMD ["cat", "/kept"]
"""


@pytest.fixture(autouse=True)
def _needs_crun(needs_program):
    needs_program("crun")


@pytest.fixture
def context(base):
    base.write("context/Dockerfile", DOCKERFILE)
    base.write("context/file", "words of the file\n")
    return os.path.join(base.folder, "context")


def test_a_build_is_told_as_docker_tells_it(docker, base, context):
    told = docker.ok("build", "-t", "app:1", "-t", "other", "--build-arg", "WORD=mine", context)
    assert "Step 3/10 : RUN echo said $WORD; echo aside >&2\nsaid mine\n" in told
    assert "words of the file\n" in told
    assert "from the document\n" in told
    image = re.search(r"Successfully built ([0-9a-f]{12})\n", told)
    assert image is not None
    assert told.endswith("Successfully tagged app:1\nSuccessfully tagged other:latest\n")
    assert docker.ok("images", "-q", "app:1") == f"{image[1]}\n"
    assert docker.ok("run", "--rm", "--network", "none", "app:1") == "words of the file\n"
    again = docker.ok("build", "-t", "app:1", "--build-arg", "WORD=mine", context)
    assert again.count("Using cache") == 8
    quiet = docker.ok("build", "-q", "--build-arg", "WORD=mine", context).strip()
    assert quiet == base.ok("images", "-q", "--no-trunc", "app:1").split()[0]


def test_what_fails_is_told_with_its_status(docker, base):
    with nothing_left(base):
        said = docker("build", "-", stdin=b"FROM base\nRUN echo before; exit 3\n")
        assert said.code == 3
        assert "before\n" in said.out
        assert (
            "The command '/bin/sh -c echo before; exit 3' returned a non-zero code: 3" in said.err
        )
        said = docker("build", "-", stdin=b"FRM base\n")
        assert said.code == 1
        assert "dockerfile parse error line 1: unknown instruction: FRM" in said.err
        assert docker("build", "--network", "mine", "-", stdin=b"FROM base\n").code == 1


def test_how_far_a_command_is_kept_apart(docker):
    text = b"FROM base\nRUN grep NoNewPrivs /proc/self/status\n"
    words = ["--cgroup-parent", "", "--security-opt", "no-new-privileges"]
    assert "NoNewPrivs:\t1\n" in docker.ok("build", *words, "-", stdin=text)


def test_the_cache_is_pruned(docker, base, context):
    docker.ok("build", context)
    assert "Total reclaimed space" in docker.ok("builder", "prune", "-f")
    assert "said none\n" in docker.ok("build", context)


def test_parameters_that_say_nothing_are_no_parameters(server):
    neutral = "cachefrom=[]&ulimits=null&networkmode=default&cpuperiod=0&memory=0&shmsize=0&buildargs={}&labels=null&target=&rm=1&version=1"
    body = _tar(Dockerfile=b"FROM base\nARG A=one\nLABEL a=b\n")
    answer = server.api("POST", f"/build?{neutral}&t=made", body)
    assert answer.status == 200, answer
    assert answer.records()[-1] == {"stream": "Successfully tagged made:latest\n"}
    image = next(each["aux"]["ID"] for each in answer.records() if "aux" in each)
    assert image.startswith("sha256:")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("version=2", 501),
        ("cgroupparent=/x/../y", 400),
        ("securityopt=what%3Dever", 400),
        ("outputs=x", 400),
        ("buildargs=[", 400),
        ("platform=nope/nope/nope/nope", 400),
        ("t=UPPER", 400),
    ],
)
def test_what_cannot_be_had_is_an_error_of_http(server, query, status):
    answer = server.api("POST", f"/build?{query}", _tar(Dockerfile=b"FROM base\n"))
    assert (answer.status, bool(answer.message)) == (status, True)


def test_who_leaves_ends_the_build(server, base):
    """The command of a build whose client is gone is killed, and nothing of it stays."""
    with nothing_left(base):
        body = _tar(Dockerfile=b"FROM base\nRUN echo begun; sleep 100000\n")
        with connected(server.path) as client:
            client.sendall(
                f"POST /build HTTP/1.1\r\nHost: d\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            got = b""
            while b"begun" not in got:
                got += client.recv(1 << 16)
        while _runs("100000"):
            pass
        while _threads(server.process.pid) > 1:
            pass


def _threads(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Threads:"))


def _runs(word):
    for each in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{each}/cmdline", "rb") as file:
                if word.encode() in file.read().split(b"\0"):
                    return True
        except OSError:
            continue
    return False


def _tar(**files):
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return held.getvalue()
