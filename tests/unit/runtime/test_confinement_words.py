"""Rights, filters and devices as docker spells them, and what they come to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.errors import BadDocument, RuntimeFailure, UsageError
from lamina.runtime import spelling, tmpfs
from lamina.runtime.capabilities import DEFAULT, NUMBERS, granted, named
from lamina.runtime.confinement import Confinement, Device
from lamina.runtime.seccomp import check, converted
from lamina.runtime.syscalls import Machine, rendered

_EVERY = (1 << 41) - 1
_HERE = Machine("x86_64", (6, 1), frozenset(("CAP_SYS_CHROOT",)))
_EQUAL = "SCMP_CMP_EQ"


@pytest.mark.parametrize("text", ["net_admin", "NET_ADMIN", "CAP_NET_ADMIN", "cap_net_admin"])
def test_a_capability_has_one_name(text):
    assert named(text) == "CAP_NET_ADMIN"


@pytest.mark.parametrize(
    ("text", "hint"),
    [("NET_ADMN", "did you mean NET_ADMIN?"), ("what", "capabilities"), ("", "ALL")],
)
def test_an_unknown_capability_is_refused(text, hint):
    with pytest.raises(UsageError, match="unknown capability") as raised:
        named(text)
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ((), (), DEFAULT),
        (("CAP_BPF",), ("CAP_CHOWN",), DEFAULT - {"CAP_CHOWN"} | {"CAP_BPF"}),
        (("CAP_BPF",), ("ALL",), {"CAP_BPF"}),
        (("ALL",), ("CAP_BPF",), frozenset(NUMBERS) - {"CAP_BPF"}),
        (("ALL",), ("ALL",), frozenset(NUMBERS)),
        (("CAP_CHOWN",), ("CAP_CHOWN",), DEFAULT),
    ],
)
def test_capabilities_are_added_and_dropped_as_docker_does(add, drop, expected):
    assert set(granted(add, drop, privileged=False, bounding=_EVERY)) == expected


def test_a_privileged_process_loses_what_is_dropped():
    every = frozenset(NUMBERS)
    for drop, expected in (((), every), (("CAP_BPF",), every - {"CAP_BPF"}), (("ALL",), set())):
        assert set(granted((), drop, privileged=True, bounding=_EVERY)) == expected


def test_what_the_caller_lacks_is_left_out_unless_it_was_named():
    lacking = _EVERY & ~(1 << NUMBERS["CAP_BPF"]) & ~(1 << NUMBERS["CAP_CHOWN"])
    assert "CAP_CHOWN" not in granted((), (), privileged=False, bounding=lacking)
    assert "CAP_BPF" not in granted(("ALL",), (), privileged=False, bounding=lacking)
    assert "CAP_BPF" not in granted((), (), privileged=True, bounding=lacking)
    with pytest.raises(RuntimeFailure, match="CAP_BPF"):
        granted(("CAP_BPF",), (), privileged=False, bounding=lacking)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/dev/fuse", Device("/dev/fuse", "/dev/fuse", "rwm")),
        ("/dev/fuse:/dev/x", Device("/dev/fuse", "/dev/x", "rwm")),
        ("/dev/fuse:r", Device("/dev/fuse", "/dev/fuse", "r")),
        ("/dev/fuse:/dev/x:rw", Device("/dev/fuse", "/dev/x", "rw")),
        ("/dev/:/seen/", Device("/dev", "/seen", "rwm")),
        ("//dev/./net/", Device("/dev/net", "/dev/net", "rwm")),
    ],
)
def test_devices(text, expected):
    assert spelling.device(text) == expected


@pytest.mark.parametrize("text", ["", "fuse", "/a:b", "/a:/b:x", "/a:/b:rr", "/a:/b:", "/a:/b:r:w"])
def test_what_is_no_device(text):
    with pytest.raises(UsageError, match="invalid device"):
        spelling.device(text)


@pytest.mark.parametrize(
    ("option", "field", "value"),
    [
        ("no-new-privileges", "no_new_privileges", True),
        ("no-new-privileges:true", "no_new_privileges", True),
        ("no-new-privileges=false", "no_new_privileges", False),
        ("seccomp=unconfined", "seccomp", "unconfined"),
        ("seccomp=builtin", "seccomp", ""),
        ("seccomp:unconfined", "seccomp", "unconfined"),
        ("apparmor=mine", "apparmor", "mine"),
        ("systempaths=unconfined", "unmasked", True),
    ],
)
def test_security_options(option, field, value):
    assert getattr(spelling.with_security(Confinement(), [option]), field) == value


@pytest.mark.parametrize(
    "option",
    ["", "what", "seccomp=", "seccomp", "apparmor", "no-new-privileges=maybe", "label=type:x"],
)
def test_a_security_option_without_effect_is_refused(option):
    with pytest.raises(UsageError, match="unknown security option"):
        spelling.with_security(Confinement(), [option])


def test_a_profile_is_read_once(tmp_path):
    path = tmp_path / "profile.json"
    path.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    found = spelling.with_security(Confinement(), [f"seccomp={path}"])
    assert found.seccomp == path.read_text()
    path.write_text("[]")
    with pytest.raises(BadDocument, match="seccomp profile"):
        spelling.with_security(Confinement(), [f"seccomp={path}"])
    with pytest.raises(UsageError, match="No such file"):
        spelling.with_security(Confinement(), [f"seccomp={path}.none"])


@pytest.mark.parametrize(
    ("text", "words"),
    [("{}", "no action"), ('{"a": "' + "a" * (1 << 20) + '"}', "larger")],
)
def test_a_profile_that_is_no_file(text, words):
    with pytest.raises(UsageError, match=words):
        spelling.with_security(Confinement(), [f"seccomp={text}"])
    given = '{"defaultAction": "SCMP_ACT_ALLOW"}'
    assert spelling.with_security(Confinement(), [f"seccomp={given}"]).seccomp == given


def profile(**rule):
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]})


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ({}, True),
        ({"includes": {"caps": ["CAP_SYS_CHROOT"]}}, True),
        ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_CHROOT"]}}, False),
        ({"includes": {"arches": ["amd64"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "5.10"}}, True),
        ({"includes": {"minKernel": "6.2"}}, False),
        ({"excludes": {"minKernel": "6.1"}}, False),
    ],
)
def test_a_rule_holds_here_or_not(rule, holds):
    text = profile(names=["read"], action="SCMP_ACT_ALLOW", **rule)
    check(text)
    assert bool(converted(text, _HERE).rules) is holds


def test_a_rule_keeps_its_arguments_and_its_errno():
    argument = {"index": 0, "value": 8, "valueTwo": 0, "op": "SCMP_CMP_EQ"}
    text = profile(
        names=["socket"], action="SCMP_ACT_ERRNO", errnoRet=22, errno="EINVAL", args=[argument]
    )
    assert rendered(converted(text, _HERE))["syscalls"] == [
        {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22, "args": [argument]}
    ]


@pytest.mark.parametrize(
    "rule",
    [
        {"names": [], "action": "SCMP_ACT_ALLOW"},
        {"names": ["read"], "action": "allow"},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "unless": 1},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"moon": 1}},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"op": "EQ"}]},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "new"}},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": {"index": 0}},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": "CAP_BPF"}},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["BPF"]}},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": "amd64"}},
        {"names": "read", "name": "write", "action": "SCMP_ACT_ALLOW"},
        {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errno": "ENOTHING"},
        {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errno": "errorcode"},
        {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 << 16},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"op": _EQUAL, "index": 6}]},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"op": _EQUAL, "index": 1 << 32}]},
    ],
)
def test_a_rule_that_is_not_understood_is_refused(rule):
    with pytest.raises(UsageError, match="seccomp profile"):
        check(profile(**rule))


@pytest.mark.parametrize(
    "more",
    [
        {"listenerPath": "/x"},
        {"syscalls": {}},
        {"architectures": "SCMP_ARCH_X86"},
        {"architectures": [5]},
        {"archMap": ["SCMP_ARCH_X86"]},
        {"archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["x86"]}]},
        {"flags": ["FAST"]},
        {"defaultErrno": "ENOTHING"},
        {"defaultErrnoRet": 1 << 16},
    ],
)
def test_a_profile_that_is_not_understood_is_refused(more):
    with pytest.raises(UsageError, match="seccomp profile"):
        check(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", **more}))


def test_an_error_may_be_named():
    text = json.dumps(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrno": "ENOSYS",
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [{"name": "read", "action": "SCMP_ACT_ERRNO", "errno": "EPERM"}],
        }
    )
    found = rendered(converted(text, _HERE))
    assert (found["defaultErrnoRet"], found["syscalls"][0]["errnoRet"]) == (38, 1)
    assert found["flags"] == ["SECCOMP_FILTER_FLAG_LOG"]


def test_the_distributions_profile(needs_seccomp_profile):
    with open(needs_seccomp_profile) as file:
        found = rendered(converted(file.read(), _HERE))
    assert found["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    allowed = [
        name
        for rule in found["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]
    ]
    assert {"read", "chroot", "arch_prctl"} <= set(allowed)
    assert not {"bpf", "init_module"} & set(allowed)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ("nosuid", "nodev", "noexec", "mode=755")),
        (("exec", "size=1m"), ("nosuid", "nodev", "exec", "mode=755", "size=1m")),
        (
            ("size=10%", "nr_inodes=5K"),
            ("nosuid", "nodev", "noexec", "mode=755", "size=10%", "nr_inodes=5K"),
        ),
        (("mode=700", "ro"), ("nosuid", "nodev", "noexec", "mode=700", "ro")),
    ],
)
def test_options_of_a_tmpfs(options, expected):
    assert tmpfs.merged(options, 0o755) == expected


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "",
        "/x:what",
        "/x:size=",
        "/x:mode=rwx",
        "/x:size",
        "/x:ro=1",
        "/x:size=-1",
        "/x:size=much",
        "/x:uid=root",
        "/x:size=99999999999999999999",
        "/x:nr_inodes=1\n",
    ],
)
def test_what_is_no_tmpfs(text):
    with pytest.raises(UsageError, match="tmpfs"):
        tmpfs.spelled(text)


_names = st.lists(st.sampled_from(sorted(NUMBERS)), max_size=3).map(tuple)


@given(
    st.builds(
        Confinement,
        cap_add=_names,
        cap_drop=_names,
        no_new_privileges=st.booleans(),
        seccomp=st.text(),
        devices=st.lists(st.builds(Device, st.text(), st.text())).map(tuple),
        groups=st.lists(st.text()).map(tuple),
        shm_size=st.integers(0, 1 << 62),
        init=st.booleans(),
    )
)
def test_what_is_stored_is_read_back(confinement):
    stored = json.dumps(confinement._asdict())
    assert Confinement.from_facts(json.loads(stored)) == confinement
