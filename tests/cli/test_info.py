"""What `info` tells of containers, and of what they are held to."""

import json

import pytest

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


def test_containers_are_counted_by_their_state(cleared, needs_program):
    needs_program("crun")
    for name in ("c1", "c2"):
        cleared.ok("run", "-d", "--name", name, "base", "sleep", "1000")
    cleared.ok("create", "base", "true")
    cleared.ok("pause", "c1")
    form = "{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}}"
    assert cleared.ok("info", "--format", form).split() == ["3", "1", "1", "1"]


def test_what_filters_system_calls_is_told(base, needs_program):
    needs_program("crun")
    assert "Seccomp Profile: builtin\n" in base.ok("info")
    told = ("info", "--format", "{{json .SecurityOptions}}")
    assert json.loads(base.ok(*told)) == ["name=seccomp,profile=builtin"]
    config = base.write("daemon.json", json.dumps({"seccomp-profile": "/mine"}))
    assert json.loads(base.ok("--config", config, *told)) == ["name=seccomp,profile=/mine"]


def test_who_may_not_mount_filters_nothing(lamina, needs_program):
    drop = (needs_program("setpriv"), "--bounding-set=-sys_admin", "--inh-caps=-all")
    said = lamina("info", prefix=drop)
    assert "Seccomp Profile: none" in said.out, said.err
