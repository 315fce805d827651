"""Where a name may be read from, by rules as registries.conf has them."""

import os

import pytest

from lamina.errors import AccessRefused, ConfigurationError, InvalidReference
from lamina.registry import registriesconf
from lamina.registry.sources import hub_mirrors, matched, meant, rule_of, sources, target
from lamina.values.reference import Reference

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def rules(tmp_path):
    """The rules that a file of this text makes."""

    def make(text):
        path = tmp_path / "registries.conf"
        path.write_text(text)
        return registriesconf.read({"CONTAINERS_REGISTRIES_CONF": str(path)})

    return make


def places(name, rules):
    return [str(each.name) for each in sources(Reference.parse(name), rules.rules)]


MIRRORED = """
[[registry]]
prefix = "example.com/foo"
location = "inner.example/bar"
insecure = true
[[registry.mirror]]
location = "one.local/m"
[[registry.mirror]]
location = "two.local:5000"
insecure = true
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "three"
pull-from-mirror = "tag-only"
"""


def test_mirrors_come_first_and_the_registry_itself_last(rules):
    found = rules(MIRRORED)
    assert places("example.com/foo/app:1", found) == [
        "one.local/m/app:1",
        "three/app:1",
        "inner.example/bar/app:1",
    ]
    assert places(f"example.com/foo/app@{DIGEST}", found) == [
        f"one.local/m/app@{DIGEST}",
        f"two.local:5000/app@{DIGEST}",
        f"inner.example/bar/app@{DIGEST}",
    ]
    flags = [each[1:] for each in sources(Reference.parse("example.com/foo/app:1"), found.rules)]
    assert flags == [(False, True), (False, True), (True, False)]
    assert places("example.com/food:1", found) == ["example.com/food:1"]


def test_what_is_written_goes_to_no_mirror(rules):
    name = Reference.parse("example.com/foo/app:1")
    assert target(name, rules(MIRRORED).rules) == (name, False, False)
    plain = rules('[[registry]]\nlocation = "example.com"\ninsecure = true\n')
    assert target(name, plain.rules) == (name, True, False)


@pytest.mark.parametrize(
    ("name", "prefix", "length"),
    [
        ("example.com/a:1", "example.com", 11),
        ("example.com/a:1", "example.com/a", 13),
        ("example.com/a:1", "example.com/a:1", 15),
        ("example.com/ab:1", "example.com/a", 0),
        ("example.com:5000/a", "example.com", 0),
        ("example.common/a", "example.com", 0),
        ("a.example.com/a", "*.example.com", 13),
        ("a.b.example.com/x/y", "*.example.com/x", 17),
        ("example.com/a", "*.example.com", 0),
        ("badexample.com/a", "*.example.com", 0),
        ("x.io/example.com/a", "*.com", 0),
    ],
)
def test_a_prefix_takes_whole_parts(name, prefix, length):
    assert matched(name, prefix) == length


def test_the_longest_prefix_counts(rules):
    text = ""
    for prefix in ("*.example.com", "a.example.com", "a.example.com/b", "com"):
        text += f'[[registry]]\nprefix = "{prefix}"\n'
    found = rules(text).rules
    for name, prefix in (
        ("a.example.com/b/c", "a.example.com/b"),
        ("a.example.com/bc", "a.example.com"),
        ("z.example.com/bc", "*.example.com"),
    ):
        assert rule_of(Reference.parse(name), found).prefix == prefix
    assert rule_of(Reference.parse("nginx"), found) is None


def test_a_whole_registry_may_be_moved(rules):
    found = rules('[[registry]]\nprefix = "docker.io/library"\nlocation = "hub.local/official"\n')
    assert places("nginx", found) == ["hub.local/official/nginx"]
    found = rules('[[registry]]\nprefix = "docker.io"\nlocation = "hub.local"\n')
    assert places("nginx:1", found) == ["hub.local/library/nginx:1"]


def test_what_is_blocked_is_refused(rules, tmp_path):
    found = rules('[[registry]]\nlocation = "bad.example"\nblocked = true\n').rules
    name = Reference.parse("bad.example/a")
    for ask in (sources, target):
        with pytest.raises(AccessRefused, match=f"bad.example/a is blocked by {tmp_path}"):
            ask(name, found)
    assert sources(Reference.parse("good.example/a"), found)[0].name.domain == "good.example"


def test_a_location_must_not_change_what_is_asked_for(rules):
    found = rules('[[registry]]\nprefix = "a.b/c:1"\nlocation = "d.e/c:2"\n')
    with pytest.raises(InvalidReference, match="would change the tag"):
        places("a.b/c:1", found)


