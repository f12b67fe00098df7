"""Routes of the features in PostgreSQL."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from examples.feature_store_api.api import rows
from examples.feature_store_api.api.auth import needs
from examples.feature_store_api.warehouse import FEATURES, Warehouse

router = APIRouter(prefix="/features", tags=["PostgreSQL"])
After = Annotated[int, Query(ge=0, description="`next` of the page before")]
Limit = Annotated[int | None, Query(gt=0, description="Rows in an answer")]


def warehouse(request: Request) -> Warehouse:
    return request.app.state.warehouse


def _limited(request: Request, limit: Limit = None) -> int:
    settings = request.app.state.settings
    if limit is not None and limit > settings.most:
        raise HTTPException(422, f"limit is at most {settings.most}: ask page by page, with after")
    return limit or min(settings.page, settings.most)


def _found(page: rows.Page, after: int, what: str) -> rows.Page:
    if not page.items and not after:
        raise HTTPException(404, f"there are no features {what}")
    return page


@router.get("/bulk", dependencies=[Depends(needs("reader"))])
def bulk(request: Request, limit: Annotated[int, Depends(_limited)], after: After = 0) -> rows.Page:
    """All rows, page by page."""
    return _found(_page(request, limit, after), after, "yet")


@router.get("/by-ccnum/{cc_num}", dependencies=[Depends(needs("reader"))])
def by_card(
    request: Request, cc_num: rows.Card, limit: Annotated[int, Depends(_limited)], after: After = 0
) -> rows.Page:
    """The rows of one card."""
    return _found(_page(request, limit, after, card=cc_num), after, f"of card {cc_num}")


@router.get("/by-date", dependencies=[Depends(needs("reader"))])
def by_date(
    request: Request, start: date, end: date, limit: Annotated[int, Depends(_limited)], after: After = 0
) -> rows.Page:
    """The rows of the days from `start` to `end`, both included, UTC."""
    if start > end:
        raise HTTPException(400, f"start {start} is after end {end}: exchange them")
    return _found(_page(request, limit, after, days=(start, end)), after, f"from {start} to {end}")


def _page(request: Request, limit: int, after: int, **which: object) -> rows.Page:
    found = warehouse(request).page(limit, after, **which)  # type: ignore[arg-type]
    return rows.Page.model_validate({"items": found.items, "next": found.next})


@router.post("/batch", status_code=201, dependencies=[Depends(needs("writer"))])
def batch(request: Request, given: list[rows.FeatureRow]) -> rows.Inserted:
    """Add rows, all or none; one whose transaction is known already is left as it is."""
    if not given:
        raise HTTPException(422, "the batch is empty: send at least one row")
    if len(given) > request.app.state.settings.most:
        raise HTTPException(413, f"a batch is at most {request.app.state.settings.most} rows: send several")
    inserted, skipped = warehouse(request).insert(row.values() for row in given)
    return rows.Inserted(inserted=inserted, skipped=skipped)


@router.post("/sync", dependencies=[Depends(needs("writer"))])
def sync(request: Request, direction: rows.Direction = "postgres-to-redis") -> rows.Synced:
    """Copy the newest features of each card from PostgreSQL to Redis, or from Redis to PostgreSQL. What is newer
    at its destination stays."""
    online = request.app.state.online
    if direction == "postgres-to-redis":
        newest = warehouse(request).newest()
        updated, skipped = online.take(newest)
        return rows.Synced(
            updated=updated, skipped=skipped, message=f"{len(newest)} cards of PostgreSQL seen"
        )
    held, step = [], request.app.state.settings.most
    for start in range(0, online.count(), step):
        held += online.read(online.cards(step, start))
    updated, skipped = warehouse(request).snapshot(
        (card.number, *(card.stats[name] for name in FEATURES), card.last_update) for card in held
    )
    return rows.Synced(updated=updated, skipped=skipped, message=f"{len(held)} cards of Redis seen")


@router.delete("/clear", dependencies=[Depends(needs("admin"))])
def clear(request: Request) -> rows.Cleared:
    """Delete every row in PostgreSQL. Redis, which the stream fills, stays."""
    return rows.Cleared(deleted=warehouse(request).clear())
