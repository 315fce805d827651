"""RUN --mount: keys, defaults and refusals as BuildKit has them."""

import pytest

from lamina.dockerfile.mounts import Mount, origin_of, parse
from lamina.errors import DockerfileError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("target=/a", Mount("bind", "/a", readonly=True)),
        ("type=bind,src=x,dst=/a,from=b,rw", Mount("bind", "/a", "b", "x")),
        ("type=bind,target=/a,readwrite=false", Mount("bind", "/a", readonly=True)),
        ("type=cache,destination=/c", Mount("cache", "/c")),
        (
            "type=cache,target=/c,id=i,sharing=locked,mode=0700,uid=1,gid=2,ro,source=s",
            Mount("cache", "/c", "", "s", "i", True, "locked", False, None, 0o700, 1, 2),
        ),
        ("type=tmpfs,target=/t,size=1m", Mount("tmpfs", "/t", size=1 << 20)),
        ("type=secret,id=k", Mount("secret", "/run/secrets/k", id="k", readonly=True)),
        ("type=secret,target=/x/y", Mount("secret", "/x/y", id="y", readonly=True)),
        ("type=secret,source=a/b", Mount("secret", "/run/secrets/b", id="a/b", readonly=True)),
        ("type=secret,id=k,env=K", Mount("secret", "", id="k", env="K", readonly=True)),
        (
            "type=secret,id=k,env=K,target=/k,required",
            Mount("secret", "/k", id="k", env="K", readonly=True, required=True),
        ),
        ("type=ssh", Mount("ssh", "", id="default", readonly=True)),
        ('type=bind,target=/a,"source=a,b"', Mount("bind", "/a", "", "a,b", readonly=True)),
        ("TYPE=Cache,TARGET=/c", Mount("cache", "/c")),
    ],
)
def test_what_is_asked_for(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("type=volume,target=/a", "unsupported mount type 'volume'"),
        ("type=bind", "a bind mount needs a target"),
        ("type=cache,target=/c,sharing=none", "unsupported sharing value 'none'"),
        ("type=bind,target=/c,sharing=locked", "unexpected key 'sharing' for mount type 'bind'"),
        ("type=cache,target=/c,size=1", "unexpected key 'size' for mount type 'cache'"),
        ("type=tmpfs,target=/c,size=much", "invalid size 'much'"),
        ("type=secret", "one of id, source, target is required"),
        ("type=secret,id=a,source=b", "an id or a source, not both"),
        ("type=secret,id=a,from=b", "unexpected key 'from' for mount type 'secret'"),
        ("target=/a,rw=maybe", "'maybe' is not true or false"),
        ("tarket=/a", "did you mean target?"),
        ("target", "it must be key=value"),
        ("type=cache,target=/c,mode=789", "invalid value '789' for mode"),
        ("type=cache,target=/c,uid=root", "invalid value 'root' for uid"),
        ("target=/a,from=$B", "variables are not expanded in from="),
        ('target=/a,"b', "quotes do not match"),
    ],
)
def test_what_is_refused(text, complaint):
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    assert complaint in f"{caught.value.brief} {caught.value.hint}"


def test_variables_are_replaced_in_values_alone():
    given = parse("type=cache,target=/$A,id=$A", lambda text: text.replace("$A", "v"))
    assert (given.target, given.id) == ("/v", "v")
    assert origin_of("target=/$A,from=base") == "base"
