"""Whatever way an image takes from end to end, it arrives as the image that it was."""

import bz2
import gzip
import json
import lzma
import tempfile

import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lamina
from lamina.archive.compress import open_decompressed
from lamina.spec import mediatypes
from lamina.testing.fake_registry import fake_registry
from lamina.testing.sample_images import as_directory, digest, layout, sample

pytestmark = pytest.mark.usefixtures("needs_root")

PACKS = {"": bytes, "+gzip": gzip.compress, "+zstd": zstd.compress, "+xz": lzma.compress}
PACKS["+bzip2"] = bz2.compress
ENDS = ("docker", "oci", "oci-archive", "dir", "docker-archive", "lamina")


SIZES = st.lists(st.integers(0, 3), min_size=1, max_size=4)  # of each layer's file
LABELS = st.dictionaries(
    st.text("ab<&\u2028", min_size=1), st.text("xyz é\U0001f40b", max_size=5), max_size=3
)


class Stream:
    def __init__(self, data):
        self.left = data

    def read(self, size, /):
        data, self.left = self.left[:size], self.left[size:]
        return data


def plain(data):
    with open_decompressed(Stream(data)) as opened:
        return b"".join(iter(lambda: opened.read(1 << 20), b""))


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    SIZES,
    LABELS,
    st.sampled_from(sorted(PACKS)),
    st.lists(st.sampled_from(ENDS), min_size=1, max_size=4),
)
def test_any_way_through_any_ends(sizes, labels, packing, way):
    layers = [f"f f{number} {'x' * (number * 700)}" for number in sizes]
    image = sample(*layers, names=["made:1"], config={"Labels": labels})
    kind = "application/vnd.oci.image.layer.v1.tar" + packing
    with fake_registry() as registry, tempfile.TemporaryDirectory() as folder:
        files = layout(image, pack=PACKS[packing], layer_type=kind)
        at = f"oci:{as_directory(files, f'{folder}/given')}:made:1"
        first = json.loads(files["index.json"])["manifests"][0]["digest"]
        with lamina.open(f"{folder}/root", run_root=f"{folder}/run", driver="vfs") as engine:
            for number, end in enumerate(way):
                name = f"n{number}"
                at, before = (
                    {
                        "docker": f"docker://{registry.host}/{name}:1",
                        "oci": f"oci:{folder}/layout:{name}",
                        "oci-archive": f"oci-archive:{folder}/{name}.tar",
                        "dir": f"dir:{folder}/{name}",
                        "docker-archive": f"docker-archive:{folder}/{name}.docker:{name}",
                        "lamina": f"lamina:{name}",
                    }[end],
                    at,
                )
                engine.images.copy(before, at)
            copied = engine.images.copy(at, f"docker://{registry.host}/last:1")
        raw, media_type = registry.manifests["last", "1"]
        assert copied.digest == digest(raw)
        assert media_type == mediatypes.OCI_MANIFEST
        assert registry.blobs[image.id] == image.config
        found = [each["digest"] for each in json.loads(raw)["layers"]]
        assert [digest(plain(registry.blobs[each])) for each in found] == image.diff_ids
        if not {"docker-archive", "lamina"} & set(way):
            assert copied.digest == first
