"""Builds as people have them, on a real Debian: nginx, C into scratch, Python with pip, an npm app.

Packages come by apt inside of RUN, by the host's network, and by pip and npm as this machine is
set up for them: what that needs goes in by secrets. Each is built twice on one store, all cached
then, and once more from another directory on another store: to the same image, bit for bit.
"""

import os
import shutil
import subprocess

import pytest

import lamina
from lamina.build import BuildRequest
from lamina.build.secrets import parse_secret
from scripts.apt import Missing
from scripts.rootfs import archive
from tests.conftest import lacking

pytestmark = [
    pytest.mark.real_builds,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("needs_root", "needs_mounts"),
]

EPOCH = 1_600_000_000
APT = (
    "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked"
    " --mount=type=cache,target=/var/lib/apt,sharing=locked"
    " apt-get update -qq && DEBIAN_FRONTEND=noninteractive"
    " apt-get install -qq --no-install-recommends {} >/dev/null\n"
)
TOOLS = "FROM debian\n" + APT.format("python3-pip nodejs npm")

# what apt, dpkg and ldconfig note of the time and of the machine
NOTES = "/var/log /var/cache/ldconfig /var/cache/debconf/*-old /var/lib/dpkg/*-old"
NGINX = {
    "Dockerfile": (
        "FROM debian\n"
        + APT.format("nginx-light").rstrip()
        + f" && find {NOTES} -type f -delete\n"
        + 'COPY index.html /var/www/html/\nCOPY ask /bin/\nCMD ["bash", "/bin/ask"]\n'
    ),
    "index.html": "served by nginx\n",
    "ask": (
        "nginx && exec 3<>/dev/tcp/127.0.0.1/80\n"
        'printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; tail -n 1 <&3\n'
    ),
}

C_PROGRAM = {
    "Dockerfile": (
        "FROM debian AS build\n"
        + APT.format("gcc libc6-dev make")
        + "WORKDIR /src\nCOPY . .\nRUN make\n"
        "FROM scratch\nCOPY --from=build /src/hello /hello\n"
        'ENTRYPOINT ["/hello"]\nCMD ["world"]\n'
    ),
    "Makefile": "hello: hello.c\n\t$(CC) -O2 -static -o $@ $<\n",
    "hello.c": '#include <stdio.h>\nint main(int n, char **a) { printf("hello, %s\\n", a[1]); }\n',
}
PYTHON_APP = {
    "Dockerfile": (
        "FROM tools AS build\nWORKDIR /app\nCOPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=ca,target=/run/ca"
        " --mount=type=secret,id=pip,env=PIP_INDEX_URL"
        " PIP_CERT=/run/ca pip install -q --no-compile --target lib -r requirements.txt\n"
        "FROM tools\nWORKDIR /app\nCOPY --from=build /app/lib lib\nCOPY main.py .\n"
        "ENV PYTHONPATH=/app/lib PYTHONDONTWRITEBYTECODE=1\nUSER 1000:1000\n"
        'CMD ["python3", "main.py"]\n'
    ),
    "requirements.txt": "six==1.17.0\n",
    "main.py": "import six\nprint(six.ensure_str(b'six'), six.__file__)\n",
}
NPM_APP = {
    "Dockerfile": (
        "FROM tools AS build\nWORKDIR /app\nCOPY package.json .\n"
        "RUN --mount=type=cache,target=/root/.npm --mount=type=secret,id=ca"
        " --mount=type=secret,id=npm,env=NPM_CONFIG_REGISTRY"
        " NODE_EXTRA_CA_CERTS=/run/secrets/ca npm install --no-audit --no-fund\n"
        "FROM tools\nWORKDIR /app\nCOPY --from=build /app/node_modules node_modules\n"
        'COPY main.js .\nCMD ["node", "main.js"]\n'
    ),
    "package.json": '{"name": "app", "version": "1.0.0", "dependencies": {"left-pad": "1.3.0"}}',
    "main.js": 'console.log(require("left-pad")("7", 3, "0"))\n',
}


