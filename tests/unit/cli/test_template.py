"""Templates as Go's text/template and docker's functions have them."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.cli.template import compile_template
from lamina.errors import TemplateError

DATA = {
    "Name": "/c1",
    "Empty": "",
    "Size": 1234,
    "Zero": 0,
    "Ratio": 1.5,
    "Whole": 2.0,
    "On": True,
    "Off": False,
    "Nil": None,
    "Tags": ["a:1", "b:2"],
    "None": [],
    "State": {"Status": "exited", "ExitCode": 3},
    "Config": {"Labels": {"b": "2", "a.x": "1"}, "Env": ["A=1"], "Volumes": None},
    "Mounts": [{"Source": "/s1", "RW": True}, {"Source": "/s2", "RW": False}],
}

# (template, what Go 1.19 makes of it)
SHOWN = [
    ("plain", "plain"),
    ("", ""),
    ("{{.Name}}", "/c1"),
    ("{{ .State.Status }}:{{.State.ExitCode}}", "exited:3"),
    ("{{$.Name}}", "/c1"),
    ("{{.Ratio}} {{.Whole}} {{.On}} {{.Off}}", "1.5 2 true false"),
    ("{{.Nil}}", "<no value>"),
    ("{{.Tags}} {{.None}} {{.Config.Labels}}", "[a:1 b:2] [] map[a.x:1 b:2]"),
    # json
    (
        "{{json .Tags}} {{json .Nil}} {{json .State}}",
        '["a:1","b:2"] null {"Status":"exited","ExitCode":3}',
    ),
    ("{{json .Config.Volumes}} {{json .Config.Labels}}", 'null {"b":"2","a.x":"1"}'),
    ('{{json "<&>é"}}', '"<&>é"'),
    # maps, where a missing key is no error
    ('{{index .Config.Labels "a.x"}}', "1"),
    ('[{{index .Config.Labels "nope"}}]', "[]"),
    ("{{.Config.Labels.b}} {{.Config.Labels.nope}}", "2 <no value>"),
    ("{{with .Config.Labels}}{{.b}}{{.nope}}{{end}}", "2<no value>"),
    ('[{{index .Config.Volumes "x"}}]{{len .Config.Volumes}}', "[]0"),
    # range, with, if
    ("{{range .Tags}}{{.}},{{end}}", "a:1,b:2,"),
    ("{{range $i, $t := .Tags}}{{$i}}={{$t}} {{end}}", "0=a:1 1=b:2 "),
    ("{{range $t := .Tags}}{{$t}}{{$.Name}} {{end}}", "a:1/c1 b:2/c1 "),
    ("{{range $k, $v := .Config.Labels}}{{$k}}:{{$v}};{{end}}", "a.x:1;b:2;"),
    ("{{range .None}}x{{else}}none{{end}}", "none"),
    ("{{range .Nil}}x{{else}}nil{{end}}", "nil"),
    ("{{range .Mounts}}{{if .RW}}{{.Source}}{{end}}{{end}}", "/s1"),
    ("{{if .Empty}}a{{else}}b{{end}}", "b"),
    ("{{if .Zero}}a{{else if .Off}}b{{else if .Name}}c{{else}}d{{end}}", "c"),
    ("{{if and .On .Name}}y{{end}}{{if or .Off .Zero}}n{{end}}", "y"),
    ("{{with .State}}{{.Status}}{{end}}{{with .Empty}}x{{else}}{{.Name}}{{end}}", "exited/c1"),
    ("{{with $s := .State}}{{$s.Status}}{{end}}", "exited"),
    ("{{if $x := .Size}}{{$x}}{{end}}", "1234"),
    # variables
    ("{{$x := 1}}{{$x}}{{$x = 2}}{{$x}}", "12"),
    ("{{$n := 0}}{{range .Tags}}{{$n = .}}{{end}}{{$n}}", "b:2"),
    ("{{$x := 1}}{{if true}}{{$x := 2}}{{end}}{{$x}}", "1"),
    # pipelines, parentheses
    ('{{join .Tags ","}}', "a:1,b:2"),
    ('{{"," | join .Tags}}', "a:1,b:2"),
    ("{{(index .Mounts 1).Source}}", "/s2"),
    ('{{index (split .Name "") 1}}', "c"),
    ('{{.Name | upper | printf "%s-%s" "x"}}', "x-/C1"),
    ("{{len (slice .Name 1)}}", "2"),
    ("{{not (eq .Size 1)}}", "true"),
    ("{{eq .Name `/c1`}}", "true"),
    # functions
    ('{{upper "aé"}} {{lower "AÉ"}} {{title "ab cd-ef"}}', "AÉ aé Ab Cd-Ef"),
    ('{{split "a,b" ","}} {{len (split "a,b" ",")}}', "[a b] 2"),
    ("{{len .Tags}} {{len .Name}} {{len .Config.Labels}}", "2 3 2"),
    ('{{len "é"}}', "2"),
    ("{{index .Tags 1}} {{index .Mounts 0}}", "b:2 map[RW:true Source:/s1]"),
    ('{{truncate "abcdef" 3}}|{{truncate "ab" 3}}', "abc|ab"),
    ('{{pad "x" 2 1}}|{{pad "" 2 1}}|', "  x ||"),
    ('{{println "a" 1}}', "a 1\n"),
    ('{{print "a" 1 2 "b"}}', "a1 2b"),
    ("{{print 1 2}}", "1 2"),
    (
        '{{printf "%s|%5s|%-5s|%q|%v|%t" "a" "b" "c" "d" .Tags .On}}',
        'a|    b|c    |"d"|[a:1 b:2]|true',
    ),
    ('{{printf "%d|%05d|%x|%.2f|%%|%T" 42 42 255 1.5 "s"}}', "42|00042|ff|1.50|%|string"),
    ('{{printf "%d %s" "a" 1}}', "%!d(string=a) %!s(int=1)"),
    ('{{printf "%s"}}{{printf "x" 1}}', "%!s(MISSING)x%!(EXTRA int=1)"),
    (
        "{{eq 1 2 3 1}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 2 2}}",
        "true true true true false true",
    ),
    ('{{lt "a" "b"}} {{eq "a" "a"}} {{eq true true}}', "true true true"),
    ('{{and 1 0 2}} {{or 0 "" "x" 3}} {{not 0}}', "0 x true"),
    ("{{or .Name .Nope}} {{and .Empty .Nope}}.", "/c1 ."),
    # trimming, comments, strings that hold the marks
    ("a  {{- .Name -}}  b", "a/c1b"),
    ("a \n{{- 1}}\n b", "a1\n b"),
    ("{{1 -}} \n {{- 2}}", "12"),
    ("{{-1}}", "-1"),
    ("a{{/* a comment }} */}}b {{- /* c */ -}} d", "abd"),
    ('{{"}}"}}{{"{{"}}', "}}{{"),
    ("{{\n.Name\n}}", "/c1"),
    (r'{{"a\tb\"\x41é"}}{{`\n`}}', 'a\tb"Aé\\n'),
    ("{{'a'}} {{0x10}} {{1_000}} {{-3}} {{1.50}}", "97 16 1000 -3 1.5"),
    ("{{true}} {{eq .Nil nil}}", "true true"),
    ("}} {", "}} {"),
]


@pytest.mark.parametrize(("text", "expected"), SHOWN)
def test_what_is_shown(text, expected):
    assert compile_template(text)(DATA) == expected


PARSING = [
    ("{{.Name", "unclosed action"),
    ("{{", "unclosed action"),
    ("{{}}", "missing value for command"),
    ("{{nope .}}", "function 'nope' not defined"),
    ("{{if false}}{{nope}}{{end}}", "function 'nope' not defined"),
    ("{{if .Name}}x", "unexpected EOF"),
    ("{{if}}x{{end}}", "missing value for if"),
    ("{{end}}", "unexpected {{end}}"),
    ("{{else}}", "unexpected {{else}}"),
    ("{{range .}}{{else}}{{else}}{{end}}", "unexpected EOF"),
    ("{{(.Name}}", "unclosed left paren"),
    ("{{.Name)}}", "unexpected ')'"),
    ("{{.Name |}}", "missing value for command"),
    ("{{| .Name}}", "missing value for command"),
    ("{{.Name | 1}}", "only a function"),
    ('{{"abc}}', "unterminated quoted string"),
    ("{{/* x}}", "unclosed comment"),
    ("{{.a-b}}", "unexpected '-'"),
    ("{{1 := 2}}", "unexpected ':='"),
    ("{{range $a, $b, $c := .}}{{end}}", "no variable"),
    ('{{template "x"}}', "not supported"),
    ("{{.Name ; 1}}", "unexpected ';'"),
    (r'{{"\z"}}', "unknown escape"),
    ("{{'ab'}}", "character constant"),
    ("{{if 1}}" * 150 + "{{end}}" * 150, "too deeply"),
    ("{{" + "(" * 150 + "1" + ")" * 150 + "}}", "too deeply"),
]


@pytest.mark.parametrize(("text", "words"), PARSING)
def test_what_is_no_template(text, words):
    with pytest.raises(TemplateError, match="template parsing error: ") as raised:
        compile_template(text)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


RUNNING = [
    ("{{.Nope}}", "can't evaluate field Nope"),
    ("{{.State.Nope}}", "can't evaluate field Nope; there are ExitCode, Status"),
    ("{{.Name.Nope}}", "can't evaluate field Nope"),
    ("{{.Nil.Nope}}", "nil pointer evaluating .Nope"),
    ("{{$x}}", "undefined variable '$x'"),
    ("{{if true}}{{$x := 1}}{{end}}{{$x}}", "undefined variable '$x'"),
    ("{{.Name 1}}", "can't give argument to non-function .Name"),
    ("{{1 | .Name}}", "can't give argument to non-function .Name"),
    ("{{range .Name}}x{{end}}", "range can't iterate over /c1"),
    ("{{index .Tags 5}}", "error calling index: index out of range: 5"),
    ("{{index .Tags -1}}", "index out of range"),
    ('{{index .Tags "a"}}', "expected int"),
    ("{{len 3}}", "error calling len"),
    ("{{len .Nil}}", "nil pointer"),
    ("{{upper 3}}", "error calling upper: wrong type for value; expected string; got int"),
    ("{{upper}}", "error calling upper: wrong number of arguments"),
    ('{{join "a" ","}}', "expected a list"),
    ('{{eq 1 "1"}}', "incompatible types for comparison"),
    ("{{lt .Tags 1}}", "incompatible types for comparison"),
    ("{{slice .Name 2 1}}", "index out of range"),
    ("{{and}}", "wrong number of arguments"),
]


@pytest.mark.parametrize(("text", "words"), RUNNING)
def test_what_cannot_be_evaluated(text, words):
    with pytest.raises(TemplateError) as raised:
        compile_template(text)(DATA)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_method_with_an_argument():
    data = {"Label": {"a": "1"}.get, "Nothing": lambda: "x"}
    assert compile_template('{{.Label "a"}}{{.Nothing}}')(data) == "1x"


_PARTS = st.sampled_from(
    [
        "{{",
        "}}",
        "{{-",
        "-}}",
        ".Name",
        ".Tags",
        "if ",
        "range ",
        "end",
        "else",
        "with ",
        "|",
        "(",
        ")",
        '"',
        "`",
        "$x",
        ":=",
        "=",
        "json",
        "index",
        "printf",
        "/*",
        "*/",
        "1",
        "-",
        " ",
        ",",
        "\\",
        "'",
        "len",
        "eq",
        "and",
        ".",
        "$",
        "\n",
    ]
)


@given(st.lists(_PARTS | st.text(string.printable, max_size=3), max_size=14).map("".join))
def test_any_text_is_shown_or_refused(text):
    try:
        shown = compile_template(text)(DATA)
    except TemplateError:
        return
    assert isinstance(shown, str)
