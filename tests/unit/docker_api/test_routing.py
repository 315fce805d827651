"""Which route a path finds, and in which version."""

import pytest

from lamina.docker_api.routes import ROUTES
from lamina.docker_api.routing import NEWEST, Router, split_version
from lamina.errors import NotFound, UsageError

ROUTER = Router(ROUTES)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/images/host:5000/ns/app:1/tag/json", "host:5000/ns/app:1/tag"),
        ("GET", "/images/json/json", "json"),
        ("GET", "/v1.41/images/a/json", "a"),
        ("POST", "/images/host:5000/ns/app/push", "host:5000/ns/app"),
        ("DELETE", "/images/a/b/c@sha256:0", "a/b/c@sha256:0"),
        ("GET", "/distribution/a/b/json", "a/b"),
        ("GET", "/containers/x/json", "x"),
        ("GET", "/containers/json/json", "json"),
        ("GET", "/images/get/get", "get"),
    ],
)
def test_names_may_hold_slashes(method, path, name):
    assert ROUTER.find(method, path).names == {"name": name}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/"), ("GET", ""), ("GET", "/v1.41"), ("GET", "/v1.41/"), ("GET", "images/json")),
        *(
            ("POST", "/images/json"),
            ("HEAD", "/info"),
            ("GET", "/images//x"),
            ("DELETE", "/images/"),
        ),
    ],
)
def test_what_is_not_there_is_not_found(method, path):
    with pytest.raises(NotFound, match="page not found"):
        ROUTER.find(method, path)


def test_versions_are_optional_and_bounded():
    assert split_version("/info") == (NEWEST, "/info")
    assert split_version("/v1.24/info") == ((1, 24), "/info")
    assert split_version("/version") == (NEWEST, "/version")
    assert split_version("/v1.x/info") == (NEWEST, "/v1.x/info")
    for path in ("/v1.23/info", "/v0.99/info", "/v1.52/info", "/v2.0/info"):
        with pytest.raises(UsageError):
            split_version(path)


def test_every_route_is_found_by_its_own_path():
    for route in ROUTES:
        path = route.path.replace("{name}", "x")
        assert ROUTER.find(route.method, path).answer is route.answer, route
