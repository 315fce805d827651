"""The builds that are measured: cold, cached, of stages at once, of a context that changed."""

import os

from bench import fixtures
from bench.contenders import Contender, with_env
from bench.round import Round

_SLEEPS = """\
FROM root:1 AS one
RUN sleep 5 && echo one > /one
FROM root:1 AS two
RUN sleep 5 && echo two > /two
FROM root:1
COPY --from=one /one /
COPY --from=two /two /
"""


def copy_many(this: Round) -> None:
    """A build that copies 10,000 files, and then the same build with everything cached."""
    for contender in _builders(this):
        argv = contender.command("build", "-q", "-t", "many:1", this.fixtures.many)
        this.take("copy-10k", contender.name, argv, contender)
    for _ in range(3):
        for contender in _builders(this):
            argv = contender.command("build", "-q", "-t", "many:1", this.fixtures.many)
            this.take("cached-10k", contender.name, argv, contender)


def cached_tiny(this: Round) -> None:
    """A fully cached build of four steps and one file, docker's daemon being warm."""
    for contender in _builders(this):
        this.need_root_image(this.contenders[contender.name.partition(" ")[0]])
        this.prepare(contender, *_build_tiny(this))
    for _ in range(7):
        for contender in _builders(this):
            argv = contender.command(*_build_tiny(this))
            this.take("cached-tiny", contender.name, argv, contender)


def _build_tiny(this: Round) -> tuple[str, ...]:
    return ("build", "-q", "--network", "host", "-t", "tiny:1", this.fixtures.tiny)


def _builders(this: Round) -> list[Contender]:
    docker = this.contenders["docker"]
    return [*this.turns(), with_env(docker, "docker buildkit", DOCKER_BUILDKIT="1")]


def cached_twenty(this: Round) -> None:
    """The same with twenty steps, most of which make a layer."""
    path = _written(this, "twenty", fixtures.TWENTY)
    words = ("build", "-q", "--network", "host", "-t", "twenty:1", "-f", path, this.fixtures.tiny)
    for contender in _builders(this):
        this.need_root_image(this.contenders[contender.name.partition(" ")[0]])
        this.prepare(contender, *words)
    for _ in range(7):
        for contender in _builders(this):
            this.take("cached-20", contender.name, contender.command(*words), contender)


def cold_many(this: Round) -> None:
    """COPY of 10,000 files that no cache knows, and a RUN over them."""
    path = _written(this, "cold", "FROM root:1\nCOPY data /srv\nRUN ls -R /srv > /listed\n")
    for contender in _builders(this):
        this.need_root_image(this.contenders[contender.name.partition(" ")[0]])
        words = ("--no-cache", "--network", "host", "-t", "cold:1", "-f", path, this.fixtures.many)
        this.take(
            "cold-10k-run", contender.name, contender.command("build", "-q", *words), contender
        )
        this.prepare(contender, "rmi", "-f", "cold:1")


def stages_at_once(this: Round) -> None:
    """Two stages that sleep for five seconds each, and need nothing of one another."""
    lamina = this.contenders["lamina"]
    this.need_root_image(lamina)
    path = _written(this, "sleeps", _SLEEPS)
    argv = lamina.command("build", "-q", "--no-cache", "-f", path, this.fixtures.tiny)
    this.take("two-sleeps", "lamina", argv, lamina)


def one_of_many_changed(this: Round) -> None:
    """A context of 100,000 files: built once, one of them changed, built again.

    Beside the quickest of the others, which sends what changed and keeps the rest.
    """
    folder = fixtures.hundred_thousand(this.ground)
    changed = os.path.join(folder, "data", "042", "7")
    for contender in _builders(this):
        if contender.name not in ("lamina", "docker buildkit"):
            continue
        argv = contender.command("build", "-q", "-t", "changed:1", folder)
        this.take("copy-100k", contender.name, argv, contender)
        this.take("cached-100k", contender.name, argv, contender)
        for number in range(3):
            with open(changed, "w", encoding="ascii") as file:
                file.write(f"changed for {contender.name} for the {number}. time")
            this.take("changed-100k", contender.name, argv, contender)
            this.prepare(contender, "image", "prune", "-f")  # a disk has only so many inodes
        this.prepare(contender, "rmi", "-f", "changed:1")
        this.prepare(contender, "builder", "prune", "-a", "-f")


def _written(this: Round, name: str, text: str) -> str:
    """A Dockerfile beside the contexts."""
    path = os.path.join(this.ground.disk, f"{name}.Dockerfile")
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path
