"""Templates beside docker's own client: the same text of the same document."""

import io
import json
import tarfile

import pytest

from lamina.cli.template import compile_template
from lamina.errors import TemplateError

TEMPLATES = [
    "{{.Config.Env}} {{json .Config.Env}} {{len .Config.Env}} {{index .Config.Env 0}}",
    "{{range .Config.Env}}{{println .}}{{end}}",
    "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{else}}none{{end}}",
    '{{index .Config.Labels "a"}}[{{index .Config.Labels "nope"}}]{{.Config.Labels.a}}',
    '{{with .Config.Labels}}{{index . "a"}}{{end}}{{with .Config.Volumes}}x{{else}}y{{end}}',
    "{{if eq .State.Status `created`}}new{{else}}old{{end}}",
    "{{json .Config.Labels}} {{json .Config.Volumes}} {{json .Config.Cmd}} {{json .Name}}",
    '{{join .Config.Cmd " "}} {{upper .Name}} {{lower "ABC"}} {{title "a bc d-e"}}',
    '{{split .Name "/"}} {{slice .Name 1 2}} {{truncate .Id 12 | len}}',
    '{{printf "%s %d %q %v %5d|%-8s|" .Name .State.ExitCode .Name .State.Running 7 "x"}}',
    "{{.State.Running}} {{not .State.Running}} {{and .Name 0}} {{or .Config.User `root`}}",
    "{{$x := .Name}}{{$x = slice $x 1}}{{$x}} {{$.Config.Tty}}",
    "a  {{- .State.ExitCode -}}  b {{/* c */}}{{with $n := .Name}}{{$n}}{{end}}",
    "{{(index .Config.Env 0) | printf `%s!`}} {{len (split .Name ``)}}",
    "{{lt .State.ExitCode 1}} {{ge 1 1}} {{ne `a` `b`}} {{eq 1 2 1}} {{print 1 2 `a` 3}}",
    "{{.HostConfig.NetworkMode}} {{.Path}} {{.Args}} {{.Config.ExposedPorts}}",
    "{{pad .Path 1 2}}|{{pad `` 1 2}}|",
    *("{{.Nope}}", "{{nope}}", "{{.Name", "{{if .Name}}", "{{index .Config.Env 9}}", "{{end}}"),
    *(
        "{{.Name.Nope}}",
        "{{len 3}}",
        '{{eq 1 "1"}}',
        "{{upper 3}}",
        "{{(}}",
        "{{range .Name}}{{end}}",
    ),
]


@pytest.fixture(scope="module")
def inspected(docker, tmp_path_factory):
    """docker's inspect of a container: a function of a template, and the document itself."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("file"))
    path = tmp_path_factory.mktemp("template") / "root.tar"
    path.write_bytes(packed.getvalue())
    docker("import", str(path), "small:1")
    said = ["-e", "A=1", "-l", "a=1", "-l", "b.c=x y", "--expose", "80", "--network", "host"]
    name = docker("create", *said, "small:1", "ls", "-l").strip()
    return (
        lambda template: docker("inspect", "--format", template, name, check=False),
        json.loads(docker("inspect", name))[0],
    )


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_dockers_client_makes_of_it(inspected, template):
    """Where it refuses (and then writes an empty line), so do we."""
    docker, document = inspected
    try:
        ours = compile_template(template)(document) + "\n"
    except TemplateError:
        ours = "\n"
    assert ours == (docker(template) or "\n")
