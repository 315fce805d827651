"""Images as package URLs, as BuildKit writes them. Pure.

https://github.com/package-url/purl-spec/blob/main/types/docker-definition.json
"""

from urllib.parse import quote

from lamina.values.platform import Platform
from lamina.values.reference import Reference


def of_image(name: Reference, platform: Platform | None = None) -> str:
    """`pkg:docker/debian@12?platform=linux%2Famd64`; the digest of a name stands behind, too."""
    place = "/".join(quote(part, safe="") for part in name.familiar_name.split("/"))
    tag = name.tag or ("latest" if name.digest is None else "")
    version = f"@{quote(tag, safe='')}" if tag else ""
    said = {
        "digest": str(name.digest) if name.digest is not None else "",
        "platform": str(platform.normalised()) if platform is not None else "",
    }
    words = "&".join(f"{key}={quote(text, safe=':')}" for key, text in said.items() if text)
    return f"pkg:docker/{place}{version}" + (f"?{words}" if words else "")