def test_short_names_mean_docker_unless_it_is_written(rules):
    assert [str(each) for each in meant("nginx", ())] == ["docker.io/library/nginx:latest"]
    search = rules('unqualified-search-registries = ["one.example", "docker.io"]\n').search
    found = [str(each) for each in meant("nginx:1", search)]
    assert found == ["one.example/nginx:1", "docker.io/library/nginx:1"]
    for text in ("docker.io/nginx", "index.docker.io/a/b", "localhost/a", "x.y/a"):
        assert meant(text, search) == (Reference.parse(text).with_default_tag(),)
    assert str(meant("a/b", search)[0]) == "one.example/a/b:latest"


def test_docker_mirrors_are_for_its_hub_alone():
    urls = ("https://mirror.example/", "http://10.0.0.1:5000")
    found = hub_mirrors(Reference.parse("nginx:1"), urls)
    assert [(str(each.name), each.insecure) for each in found] == [
        ("mirror.example/library/nginx:1", False),
        ("10.0.0.1:5000/library/nginx:1", True),
    ]
    assert hub_mirrors(Reference.parse("quay.io/a"), urls) == []
    for bad in ("mirror.example", "ftp://a.b", "https://a.b/path"):
        with pytest.raises(ConfigurationError, match="in registry-mirrors is no mirror"):
            hub_mirrors(Reference.parse("nginx"), (bad,))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = ", "is no TOML"),
        ("a = '\xff", "is no TOML"),
        ("[registries.search]\nregistries = []", "is of version 1"),
        ("registry = 1", "registry is no list of tables"),
        ("[[registry]]", "neither prefix nor location"),
        ("[[registry]]\nlocation = 1", "location is no text"),
        ("[[registry]]\nlocation = 'https://a.b'", "is to be a host"),
        ("[[registry]]\nlocation = 'me:word@a.b'", "is to be a host"),
        ("[[registry]]\nlocation = 'a.b'\nblocked = 'no'", "blocked is neither true nor false"),
        ("[[registry]]\nlocation = 'a.b'\n[[registry.mirror]]", "a mirror has no location"),
        (
            "[[registry]]\nlocation = 'a.b'\n[[registry.mirror]]\nlocation = 'c.d'\n"
            "pull-from-mirror = 'some'",
            "pull-from-mirror is 'some'",
        ),
        (
            "[[registry]]\nlocation = 'a.b'\nmirror-by-digest-only = true\n[[registry.mirror]]\n"
            "location = 'c.d'\npull-from-mirror = 'all'",
            "exclude each other",
        ),
        ("unqualified-search-registries = 'a.b'", "is no list of texts"),
    ],
)
def test_a_file_that_is_wrong_is_named(rules, tmp_path, text, reason):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        rules(text)
    assert str(tmp_path / "registries.conf") in str(caught.value)


def test_no_rule_is_lost_at_the_end_of_a_file_that_is_too_long(rules):
    comment = "#" * 79 + "\n"
    with pytest.raises(ConfigurationError, match="over 1048576 bytes"):
        rules(comment * 13_108 + '[[registry]]\nprefix = "bad.example"\nblocked = true\n')


def test_the_users_file_stands_for_the_systems_and_folders_lie_over_it(tmp_path):
    def write(path, text):
        where = tmp_path / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text)

    blocked = "[[registry]]\nlocation = '{}'\nblocked = {}\n"
    environ = {"HOME": str(tmp_path / "home")}
    system = str(tmp_path / "etc")
    assert registriesconf.read(environ, system) == ((), ())
    write("etc/registries.conf", "unqualified-search-registries = ['a.b']\n")
    assert registriesconf.read(environ, system).search == ("a.b",)
    write("home/.config/containers/registries.conf", blocked.format("one.x", "true"))
    assert registriesconf.read(environ, system).search == ()
    write("etc/registries.conf.d/2.conf", blocked.format("one.x", "false"))
    write("etc/registries.conf.d/1.conf", blocked.format("two.x", "true"))
    write("etc/registries.conf.d/3.ignored", "this is nothing")
    write("home/.config/containers/registries.conf.d/0.conf", blocked.format("two.x", "false"))
    found = registriesconf.read(environ, system).rules
    assert {rule.prefix: rule.blocked for rule in found} == {"one.x": False, "two.x": False}
    only = {**environ, "CONTAINERS_REGISTRIES_CONF": f"{tmp_path}/etc/registries.conf"}
    assert registriesconf.read(only, system) == ((), ("a.b",))
    missing = {"CONTAINERS_REGISTRIES_CONF": os.path.join(tmp_path, "none")}
    with pytest.raises(ConfigurationError, match="none cannot be read: No such file"):
        registriesconf.read(missing)
