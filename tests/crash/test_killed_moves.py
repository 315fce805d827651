"""`migrate --to`, killed at every named point: it goes on where it stopped, or is given up."""

import pytest

from tests.crash.crash_victim import was_killed

pytestmark = pytest.mark.matrix

_COPYING = ("copy-noted", "copy-made", "copy-filled", "copy-indexed", "copy-settled")
_SWITCHING = ("switch-synced", "switched")
_CLEARING = ("body-erased", "home-removed")
PAIRS = [("overlay2", "erofs"), ("erofs", "overlay2"), ("overlay2", "vfs"), ("btrfs", "overlay2")]


def mover(victim_of, source):
    """A store that decides its driver itself from now on."""
    victim = victim_of(source, "import")
    victim.driver = None
    return victim


def killed(victim, target, crash):
    done = victim.run("migrate", "--to", target, crash=crash)
    assert was_killed(done.returncode), (crash, done)


def kept(state):
    """What lies in the store; lock files of shared mounts stay in the run root until a reboot."""
    return (
        state.images,
        state.containers,
        sorted(x for x in state.files.items() if x[0][:4] != "run/"),
    )


def driver_of(victim):
    return victim.ok("info", "--format", "{{.Driver}}").strip()


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_killed_migration_goes_on_or_is_given_up(victim_of, source, target):
    victim = mover(victim_of, source)
    before = victim.state()
    victim.ok("migrate", "--to", target)
    victim.assert_sound()
    after = victim.state()
    points = [f"{point}{count}" for point in _COPYING for count in ("", ":2")]
    for point in (*points, *_SWITCHING[:1]):
        for words, wanted, driver in (
            (("migrate", "--to", target), after, target),
            (("migrate", "--abort"), before, source),
        ):
            victim.restore_state()
            killed(victim, target, point)
            assert victim.ok("check", "--full") == "clean\n"
            assert driver_of(victim) == source
            victim.ok(*words)
            victim.assert_sound()
            assert kept(victim.state()) == kept(wanted), point
            assert driver_of(victim) == driver
    for point in (*_SWITCHING[1:], *_CLEARING):
        victim.restore_state()
        killed(victim, target, point)
        victim.assert_sound()  # any command ends what is decided
        assert kept(victim.state()) == kept(after), point
        assert driver_of(victim) == target
        assert "already" in victim.ok("migrate", "--to", target)


@pytest.mark.parametrize("crash", ["body-erased", "home-removed"])
def test_giving_up_may_be_killed_too(victim_of, crash):
    victim = mover(victim_of, "overlay2")
    before = victim.state()
    killed(victim, "vfs", "switch-synced")
    assert was_killed(victim.run("migrate", "--abort", crash=crash).returncode)
    victim.assert_sound()
    assert kept(victim.state()) == kept(before)


def test_a_killed_migration_is_killed_again_while_it_clears_up(victim_of):
    victim = mover(victim_of, "overlay2")
    killed(victim, "erofs", "copy-made:2")
    killed(victim, "erofs", "copy-filled")
    killed(victim, "erofs", "switched")
    assert was_killed(victim.run("images", crash="body-erased").returncode)
    victim.assert_sound()
    assert driver_of(victim) == "erofs"
