"""Annotations as `--annotation` and as fields of `-o`: two spellings of the same."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.build.annotations import (
    INDEX,
    INDEX_DESCRIPTOR,
    MANIFEST,
    MANIFEST_DESCRIPTOR,
    at_level,
    parse_annotation,
    parse_field,
)
from lamina.build.outputs import parse_output
from lamina.errors import UsageError
from lamina.values.platform import Platform

HOST = Platform("linux", "amd64")
OTHER = Platform("linux", "arm64")
KEYS = st.text(
    st.characters(exclude_characters="=:,\0\r\n", exclude_categories=("Cs",)), min_size=1
)
VALUES = st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=("Cs",)))
LEVELS = st.sampled_from((MANIFEST, MANIFEST_DESCRIPTOR, INDEX, INDEX_DESCRIPTOR))
PLATFORMS = st.sampled_from(("", "[linux/amd64]", "[linux/arm64/v8]", "[arm64]"))


@given(KEYS, VALUES, LEVELS, PLATFORMS)
def test_both_spellings_mean_the_same(key, value, level, platform):
    try:
        (one,) = parse_annotation(f"{level}{platform}:{key}={value}", HOST)
    except UsageError:
        assert platform
        assert level in (INDEX, INDEX_DESCRIPTOR)
        with pytest.raises(UsageError):
            parse_field(f"annotation-{level}{platform}.{key}", value, "-o", HOST)
        return
    assert parse_field(f"annotation-{level}{platform}.{key}", value, "-o", HOST) == one
    quoted = f"annotation-{level}{platform}.{key}={value}".replace('"', '""')
    output = parse_output(f'type=oci,dest=x,"{quoted}"', HOST)
    assert output.annotations == (one,)
    there = OTHER if "arm64" in platform else HOST
    assert at_level([one], level, there) == {key: value}
    assert at_level([one], level, HOST if there is OTHER else OTHER) == (
        {} if platform else {key: value}
    )


@given(st.text(max_size=60))
def test_any_text_is_an_annotation_or_a_usage_error(text):
    for read in (
        lambda: parse_annotation(text, HOST),
        lambda: parse_field(f"annotation{text}", text, "-o", HOST),
        lambda: parse_output(f"type=oci,dest=x,{text}", HOST),
    ):
        with suppress(UsageError):
            read()


@given(KEYS, VALUES, VALUES)
def test_the_later_counts_and_a_platforms_own_wins(key, one, two):
    said = [each for text in (one, two) for each in parse_annotation(f"{key}={text}", HOST)]
    assert at_level(said, MANIFEST, HOST) == {key: two}
    own = parse_annotation(f"manifest[linux/arm64]:{key}={one}", HOST)
    assert at_level([*own, *said], MANIFEST, OTHER) == {key: one}
    assert at_level([*own, *said], MANIFEST, HOST) == {key: two}
