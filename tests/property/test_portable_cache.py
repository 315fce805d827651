"""A cache's document: what is written is read back, and whatever else comes is refused as a whole."""

import json

from hypothesis import given
from hypothesis import strategies as st

from lamina.build.mountname import MountName
from lamina.build.portable import dump, linked, parse
from lamina.build.record import Filling, Link, Portable, Record
from lamina.errors import BadDocument
from lamina.spec import strictjson
from lamina.values.digest import BlobDigest, ChainID, DiffID

_HEX = st.integers(0, (1 << 256) - 1).map(lambda number: f"sha256:{number:064x}")
_TIMES = st.floats(0, 2_000_000_000, allow_nan=False)
_LINKS = st.builds(
    Link,
    _HEX.map(DiffID),
    st.none() | _HEX.map(ChainID),
    st.none() | _HEX.map(BlobDigest),
)
_RECORDS = st.one_of(
    st.builds(Record, st.none() | _HEX.map(ChainID), st.just("{}"), _TIMES),
    st.builds(lambda text: Record(None, json.dumps({"digest": text}), 0.0), _HEX),
    st.builds(
        lambda uid, gid: Record(None, json.dumps({"owner": f"{uid}:{gid}"}), 0.0),
        st.integers(0, 65_535),
        st.integers(0, 65_535),
    ),
)
_NAMES = st.builds(
    MountName,
    st.text(min_size=1).filter(str.isprintable),
    st.none() | _HEX.map(ChainID),
    st.integers(0, 0o7777),
    st.integers(0, 65_535),
    st.integers(0, 65_535),
)
_FILLINGS = st.builds(
    Filling, _NAMES, _HEX.map(DiffID), st.integers(0, 1 << 42), _HEX.map(BlobDigest)
)
_CACHES = st.builds(
    Portable,
    st.dictionaries(_HEX, _RECORDS),
    st.lists(_LINKS).map(linked),
    st.lists(_FILLINGS).map(lambda found: {each.name.key: each for each in found}),
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | _HEX,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
_FIELDS = ("version", "layers", "steps", "contents", "owners", "mounts")
_ROW_FIELDS = ("key", "chain", "created", "diffId", "below", "blob", "digest", "owner")
_ROW_FIELDS += ("id", "mode", "parent", "size")
_ROWS = st.lists(st.dictionaries(st.sampled_from(_ROW_FIELDS), _JSON))


@given(_CACHES)
def test_what_is_written_is_read_back(found):
    raw = strictjson.dump(dump(found))
    again = parse(strictjson.parse(raw, "build cache"), "here")
    assert (again.links, again.mounts) == (found.links, found.mounts)
    assert again.records.keys() == found.records.keys()
    for key, record in found.records.items():
        told = again.records[key]
        assert (told.chain_id, told.created, told.source) == (
            record.chain_id,
            record.created,
            "here",
        )
        assert json.loads(record.inputs).items() <= json.loads(told.inputs).items()
    assert strictjson.dump(dump(again)) == raw


@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON | _ROWS).map(lambda d: {"version": 1, **d}))
def test_anything_else_is_refused_in_one_way(document):
    try:
        found = parse(document, "here")
    except BadDocument:
        return
    assert all(
        ChainID.extend(link.below, link.diff_id) == chain for chain, link in found.links.items()
    )
