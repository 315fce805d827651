"""`lamina waste`: the classic mistake to the byte, its repair, and the gates for CI."""

import json
import random

import pytest

from tests.cli.rig import assert_complaint

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
ARCHIVE = random.Random(1).randbytes(300_000)
MISTAKE = """FROM base
COPY app.tar.gz /tmp/
RUN cp /tmp/app.tar.gz /root/app && \\
    echo done > /root/log
RUN rm /tmp/app.tar.gz
"""
REPAIRED = """FROM base AS made
COPY app.tar.gz /tmp/
RUN cp /tmp/app.tar.gz /root/app
FROM base
COPY --from=made /root/app /root/app
"""


@pytest.fixture(scope="module")
def built(standing):
    """A store with the images `mistake` and `repaired`; the Dockerfile of the first lies there."""
    standing.write("context/app.tar.gz", ARCHIVE)
    for name, text in (("mistake", MISTAKE), ("repaired", REPAIRED)):
        path = standing.write(f"{name}.Dockerfile", text)
        standing.ok("build", "-q", "-t", name, "-f", path, f"{standing.folder}/context")
    return standing


def told(lamina, *words):
    return json.loads(lamina.ok("waste", "--json", *words))


def test_the_classic_mistake_is_found_to_the_byte_and_its_repair_wastes_nothing(built):
    found = told(built, "mistake", "-f", f"{built.folder}/mistake.Dockerfile")
    (finding,) = [each for each in found["Findings"] if each["Wasted"]]
    assert found["Wasted"] == found["WastedUnshared"] == finding["Size"] == len(ARCHIVE)
    assert finding["Kind"] == "deleted"
    assert (finding["CreatedBy"], finding["Line"]) == ("COPY app.tar.gz /tmp/", 2)
    assert (finding["HiddenByCommand"], finding["HiddenByLine"]) == ("RUN rm /tmp/app.tar.gz", 5)
    assert finding["Paths"] == [{"Path": "/tmp/app.tar.gz", "Size": len(ARCHIVE)}]
    assert [layer["Line"] for layer in found["Layers"]] == [None, 2, 3, 5]
    assert [layer["Shared"] for layer in found["Layers"]] == [True, False, False, False]
    assert told(built, "repaired")["Wasted"] == 0


def test_the_layers_add_up_to_what_is_stored(built):
    found = told(built, "mistake")
    parts = ("Visible", "Deleted", "Overwritten", "Attributes", "Moved")
    for layer in found["Layers"]:
        assert layer["Stored"] == sum(layer[part] for part in parts)
    size = int(built.ok("inspect", "--format", "{{.Size}}", "mistake"))
    assert size == found["Stored"] == sum(layer["Stored"] for layer in found["Layers"])
    assert sum(layer["Hides"] for layer in found["Layers"]) == found["Wasted"]


ACTS = """FROM base
COPY data /opt/data
RUN chown -R 5:6 /opt/data
RUN touch /opt/data/one
RUN mv /opt/data /opt/moved
RUN mkdir /d && echo text > /d/a && ln /d/a /d/b
RUN rm /d/a
RUN rm -r /opt/moved && mkdir /opt/moved && echo new > /opt/moved/one
"""


@pytest.mark.parametrize("driver", ["overlay2", "erofs", "vfs"])
def test_what_commands_really_do_is_told_apart_to_the_byte(lamina, busybox_tar, driver):
    lamina.driver = driver
    lamina.ok("import", busybox_tar, "base")
    lamina.write("data/one", "1" * 1000)
    lamina.write("data/sub/two", "2" * 300)
    lamina.write("Dockerfile", ACTS)
    lamina.ok("build", "-q", "-t", "acts", lamina.folder)
    found = told(lamina, "acts", "--all")
    facts = [
        (each["Kind"], each["Size"], each["Layer"], each["HiddenBy"], each["Where"])
        for each in found["Findings"]
        if each["Wasted"]
    ]
    assert facts == [
        ("attributes", 1300, 2, 3, "/opt/data"),
        ("moved", 1000, 4, 5, "/opt/data"),
        ("attributes", 1000, 3, 4, "/opt/data/one"),
        ("overwritten", 1000, 5, 8, "/opt/moved/one"),
        ("moved", 300, 3, 5, "/opt/data"),
        ("deleted", 300, 5, 8, "/opt/moved/sub"),
    ]
    assert "largest: /opt/data/one 1kB, /opt/data/sub/two 300B" in lamina.ok("waste", "acts")
    assert found["Wasted"] == sum(size for _, size, *_ in facts)


def test_the_screen_names_instruction_paths_and_repair(built):
    shown = built.ok("waste", "mistake")
    assert "300kB (" in shown
    assert "/tmp/app.tar.gz, deleted 2 layers later by layer 4, RUN rm /tmp/app.tar.gz" in shown
    assert "RUN --mount=type=bind,source=app.tar.gz,target=/tmp/app.tar.gz" in shown


@pytest.mark.parametrize(
    ("limit", "code"), [("0%", 1), ("5%", 1), ("99%", 0), ("292k", 1), ("293k", 0), ("1m", 0)]
)
def test_a_limit_is_an_exit_code(built, limit, code):
    said = built("waste", "mistake", "--max-waste", limit)
    assert said.code == code
    assert ("more than" in said.err) == bool(code)
    assert said.out.startswith("mistake: ")


@pytest.mark.parametrize("limit", ["101%", "-1%", "x%", "%", "many"])
def test_a_limit_that_is_none_is_refused(built, limit):
    assert_complaint(built("waste", "mistake", "--max-waste", limit), limit)


def test_sarif_points_at_the_dockerfile(built):
    path = f"{built.folder}/mistake.Dockerfile"
    out = json.loads(built.ok("waste", "mistake", "-f", path, "--sarif", "-"))
    assert out["version"] == "2.1.0"
    (run,) = out["runs"]
    (result,) = [each for each in run["results"] if each["level"] == "warning"]
    place = result["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": path}, "region": {"startLine": 2}}
    assert result["ruleId"] in {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert "300,000 bytes" in result["message"]["text"]
    shown = built.ok("waste", "mistake", "--sarif", f"{built.folder}/out.sarif")
    assert shown.startswith("mistake: ")
    with open(f"{built.folder}/out.sarif") as file:
        assert json.load(file)["runs"][0]["results"]


def test_a_template_sees_the_document(built):
    assert built.ok("waste", "mistake", "--format", "{{.Wasted}}") == f"{len(ARCHIVE)}\n"


def test_what_is_not_there_is_said(built):
    assert_complaint(built("waste", "nothing"), "no such image: nothing")
    assert_complaint(built("waste", "mistake", "-f", "/none"), "/none", "No such file")
