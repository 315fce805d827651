"""Small files whose absence says enough: of the kernel, and of those who may be gone by now."""


def text_of(path: str, limit: int = 1 << 16) -> str:
    """What a file says, its first `limit` characters; nothing where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(limit)
    except OSError:
        return ""
