"""The build checks beside BuildKit's published table, and where a comment switches them off."""

import json
import os
import re

import pytest

from lamina.dockerfile.ignore import IgnoreFile
from lamina.dockerfile.lint import check

FIXTURES = os.environ.get("LAMINA_FIXTURES", "../shared/fixtures")
TABLE = os.path.join(FIXTURES, "dockerfile/lint/cases.json")
PLATFORM = {
    f"{side}{what}": "x"
    for side in ("BUILD", "TARGET")
    for what in ("PLATFORM", "OS", "ARCH", "VARIANT", "OSVERSION")
}
# Texts that the table has of another case than its warnings are of.
MIXED_UP = {
    "testUndeclaredArg#8", "testUndeclaredArg#9", "testUnmatchedVars#4", "testUnmatchedVars#5",
    "testUnmatchedVars#6", "testLegacyKeyValueFormat#3", "testInvalidDefaultArgInFrom#4",
}  # fmt: skip


def cases():
    if not os.path.exists(TABLE):
        return []
    with open(TABLE, encoding="utf-8") as file:
        return [each for each in json.load(file)["cases"] if each["id"] not in MIXED_UP]


def checked(case):
    attributes = case.get("frontend_attrs", {})
    args = {key[10:]: value for key, value in attributes.items() if key.startswith("build-arg:")}
    text = case["dockerfile"]
    ignore = None
    if "dockerignore" in case and "!" not in case["dockerignore"]:
        ignore = IgnoreFile.parse(case["dockerignore"], ".dockerignore")
    options = args.pop("BUILDKIT_DOCKERFILE_CHECK", None)
    if options is None and "experimental" not in text:
        first = re.search(r"\A#\s*check=(\S+)", text)
        options = (first[1] + ";" if first else "") + "experimental=all"
    return check(
        text, options=options, build_args=args, ignore=ignore, platform=PLATFORM,
        bases=lambda _name: {"PATH": "/bin"},
    )  # fmt: skip


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["id"])
def test_the_published_table(case):
    found = checked(case)
    wanted = case.get("lint_only_warnings") or case["warnings"]
    told = [(each.rule, each.detail, each.position.first) for each in found.warnings]
    expected = [(each["rule"], each["detail"], each["line"]) for each in wanted]
    assert sorted(told, key=lambda row: (row[2], row)) == sorted(
        expected, key=lambda row: (row[2], row)
    )
    assert found.is_error or "lint violation" not in case.get("build_error", "")
    assert (found.error is not None) == ("BADCMD" in case["dockerfile"])


def rules(text, **options):
    return [each.rule for each in check(text, **options).warnings]


BAD = "FROM scratch AS Bad\nMAINTAINER me\n"


def test_what_switches_them_off():
    assert rules(BAD) == ["StageNameCasing", "MaintainerDeprecated"]
    assert rules("# check=skip=StageNameCasing\n" + BAD) == ["MaintainerDeprecated"]
    assert rules("# check=skip=all\n" + BAD) == []
    assert rules("# check=skip=all\n" + BAD, options="") == [
        "StageNameCasing",
        "MaintainerDeprecated",
    ]
    one = BAD.replace("MAINT", "# check=skip=MaintainerDeprecated // yes\n# more\nMAINT")
    assert rules(one) == ["StageNameCasing"]
    apart = BAD.replace("MAINT", "# check=skip=MaintainerDeprecated\n\nMAINT")
    assert len(rules(apart)) == 2


def test_a_base_that_nobody_knows_hides_undefined_variables():
    text = "FROM base\nENV A=$B\n"
    assert rules(text) == []
    assert rules(text, bases=lambda name: {} if name == "base" else None) == ["UndefinedVar"]
    assert rules(text, bases=lambda _name: {"B": "1"}) == []


def test_variables_of_mounts_count():
    text = "FROM scratch\nARG A\nRUN --mount=target=/$A/$B,from=$C x\n"
    assert rules(text.replace(",from=$C", "")) == ["UndefinedVar"]


def test_where_a_rule_is_explained():
    (warned, other) = check(BAD + "CMD x\n").warnings[1:]
    assert warned.url.endswith("/rule/maintainer-deprecated/")
    assert other.url.endswith("/rule/json-args-recommended/")
