"""Limits as docker spells them, and what docker refuses of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.errors import UsageError
from lamina.runtime.limits import Limits, Ulimit, check, cpus, members, ulimit
from lamina.runtime.resources import resources, rlimits

_MB = 1 << 20


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 10**9),
        ("1.5", 1_500_000_000),
        (".5", 5 * 10**8),
        ("0.000000001", 1),
        ("2.", 2 * 10**9),
    ],
)
def test_numbers_of_processors(text, expected):
    assert cpus(text) == expected


@pytest.mark.parametrize("text", ["", ".", "-1", "1e3", "1.0000000001", "one", "1,5", "²"])
def test_what_is_no_number_of_processors(text):
    with pytest.raises(UsageError, match="number of processors"):
        cpus(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nofile=1024", Ulimit("nofile", 1024, 1024)),
        ("nofile=1024:2048", Ulimit("nofile", 1024, 2048)),
        ("core=-1", Ulimit("core", -1, -1)),
        ("memlock=0:unlimited", Ulimit("memlock", 0, -1)),
    ],
)
def test_ulimits(text, expected):
    assert ulimit(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "files=1", "nofile", "nofile=", "nofile=x", "nofile=2:1", "nofile=-1:5"),
        *("nofile=-2", "nofile=5:", "nofile= 5", "nofile=1_000", "nofile=+5", "nofile=²"),
        *("nofile=٣", "nofile=5\n", f"nofile={1 << 63}", "nofile=" + "9" * 5000),
    ],
)
def test_what_is_no_ulimit(text):
    with pytest.raises(UsageError, match="limit"):
        ulimit(text)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"memory": 5 * _MB}, "6m at least"),
        ({"memory_swap": 9 * _MB}, "needs one of memory"),
        ({"memory": 9 * _MB, "memory_swap": 8 * _MB}, "smaller than that of memory"),
        ({"memory": 9 * _MB, "memory_reservation": 10 * _MB}, "larger than the memory limit"),
        ({"nano_cpus": 2_000_000_001}, "there are 2"),
        ({"nano_cpus": 9_999_999}, "0.01"),
        ({"nano_cpus": 10**9, "cpu_quota": 5000}, "twice"),
        ({"cpu_period": 999}, "1000000"),
        ({"cpuset_cpus": "0-1,x"}, "invalid list"),
        ({"cpuset_mems": "0-1-2"}, "invalid list"),
        ({"cpuset_cpus": "1-0"}, "invalid list"),
        ({"pids": (4 << 20) + 1}, "4194304"),
        ({"cpu_shares": -1}, "negative"),
        ({"blkio_weight": 9}, "10 and 1000"),
        ({"oom_score_adj": 1001}, "-1000 and 1000"),
        ({"memory_swappiness": 101}, "0 and 100"),
    ],
)
def test_what_docker_refuses(said, words):
    with pytest.raises(UsageError) as raised:
        check(Limits(**said), 2)
    assert words in str(raised.value)


def test_a_limit_of_memory_brings_one_of_swap():
    assert resources(Limits(memory=8 * _MB))["memory"] == {"limit": 8 * _MB, "swap": 16 * _MB}
    assert resources(Limits(memory=8 * _MB), swap=False)["memory"] == {"limit": 8 * _MB}
    assert resources(Limits(memory=1 << 62))["memory"]["swap"] == (1 << 63) - 1
    check(Limits(memory_swap=-1), 2)
    unlimited = resources(Limits(memory=8 * _MB, memory_swap=-1))
    assert unlimited["memory"]["swap"] == -1


def test_processors_are_a_quota():
    assert resources(Limits(nano_cpus=1_500_000_000)) == {
        "cpu": {"quota": 150_000, "period": 100_000}
    }
    assert resources(Limits()) == {}


@pytest.mark.parametrize(("said", "expected"), [(1, 2), (512, 512), (10**9, 262_144)])
def test_shares_are_what_the_kernel_takes(said, expected):
    assert resources(Limits(cpu_shares=said)) == {"cpu": {"shares": expected}}


def test_the_members_of_a_list():
    assert members("0-2,5,7-7") == {0, 1, 2, 5, 7}


def test_no_core_dumps_unless_they_are_asked_for():
    assert rlimits(Limits(), -1) == [{"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1}]
    said = rlimits(Limits(ulimits=(Ulimit("core", -1, -1), Ulimit("nofile", 1, 2))), 0)
    assert said == [
        {"type": "RLIMIT_CORE", "soft": 2**64 - 1, "hard": 2**64 - 1},
        {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2},
    ]


def test_what_needs_a_control_group():
    assert not Limits().needs_group
    assert not Limits(ulimits=(Ulimit("core", 0, 0),), oom_score_adj=5).needs_group
    assert Limits(pids=1).needs_group
    assert Limits(memory_swappiness=0).needs_group


@given(
    st.builds(
        Limits,
        memory=st.integers(0, 1 << 60),
        cpuset_cpus=st.text(),
        oom_score_adj=st.integers(),
        ulimits=st.lists(st.builds(Ulimit, st.text(), st.integers(), st.integers())).map(tuple),
    )
)
def test_what_is_stored_is_read_back(limits):
    assert Limits.from_facts(json.loads(json.dumps(limits._asdict()))) == limits
