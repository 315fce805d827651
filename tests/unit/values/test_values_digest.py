"""Digests, IDs and ages: checked once, where they come in."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.errors import InvalidDigest, UsageError
from lamina.values.ages import age
from lamina.values.digest import ChainID, DiffID, Digest, ImageID, chain_ids
from lamina.values.ids import ContainerID, LayerID

HEX = "0123456789abcdef" * 4


def test_a_digest_knows_its_parts():
    found = Digest(f"sha256:{HEX}")
    assert (found.algorithm, found.hex, found.short) == ("sha256", HEX, HEX[:12])
    assert Digest.of(b"") == "sha256:" + hashlib.sha256().hexdigest()
    assert ImageID.from_raw(bytes.fromhex(HEX)) == found


@pytest.mark.parametrize(
    "text",
    [
        "", ":", HEX, f"sha256:{HEX[:-1]}", f"sha256:{HEX}0", f"sha256:{HEX.upper()}",
        f"sha512:{HEX}", f"md5:{HEX[:32]}", f"sha256:{HEX[:-1]}\n", f" sha256:{HEX}",
        f"sha256:{HEX[:-1]}/", f"sha256::{HEX}",
    ],
)  # fmt: skip
def test_what_is_no_digest(text):
    with pytest.raises(InvalidDigest):
        Digest(text)


@pytest.mark.parametrize(
    "text", ["", HEX[:-1], HEX + "0", HEX.upper(), "../" + HEX[3:], HEX[:-1] + "\n"]
)
@pytest.mark.parametrize("kind", [LayerID, ContainerID])
def test_what_is_no_id(kind, text):
    with pytest.raises(UsageError):
        kind(text)


def test_chain_ids():
    """image-spec, config.md: ChainID(A|B) = Digest(ChainID(A) + " " + DiffID(B))."""
    one, two, three = (DiffID.of(bytes([n])) for n in range(3))
    first = ChainID(one)
    second = ChainID.of(f"{one} {two}".encode())
    third = ChainID.of(f"{second} {three}".encode())
    assert chain_ids([one, two, three]) == (first, second, third)
    assert chain_ids([]) == ()


@given(st.text(max_size=80))
def test_any_text_is_a_digest_or_refused(text):
    for made in (text, f"sha256:{text}"):
        try:
            assert str(Digest(made)) == made
        except InvalidDigest as error:
            message = str(error)
            assert len(message) < 600


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "Less than a second"), (0.9, "Less than a second"), (1, "1 second"),
        (59, "59 seconds"), (60, "About a minute"), (3599, "59 minutes"), (3600, "About an hour"),
        (7200, "2 hours"), (2 * 86400, "2 days"), (14 * 86400, "2 weeks"),
        (70 * 86400, "2 months"), (800 * 86400, "2 years"),
    ],
)  # fmt: skip
def test_ages(seconds, words):
    assert age(seconds) == words
