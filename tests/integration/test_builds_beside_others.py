"""The same Dockerfiles built by Lamina, docker's classic builder and buildah: one tree, one config.

Every image leaves its builder as a docker archive, and its layers are laid over one another here,
by code that shares nothing with Lamina. Times are not compared: each builder has its own clock.
Where the builders differ among themselves, docker is right; what Lamina does otherwise on purpose
(docs/format/build-cache.md) stands in the table with its reason.
"""

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile

import pytest

from tests.cli.rig import Lamina

pytestmark = [
    pytest.mark.differential,
    pytest.mark.usefixtures("needs_root", "needs_mounts"),
]

BASE = "docker.io/library/base:latest"
FIELDS = (
    *("Env", "Cmd", "Entrypoint", "WorkingDir", "User", "Labels", "ExposedPorts", "Volumes"),
    *("Shell", "StopSignal", "Healthcheck", "OnBuild"),
)
CONTAINERS_CONF = """\
[containers]
default_ulimits=["nofile=1024:1024","nproc=1000:1000"]
"""

CASES = {
    "scratch": "FROM scratch\nCOPY a.txt /a\n",
    "env": 'FROM base\nENV A=1 B="two words"\nENV C $A-x\nENV A=2 D=${A:-no} E=${N:-no}\n',
    "arg": "ARG TAG=latest\nFROM base:$TAG\nARG X=1\nARG Y\nRUN echo $X-$Y >/x\nENV Z=$X\n",
    "label": 'FROM base\nLABEL a=1 "b c"="d e"\nLABEL a=2 f="g\\\nh"\n',
    "cmd": 'FROM base\nCMD ["a", "b c"]\nCMD echo hello $X\n',
    "entrypoint": 'FROM base\nCMD ["x"]\nENTRYPOINT ["/bin/echo", "y"]\n',
    "entrypoint-shell": 'FROM base\nENTRYPOINT exec top\nCMD ["-b"]\n',
    "workdir": "FROM base\nWORKDIR /a/b\nWORKDIR c\nRUN pwd >here\nENV D=/q\nWORKDIR $D/r\n",
    "workdir-user": "FROM base\nUSER bob\nWORKDIR /home/bob/w\n",
    "user": "FROM base\nRUN mkdir -m 777 /o\nUSER bob:wheel\nRUN id -un >/o/u; id -gn >/o/g\nUSER 7:8\n",
    "expose-volume": 'FROM base\nEXPOSE 80 53/udp\nEXPOSE 8080-8081\nVOLUME /v /w\nVOLUME ["/x"]\n',
    "shell": 'FROM base\nSHELL ["/bin/sh", "-ec"]\nRUN echo a >/s\nCMD echo x\n',
    "stopsignal-healthcheck": "FROM base\nSTOPSIGNAL SIGINT\nHEALTHCHECK --retries=2 CMD true\n",
    "onbuild": "FROM base\nONBUILD RUN echo x >/x\nONBUILD COPY a.txt /\n",
    "maintainer": "FROM base\nMAINTAINER Somebody <s@o>\n",
    "run": "FROM base\nRUN echo a >/a && mkdir /d && ln -s ../a /d/l && ln /a /d/h && chmod 4711 /a\n",
    "run-exec": 'FROM base\nRUN ["/bin/sh", "-c", "echo $0 >/x", "zero"]\nRUN true\n',
    "run-delete": "FROM base\nCOPY dir /d\nRUN rm -r /d/sub /d/one && mkdir /d/sub && echo n >/d/sub/new\n",
    "run-replace": "FROM base\nCOPY dir /d\nRUN rm -r /d && echo file >/d\nRUN rm /d && mkdir /d\n",
    "run-owner": "FROM base\nRUN mkdir /o && chown 5:6 /o && mkfifo /o/p && mknod /o/n c 1 3\n",
    "copy-file": "FROM base\nCOPY a.txt /x/y/\nCOPY a.txt b.txt /x/\nCOPY a.txt /x/renamed\n",
    "copy-dir": "FROM base\nCOPY dir /d\nCOPY dir/ /e/\nCOPY . /all/\n",
    "copy-glob": "FROM base\nCOPY *.txt /t/\nCOPY dir/s?b /u/\nCOPY [ab].txt /v/\n",
    "copy-links": "FROM base\nCOPY links /l/\nCOPY links/file /m\n",
    "copy-relative": "FROM base\nWORKDIR /w\nCOPY a.txt .\nCOPY b.txt sub/\n",
    "copy-chown": "FROM base\nCOPY --chown=bob:wheel dir /d/\nCOPY --chown=1:2 a.txt /n/a\nCOPY --chown=bob b.txt /b\n",
    "copy-over-link": "FROM base\nRUN mkdir /real && ln -s real /link\nCOPY a.txt /link/\nCOPY dir /link/d\n",
    "copy-json": 'FROM base\nCOPY ["with space.txt", "/s p/"]\n',
    "copy-user": "FROM base\nRUN mkdir -m 777 /o\nUSER bob\nCOPY a.txt /home/\nRUN cat /home/a.txt >/o/a\n",
    "add-tar": "FROM base\nADD archive.tar.gz /unpacked/\nADD archive.tar.gz a.txt /both/\n",
    "add-root": "FROM scratch\nADD archive.tar.gz /\n",
    "add-plain": "FROM base\nADD a.txt /x\nADD dir /y\nADD no-archive.tar.gz /z/\n",
    "stages": "FROM base AS one\nRUN echo 1 >/one\nFROM base AS two\nCOPY --from=one /one /got\nCOPY --from=0 /one /d/\n",
    "stage-on-stage": "FROM base AS one\nENV A=1\nRUN echo 1 >/one\nFROM one\nENV B=$A\n",
    "from-image": "FROM scratch\nCOPY --from=docker.io/library/base:latest /etc/passwd /etc/group /e/\n",
    "ignored": "FROM base\nCOPY . /c/\n",
    "comments": "# escape=`\nFROM base\n# c\nRUN echo a `\n# inside\n && echo b >/x\nENV P=a\\b\n",
    "variables": "FROM base\nENV S=sub F=a\nCOPY ${F}.txt /$S/\nUSER ${U:-bob}\nEXPOSE ${P:-90}\nVOLUME /$S\nLABEL x=$F\n",
}
ARGS = {"arg": ("--build-arg", "Y=why")}
# What the classic builder does not know.
NEWER = {
    "chmod": "FROM base\nCOPY --chmod=640 a.txt /a\nCOPY --chmod=0755 dir /d\n",
    "mount-bind": "FROM base\nRUN --mount=type=bind,source=dir,target=/m cp -r /m /got\n",
    "mount-file": "FROM base\nRUN --mount=type=bind,source=a.txt,target=/m cat /m >/got\n",
    "mount-bind-rw": "FROM base\nRUN --mount=type=bind,source=dir,target=/m,rw touch /m/x && ls /m >/got\n",
    "mount-stage": "FROM base AS one\nRUN mkdir /o && echo x >/o/f\nFROM base\nRUN --mount=type=bind,from=one,source=/o,target=/m cat /m/f >/got\n",
    "mount-tmpfs": "FROM base\nRUN mkdir /m && touch /m/below\nRUN --mount=type=tmpfs,target=/m ls -a /m >/got; touch /m/gone\n",
    "mount-cache": "FROM base\nRUN --mount=type=cache,target=/m,id=$ID echo x >/m/f\nRUN --mount=type=cache,target=/m,id=$ID cat /m/f >/got\n".replace(
        "$ID", f"differential-{os.getpid()}"
    ),
    "mount-secret": "FROM base\nRUN mkdir -p /run/secrets && touch /run/secrets/key\nRUN --mount=type=secret,id=key cat /run/secrets/key >/got\n",
    "mount-no-secret": "FROM base\nRUN --mount=type=secret,id=none ls /run/secrets/none >/dev/null 2>&1 || echo no >/got\n",
}
# What differs, in tree and config, and is right: the classic builder makes a WORKDIR root's
# whatever USER says, BuildKit, buildah and Lamina the user's. buildah makes the directory of a
# VOLUME in JSON, keeps a range of ports as one, forgets SHELL for CMD, and takes a backslash for
# an escape that is none; there docker is as Lamina. A bind of buildah's shows what .dockerignore
# leaves out, and takes the mount point of a RUN away although the image had it.
OTHERWISE = {
    ("docker", "workdir-user"): {"home", "home/bob", "home/bob/w"},
    ("buildah", "expose-volume"): {"x", "ExposedPorts"},
    ("buildah", "shell"): {"Cmd"},
    ("buildah", "comments"): {"Env"},
    ("buildah", "mount-bind"): {"got/sub/secret.key"},
    ("buildah", "mount-tmpfs"): {"m", "m/below"},
}
# What a RUN of buildah's leaves in the image: where it mounts things.
TRACES = ("dev", "proc", "sys", "run", "etc/hosts", "etc/hostname", "etc/resolv.conf")


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """Files, folders, links, an archive, and what .dockerignore leaves out."""
    folder = tmp_path_factory.mktemp("context")

    def put(name, text, mode=0o644):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    for name in ("a.txt", "b.txt", "with space.txt", "dir/one", "dir/sub/two", "links/file"):
        put(name, f"this is {name}\n")
    put("dir/program", "#!/bin/sh\n", 0o755)
    put("dir/private", "x", 0o600)
    put("no-archive.tar.gz", "this is text")
    (folder / "dir" / "empty").mkdir()
    (folder / "links" / "to-file").symlink_to("file")
    (folder / "links" / "to-folder").symlink_to("../dir")
    (folder / "links" / "dangling").symlink_to("/nowhere")
    _archive(folder / "archive.tar.gz")
    for name in ("secret.key", "dir/sub/secret.key", "logs/a.log", "logs/keep.log"):
        put(name, name)
    put(
        ".dockerignore", "# not these\n**/*.key\nlogs\n!logs/keep.log\nDockerfile*\n.dockerignore\n"
    )
    return folder


