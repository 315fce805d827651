"""The picture of shared layers keeps to its width, whatever it is of."""

import pytest

from lamina.analyze.strata import Column, strata
from lamina.cli.picture import Picture
from lamina.values.digest import ChainID


class Layer:
    def __init__(self, number, size):
        self.chain_id = ChainID(f"sha256:{number:064x}")
        self.size = size


BASE = Layer(0, 1000)


def images(count, command="RUN make it", registry=""):
    return strata(
        [
            Column(
                f"{registry}image{number}",
                (BASE, Layer(number, 10 * number)),
                ("ADD rootfs", command),
            )
            for number in range(1, count + 1)
        ]
    )


def drawn(count, width, **more):
    return Picture(images(count, **more), width, False).text().splitlines()


@pytest.mark.parametrize("width", [40, 80, 100, 200])
@pytest.mark.parametrize("count", [1, 4, 5, 30])
def test_no_line_is_wider_and_every_image_is_there(count, width):
    lines = drawn(count, width)
    *picture, _, told = lines
    assert all(len(line) <= width for line in picture)
    names = " ".join(picture).split()
    assert all(f"image{number}" in names for number in range(1, count + 1))
    assert f"{count + 1} layers stored for {2 * count} asked for" in told


def test_a_layer_that_goes_on_below_says_how_many_have_it():
    lines = Picture(images(5), 40, True).text().splitlines()
    assert sum("used x5" in line for line in lines) == 2
    assert sum("| 1kB   x5 |" in line for line in lines) == 1  # where there is no room for more
    assert "on disk" not in lines[0]
    assert "on disk" in drawn(5, 200)[0]


def test_of_a_long_name_the_end_tells_it_from_others():
    for plain in (True, False):
        drawing = Picture(images(2, registry="registry.example:5000/"), 40, plain).text()
        assert "image1" in drawing
        assert "image2" in drawing


def test_a_name_that_is_too_long_leaves_latest_out():
    columns = [Column(f"builder{n}:latest", (BASE,), ("ADD x",)) for n in range(4)]
    header = Picture(strata(columns), 70, False).text().splitlines()[0]
    assert header.split() == ["builder0", "builder1", "builder2", "builder3"]


def test_plain_characters_are_plain():
    long = images(2, "RUN " + "word " * 99, "registry.example:5000/")
    assert Picture(long, 40, True).text().isascii()
    assert "…" in Picture(long, 40, False).text()


def test_one_layer_is_no_layers():
    assert (
        "  1 layer stored for 1 asked for"
        in Picture(strata([Column("a", (BASE,), ("ADD x",))]), 80, True).text()
    )


def test_what_steers_a_terminal_is_spelt_out():
    assert not any("\x1b" in line for line in drawn(1, 80, command="RUN \x1b[2J"))
    assert any("\\x1b[2J" in line for line in drawn(1, 80, command="RUN \x1b[2J"))
