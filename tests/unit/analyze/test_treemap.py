"""The areas of an image are all its stored bytes, each where it lies and in its layer."""

from hypothesis import given
from hypothesis import strategies as st

from lamina.analyze.losses import account
from lamina.analyze.treemap import areas
from tests.unit.analyze.rig import merged


def cut(tree, most=1000):
    return areas(tree, account(tree), most)


def leaves(area, path=b""):
    """Every area that holds nothing else, by its path."""
    here = path + b"/" + area.name if area.name else path
    if not area.inside:
        return [(here.lstrip(b"/").decode(), area.size, area.layer, area.hidden)]
    return [leaf for each in area.inside for leaf in leaves(each, here)]


def sums(area):
    """By layer, what is seen and what is hidden."""
    found = {}
    for _, size, layer, hidden in leaves(area):
        found[layer, hidden] = found.get((layer, hidden), 0) + size
    return {key: size for key, size in found.items() if size}


def test_bytes_lie_where_they_were_stored_hidden_ones_too():
    tree = merged("f a/x 1234\nf a/y 12\nf b 1", "f a/y 123", "w b\nh c -> a/x\nw a/x")
    assert sorted(leaves(cut(tree))) == [
        ("a/y", 2, 0, True),
        ("a/y", 3, 1, False),
        ("b", 1, 0, True),
        ("c", 4, 0, False),
    ]


def test_a_file_with_several_names_is_there_once():
    tree = merged("f a 1234\nh b -> a\nf c 12\nh d -> c\nh e -> c", "w c\nw d")
    assert sorted(each for each in leaves(cut(tree)) if each[1]) == [
        ("a", 4, 0, False),
        ("e", 2, 0, False),
    ]


def test_what_is_small_in_a_folder_is_one_area_for_each_layer():
    lower = "\n".join(f"f d/{number} 1" for number in range(1000))
    upper = "\n".join(f"f d/{number} 22" for number in range(10))
    found = cut(merged(f"{lower}\nf big {'b' * 2000}", upper), most=3)
    (folder,) = [each for each in found.inside if each.name == b"d"]
    assert [(each.name, *each[1:5]) for each in folder.inside] == [
        (b"", 990, 0, False, 990),
        (b"", 10, 0, True, 10),
        (b"", 20, 1, False, 10),
    ]
    assert sums(found) == {(0, False): 2990, (0, True): 10, (1, False): 20}


def test_folders_in_one_another_by_the_thousand_are_no_trouble():
    found = cut(merged(f"f {'d/' * 5000}x 12345\nf y 1"), most=100_000)
    assert found.size == 6
    assert sums(found) == {(0, False): 6}


paths = st.sampled_from(["a", "b", "d/a", "d/e/a", "d/e/b"])
acts = st.one_of(
    st.builds("f {} {}".format, paths, st.integers(1, 10**6)),
    st.builds("w {}".format, st.sampled_from(["a", "b", "d", "d/e"])),
)
layers = st.lists(st.lists(acts, max_size=5, unique_by=lambda act: act.split()[1]), max_size=4)


@given(layers, st.integers(1, 20))
def test_all_areas_are_all_stored_bytes(wanted, most):
    tree = merged(*["\n".join(each) for each in wanted])
    ledger = account(tree)
    found = sums(areas(tree, ledger, most))
    for number, (stored, visible) in enumerate(zip(ledger.stored, ledger.visible, strict=True)):
        assert found.get((number, False), 0) == visible
        assert found.get((number, True), 0) == stored - visible
