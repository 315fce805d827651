"""What differs between two images, as a document."""

from lamina.analyze.compare import Comparison, FileChange, PackageChange, Setting
from lamina.analyze.paths import readable

Document = dict[str, object]


def comparison_document(one: str, other: str, found: Comparison) -> Document:
    """Everything, for machines; sizes in bytes."""
    return {
        "Before": one,
        "After": other,
        "Same": found.same,
        "Config": [_setting(each) for each in found.settings],
        "Layers": {
            "Common": found.common,
            "Before": list(found.before),
            "After": list(found.after),
        },
        "Packages": [_package(each) for each in found.packages],
        "Files": [_file(each) for each in found.files],
    }


def _setting(each: Setting) -> Document:
    return {"Name": each.name, "Before": each.before, "After": each.after}


def _package(each: PackageChange) -> Document:
    return {
        "Manager": each.manager,
        "Name": each.name,
        "Architecture": each.architecture,
        "Before": list(each.before),
        "After": list(each.after),
    }


def _file(each: FileChange) -> Document:
    return {
        "Kind": each.kind,
        "Path": readable(each.path),
        "What": list(each.what),
        "SizeBefore": each.before,
        "SizeAfter": each.after,
    }
