"""The OCI document that a process becomes, and the environment and files it gets."""

import json

import pytest

from lamina.errors import UsageError
from lamina.runtime import bundle, hostfiles
from lamina.runtime.isolation import choose, why
from lamina.runtime.naming import Naming
from lamina.runtime.process import Process, environment
from lamina.runtime.users import Credentials

_ALL = (1 << 41) - 1
_HOST = bundle.Host(_ALL, -1, ("null", "zero"))


def document(process=None, credentials=None, host=_HOST, mounts=(), hook=()):
    process = process or Process(("true",))
    credentials = credentials or Credentials(0, 0, (), "/root")
    data = bundle.config(process, credentials, root="/r", host=host, mounts=mounts, hook=hook)
    return json.loads(data)


def test_capabilities_are_dockers_fourteen():
    granted = document()["process"]["capabilities"]
    assert len(granted["bounding"]) == 14
    assert granted["effective"] == granted["permitted"] == granted["bounding"]
    assert granted["inheritable"] == granted["ambient"] == []


def test_capabilities_stay_within_the_callers():
    granted = document(host=_HOST._replace(bounding=1 << 0 | 1 << 21))["process"]["capabilities"]
    assert granted["bounding"] == ["CAP_CHOWN"]


def test_a_user_has_none_in_effect():
    granted = document(credentials=Credentials(5, 5, (), "/"))["process"]["capabilities"]
    assert granted["effective"] == []
    assert len(granted["bounding"]) == 14


def test_every_mount_but_single_devices_is_nodev():
    binds = (bundle.BindMount("/s", "/v", False), bundle.BindMount("/dev/fuse", "/f", False, True))
    for mount in document(mounts=binds)["mounts"]:
        if mount["destination"] in ("/dev/null", "/dev/zero", "/dev/pts", "/f"):
            assert "nodev" not in mount["options"]
        else:
            assert "nodev" in mount["options"]


def test_networks():
    kinds = [each["type"] for each in document()["linux"]["namespaces"]]
    assert "network" not in kinds
    kinds = [
        each["type"] for each in document(Process(("x",), network="none"))["linux"]["namespaces"]
    ]
    assert "network" in kinds


def test_no_core_dumps_and_no_raised_limits():
    limits = document()["process"]["rlimits"]
    assert limits == [{"type": "RLIMIT_CORE", "hard": (1 << 64) - 1, "soft": 0}]
    limits = document(host=_HOST._replace(core=0))["process"]["rlimits"]
    assert limits == [{"type": "RLIMIT_CORE", "hard": 0, "soft": 0}]


def test_no_hook_unless_it_is_asked_for():
    assert document()["hooks"] == {}
    hook = document(hook=("/bin/x", "a"))["hooks"]["createContainer"]
    assert hook == [{"path": "/bin/x", "args": ["/bin/x", "a"]}]


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        (Process(("x",)), ("PATH=", "HOSTNAME=lamina", "HOME=/h")),
        (Process(("x",), tty=True), ("PATH=", "HOSTNAME=lamina", "TERM=xterm", "HOME=/h")),
        (
            Process(("x",), ("HOME=/own", "PATH=/p", "A=")),
            ("HOSTNAME=lamina", "HOME=/own", "PATH=/p", "A="),
        ),
        (Process(("x",), ("=x", "B")), ("PATH=", "HOSTNAME=lamina", "HOME=/h")),
    ],
)
def test_environment(process, expected):
    given = environment(process, "/h")
    assert len(given) == len(expected)
    assert all(one.startswith(other) for one, other in zip(given, expected, strict=True))


def test_host_files():
    files = dict(hostfiles.contents(Process(("true",), hostname="h")))
    with open("/etc/hosts", "rb") as file:
        assert files["hosts"] == file.read() + b"127.0.0.1\th\n"
    assert files["hostname"] == b"h\n"
    assert (
        b"127.0.0.1\tlocalhost"
        in dict(hostfiles.contents(Process(("true",), network="none")))["hosts"]
    )


@pytest.mark.parametrize(
    ("process", "rows"),
    [
        (Process(("true",), hostname="h", network="none"), ["127.0.0.1\th"]),
        (Process(("true",), hostname="localhost", network="none"), []),
        (
            Process(("true",), hostname="h", network="none", naming=Naming((("h", "10.0.0.1"),))),
            ["10.0.0.1\th"],
        ),
    ],
)
def test_a_containers_own_name_is_known_once(process, rows):
    hosts = dict(hostfiles.contents(process))["hosts"].decode().splitlines()
    assert hosts == ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", *rows]


def test_isolations_say_why(monkeypatch):
    monkeypatch.setattr("lamina.runtime.isolation.has_capability", lambda _: False)
    assert [verdict.works for verdict in why()] == [False, False, True]
    chosen = choose(None)
    assert chosen.name == "chroot"
    assert "not crun: mounting is not allowed" in chosen.reason
    with pytest.raises(UsageError):
        choose("lxc")


def test_a_missing_helper_is_named(monkeypatch):
    monkeypatch.setattr("lamina.runtime.isolation.has_capability", lambda _: True)
    monkeypatch.setattr(
        "lamina.runtime.isolation.find_program", lambda name: None if name == "cat" else f"/{name}"
    )
    assert "cat is not installed (package coreutils)" in choose(None).reason