def configured(*question):
    """What this machine's pip or npm is set to; nothing where it is not there or not set."""
    try:
        done = subprocess.run(question, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@pytest.fixture(scope="module")
def secrets():
    """The host's certificates and package indexes, for commands that fetch."""
    bundle = os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt"
    if not os.path.exists(bundle):
        lacking("needs certificates (package ca-certificates)")
    given = {
        "PIP": configured("pip", "config", "get", "global.index-url"),
        "NPM": configured("npm", "config", "get", "registry"),
    }
    texts = [f"id=ca,src={bundle}"]
    texts += [f"id={name.lower()},env={name}" for name, value in given.items() if value]
    return dict(parse_secret(text, given) for text in texts)


class Store:
    """An engine of its own that has Debian, and contexts beside it."""

    def __init__(self, folder):
        self.folder = folder
        self.engine = lamina.open(f"{folder}/root", run_root=f"{folder}/run")
        try:
            self.engine.images.import_(archive(), repository="debian", created=EPOCH)
        except Missing as why:
            lacking(str(why))

    def build(self, name, files, secrets=None, **wishes):
        """Build files as an image of that name; what came of it."""
        context = os.path.join(self.folder, name)
        shutil.rmtree(context, ignore_errors=True)
        os.mkdir(context)
        for path, text in files.items():
            with open(os.path.join(context, path), "w") as file:
                file.write(text)
        request = BuildRequest(
            context=context, tags=(name,), source_date_epoch=EPOCH, secrets=secrets or {}
        )
        return self.engine.images.carry_out(request, **wishes)

    def says(self, name):
        """What a container of an image writes."""
        done = self.engine.containers.run(name, remove=True, network="none")
        assert done.exit_code == 0
        return done.output


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    made = [Store(str(tmp_path_factory.mktemp(name))) for name in ("one", "other")]
    yield made
    for each in made:
        each.engine.close()


@pytest.fixture(scope="module")
def tools(stores, tmp_path_factory):
    """Python, pip, node and npm, by apt in a RUN of one store; the other one has it by archive."""
    one, other = stores
    one.build("tools", {"Dockerfile": TOOLS})
    path = str(tmp_path_factory.mktemp("tools") / "tools.tar")
    with open(path, "wb") as file:
        one.engine.images.save(["tools"], file.write)
    other.engine.images.load(path)
    os.unlink(path)
    return stores


def assert_same_everywhere(stores, name, files, secrets, said):
    one, other = stores
    first = one.build(name, files, secrets)
    assert first.carried_out > 0
    assert one.says(name) == said
    again = one.build(name, files, secrets)
    assert (again.image_id, again.carried_out) == (first.image_id, 0)
    elsewhere = other.build(name, files, secrets)
    assert elsewhere.carried_out > 0
    assert elsewhere.image_id == first.image_id
    assert other.says(name) == said


def test_nginx_whose_packages_are_the_same_wherever_they_are_installed(stores):
    assert_same_everywhere(stores, "web", NGINX, {}, "served by nginx\n")


def test_a_static_c_program_in_an_image_of_its_own(stores):
    assert_same_everywhere(stores, "hello", C_PROGRAM, {}, "hello, world\n")
    (layer,) = stores[0].engine.images.get("hello").layers
    assert layer.size < 2_000_000


def test_a_python_app_with_a_cache_for_pip(tools, secrets):
    assert_same_everywhere(tools, "snake", PYTHON_APP, secrets, "six /app/lib/six.py\n")


def test_an_npm_app(tools, secrets):
    assert_same_everywhere(tools, "padded", NPM_APP, secrets, "007\n")


def test_npm_goes_on_with_what_it_fetched_on_another_machine(tools, secrets, tmp_path):
    """Without any network: the cache mount is all that it has."""
    one, other = tools
    place = f"type=local,dest={tmp_path}/cache,mounts=/root/.npm"
    one.build("padded", NPM_APP, secrets, cache_to=[place])
    for mount in other.engine.cache_mounts.list():
        other.engine.cache_mounts.remove(mount.title)
    text = NPM_APP["Dockerfile"].replace("RUN ", "RUN --network=none ")
    files = {**NPM_APP, "Dockerfile": text.replace("npm install", "npm install --offline")}
    other.build("padded", files, secrets, cache_from=[f"type=local,src={tmp_path}/cache"])
    assert other.says("padded") == "007\n"
