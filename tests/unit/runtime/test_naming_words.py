"""Names, ports and kernel parameters as docker spells them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.errors import UsageError
from lamina.runtime import hostfiles, spelling
from lamina.runtime.naming import Naming, naming
from lamina.runtime.ports import ports
from lamina.runtime.process import Process


def named(hosts=(), servers=(), search=(), options=(), network="host"):
    return naming(hosts, servers, search, options, network)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db:10.0.0.5", ("db", "10.0.0.5")),
        ("db=10.0.0.5", ("db", "10.0.0.5")),
        ("db:fd00::1", ("db", "fd00::1")),
        ("db=[fd00::1]", ("db", "fd00::1")),
        ("me:host-gateway", ("me", "127.0.0.1")),
    ],
)
def test_hosts(text, expected):
    assert named([text]).hosts == (expected,)


@pytest.mark.parametrize(
    "text", ["", "db", "db:", ":1.2.3.4", "d b:1.2.3.4", "db:1.2.3", "db:\n1.2.3.4"]
)
def test_what_is_no_host(text):
    with pytest.raises(UsageError):
        named([text])


def test_this_machine_is_not_reached_without_a_network():
    with pytest.raises(UsageError, match="no network"):
        named(["me:host-gateway"], network="none")


@pytest.mark.parametrize(
    "said", [{"servers": ["one"]}, {"search": ["a b"]}, {"options": ["a\x07"]}]
)
def test_what_is_no_resolver(said):
    with pytest.raises(UsageError):
        named(**said)


def resolvers(monkeypatch, host, **said):
    monkeypatch.setattr(hostfiles, "_read", lambda path: host)
    found = hostfiles.contents(Process(("true",), naming=named(**said)))
    return dict(found)["resolv.conf"]


def test_each_kind_of_line_is_replaced_alone(monkeypatch):
    host = b"# a comment\ndomain x\nsearch y z\nnameserver 9.9.9.9\noptions edns0\n"
    assert resolvers(monkeypatch, host) == host
    assert resolvers(monkeypatch, host, servers=["1.1.1.1"]) == (
        b"# a comment\ndomain x\nsearch y z\noptions edns0\nnameserver 1.1.1.1\n"
    )
    assert resolvers(monkeypatch, host, search=["a", "b"], options=["ndots:2 rotate"]) == (
        b"# a comment\nnameserver 9.9.9.9\nsearch a b\noptions ndots:2 rotate\n"
    )
    assert b"search" not in resolvers(monkeypatch, host, search=["."])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", ("80/tcp",)),
        ("53/udp", ("53/udp",)),
        ("80-82/sctp", ("80/sctp", "81/sctp", "82/sctp")),
    ],
)
def test_ports(text, expected):
    assert ports([text]) == expected


@pytest.mark.parametrize("text", ["", "0", "65536", "80/icmp", "90-80", "80-", "-80", "http", "²"])
def test_what_is_no_port(text):
    with pytest.raises(UsageError, match="invalid port"):
        ports([text])


@pytest.mark.parametrize(
    ("key", "network", "ipc", "allowed"),
    [
        ("net.ipv4.ip_forward", "none", "", True),
        ("net.ipv4.ip_forward", "host", "", False),
        ("kernel.shmmax", "host", "", True),
        ("kernel.shmmax", "host", "host", False),
        ("fs.mqueue.msg_max", "host", "", True),
        ("kernel.panic", "none", "", False),
        ("vm.swappiness", "none", "", False),
    ],
)
def test_kernel_parameters(key, network, ipc, allowed):
    if allowed:
        assert spelling.sysctls([(key, "1")], network, ipc) == ((key, "1"),)
        return
    with pytest.raises(UsageError, match="kernel parameter"):
        spelling.sysctls([(key, "1")], network, ipc)


_words = st.lists(st.text()).map(tuple)


@given(
    st.builds(Naming, st.lists(st.tuples(st.text(), st.text())).map(tuple), _words, _words, _words)
)
def test_what_is_stored_is_read_back(said):
    assert Naming.from_facts(json.loads(json.dumps(said))) == said
