"""Routes of the features in Redis."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from examples.feature_store_api.api import rows
from examples.feature_store_api.api.auth import needs
from examples.feature_store_api.online import Card, Online

router = APIRouter(prefix="/redis/transactions", tags=["Redis"])
RECENT = 5
BULK = 100_000
"""The largest number of cards in an answer."""


def _online(request: Request) -> Online:
    return request.app.state.online


def _stats(card: Card) -> rows.CardStats:
    return rows.CardStats(cc_num=card.number, last_update=card.last_update, **card.stats)


@router.get("/bulk", dependencies=[Depends(needs("reader"))])
def bulk(
    request: Request,
    limit: Annotated[int, Query(gt=0, le=BULK)] = BULK,
    after: Annotated[int, Query(ge=0, description="`next` of the page before")] = 0,
) -> rows.CardPage:
    """The features of all cards with their latest amounts."""
    online = _online(request)
    found = online.read(online.cards(limit, after))
    if not found and not after:
        raise HTTPException(404, "Redis knows no card: start the lanes, or send payments")
    following = after + limit
    return rows.CardPage(
        items=[_stats(card) for card in found], next=following if following < online.count() else None
    )


@router.get("/{cc_num}", dependencies=[Depends(needs("reader"))])
def one(request: Request, cc_num: rows.Card) -> rows.CardDetails:
    """The features of one card and its newest payments."""
    online = _online(request)
    found = online.read([cc_num])
    if not found:
        raise HTTPException(404, f"Redis knows nothing of card {cc_num}")
    return rows.CardDetails(
        card_number=cc_num, stats=_stats(found[0]), recent_transactions=online.recent(cc_num, RECENT)
    )
