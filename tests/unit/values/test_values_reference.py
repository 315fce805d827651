"""Names of images against the published tables of distribution/reference, and their round trip."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.errors import InvalidReference
from lamina.values.digest import Digest
from lamina.values.reference import Reference

HEX = "0123456789abcdef" * 4


@pytest.fixture
def table(published_tables):
    def read(name):
        with open(os.path.join(published_tables, "reference", name), encoding="utf-8") as file:
            return json.load(file)

    return read


def refused(text):
    try:
        Reference.parse(text)
    except InvalidReference as error:
        return str(error)
    return ""


def test_what_is_a_name_and_what_is_none(table):
    cases = table("normalize.json")
    for text in cases["valid_names"] + cases["valid_remote_names"]:
        assert not refused(text), text
    for text in cases["invalid_names"] + cases["invalid_remote_names"]:
        assert refused(text), text


def test_forms_of_a_name(table):
    for case in table("normalize.json")["repository_info"]:
        forms = [case["FamiliarName"], case["FullName"], case["AmbiguousName"]]
        for text in filter(None, forms):
            found = Reference.parse(text)
            assert found.domain == case["Domain"], case
            assert found.path == case["RemoteName"], case
            assert found.familiar_name == case["FamiliarName"], case
            assert found.name == case["FullName"], case


def test_domains_and_paths(table):
    for case in table("normalize.json")["split_hostname"]:
        assert Reference.parse(case["input"])[:2] == (case["domain"], case["path"])


def test_any_reference(table):
    for case in table("normalize.json")["parse_any"]:
        if case["equivalent"].startswith("sha256:"):  # an ID, which is no name
            continue
        assert str(Reference.parse(case["reference"])) == case["equivalent"]


def test_tag_and_digest_together(table):
    case = table("normalize.json")["tag_and_digest"]
    found = Reference.parse(case["short"])
    assert (str(found), found.familiar) == (case["full"], case["short"])


def test_strict_references(table):
    """What the strict grammar takes is taken here, with the same tag and digest."""
    for case in table("parse.json")["parse"]:
        text = case["input"]
        # sha512 is refused there for want of an import; images may have it (image-spec).
        if "@sha512:" in text:
            assert Reference.parse(text).digest == Digest(text.partition("@")[2])
            continue
        if "err" in case:
            assert refused(text), text
            continue
        found = Reference.parse(text)
        assert found.tag == case.get("tag"), text
        assert found.digest == case.get("digest"), text
        assert found.name.endswith(case["repository"]), text


def test_expressions(table):
    """The grammar's parts, each put where a whole name has it."""
    cases = table("regexp.json")
    for case in cases["TestDomainRegexp"]:
        assert bool(refused(case["input"] + "/x")) != case["match"], case
    for case in cases["TestReferenceRegexp"]:
        assert bool(refused(case["input"])) != case["match"], case
    for case in cases["TestFullNameRegexp"]:
        text = case["input"]
        if len(text) < 256:  # an expression has no bound; a name has
            is_name = not refused(text) and Reference.parse(text)[2:] == (None, None)
            assert is_name == case["match"], case


# --- own --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("nginx:1", "docker.io/library/nginx:1", "nginx:1"),
        ("me/nginx", "docker.io/me/nginx:latest", "me/nginx:latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("reg:5000/x", "reg:5000/x:latest", "reg:5000/x:latest"),
        ("REG/x", "REG/x:latest", "REG/x:latest"),
        (f"x@sha256:{HEX}", f"docker.io/library/x@sha256:{HEX}", f"x@sha256:{HEX}"),
        (f"x:1@sha256:{HEX}", f"docker.io/library/x:1@sha256:{HEX}", f"x:1@sha256:{HEX}"),
    ],
)
def test_the_default_tag(text, full, familiar):
    found = Reference.parse(text).with_default_tag()
    assert (str(found), found.familiar) == (full, familiar)
    assert found.with_default_tag() == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the name is empty"),
        (":tag", "the name is empty"),
        ("Nginx", "must be in lower case"),
        ("a b", "'a b' is no image name"),
        ("a:", "'' is no tag"),
        ("a:b c", "'b c' is no tag"),
        ("a@b", "'b' is no digest"),
        ("http://x/y", "leave out the scheme"),
        ("../x", "'..' is no registry"),
        ("x.io:port/y", "'x.io:port' is no registry"),
        (HEX, "an ID, not a name"),
        ("a/" * 200 + "a", "over 255 characters"),
        ("a\n", "is no image name"),
        ("a:b\n", "is no tag"),
        ("é", "is no image name"),
        ("a" + "\ud800", "is no image name"),
        ("x" * 100000 + "!", "is no image name"),
        ("x" * 100000 + "!.io/y", "is no registry"),
    ],
)
def test_what_is_wrong_with_a_name_is_said(text, says):
    message = refused(text)
    assert says in message
    assert len(message) < 600


@given(st.text("aB0./:@_-[] é", max_size=30) | st.text(max_size=20))
def test_any_text_is_a_name_or_refused(text):
    if refused(text):
        return
    found = Reference.parse(text)
    assert Reference.parse(str(found)) == found
    assert Reference.parse(found.familiar) == found


NAMES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "localhost/", "x.io/", "x.io:5000/", "[::1]:80/", "Host/"]),
    st.sampled_from(["a", "library/a", "a/b/c", "a.b/c__d"]),
    st.sampled_from(["", ":1", ":x-1.y_z"]),
    st.sampled_from(["", f"@sha256:{HEX}", f"@sha512:{HEX * 2}"]),
)


@given(NAMES)
def test_what_is_stored_is_read_back(text):
    found = Reference.parse(text)
    assert Reference.stored(str(found)) == found
