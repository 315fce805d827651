"""What is measured: one small function per scenario, contenders taking turns.

A scenario prepares what it needs (an image another scenario would have left), then takes its
samples through `Round.take`. It judges nothing: the bars are in `bars.py`.
"""

import os

from bench import builds, fixtures
from bench.bars import WASTE
from bench.clock import Failed, timed
from bench.contenders import PYTHON, Contender, with_env
from bench.ground import fresh, large
from bench.manyfiles import archive_of
from bench.registry import served
from bench.round import Round, Scenario

IMAGES = 1000


def import_root(this: Round) -> None:
    """A fresh store takes in the compressed Debian root; Lamina's barrier included."""
    for contender in this.turns():
        argv = contender.command("import", this.fixtures.rootfs, "root:1")
        this.take("import", contender.name, argv, contender)
        this.has_root_image(contender)


def apply_root(this: Round) -> None:
    """The uncompressed root into an empty store, beside `tar -x` followed by `sync -f`."""
    lamina = this.contenders["lamina"]
    folder = os.path.join(this.ground.disk, "apply")
    own = with_env(lamina, "lamina", LAMINA_ROOT=os.path.join(folder, "lamina"))
    tree = os.path.join(folder, "tree")
    os.makedirs(tree)
    this.prepare(own, "images")
    unpack = ["sh", "-c", 'tar -xf "$0" -C "$1" && sync -f "$1"', this.fixtures.uncompressed, tree]
    this.take("apply", "tar", unpack, lamina)
    this.take("apply", "lamina", own.command("import", this.fixtures.uncompressed, "root:1"), own)


def run_without_network(this: Round) -> None:
    """`run --rm --network none IMAGE true`."""
    _run(this, "run-none", "none")


def run_with_host_network(this: Round) -> None:
    """`run --rm --network host IMAGE true`."""
    _run(this, "run-host", "host")


def _run(this: Round, scenario: str, network: str) -> None:
    for contender in this.turns():
        this.need_root_image(contender)
        this.prepare(contender, "run", "--rm", "--network", network, "root:1", "true")
    for _ in range(7):
        for contender in this.turns():
            argv = contender.command("run", "--rm", "--network", network, "root:1", "true")
            this.take(scenario, contender.name, argv, contender)


def save_and_load(this: Round) -> None:
    """The Debian image to a file, away, and back from it, while nothing else uses its layer."""
    for contender in this.turns():
        this.need_root_image(contender)
        path = os.path.join(this.ground.disk, f"{contender.name}.saved")
        this.take(
            "save", contender.name, contender.command("save", "-o", path, "root:1"), contender
        )
        this.prepare(contender, "rmi", "-f", "root:1")
        this.take("load", contender.name, contender.command("load", "-i", path), contender)
        os.unlink(path)


def push_and_pull(this: Round) -> None:
    """An image of three layers from a registry into a store that has none of them; then back.

    What is pushed back is there already: that is how long it takes to find out.
    """
    with served(this.ground) as host:
        name = f"{host}/bench/root:1"
        lamina = this.contenders["lamina"]
        this.need_root_image(lamina)
        this.prepare(lamina, "build", "-q", "-t", name, this.fixtures.three)
        this.prepare(lamina, "push", "-q", name)
        this.prepare(lamina, "rmi", name)
        clean = os.path.join(this.ground.disk, "pulled")
        overlay = with_env(lamina, "lamina", LAMINA_ROOT=f"{clean}-overlay2")
        erofs = with_env(
            lamina, "lamina erofs", LAMINA_ROOT=f"{clean}-erofs", LAMINA_DRIVER="erofs"
        )
        others = [this.contenders["docker"], this.contenders["podman"]]
        for contender in (overlay, erofs):
            this.prepare(contender, "images")
        for contender in others:
            this.prepare(contender, "rmi", "-f", "root:1", "tiny:1")
            this.forget_root_image(contender)
        for contender in (overlay, erofs, *others):
            plain = ("--tls-verify=false",) if contender.name == "podman" else ()
            pull = contender.command("pull", "-q", *plain, name)
            seconds = this.take("pull", contender.name, pull, contender)
            if contender.name in ("lamina erofs", "docker"):
                this.repeat("pull-erofs", contender.name.partition(" ")[0], seconds)
            push = contender.command("push", "-q", *plain, name)
            this.take("push-again", contender.name, push, contender)
            this.prepare(contender, "rmi", "-f", name)