def _archive(path):
    with tarfile.open(path, "w:gz") as archive:
        for name, mode, owner in (("d", 0o750, 3), ("d/f", 0o640, 4), ("top", 0o755, 0)):
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if name == "d" else tarfile.REGTYPE
            info.mode, info.uid, info.gid = mode, owner, owner
            body = b"" if name == "d" else name.encode()
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
        link = tarfile.TarInfo("d/l")
        link.type, link.linkname = tarfile.SYMTYPE, "f"
        archive.addfile(link)


# --- the builders -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lamina(tmp_path_factory, busybox_tar):
    made = Lamina(str(tmp_path_factory.mktemp("lamina")), "overlay2")
    made.ok("import", busybox_tar, "base")
    made.ok("save", "-o", f"{made.folder}/base.tar", "base")

    def build(file, context, arguments):
        made.ok("build", "-q", "-t", "built", "-f", file, *arguments, context)
        made.ok("save", "-o", f"{made.folder}/built.tar", "built")
        return f"{made.folder}/built.tar"

    build.base = f"{made.folder}/base.tar"
    return build


@pytest.fixture(scope="module")
def dockers(docker, lamina, tmp_path_factory):
    folder = tmp_path_factory.mktemp("docker")
    docker("load", "-i", lamina.base)

    def build(file, context, arguments):
        docker("build", "-q", "--network", "host", "-t", "built", "-f", file, *arguments, context)
        docker("save", "-o", f"{folder}/built.tar", "built")
        return f"{folder}/built.tar"

    return build


