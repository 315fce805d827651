"""Challenges as registries write them, and whom a registry may send its users to."""

import pytest

from lamina.errors import RegistryError
from lamina.registry.address import Address, host_of, same_host
from lamina.registry.answers import begins_at, complaint, next_page, seconds_to_wait
from lamina.registry.challenge import parse, trusted_realm

HUB = Address("https", "registry-1.docker.io")


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (['Basic realm="r"'], [("basic", "r", "", "")]),
        (
            ['Bearer realm="https://a/token",service="s",scope="repository:x:pull,push"'],
            [("bearer", "https://a/token", "s", "repository:x:pull,push")],
        ),
        (
            ['bearer REALM="https://a/t" , Service=s, error="invalid_token"'],
            [("bearer", "https://a/t", "s", "")],
        ),
        (
            ['Negotiate, Bearer realm="https://a/t", Basic realm="b"'],
            [("negotiate", "", "", ""), ("bearer", "https://a/t", "", ""), ("basic", "b", "", "")],
        ),
        (
            ['Bearer realm="https://a/t"', "Basic realm=b"],
            [("bearer", "https://a/t", "", ""), ("basic", "b", "", "")],
        ),
        (['Basic realm="a \\"quoted\\" one"'], [("basic", 'a "quoted" one', "", "")]),
        ([], []),
        ([""], []),
        (["=="], []),
        (['Bearer realm="never ends'], [("bearer", "", "", "")]),
    ],
)
def test_challenges(headers, found):
    assert [tuple(each) for each in parse(headers)][: len(found)] == found


@pytest.mark.parametrize("header", ["a" * 100_000, 'Bearer realm="' + "x\\" * 50_000, "," * 50_000])
def test_a_long_header_takes_no_time(header):
    parse([header] * 10)


@pytest.mark.parametrize(
    "realm",
    [
        "http://auth.docker.io/token",  # without TLS
        "https://127.0.0.1/token",
        "https://localhost/token",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/token",
        "ftp://auth/token",
        "file:///etc/passwd",
        "https://user:word@auth/token",
        "",
        "https://[broken",
    ],
)
def test_a_realm_that_no_registry_may_choose(realm):
    with pytest.raises(RegistryError):
        trusted_realm(realm, HUB)


def test_realms_that_a_registry_may_choose():
    assert trusted_realm("https://auth.docker.io/token", HUB)
    own = Address("http", "127.0.0.1:5000")
    assert trusted_realm("http://127.0.0.1:5001/token", own)
    assert trusted_realm("https://localhost/token", own)


def test_hosts():
    assert host_of("docker.io") == "registry-1.docker.io"
    assert host_of("quay.io") == "quay.io"
    assert same_host("https://a/x", "https://a:443/y")
    assert not same_host("https://a/x", "http://a/x")
    assert not same_host("https://a:1/x", "https://a:2/x")


def test_what_a_registry_says_is_cut_and_made_printable():
    said = b'{"errors":[{"code":"DENIED","message":"not\\u001b[31m for you"},{"code":"X"}]}'
    assert complaint(said, "403") == "not [31m for you; X"
    assert complaint(b"<html>", "502 Bad Gateway") == "502 Bad Gateway"
    assert complaint(b"[1]", "404 Not Found") == "404 Not Found"
    assert complaint(b'{"errors":"no"}', "404") == "404"
    assert len(complaint(b'{"message":"' + b"x" * 5000 + b'"}', "")) == 300


def test_pages_ranges_and_patience():
    assert next_page('</v2/x/tags/list?last=b&n=2>; rel="next"', "https://a/v2/x/tags/list") == (
        "https://a/v2/x/tags/list?last=b&n=2"
    )
    assert next_page(None, "https://a/") is None
    assert begins_at("bytes 5-9/10") == 5
    assert begins_at("bytes */10") is None
    assert begins_at(None) is None
    assert seconds_to_wait("7") == 7
    assert seconds_to_wait("Wed, 21 Oct 2015 07:28:00 GMT") is None
    assert seconds_to_wait("-1") is None
