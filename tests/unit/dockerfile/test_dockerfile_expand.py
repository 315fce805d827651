"""Variables: builder rules 16, 20 to 26; the same patterns as a shell's."""

import itertools
import subprocess

import pytest

from lamina.dockerfile import expand, expand_words
from lamina.errors import DockerfileError

ENV = {"a": "one", "b": "two words", "empty": "", "path": "/usr/lib/x.tar.gz", "é": "accent"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$a/${a}s", "one/ones"),
        ("$nothing|${nothing}", "|"),  # 21
        ("$ $. a$", "$ $. a$"),
        ("'$a' \"$a\" \\$a", "$a one $a"),  # 22
        ('"\\n \\" \\$ \\\\"', '\\n " $ \\'),
        ("a\\", "a"),
        ("$12x$?$$y", "xy"),  # 23: digits alone, special names
        ("$é $a²", "accent one²"),
        ("${a:-x} ${empty:-x} ${empty-x} ${no-x} ${no:-}", "one x  x "),
        ("${a:+x} ${empty:+x} ${empty+x} ${no+x}", "x  x "),
        ("${a:?x} ${empty?x}", "one "),
        ("${no:-${b}} ${no:-'$b'} ${no:-\"$a\"} ${no:-\\}}", "two words $b one }"),
        ("${path##*/} ${path%.*} ${path%%.*} ${path#*/}", "x.tar.gz /usr/lib/x.tar /usr/lib/x usr/lib/x.tar.gz"),
        ("${path//\\//-} ${path/usr/} ${path/lib/$a}", "-usr-lib-x.tar.gz //lib/x.tar.gz /usr/one/x.tar.gz"),
        ("${b#\"two \"}|${b%' words'}", "words|two"),  # quotes in a pattern are a shell's
        ("${a//*/x}", "x"),
        ("${no#x}${no%%x}${no//x/y}", ""),
    ],
)  # fmt: skip
def test_variables_are_replaced(text, found):
    assert expand(text, ENV).text == found


@pytest.mark.parametrize(
    "text",
    [
        "${}", "${:x}", "${{x}", "${", "${a", "${a:", "${a:-x", "${a!x}", "${a:#x}", "${a:%x}",
        "${a:/x/y}", "${a/x}", "${a#x", "${a#\\x}", "${a#$b\\y}", "'a", '"a', '"\\"', "name='a\\'b'",
        "${no:?}", "${no?told so}", "${empty:?}", "${" * 60,
    ],
)  # fmt: skip
def test_bad_substitutions_are_refused(text):
    """21, 22, 24."""
    with pytest.raises(DockerfileError):
        expand(text, ENV)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${no?told so}", "no: told so"),
        ("${no?}", "no: not allowed to be unset"),
        ("${empty:?}", "empty: not allowed to be empty"),
    ],
)
def test_a_missing_variable_says_what_its_author_wrote(text, says):
    with pytest.raises(DockerfileError) as caught:
        expand(text, ENV)
    assert caught.value.brief == says


def test_names_that_were_used_come_back():
    found = expand("$a ${b:+$no} ${other:-x} ${gone#x} '$quoted'", ENV)
    assert found.used == {"a", "b", "no", "other", "gone"}
    # One with a default is not missed.
    assert found.undefined == {"no", "gone"}


def test_a_backtick_may_be_the_escape_character():
    """26."""
    assert expand('c:\\$a `$a "`$a" ${a#`*}', ENV, escape="`").text == "c:\\one $a $a one"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$a \\$a \\\\ \\x 'q$a' \"", "one $a \\ x 'qone' \""),
        ("a\\\nb\n", "a\nb\n"),
        ("${no:-\"d\"}", '"d"'),
        ("`$a", "`one"),
    ],
)  # fmt: skip
def test_the_body_of_a_heredoc(text, found):
    """16: its quotes stay, and its escape is a backslash whatever the file says."""
    assert expand(text, ENV, escape="`", raw=True).text == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("80 $b 'c d' \"$b\"", ["80", "two", "words", "c d", "two words"]),
        ("x$b", ["xtwo", "words"]),
        ("$empty", []),
        ("'' \"\" a", ["a"]),
        (" a\\ b ", ["a b"]),
        ("", []),
    ],
)
def test_words_of_variables(text, found):
    assert expand_words(text, ENV) == found


def test_lines_that_double_a_variable_stop_before_memory_does():
    env = {"a": "x" * (1 << 20)}
    with pytest.raises(DockerfileError, match="more than 32 Mi"):
        expand("$a" * 33, env)
    with pytest.raises(DockerfileError, match="more than 32 Mi"):
        expand("${a//x/$a}", env)
    assert len(expand("$a" * 16, env).text) == 16 << 20


def test_patterns_are_a_shells(needs_program):
    """24: every short pattern on every short value, against bash."""
    bash = needs_program("bash")
    values = ["".join(each) for n in range(1, 5) for each in itertools.product("ab", repeat=n)]
    patterns = ["".join(each) for n in range(1, 4) for each in itertools.product("ab*?", repeat=n)]
    forms = ["${v#P}", "${v##P}", "${v%P}", "${v%%P}", "${v/P/X}", "${v//P/X}"]
    cases = [
        (value, form.replace("P", pattern))
        for value in values
        for pattern in patterns
        for form in forms
    ]
    script = "".join(f"v={value}\nprintf '%s\\n' \"{text}\"\n" for value, text in cases)
    done = subprocess.run([bash], input=script, capture_output=True, text=True, check=True)
    wanted = done.stdout.split("\n")[:-1]
    found = [expand(text, {"v": value}).text for value, text in cases]
    differing = [(case, a, b) for case, a, b in zip(cases, found, wanted, strict=True) if a != b]
    assert differing == []
