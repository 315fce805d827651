"""Chains that are deeper than the kernel unites, on each driver that has it unite them."""

import io
import os
import secrets

import pytest

from lamina.archive.reader import read
from lamina.drivers.catalog import entry
from lamina.testing.driver_bench import Bench
from lamina.testing.trees import describe, tar_of
from lamina.values.ids import LayerID

# Once a flat tree of a flat one; what erofs packs takes long.
DEPTHS = [
    ("overlay2", 1010),
    ("fuse-overlayfs", 510),
    pytest.param("erofs", 510, marks=pytest.mark.matrix),
]


def deep(bench, depth):
    """Each layer makes a file, changes another, and takes away what the one before it made."""
    layers, top = [], None
    for number in range(depth):
        text = f"f made{number} {number}\nf same {number}\nd folder\nf folder/{number % 7} {number}"
        gone = f"\nw made{number - 1}" if number and number % 5 else ""
        layer = LayerID.from_random(secrets.token_bytes(32))
        bench.driver.create(layer, top)
        segments = read(io.BytesIO(tar_of(text + gone)))
        bench.driver.apply(layer, top, segments, lambda _: None)
        bench.driver.commit(layer)
        layers.append(layer)
        top = layer
    return layers


def expected(depth):
    tree = [
        f"f folder/{digit} {max(n for n in range(depth) if n % 7 == digit)} 644 0:0"
        for digit in range(7)
    ]
    tree += [f"f made{n} {n} 644 0:0" for n in range(depth) if (n + 1) % 5 == 0 or n == depth - 1]
    tree += ["d folder 755 0:0", f"f same {depth - 1} 644 0:0"]
    return sorted(tree, key=lambda line: line.split()[1])


@pytest.fixture
def make(site):
    made = []

    def bench(driver):
        folder, found = site(driver), entry(driver)
        driver = found.make(f"{folder}/{found.home}", f"{folder}/run")
        made.append(Bench(driver, f"{folder}/scratch"))
        return made[-1]

    yield bench
    for each in made:
        each.close()


@pytest.mark.parametrize(("driver", "depth"), DEPTHS)
def test_a_chain_above_the_kernels_limit_is_flattened(make, driver, depth):
    bench = make(driver)
    layers = deep(bench, depth)
    assert bench.tree(layers[-1]) == expected(depth)
    assert bench.tree(layers[479]) == expected(480)
    layer = bench.writable(layers[-1])
    assert bench.changes(layer, layers[-1]) == []

    def work(root):
        os.unlink(f"{root}/same")
        with open(f"{root}/folder/0", "a") as file:
            file.write("more")

    bench.inside(layer, work, writable=True)
    assert bench.changes(layer, layers[-1]) == ["C /folder", "C /folder/0", "D /same"]
    for each in (layer, *reversed(layers)):
        bench.driver.remove(each, bench.trash)
    links = os.path.join(bench.driver.home, "l")
    assert not os.path.exists(links) or os.listdir(links) == []
    assert list(bench.driver.layers()) == []


def test_those_who_stand_on_the_same_share_one_flat_tree(make):
    bench = make("overlay2")
    top = deep(bench, 481)[-1]
    one, other = bench.layer("f new 1", top), bench.layer("f new 2", top)
    home = bench.driver.home
    with open(f"{home}/{one}/lower") as first, open(f"{home}/{other}/lower") as second:
        below = first.read()
        assert below == second.read()
    assert os.path.realpath(f"{home}/{below}") == os.path.realpath(f"{home}/{top}/flat")
    assert not os.path.exists(f"{home}/{one}/flat")
    status = bench.inside(one, describe, writable=False)
    assert "f new 1 644 0:0" in status
