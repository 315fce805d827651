"""How the text after an instruction's name falls into flags, words and JSON lists.

Quotes and escapes stay in words, for the expansion to take away; in flags they are taken away
here. Knows no instruction.
"""

import json
import re

# What parts words outside of quotes; a no-break space does not (BuildKit's reWhitespace).
_BLANKS = re.compile(r"[\t\v\f\r ]+")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# A list that was meant to be JSON, where `[ "$a" = b ] && c` is a shell's test.
_LIKE_JSON = re.compile(r"""\[\s*(?:"[^"]*"|'[^']*'|[\w./-]+)\s*(?:,|\]\s*$|$)""")


def parted(text: str) -> list[str]:
    """The words between blanks, quotes and escapes being nothing special."""
    return [word for word in _BLANKS.split(text) if word]


def halved(text: str) -> tuple[str, str]:
    """The first word and all that follows it, blanks in between cut; "" for what is missing."""
    found = _BLANKS.split(text.strip(), maxsplit=1)
    return found[0], found[1].strip() if len(found) == 2 else ""


def flags(text: str, escape: str) -> tuple[list[str], str]:
    """The leading `--flag` words, quotes and escapes processed; and what follows them."""
    found: list[str] = []
    while text.startswith("--"):
        word, after = _flag(text, escape)
        text = after.lstrip()
        if word == "--":
            break
        found.append(word)
    return found, text


def _flag(text: str, escape: str) -> tuple[str, str]:
    out, quote = [], ""
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == quote:
            quote = ""
        elif char in "'\"" and not quote:
            quote = char
        elif char == escape:
            out.append(text[at : at + 1])  # a last one vanishes
            at += 1
        elif char.isspace() and not quote:
            return "".join(out), text[at:]
        else:
            out.append(char)
    return "".join(out), ""


def words(text: str, escape: str = "\\") -> list[str]:
    """Words parted by blanks outside of quotes, with quotes and escapes kept as they stand."""
    found: list[str] = []
    current: list[str] = []
    quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == escape and quote != "'":
            current += (char, text[at]) if at < len(text) else ()
            at += 1
        elif char.isspace() and not quote:
            if current:
                found.append("".join(current))
                current = []
        else:
            if char == quote:
                quote = ""
            elif char in "'\"" and not quote:
                quote = char
            current.append(char)
    if current:
        found.append("".join(current))
    return found


def json_list(text: str) -> list[object] | None:
    """The JSON list that the text is; None when it is none."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None


def strings(values: list[object]) -> list[str] | None:
    """The list's members, if all are strings; half a surrogate pair becomes U+FFFD, as in Go."""
    found = [_LONE_SURROGATE.sub("\ufffd", item) for item in values if isinstance(item, str)]
    return found if len(found) == len(values) else None


def like_json(text: str) -> bool:
    """Whether a text that is no JSON list was probably meant to be one."""
    return _LIKE_JSON.match(text) is not None


def _no_constant(name: str) -> object:
    """NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(name)
