"""Who has which bytes, whatever images share: the parts add up to the whole."""

from hypothesis import given
from hypothesis import strategies as st

from lamina.analyze.sharing import sharing
from lamina.engine.system import ImageLayers, Usage
from lamina.layers.layer import Layer
from lamina.values.digest import ChainID, DiffID, ImageID
from lamina.values.ids import LayerID
from lamina.views.sharing import df_document, df_image_rows

# An image is a path in a trie: which child of each level, and how large each layer is by its path.
chains = st.lists(st.lists(st.integers(0, 1), max_size=4), max_size=6)


def layers(path):
    made, parent = [], None
    for at in range(1, len(path) + 1):
        name = "".join(map(str, path[:at])).rjust(64, "a")
        size = 10 ** (at - 1) * (1 + path[at - 1])
        layer = LayerID(name)
        digest = f"sha256:{name}"
        made.append(
            Layer(layer, parent, DiffID(digest), ChainID(digest), size, 1, 0.0, "vfs", size)
        )
        parent = layer
    return tuple(made)


def usage(paths, used):
    images = tuple(
        ImageLayers(
            ImageID(f"sha256:{number:064x}"), (), 0.0, layers(path), (), int(number in used)
        )
        for number, path in enumerate(paths)
    )
    stored = {layer.chain_id: layer for image in images for layer in image.layers}
    return Usage(images, tuple(stored.values()), (), frozenset(), 0, False)


@given(chains, st.sets(st.integers(0, 5)))
def test_what_images_have_alone_and_share_adds_up(paths, used):
    found = usage(paths, used)
    counted = sharing([each.chain for each in found.images])
    assert counted.exclusive_bytes + counted.shared_bytes == counted.stored_bytes
    images = df_document(found)["Images"]
    assert images["Size"] == images["Exclusive"] + images["Shared"] == counted.stored_bytes
    kept = {layer.chain_id for each in found.images if each.containers for layer in each.layers}
    free = {layer for each in found.images for layer in each.layers if layer.chain_id not in kept}
    assert images["Reclaimable"] == sum(layer.size for layer in free)
    assert 0 <= images["ReclaimableAlone"] <= images["Reclaimable"]
    assert len(df_image_rows(found)) == len(paths)