@pytest.fixture(scope="module")
def buildahs(lamina, tmp_path_factory, needs_program):
    folder = tmp_path_factory.mktemp("buildah")
    (folder / "containers.conf").write_text(CONTAINERS_CONF)
    env = {**os.environ, "CONTAINERS_CONF": f"{folder}/containers.conf"}
    storage = ["--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]

    def buildah(*words):
        command = [needs_program("buildah"), *storage, *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def build(file, context, arguments):
        flags = ["--isolation", "chroot", "--network", "host", "--format", "docker", "--pull-never"]
        buildah("bud", "-q", *flags, "-t", "built", "-f", file, *arguments, context)
        target = f"{folder}/built.tar"
        if os.path.exists(target):
            os.unlink(target)
        buildah("push", "-q", "built", f"docker-archive:{target}:built:latest")
        return target

    buildah("pull", "-q", f"docker-archive:{lamina.base}")
    buildah("tag", "localhost/base", BASE)
    return build


# --- what an archive holds ----------------------------------------------------------------


def image_of(path):
    """The config and the merged tree of the only image in a docker archive."""
    with tarfile.open(path) as archive:
        (row,) = json.load(archive.extractfile("manifest.json"))
        document = json.load(archive.extractfile(row["Config"]))
        tree = {}
        for name in row["Layers"]:
            member = archive.getmember(name)
            while not member.isfile():  # docker links a layer that occurs twice
                target = os.path.normpath(
                    os.path.join(os.path.dirname(member.name), member.linkname)
                )
                member = archive.getmember(target)
            with tarfile.open(fileobj=archive.extractfile(member)) as layer:
                lay(tree, layer)
    return document, tree


def lay(tree, layer):
    """Put one layer over a tree: whiteouts first, since they mean what is below."""
    rows = [(os.path.normpath(each.name), each) for each in layer]
    for name, _ in rows:
        folder, _, last = name.rpartition("/")
        if last == ".wh..wh..opq":
            _remove(tree, folder, below=True)
        elif last.startswith(".wh."):
            _remove(tree, f"{folder}/{last[4:]}".lstrip("/"))
    for name, each in rows:
        if "/.wh." in f"/{name}":
            continue
        if not each.isdir():
            _remove(tree, name)
        tree[name] = _entry(tree, layer, each)


def _remove(tree, name, below=False):
    for each in [each for each in tree if each.startswith(f"{name}/")]:
        del tree[each]
    if not below:
        tree.pop(name, None)


def _entry(tree, layer, member):
    if member.islnk():
        return tree[os.path.normpath(member.linkname)]
    body = layer.extractfile(member).read() if member.isfile() else b""
    mode = member.mode & 0o7777 if not member.issym() else 0o777
    detail = member.linkname if member.issym() else (member.devmajor, member.devminor)
    if member.isfile():
        detail = hashlib.sha256(body).hexdigest() if len(body) > 200 else body
    kind = "file" if member.isfile() else member.type
    return kind, oct(mode), member.uid, member.gid, detail


def config_of(document):
    config = document.get("config") or {}
    found = {name: config.get(name) or None for name in FIELDS}
    if found["WorkingDir"] == "/":
        found["WorkingDir"] = (
            None  # BuildKit and Lamina say it, classic and buildah do not: the same
        )
    labels = dict(found["Labels"] or {})
    labels.pop("io.buildah.version", None)
    found["Labels"] = labels or None
    return found


def history_of(document):
    """Each line's words and whether it has no layer, without what names the builder.

    Without ONBUILD, of which BuildKit tells nothing, and neither do we.
    """
    lines = [
        (_plain(each.get("created_by", "")), bool(each.get("empty_layer")))
        for each in document["history"]
    ]
    return [line for line in lines if not line[0].startswith("ONBUILD")]


def _plain(text):
    text = text.removesuffix(" # buildkit")
    text = re.sub(r"^.*?#\(nop\) +", "", text)
    verb = re.match(r"(ARG|COPY|ADD|EXPOSE|HEALTHCHECK)\b", text)
    return verb[0] if verb else text.removeprefix("RUN ")


# --- the comparison -----------------------------------------------------------------------


def built(build, context, name, text):
    """The config and the tree of what a builder makes of a Dockerfile's text."""
    file = context / f"Dockerfile.{name}"
    file.write_text(text)
    return image_of(build(str(file), str(context), ARGS.get(name, ())))


def differences(ours, theirs):
    return {
        name: (ours.get(name), theirs.get(name))
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    }


@pytest.mark.parametrize("name", CASES)
def test_beside_docker(lamina, dockers, context, name):
    ours, our_tree = built(lamina, context, name, CASES[name])
    theirs, their_tree = built(dockers, context, name, CASES[name])
    found = differences(our_tree, their_tree) | differences(config_of(ours), config_of(theirs))
    assert set(found) == OTHERWISE.get(("docker", name), set()), found
    assert history_of(ours) == history_of(theirs)


@pytest.mark.parametrize("name", [*CASES, *NEWER])
def test_beside_buildah(lamina, buildahs, context, name):
    text = {**CASES, **NEWER}[name]
    ours, our_tree = built(lamina, context, name, text)
    theirs, their_tree = built(buildahs, context, name, text)
    found = differences(our_tree, their_tree)
    left = {each for each in TRACES if each in found and _is_trace(*found[each])}
    found |= differences(config_of(ours), config_of(theirs))
    assert set(found) - left == OTHERWISE.get(("buildah", name), set()), found


def _is_trace(ours, theirs):
    """A directory or an empty file that only they have."""
    return ours is None and (theirs[0] == tarfile.DIRTYPE or theirs[4] == b"")
