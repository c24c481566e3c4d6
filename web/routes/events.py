"""The event types, with samples; these paths need no token."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from callboard.adapters.repositories.definitions import Definition
from callboard.web.access.callers import Anybody, Known, TheBackend
from callboard.web.backend import Backend
from callboard.web.documents.hook_documents import known_definitions, shown_definition
from callboard.web.documents.samples import SAMPLES
from callboard.web.documents.shapes import DEFINITION, TEXTS, list_of
from callboard.web.documents.shapes import SAMPLES as SAMPLES_SHOWN
from callboard.web.documents.system_settings import page_size
from callboard.web.envelopes.describing import (
    FILTERED,
    FILTERED_PAGES,
    OPTIONAL_TOKEN,
    open_to_all,
)
from callboard.web.envelopes.envelope import success
from callboard.web.envelopes.filters import filters_in
from callboard.web.envelopes.paging import page_of, paging_of
from callboard.web.errors import ApiError, forbidden
from callboard.webhooks.hooks.arguments import DEFINITION_PREFIX

router = APIRouter(prefix="/v2/webhooks", tags=["events"])


@router.get(
    "",
    summary="List the event types",
    openapi_extra={**FILTERED_PAGES, **OPTIONAL_TOKEN},
    responses=open_to_all(list_of(DEFINITION)),
)
def list_definitions(request: Request, caller: Anybody, backend: TheBackend) -> Response:
    """By name, descending: the values of a hook's `hook`, and the selection by its custom_data."""
    paging = paging_of(request.query_params, page_size(backend))
    kinds = sorted(known_definitions(backend).values(), key=_position, reverse=not paging.ascending)
    if paging.start is not None:
        begins = [str(part) for part in paging.start]
        kinds = [
            kind
            for kind in kinds
            if (_position(kind) >= begins if paging.ascending else _position(kind) <= begins)
        ]
    passes = filters_in(request.query_params)
    found, page = page_of(kinds, paging, lambda kind: passes(_document(kind)), _position)
    sees_all = caller is not None and caller.sees_all
    own = {module.id: module for module in backend.node.modules}
    shown = [shown_definition(k, own.get(k.id), sees_all=sees_all) for k in found]
    return success(request, shown, page=page)


def _document(definition: Definition) -> dict[str, Any]:
    return {**shown_definition(definition, sees_all=True), "_id": definition.id}


def _position(definition: Definition) -> list[str]:
    return [definition.name, definition.id]


@router.get(
    "/samples",
    summary="List the ids of samples",
    openapi_extra=OPTIONAL_TOKEN,
    responses=open_to_all(TEXTS),
)
def list_samples(request: Request, _caller: Anybody, backend: TheBackend) -> Response:
    """Each is a list of payloads."""
    return success(request, sorted(_samples(backend)))


def _samples(backend: Backend) -> dict[str, list[Any]]:
    """Samples of Kazoo's event types, and of the modules of this node that have some."""
    own = {
        f"{DEFINITION_PREFIX}{module.id}": list(samples)
        for module in backend.node.modules
        if (samples := getattr(module, "samples", ()))
    }
    return {**SAMPLES, **own}


@router.get(
    "/samples/{sample_id}",
    summary="Show samples of an event type",
    openapi_extra={**FILTERED, **OPTIONAL_TOKEN},
    responses=open_to_all(SAMPLES_SHOWN),
)
def show_sample(
    request: Request,
    _caller: Anybody,
    backend: TheBackend,
    sample_id: Annotated[str, Path(description="Such as webhooks_channel_create.")],
) -> Response:
    """Payloads as hooks send them; generic filters apply to their members."""
    samples = _samples(backend).get(sample_id)
    if samples is None:
        raise ApiError(404, "bad identifier", [sample_id])
    passes = filters_in(request.query_params)
    return success(request, [sample for sample in samples if passes(sample)])


@router.api_route(
    "",
    methods=["PUT", "POST", "PATCH", "DELETE"],
    include_in_schema=False,
)
@router.api_route(
    "/{path:path}",
    methods=["PUT", "POST", "PATCH", "DELETE"],
    include_in_schema=False,
)
def nothing_else(_caller: Known) -> Response:
    """Refuses every change: no account owns these documents."""
    raise forbidden()
