"""Names for sets of words, so that a client made from the OpenAPI document has one type of each."""

from typing import Any, get_args

from console.rest import audits, deadletters, feedback, reviews
from schemas.coils import Truth
from schemas.layout import Face
from schemas.matrices import Scale
from schemas.scores import SliceKind, SubjectKind
from schemas.verdicts import Role
from store.models import ModelState
from store.registered import ChangeKind
from store.search import Review, State

_NAMED = {
    "AuditFormat": audits.Format,
    "CoilState": State,
    "EnsembleChange": ChangeKind,
    "EnsembleState": ModelState,
    "Face": Face,
    "FeedbackFate": feedback.Fate,
    "LetterState": deadletters.State,
    "ReviewState": Review,
    "ReviewWhy": reviews.Why,
    "Role": Role,
    "Scale": Scale,
    "SliceKind": SliceKind,
    "SubjectKind": SubjectKind,
    "Truth": Truth,
}


def name_enums(document: dict[str, Any]) -> None:
    """Refer to a named schema wherever the document lists its words."""
    names = {get_args(kind): name for name, kind in _NAMED.items()}
    _refer(document, names)
    for words, name in names.items():
        document["components"]["schemas"][name] = {"title": name, "type": "string", "enum": list(words)}


def _refer(node: object, names: dict[tuple[str, ...], str]) -> None:
    if isinstance(node, dict):
        words = node.get("enum")
        name = names.get(tuple(words)) if isinstance(words, list) else None
        if name is not None:
            for said in ("enum", "type", "title"):
                node.pop(said, None)
            node["$ref"] = f"#/components/schemas/{name}"
        for one in node.values():
            _refer(one, names)
    elif isinstance(node, list):
        for one in node:
            _refer(one, names)
