"""The proxies that docker's own configuration names for builds (`proxies` of its config.json).

What is not what it should be names none: the file is docker's, and docker says so.
"""

import json

_KEYS = {
    "httpProxy": "http_proxy",
    "httpsProxy": "https_proxy",
    "ftpProxy": "ftp_proxy",
    "noProxy": "no_proxy",
    "allProxy": "all_proxy",
}


def proxies_of(data: bytes) -> dict[str, str]:
    """The build arguments that docker makes of it: each name in small letters and in capitals."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    named = _table(_table(document, "proxies"), "default")
    found = {name: named.get(key) for key, name in _KEYS.items()}
    return {
        spelt: value
        for name, value in found.items()
        if isinstance(value, str) and value
        for spelt in (name, name.upper())
    }


def _table(document: object, key: str) -> dict[str, object]:
    value = document.get(key) if isinstance(document, dict) else None
    return value if isinstance(value, dict) else {}
