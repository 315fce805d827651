"""Health checks beside dockerd's: what inspect and the config tell of the same flags."""

import json
import time

import pytest

from tests.cli.rig import in_process

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
_FLAGS = ("--health-cmd", "echo said; exit 3", "--health-interval", "50ms", "--health-retries", "1")
_PATIENCE = 60.0  # seconds; a bound, never a wait


def test_inspect_tells_health_as_docker_does(docker, busybox_tar, tmp_path):
    ours = in_process(str(tmp_path / "root"))
    found = []
    for run in (docker, ours):
        run("import", busybox_tar, "base")
        run("run", "-d", "--network", "none", *_FLAGS, "--name", "c1", "base", "sleep", "1000")
        try:
            limit = time.monotonic() + _PATIENCE
            while True:
                (document,) = json.loads(run("inspect", "c1"))
                if document["State"]["Health"]["Status"] == "unhealthy":
                    break
                assert time.monotonic() < limit
            listed = run("ps", "--format", "{{.Status}}")
        finally:
            run("rm", "-f", "c1")
        found.append((document, listed))
    (theirs, their_list), (own, own_list) = found
    assert own["Config"]["Healthcheck"] == theirs["Config"]["Healthcheck"]
    assert list(own["State"]["Health"]) == list(theirs["State"]["Health"])
    one, other = own["State"]["Health"]["Log"][0], theirs["State"]["Health"]["Log"][0]
    assert {key: type(one[key]) for key in one} == {key: type(other[key]) for key in other}
    assert (one["ExitCode"], one["Output"]) == (other["ExitCode"], other["Output"])
    assert own_list.endswith(" (unhealthy)\n")
    assert their_list.endswith(" (unhealthy)\n")
