"""Help as docker gives it: of everything, of a group, of a command, by each of its spellings."""

import pytest


@pytest.mark.parametrize("words", [["help"], ["-h"], ["--help"], []])
def test_the_overview_has_several_spellings(lamina, words):
    told = lamina.ok(*words)
    assert told == lamina.ok("--help")
    assert "builder, buildx, cache, container, image" in told


@pytest.mark.parametrize(
    "words", [["image"], ["image", "--help"], ["image", "-h"], ["help", "image"]]
)
def test_a_group_lists_its_commands(lamina, words):
    told = lamina.ok(*words)
    assert told.startswith("Usage:  lamina image COMMAND\n")
    assert "\n  ls        list images\n" in told
    assert "\n  prune     remove images without a name" in told


@pytest.mark.parametrize("group", ["builder", "buildx", "cache", "container", "system"])
def test_no_group_is_an_unknown_command(lamina, group):
    assert f"lamina {group} COMMAND --help" in lamina.ok(group)


def test_h_means_help_where_it_means_nothing_else(lamina):
    assert lamina.ok("images", "-h") == lamina.ok("images", "--help")
    assert "-h, --hostname" in lamina.ok("run", "--help")
    assert lamina("run", "-h").err == "lamina: the flag --hostname needs a value\n"


def test_buildx_build_is_build(lamina):
    told = lamina.ok("buildx", "build", "--help")
    assert told.replace("lamina buildx build", "lamina build") == lamina.ok("build", "--help")


@pytest.mark.parametrize(
    "words", [["cache", "mount"], ["cache", "mount", "-h"], ["help", "cache", "mount"]]
)
def test_a_group_in_a_group(lamina, words):
    told = lamina.ok(*words)
    assert told.startswith("Usage:  lamina cache mount COMMAND\n")
    assert "\n  mount   a group of its own: load, ls, rm, save" in lamina.ok("cache")
    helped = lamina.ok("help", "cache", "mount", "ls")
    assert helped == lamina.ok("cache", "mount", "ls", "--help")
    assert helped.startswith("Usage:  lamina cache mount ls [OPTIONS]\n")
    assert "did you mean 'cache mount load'" in lamina("cache", "mount", "lod").err
