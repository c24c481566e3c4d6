"""Migrates hooks on former modules in the store while hooks are loaded.

A twin is saved before its hook: after any failure in between, either the hook is unchanged and the
next load migrates it, or both are present. See docs/adr/0007-hook-migration.md.
"""

from collections.abc import Iterable, Sequence

import structlog
from attrs import Factory, define

from callboard.adapters.store.protocol import CONFLICT, Conflict, Document, DocumentStore
from callboard.webhooks.hooks.hook import is_deleted, is_enabled
from callboard.webhooks.hooks.migration import Migration, is_twin_of, migration
from callboard.webhooks.values.documents import public_fields

DATABASE = "webhooks"
ROUNDS = 3
"""The most attempts for a hook that others edit at the same time."""

_log = structlog.get_logger("callboard")


def migrated(
    store: DocumentStore, documents: Sequence[Document], now_gregorian_s: int
) -> list[Document]:
    """The hooks to load in place of these, as they are stored now, in the same order.

    Migrated hooks are saved, and their twins appended. A hook that cannot be migrated is returned
    unchanged; one that was deleted or disabled meanwhile is omitted. Raises the store's errors.
    """
    results = _Results()
    due = _due(documents, now_gregorian_s)
    for _ in range(ROUNDS):
        if not due:
            break
        edited = _migrate(store, due, results)
        due = _due(edited, now_gregorian_s)
    for document, planned in due:
        _give_up(store, document, planned, "it is edited again and again", results)
    found = {document["_id"]: document for document in documents} | results.hooks | results.twins
    return [document for document in found.values() if document is not None]


def as_migrated(documents: Sequence[Document], now_gregorian_s: int) -> list[Document]:
    """The hooks as `migrated` would leave them, without saving them."""
    plans = {document["_id"]: plan for document, plan in _due(documents, now_gregorian_s)}
    hooks = [plans[d["_id"]].hook if d["_id"] in plans else d for d in documents]
    stored = {document["_id"] for document in documents}
    twins = (plan.twin for plan in plans.values())
    return [*hooks, *(twin for twin in twins if twin and twin["_id"] not in stored)]


@define
class _Results:
    """The results for the hooks, by id (None: gone), and the stored twins."""

    hooks: dict[str, Document | None] = Factory(dict)
    twins: dict[str, Document] = Factory(dict)


def _fires(document: Document) -> bool:
    return is_enabled(document) and not is_deleted(document)


_Due = list[tuple[Document, Migration]]


def _due(documents: Iterable[Document], now_gregorian_s: int) -> _Due:
    planned = ((document, migration(document, now_gregorian_s)) for document in documents)
    return [(document, plan) for document, plan in planned if plan is not None]


def _migrate(store: DocumentStore, due: _Due, results: _Results) -> list[Document]:
    """Save twins, then hooks; returns hooks edited in the meantime that still need migration."""
    twins = _save_twins(store, [plan.twin for _document, plan in due if plan.twin])
    ready: _Due = []
    for document, plan in due:
        if plan.twin is None or plan.twin["_id"] in twins:
            ready.append((document, plan))
        else:
            _give_up(store, document, plan, "its twin cannot be saved", results)
    edited = []
    answers = store.save_many(DATABASE, [plan.hook for _document, plan in ready]) if ready else []
    for (document, plan), answer in zip(ready, answers, strict=True):
        id = document["_id"]
        twin = twins[plan.twin["_id"]] if plan.twin else None
        if answer.error is None:
            results.hooks[id] = {**plan.hook, "_rev": answer.rev}
        elif answer.error != CONFLICT:
            _give_up(store, document, plan, answer.error, results)
            continue
        else:
            current = store.get(DATABASE, id)
            if current is not None and _fires(current) and _due([current], 0):
                edited.append(current)
                continue
            results.hooks[id] = current if current is not None and _fires(current) else None
            if twin and (current is None or current.get("other_id") != twin["_id"]):
                _remove_twin(store, id, twin["_id"])
                continue
        if twin and _fires(twin):
            results.twins[twin["_id"]] = twin
    return edited


def _save_twins(store: DocumentStore, twins: list[Document]) -> dict[str, Document]:
    """The stored twins, by id: saved now, or earlier by another node."""
    if not twins:
        return {}
    found = {}
    for twin, answer in zip(twins, store.save_many(DATABASE, twins), strict=True):
        if answer.error is None:
            found[twin["_id"]] = {**twin, "_rev": answer.rev}
        elif answer.error == CONFLICT and (stored := _stored_twin(store, twin)):
            found[twin["_id"]] = stored
        else:
            _log.warning("twin_not_saved", hook=twin["other_id"], reason=answer.error)
    return found


def _stored_twin(store: DocumentStore, twin: Document) -> Document | None:
    """The existing twin; created again if it was deleted, or its hook edited since."""
    stored = store.get(DATABASE, twin["_id"])
    if stored is None or not is_twin_of(stored, twin["other_id"]):
        return None
    untouched = stored.get("pvt_modified") == stored.get("pvt_created")
    differs = public_fields(stored) != public_fields(twin)
    if is_deleted(stored) or (untouched and differs):
        try:
            rev = store.save(DATABASE, {**twin, "_rev": stored["_rev"]})
        except Conflict:
            return store.get(DATABASE, twin["_id"])
        return {**twin, "_rev": rev}
    return stored


def _give_up(
    store: DocumentStore, document: Document, plan: Migration, reason: str, results: _Results
) -> None:
    """Leave a hook unchanged, without a twin."""
    _log.error("hook_not_migrated", hook=document["_id"], name=document["hook"], reason=reason)
    results.hooks[document["_id"]] = document
    if plan.twin is not None:
        _remove_twin(store, document["_id"], plan.twin["_id"])


def _remove_twin(store: DocumentStore, hook_id: str, twin_id: str) -> None:
    """Delete the twin of a hook that was not migrated, unless another node has just migrated it."""
    documents = store.get_many(DATABASE, [hook_id, twin_id])
    stored = documents.get(twin_id)
    if stored is None or not is_twin_of(stored, hook_id):
        return
    if documents.get(hook_id, {}).get("other_id") == twin_id:
        return
    try:
        store.delete(DATABASE, twin_id, stored["_rev"])
    except Conflict:
        _log.warning("twin_left", hook=hook_id, twin=twin_id)
