"""What is remembered of an image that is read where it lies is bounded."""

import hashlib
import io
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from lamina.engine import elsewhere
from lamina.errors import BadArchive, DigestMismatch
from lamina.images.api import TravellingLayer
from lamina.testing.trees import tar_of
from lamina.values.digest import DiffID
from lamina.values.events import ignore


def image(*texts):
    layers = []
    for text in texts:
        tar = tar_of(text)
        digest = DiffID(f"sha256:{hashlib.sha256(tar).hexdigest()}")
        layers.append(TravellingLayer(digest, lambda tar=tar: nullcontext(io.BytesIO(tar)), None))
    return SimpleNamespace(layers=layers, config=None)


MANY = "\n".join(f"f name{number} 1" for number in range(100))
DEEP = f"f {'d/' * 2000}x 1"
LED = f"d a\nl l -> {'d/' * 1000}x\nf l/y 1"


@pytest.mark.parametrize("text", [MANY, DEEP, LED])
def test_more_than_can_be_remembered_is_refused(monkeypatch, text):
    monkeypatch.setattr(elsewhere, "_MEMORY", 60_000)
    with pytest.raises(BadArchive, match="more files than"):
        elsewhere.read_whole(image(text, "f last 1"), ignore)
    monkeypatch.setattr(elsewhere, "_MEMORY", 20_000_000)
    elsewhere.read_whole(image(text, "f last 1"), ignore)


def test_only_what_package_managers_wrote_is_kept_and_only_so_much(monkeypatch):
    def kept():
        text = "f var/lib/dpkg/status four\nf var/lib/dpkg/other five5"
        return list(elsewhere.read_whole(image(text), ignore)._kept.values())

    assert kept() == [b"four"]
    monkeypatch.setattr(elsewhere.packages, "LIMIT", 3)
    assert kept() == []


def test_another_layer_than_promised_is_refused():
    (layer,) = image("f a 1").layers
    other = layer._replace(diff_id=DiffID("sha256:" + "0" * 64))
    with pytest.raises(DigestMismatch, match="as was promised"):
        elsewhere.read_whole(SimpleNamespace(layers=[other], config=None), ignore)