def copy_to_layout(this: Round) -> None:
    """The Debian image from a registry into an OCI layout that is not there yet.

    Lamina's layout is on disk then, as skopeo's is not.
    """
    with served(this.ground) as host:
        name = f"{host}/bench/root:1"
        lamina = this.contenders["lamina"]
        this.need_root_image(lamina)
        this.prepare(lamina, "tag", "root:1", name)
        this.prepare(lamina, "push", "-q", name)
        this.prepare(lamina, "rmi", name)
        words = ("--insecure-policy", "copy", "-q", "--src-tls-verify=false")
        ways = {"lamina": lamina.command("copy", "-q"), "skopeo": ["skopeo", *words]}
        names = list(ways)[this.number % 2 :] + list(ways)[: this.number % 2]
        for number in range(5):
            for each in names:
                folder = os.path.join(this.ground.disk, f"{each}{number}.layout")
                argv = [*ways[each], f"docker://{name}", f"oci:{folder}:x"]
                this.take("copy", each, argv, lamina)


def list_thousand(this: Round) -> None:
    """`images` over 1,000 images, beside an interpreter that does nothing."""
    lamina = this.contenders["lamina"]
    own = with_env(lamina, "lamina", LAMINA_ROOT=os.path.join(this.ground.disk, "thousand"))
    fill = [PYTHON, "-m", "bench.thousand", this.fixtures.small, str(IMAGES)]
    timed(fill, own.env)
    shown = os.path.join(this.ground.disk, "thousand.shown")
    timed(["sh", "-c", f'"$0" images -q > {shown}', *own.prefix], own.env)
    with open(shown, encoding="ascii") as lines:
        listed = len(lines.readlines())
    if listed != IMAGES:
        raise Failed(f"`lamina images` lists {listed} images of {IMAGES}")
    for _ in range(15):
        this.take("images-1000", "python", [PYTHON, "-c", "pass"], own)
        this.take("images-1000", "lamina", own.command("images"), own)


def start_up(this: Round) -> None:
    """`--version`: what every command pays."""
    lamina = this.contenders["lamina"]
    for _ in range(15):
        this.take("version", "python", [PYTHON, "-c", "pass"], lamina)
        this.take("version", "lamina", lamina.command("--version"), lamina)


def memory(this: Round) -> None:
    """Peak memory while a layer of 2 GiB, and one of 100,000 entries, is imported."""
    lamina = this.contenders["lamina"]
    for name, path in (
        ("small", this.fixtures.small),
        ("2 GiB", fixtures.large(this.ground)),
        ("100,000 entries", fixtures.entries(this.ground)),
    ):
        own = with_env(lamina, "lamina", LAMINA_ROOT=os.path.join(this.ground.disk, "memory"))
        this.prepare(own, "images")
        this.take_peak(name, own.command("import", "-", "big:1"), own, path)
        this.prepare(own, "rmi", "-f", "big:1")


