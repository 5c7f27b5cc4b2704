"""Whether a name is meant for others, as its language or its name has it. Pure."""

from __future__ import annotations

import re

from ingest.code.languages import Public
from ingest.code.tags import HOLDERS, Tag

_PRIVATE = re.compile(r"\b(?:private|protected|internal|fileprivate)\b")
_LISTS = re.compile(
    r"\bexport\s*(?:type\s*)?\{([^}]*)\}|\bmodule\.exports\s*=\s*(?:\{([^}]*)\}|(\w+))|\bexport\s+default\s+(\w+)\s*;?$",
    re.MULTILINE,
)
_NAME = re.compile(r"[\w$]+")


def exported(text: str) -> frozenset[str]:
    """Names that a JavaScript file exports in lists: ``export {a, b}``, ``module.exports = {a}``."""
    return frozenset(
        name
        for match in _LISTS.finditer(text)
        for name in _NAME.findall(" ".join(filter(None, match.groups())))
    )


def is_public(rule: Public, tag: Tag, path: tuple[str, ...], signature: str, exports: frozenset[str]) -> bool:
    name = path[-1]
    if rule == "capital":
        return name[:1].isupper()
    if rule == "underscore":
        return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))
    if rule == "static":
        return not signature.startswith("static ")
    if rule == "words":
        return not _PRIVATE.search(signature.partition(name)[0])
    in_type = tag.parent is not None and tag.parent.kind in HOLDERS
    if rule == "pub":
        of_trait = tag.parent is not None and tag.parent.kind == "interface"
        return (
            signature.startswith("pub")
            or tag.kind == "macro"
            or of_trait
            or (in_type and tag.kind == "constant")
        )
    if rule == "export":
        if in_type or tag.kind == "method":
            return not name.startswith(("#", "_")) and not _PRIVATE.search(signature.partition(name)[0])
        return name in exports or tag.owner is not None or tag.start < tag.inner.start_byte
    return True
