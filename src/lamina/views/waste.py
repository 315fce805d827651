"""An image's waste as a document, and as SARIF 2.1.0 for code scanning."""

from lamina import __version__
from lamina.analyze.paths import readable
from lamina.analyze.waste import Finding, LayerWaste, Waste, worth_showing

Document = dict[str, object]

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_RULES = {
    "deleted": "Bytes that a later layer deletes are still stored and pulled",
    "overwritten": "Bytes that a later layer overwrites are still stored and pulled",
    "attributes": "A change of owner, mode or time stores a whole file once more",
    "moved": "A move across layers stores a whole file once more",
    "cache": "A package cache is part of the image",
    "build-tool": "What only builds need is part of the image",
    "duplicate": "Files of equal content are stored more than once",
}


def waste_document(name: str, found: Waste) -> Document:
    """Everything, for machines; sizes in bytes, shares between 0 and 1."""
    return {
        "Image": name,
        "Stored": found.stored,
        "Visible": found.visible,
        "Wasted": found.wasted,
        "WastedUnshared": found.unshared,
        "WastedShare": round(1 - found.efficiency, 6),
        "Efficiency": round(found.efficiency, 6),
        "DiveEfficiency": round(found.dive_efficiency, 6),
        "Layers": [_layer(number, layer) for number, layer in enumerate(found.layers, 1)],
        "Findings": [_finding(each, found) for each in found.findings],
    }


def _layer(number: int, layer: LayerWaste) -> Document:
    return {
        "Number": number,
        "DiffId": layer.diff_id,
        "CreatedBy": f"{layer.step.verb} {layer.step.text}".strip(),
        "Line": layer.step.line or None,
        "Shared": layer.shared,
        "Stored": layer.stored,
        "Visible": layer.visible,
        "Deleted": layer.deleted,
        "Overwritten": layer.overwritten,
        "Attributes": layer.attributes,
        "Moved": layer.moved,
        "Hides": layer.hides,
    }


def _finding(each: Finding, found: Waste) -> Document:
    source, cause = found.layers[each.layer], found.layers[each.by]
    return {
        "Kind": each.kind,
        "Wasted": each.exact,
        "Size": each.size,
        "Files": each.files,
        "Layer": each.layer + 1,
        "CreatedBy": source.step.short,
        "Line": source.step.line or None,
        "HiddenBy": each.by + 1 if each.exact else None,
        "HiddenByCommand": cause.step.short if each.exact else None,
        "HiddenByLine": cause.step.line or None if each.exact else None,
        "Where": readable(each.where),
        "Paths": [{"Path": readable(one.path), "Size": one.size} for one in each.paths],
        "Title": each.title,
        "Repair": each.repair,
    }


def sarif(name: str, found: Waste, dockerfile: str) -> Document:
    """The findings as one run of SARIF; `dockerfile` is the file that they are shown in."""
    results = [
        _result(name, each, found, dockerfile)
        for each in worth_showing(found.findings, found.stored)
    ]
    driver: Document = {
        "name": "lamina waste",
        "version": __version__,
        "rules": [
            {"id": kind, "shortDescription": {"text": text}} for kind, text in _RULES.items()
        ],
    }
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _result(name: str, each: Finding, found: Waste, dockerfile: str) -> Document:
    """One finding, at the line of the step that stored the bytes (the first where unknown)."""
    step = found.layers[each.layer].step
    place: Document = {
        "physicalLocation": {
            "artifactLocation": {"uri": dockerfile},
            "region": {"startLine": step.line or 1},
        },
        "logicalLocations": [
            {"fullyQualifiedName": f"{name}:{readable(each.where)}", "kind": "resource"}
        ],
    }
    text = f"{each.size:,} bytes: {step.short}: {each.title}. Repair: {each.repair}."
    return {
        "ruleId": each.kind,
        "level": "warning" if each.exact else "note",
        "message": {"text": text},
        "locations": [place],
        "partialFingerprints": {"finding/v1": f"{each.kind}:{each.layer}:{readable(each.where)}"},
        "properties": {"size": each.size, "files": each.files, "layer": each.layer + 1},
    }
