"""Health checks: of the image or of flags, executed by the monitor; inspect, ps and events tell."""

import subprocess
from contextlib import contextmanager

import pytest

from tests.cli.rig import assert_complaint, build_app, told

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
_FAST = ("--health-interval", "50ms", "--health-retries", "2")


@contextmanager
def changes(lamina):
    """A function that waits for the next change of a container's health, and tells it."""
    words = ("--since", "0", "--filter", "event=health_status", "--format", "{{.Action}}")
    with subprocess.Popen(
        lamina.command("events", *words), stdout=subprocess.PIPE, env=lamina.env, text=True
    ) as following:
        try:
            yield lambda: following.stdout.readline().strip().removeprefix("health_status: ")
        finally:
            following.kill()


def health(lamina, name):
    return told(lamina, "inspect", name)[0]["State"].get("Health")


def status(lamina):
    return lamina.ok("ps", "--format", "{{.Status}}").strip()


def test_health_is_what_the_checks_find(by_each):
    command = "echo asked; cat /tmp/well"
    by_each.ok(
        *("run", "-d", "--name", "c1", "--health-cmd", command, *_FAST, "base", "sleep", "1000")
    )
    with changes(by_each) as following:
        assert following() == "unhealthy"
        found = health(by_each, "c1")
        assert found["Status"] == "unhealthy"
        assert found["FailingStreak"] >= 2
        assert all(each["ExitCode"] == 1 for each in found["Log"])
        assert found["Log"][0]["Output"].startswith("asked\ncat: ")
        assert status(by_each).endswith("(unhealthy)")
        by_each.ok("exec", "c1", "sh", "-c", "echo yes >/tmp/well")
        assert following() == "healthy"
    found = health(by_each, "c1")
    assert (found["Status"], found["FailingStreak"]) == ("healthy", 0)
    assert found["Log"][-1]["ExitCode"] == 0
    assert found["Log"][-1]["Output"] == "asked\nyes\n"
    assert len(found["Log"]) <= 5
    assert status(by_each).endswith("(healthy)")
    name = ("--format", "{{.Names}}")
    assert by_each.ok("ps", "--filter", "health=healthy", *name) == "c1\n"
    assert by_each.ok("ps", "--filter", "health=unhealthy", *name) == ""
    assert_complaint(by_each("ps", "--filter", "health=well"), "no health 'well'")


def test_it_is_unknown_until_something_was_found(by_each):
    by_each.ok("run", "-d", "--name", "c1", "--health-cmd", "true", "base", "sleep", "1000")
    assert health(by_each, "c1") == {"Status": "starting", "FailingStreak": 0, "Log": []}
    assert status(by_each).endswith("(health: starting)")


def test_what_takes_too_long_has_failed_and_is_killed(by_each):
    by_each.ok(
        *("run", "-d", "--name", "c1", "--health-cmd", "exec sleep 999", "--health-timeout"),
        *("50ms", "--health-retries", "1", "--health-interval", "50ms", "base", "sleep", "1000"),
    )
    with changes(by_each) as following:
        assert following() == "unhealthy"
    log = health(by_each, "c1")["Log"]
    assert log[0]["ExitCode"] == -1
    assert log[0]["Output"] == "Health check exceeded timeout (0.05s)"
    assert by_each.ok("top", "c1", "-eo", "pid,args").count("sleep 999") <= 1  # the one of now


def test_failures_while_it_comes_up_do_not_count(by_each):
    """Three of them, where two would be too many; after the fourth nothing is asked for an hour."""
    command = "echo >>/tmp/asked; test $(wc -l </tmp/asked) = 4 || exit 9"
    by_each.ok(
        *("run", "-d", "--name", "c1", "--health-cmd", command, "--health-retries", "2"),
        *("--health-interval", "1h", "--health-start-period", "1h"),
        *("--health-start-interval", "50ms", "base", "sleep", "1000"),
    )
    with changes(by_each) as following:
        assert following() == "healthy"
    found = health(by_each, "c1")
    assert [each["ExitCode"] for each in found["Log"]] == [9, 9, 9, 0]
    assert found["FailingStreak"] == 0


def test_what_cannot_be_executed_has_failed(by_each):
    by_each.write(
        "Dockerfile", 'FROM base\nHEALTHCHECK --interval=50ms --retries=1 CMD ["/none"]\n'
    )
    by_each.ok("build", "-q", "-t", "app", by_each.folder)
    by_each.ok("run", "-d", "--name", "c1", "app", "sleep", "1000")
    with changes(by_each) as following:
        assert following() == "unhealthy"
    first = health(by_each, "c1")["Log"][0]
    assert first["ExitCode"] == -1
    assert "/none" in first["Output"]


def test_what_checks_write_is_bounded(by_each):
    by_each.ok(
        *("run", "-d", "--name", "c1", "--health-cmd", "head -c 300000 /dev/zero | tr '\\0' x"),
        *(*_FAST, "base", "sleep", "1000"),
    )
    with changes(by_each) as following:
        assert following() == "healthy"
    assert health(by_each, "c1")["Log"][0]["Output"] == "x" * 4096


def test_an_images_check_can_be_changed_and_left_out(base, needs_program):
    needs_program("crun")
    app = build_app(
        base, "FROM base\nHEALTHCHECK --interval=1m --timeout=3s --retries=7 CMD exit 0\n"
    )
    made = {"plain": (), "changed": ("--health-retries", "2"), "none": ("--no-healthcheck",)}
    for name, flags in made.items():
        app.ok("create", "--name", name, *flags, "app", "true")
    found = {name: told(app, "inspect", name)[0]["Config"]["Healthcheck"] for name in made}
    image = {
        "Test": ["CMD-SHELL", "exit 0"],
        "Interval": 60 * 10**9,
        "Timeout": 3 * 10**9,
        "Retries": 7,
    }
    assert found["plain"] == image
    assert found["changed"] == {**image, "Retries": 2}
    assert found["none"]["Test"] == ["NONE"]
    app.ok("run", "-d", "--name", "up1", "--no-healthcheck", "app", "sleep", "1000")
    try:
        assert health(app, "up1") is None
    finally:
        app.ok("rm", "-f", "up1")
    assert_complaint(
        app("create", "--no-healthcheck", "--health-cmd", "x", "app"), "conflicts", code=1
    )
    assert_complaint(app("create", "--health-interval", "fast", "app"), "invalid duration")
