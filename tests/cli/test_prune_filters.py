"""`prune --filter`, as docker understands it."""

import time

import pytest

from tests.cli.rig import build_app

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


@pytest.fixture
def several(base):
    """Containers `one` (ended with 0), `two` (with 3), `three` (never started, of another image)."""
    app = build_app(base, "FROM base\nRUN touch /app\nLABEL of=app\n")
    app.ok(
        "run", "--name", "one", "-l", "role=db", "-l", "tier=1", "-v", "vol:/data", "base", "true"
    )
    assert app("run", "--name", "two", "-l", "role=web", "base", "sh", "-c", "exit 3").code == 3
    app.ok("create", "--name", "three", "--network", "none", "--expose", "80", "app", "true")
    return app


def listed(lamina):
    return lamina.ok("ps", "-a", "--format", "{{.Names}}").split()


def test_prune_takes_only_what_fits(several):
    several.ok("container", "prune", "-f", "--filter", "label=role=web")
    assert listed(several) == ["three", "one"]
    several.ok("container", "prune", "-f", "--filter", "label!=of")
    assert listed(several) == ["three"]
    several.ok("container", "prune", "-f", "--filter", "until=1h")
    assert listed(several) == ["three"]
    several.ok("container", "prune", "-f", "--filter", f"until={time.time() + 60:.0f}")
    assert listed(several) == []


def test_prune_of_images_and_volumes_takes_only_what_fits(base):
    build_app(base, "FROM base\nRUN touch /app\nLABEL of=app\n")
    base.ok("image", "prune", "-a", "-f", "--filter", "label=of=nothing")
    base.ok("image", "prune", "-a", "-f", "--filter", "until=1h", "--filter", "label=of")
    assert "app" in base.ok("images")
    base.ok("image", "prune", "-a", "-f", "--filter", "label=of=app")
    assert base.ok("images", "--format", "{{.Repository}}") == "base\n"
    base.ok("volume", "create", "--label", "keep", "kept")
    base.ok("volume", "create", "gone")
    base.ok("volume", "prune", "-a", "-f", "--filter", "label!=keep")
    assert base.ok("volume", "ls", "-q") == "kept\n"


def test_prune_of_the_cache_by_time(base):
    build_app(base, "FROM base\nRUN touch /app\n")
    before = base.ok("cache", "ls")
    base.ok("builder", "prune", "-f", "--filter", "until=1h")
    assert base.ok("cache", "ls") == before
    base.ok("builder", "prune", "-f", "--filter", f"until={time.time() + 60:.0f}")
    assert base.ok("cache", "ls").count("\n") < before.count("\n")


@pytest.mark.parametrize("text", ["age=3", "label", "label=", "until=soon"])
def test_a_wrong_filter_is_refused_before_anybody_is_asked(base, text):
    for words in (("prune",), ("container", "prune"), ("image", "prune"), ("volume", "prune")):
        said = base(*words, "--filter", text)
        assert said.code == 1
        assert "WARNING" not in said.err
        assert said.err.count("\n") == 1
