"""Image configs: every field of every wrong shape, and honest oddities that must load."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.errors import BadDocument
from lamina.spec.imageconfig import ImageConfig, format_time, parse_time
from lamina.values.digest import ChainID, DiffID, ImageID

ONE, TWO = DiffID.of(b"one"), DiffID.of(b"two")
WHOLE = {
    "architecture": "arm64",
    "author": "Somebody <s@example.org>",
    "config": {
        "Cmd": ["-g", "daemon off;"],
        "Entrypoint": ["/usr/sbin/nginx"],
        "Env": ["PATH=/bin", "EMPTY=", "A=b=c", "LINES=one\ntwo"],
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000},
        "Labels": {"size": "1", "Size": "2", "os": "x", "OS": "y", "": "empty"},
        "OnBuild": ["RUN true"],
        "Shell": ["/bin/bash", "-c"],
        "StopSignal": "SIGQUIT",
        "User": "1000:1000",
        "Volumes": {"/data": {}},
        "WorkingDir": "/srv",
        "X-Unknown": {"kept": [1, 2]},
    },
    "created": "2024-02-29T12:30:15.123456789Z",
    "history": [
        {"created": "2024-02-29T12:00:00Z", "created_by": "ADD rootfs.tar /"},
        {"created_by": 'CMD ["sh"]', "empty_layer": True, "comment": "c", "author": "a"},
        {"created_by": "RUN apt-get install nginx"},
    ],
    "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": [ONE, TWO]},
    "variant": "v8",
    "x-top": None,
}


def parsed(document):
    return ImageConfig.parse(json.dumps(document).encode())


def test_every_field_is_read():
    config = parsed(WHOLE)
    assert config.config.cmd == ("-g", "daemon off;")
    assert config.config.entrypoint == ("/usr/sbin/nginx",)
    assert config.config.env == ("PATH=/bin", "EMPTY=", "A=b=c", "LINES=one\ntwo")
    assert config.config.exposed_ports == ("80/tcp", "53/udp")
    assert config.config.labels == {"size": "1", "Size": "2", "os": "x", "OS": "y", "": "empty"}
    assert config.config.on_build == ("RUN true",)
    assert config.config.shell == ("/bin/bash", "-c")
    assert config.config.stop_signal == "SIGQUIT"
    assert config.config.user == "1000:1000"
    assert config.config.volumes == ("/data",)
    assert config.config.working_dir == "/srv"
    assert (config.os, config.architecture, config.variant) == ("linux", "arm64", "v8")
    assert config.author == "Somebody <s@example.org>"
    assert [entry.empty_layer for entry in config.history] == [False, True, False]
    assert config.history[1].comment == "c"
    assert config.diff_ids == (ONE, TWO)
    assert config.top_chain == ChainID.extend(ChainID(ONE), TWO)
    assert config.created_at == pytest.approx(1709209815.123456789)


def test_the_bytes_are_kept_and_name_the_image():
    raw = b'  {"os" : "linux",\n"rootfs":{"type":"layers"}}\n'
    config = ImageConfig.parse(raw)
    assert config.raw == raw
    assert config.id == ImageID.of(raw)
    assert config.top_chain is None
    assert config.created_at == 0


def test_everything_may_be_missing_or_null():
    for document in ({}, dict.fromkeys(WHOLE), {"config": dict.fromkeys(WHOLE["config"])}):
        config = parsed(document)
        assert config.diff_ids == ()
        assert config.config.env is None
        assert config.config.cmd is None
        assert config.history == ()


def test_a_document_and_its_bytes_are_one():
    config = ImageConfig.of(WHOLE)
    assert ImageConfig.parse(config.raw) == config
    assert config.document["x-top"] is None
    assert config.document["config"]["X-Unknown"] == {"kept": [1, 2]}


@pytest.mark.parametrize("solid", [0, 1, 3, 50])
def test_history_that_tells_of_other_layers_is_honest(solid):
    """The image-spec's own example does; jib, kaniko and umoci have made such images."""
    config = parsed({**WHOLE, "history": [{"created_by": "x"}] * solid})
    assert len(config.history) == solid
    assert len(config.diff_ids) == 2


def paths(value, at=()):
    """Every place within a document."""
    yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*at, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from paths(inner, (*at, number))


def replaced(document, at, new):
    made = copy.deepcopy(document)
    if not at:
        return new
    inner = made
    for step in at[:-1]:
        inner = inner[step]
    inner[at[-1]] = new
    return made


def read_or_complaint(raw):
    try:
        return ImageConfig.parse(raw)
    except BadDocument as error:
        return str(error)