def memory_of_ten_layers(this: Round) -> None:
    """Peak memory of what moves an image of ten layers of 1 GiB, on a disk of its own."""
    with large() as ground, served(ground) as host:
        layout, name = fixtures.ten_layers(ground), f"{host}/ten:1"
        stores = {
            driver: with_env(
                this.contenders["lamina"],
                f"lamina {driver}",
                LAMINA_ROOT=os.path.join(ground.disk, driver),
                LAMINA_DRIVER=driver,
            )
            for driver in ("overlay2", "erofs")
        }

        def take(act: str, store: Contender, *words: str) -> None:
            this.take_peak(act, store.command(*words), store, scenario="memory-ten")

        overlay2, saved = stores["overlay2"], os.path.join(ground.disk, "saved.tar")
        this.prepare(overlay2, "copy", "-q", f"oci:{layout}:ten", f"docker://{name}")
        take("copy", overlay2, "copy", "-q", f"docker://{name}", f"oci:{ground.disk}/copied:ten")
        take("pull overlay2", overlay2, "pull", "-q", name)
        this.prepare(overlay2, "tag", name, f"{host}/anew:1")
        take("push", overlay2, "push", "-q", "--compression", "zstd", f"{host}/anew:1")
        take("save", overlay2, "save", "-o", saved, name)
        this.prepare(overlay2, "rmi", "-f", name, f"{host}/anew:1")
        take("load", overlay2, "load", "-i", saved)
        os.unlink(saved)
        this.prepare(overlay2, "rmi", "-f", name)
        take("pull erofs", stores["erofs"], "pull", "-q", name)


def look_into(this: Round) -> None:
    """`waste` of images of 50,000 and 500,000 files, and `report` and `find` of the larger one."""
    lamina = this.contenders["lamina"]
    with fresh() as ground:  # one of its own: that of the round has not the inodes
        own = with_env(lamina, "lamina", LAMINA_ROOT=os.path.join(ground.disk, "look"))
        path = os.path.join(ground.disk, "files.tar")
        _looked(this, own, path, "waste-50k", 50_000)
        many = _looked(this, own, path, "waste-500k", 500_000)
        page = os.path.join(ground.disk, "files.html")
        this.take("report-500k", "lamina", own.command("report", "-o", page, many), own)
        this.take("find-500k", "lamina", own.command("find", many, "file499999"), own)
        this.take_peak(WASTE, own.command("waste", many), own, os.devnull)


def _looked(this: Round, own: Contender, path: str, scenario: str, files: int) -> str:
    name = f"files:{files}"
    this.prepare(own, "load", "-q", "-i", archive_of(path, files, name))
    os.unlink(path)
    for _ in range(3):
        this.take(scenario, "lamina", own.command("waste", name), own)
    return name


SCENARIOS = (
    Scenario("import", "import of the Debian root, .tar.gz", import_root),
    Scenario("apply", "apply of the Debian root, uncompressed", apply_root),
    Scenario("run-none", "run --rm --network none IMAGE true", run_without_network),
    Scenario("run-host", "run --rm --network host IMAGE true", run_with_host_network),
    Scenario("copy-10k", "build: COPY of 10,000 files, then cached", builds.copy_many),
    Scenario("save", "save and load of the Debian image", save_and_load),
    Scenario("pull", "pull of three layers, and pushing them back unchanged", push_and_pull),
    Scenario("copy", "copy of a Debian image from a registry into an OCI layout", copy_to_layout),
    Scenario("cached-tiny", "build: a tiny context, cached", builds.cached_tiny),
    Scenario("cached-20", "build: twenty steps, cached", builds.cached_twenty),
    Scenario("cold-10k-run", "build: COPY of 10,000 files and a RUN, cold", builds.cold_many),
    Scenario("two-sleeps", "build: two stages that sleep at once", builds.stages_at_once),
    Scenario(
        "changed-100k",
        "build: one of 100,000 files changed",
        builds.one_of_many_changed,
        once=True,
    ),
    Scenario("images-1000", "images, with 1,000 of them", list_thousand, once=True),
    Scenario("look", "waste, report and find of 500,000 files", look_into, once=True),
    Scenario("memory", "peak memory of import", memory, once=True),
    Scenario("memory-ten", "peak memory of ten layers of 1 GiB", memory_of_ten_layers, once=True),
    Scenario("version", "--version, beside an interpreter that does nothing", start_up, once=True),
)
