"""Sizes as docker prints and reads them (docker/go-units)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.errors import InvalidSize
from lamina.values.size import human, human_binary, parse


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"), (1, "1B"), (999, "999B"), (1000, "1kB"), (1024, "1.02kB"), (1_980_000, "1.98MB"),
        (377_000_000, "377MB"), (210_600_000, "211MB"), (1_500_000_000, "1.5GB"), (10**12, "1TB"),
        (999_499, "999kB"), (999_999, "1MB"),  # never 1e+03kB
        (2**63, "9.22EB"), (10**22, "10000EB"),
    ],
)  # fmt: skip
def test_decimal(size, text):
    assert human(size) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"), (1023, "1023B"), (1024, "1KiB"), (1_380_000, "1.316MiB"), (1 << 30, "1GiB"),
        (1023 << 10, "1023KiB"), ((1 << 20) - 1, "1MiB"), (16_716_800_000, "15.57GiB"),
    ],
)  # fmt: skip
def test_binary(size, text):
    assert human_binary(size) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("512", 512), ("32b", 32), ("32B", 32), ("32k", 32 << 10), ("32K", 32 << 10),
        ("32kb", 32 << 10), ("32Kib", 32 << 10), ("10m", 10 << 20), ("1.5GB", 3 << 29),
        (" 32 mb ", 32 << 20), ("2t", 2 << 40), ("1p", 1 << 50), ("32.5k", 33280), ("0.1k", 102),
        ("9007199254740993", 9007199254740993), ("9223372036854775807", (1 << 63) - 1),
    ],
)  # fmt: skip
def test_reading(text, size):
    assert parse(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "", "m", "-1", "+1", "1.m", "1..5", "1,5", "hello", "32 mm", "1e3", "0x10", "1 0", "٣",
        "inf", "nan", "9223372036854775808", "8192p", "9" * 400, "1." + "3" * 400,
    ],
)  # fmt: skip
def test_what_is_no_size(text):
    with pytest.raises(InvalidSize):
        parse(text)


@given(st.integers(0, 2**63), st.integers(3, 5))
def test_no_size_has_an_exponent_and_each_is_close(size, digits):
    units = {"B": 0, "kB": 1, "MB": 2, "GB": 3, "TB": 4, "PB": 5, "EB": 6}
    text = human(size, digits)
    number = text.rstrip("kMGTPEB")
    assert "e" not in number
    value = float(number) * 1000 ** units[text[len(number) :]]
    assert abs(value - size) <= 0.005 * size + 0.5