@pytest.mark.parametrize("at", list(paths(WHOLE)), ids=lambda at: ".".join(map(str, at)) or "all")
def test_any_place_may_hold_anything(at):
    """CVE-2021-21285, CVE-2024-36620: read, or refused in one sentence; nothing else."""
    for new in (None, [], {}, "x", 7, -1, 1.5, True, [None], [[]], {"a": None}, "a\0b", "\ud800"):
        raw = json.dumps(replaced(WHOLE, at, new)).encode()
        config = read_or_complaint(raw)
        if isinstance(config, str):
            assert "\n" not in config
            continue
        assert config.raw == raw
        format_time(config.created_at)
        json.dumps(config.document).encode("utf-8")
        assert all(isinstance(each, DiffID) for each in config.diff_ids)
        assert all("=" in each for each in config.config.env or ())


MALFORMED_DIGESTS = [
    "",
    "sha256",
    "sha256:",
    "sha256:" + "a" * 63,
    "sha256:" + "a" * 65,
    "sha256:" + "A" * 64,
    "sha256:" + "g" * 64,
    "SHA256:" + "a" * 64,
    "md5:" + "a" * 32,
    "sha256:../../../etc/passwd",
    "sha256:" + "a" * 61 + "/..",
    "sha256:" + "a" * 63 + "\n",
    "sha256:sha256:" + "a" * 64,
    "a" * 64,
    "sha512:" + "a" * 64,
    "sha256:" + "\u0661" * 64,
]


@pytest.mark.parametrize("text", MALFORMED_DIGESTS)
def test_a_malformed_diff_id_is_refused(text):
    with pytest.raises(BadDocument, match="invalid digest"):
        parsed({"rootfs": {"type": "layers", "diff_ids": [ONE, text]}})


def test_another_kind_of_root_is_refused():
    with pytest.raises(BadDocument, match="unknown type 'blocks'"):
        parsed({"rootfs": {"type": "blocks", "diff_ids": []}})


@pytest.mark.parametrize(
    "document",
    [
        {"Rootfs": {}},
        {"rootfs": {"Diff_IDs": [ONE]}},
        {"config": {"user": "root", "User": "nobody"}},
        {"config": {"ENV": ["A=b"]}},
        {"history": [{"Empty_Layer": True}]},
    ],
    ids=str,
)
def test_keys_that_go_reads_in_any_case_are_refused(document):
    with pytest.raises(BadDocument, match="some readers take for another"):
        parsed(document)


def test_a_bare_name_in_env_asks_for_nothing_of_the_host():
    """CVE-2026-57231: neither `HOME` nor `HOME*` may pull a value in."""
    config = parsed({"config": {"Env": ["HOME", "*", "=x", "A=1", ""]}})
    assert config.config.env == ("A=1",)


TIMES = {
    "1970-01-01T00:00:00Z": 0,
    "2024-02-29T12:30:15Z": 1709209815,
    "2024-02-29T13:30:15+01:00": 1709209815,
    "2024-02-29T07:00:15.5-05:30": 1709209815.5,
    "1969-12-31T23:59:59Z": -1,
    "9999-12-30T00:00:00Z": 253402128000,
}


@pytest.mark.parametrize("text", TIMES)
def test_times_are_read(text):
    assert parse_time(text) == TIMES[text]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "now",
            "2024",
            "2024-02-30T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
        ),
        *("2024-01-01 00:00:00Z", "2024-01-01T00:00:00", "0001-01-01T00:00:00Z"),
        *("0000-00-00T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+99:99"),
        *("2024-01-01T00:00:00.1234567890Z", "\u0662024-01-01T00:00:00Z", "2024-01-01T00:00:00Z\n"),
    ],
)
def test_what_is_no_time_is_the_epoch(text):
    assert parse_time(text) == 0


@settings(max_examples=200, deadline=None)
@given(st.floats(-6.2e10, 2.5e11) | st.integers(0, 2**33).map(float))
def test_times_are_written_as_they_are_read(seconds):
    text = format_time(seconds)
    assert parse_time(text) == pytest.approx(seconds, abs=1e-6)
    assert format_time(parse_time(text))[:19] == text[:19]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_time_is_too_odd_to_be_shown(seconds):
    assert format_time(seconds).endswith("Z")


def test_fractions_carry_over():
    assert format_time(1.9999999999) == "1970-01-01T00:00:02Z"
    assert format_time(0.5) == "1970-01-01T00:00:00.5Z"
    assert format_time(-0.25) == "1969-12-31T23:59:59.75Z"
