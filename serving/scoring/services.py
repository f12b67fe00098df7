"""Which feature service scores which source: read from the tags of Feast's own definitions.

FeatureService(name="transaction_scoring", features=[...], tags={
    "scores": "transactions_stream",          the source whose events it scores
    "score": "composite_fraud_score",         the output that counts
    "alert_above": "0.8",                     an alert is raised above it,
    "alert_if": "should_block_transaction",   or where one of these outputs (separated by commas) is true
    "critical_above": "0.9",
    "event_type": "financial_transaction"})   what alerts call the event [default: the source's name]

KafkaSource(..., tags={"partition_key": "user_id"})   the join key that is the topic's key
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from feast import FeatureService, FeatureStore, KafkaSource, OnDemandFeatureView, StreamFeatureView

from streaming.definitions import tags
from streaming.errors import DefinitionError
from streaming.plan import Plan
from streaming.source import struct_type

SCORES, SCORE, ABOVE, CRITICAL, IF, EVENT = (
    "scores", "score", "alert_above", "critical_above", "alert_if", "event_type",
)  # fmt: skip
PARTITION_KEY, ARRAYS = "partition_key", "arrays"
TIME, INCLUDED, PREVIOUS = "event_time", "event_included", "previous_"
"""Fields of a request source that are no field of the event: its timestamp, true, and the feature without the event."""


@dataclass(frozen=True)
class Formula:
    """An on-demand view: `udf` makes `outputs` (name -> Feast ValueType name) of a DataFrame.

    `features` are (view, feature), `request` maps the fields of its request sources to their types. `arrays` says
    that it also takes a dict of arrays, and answers with one.
    """

    name: str
    udf: Callable[[Any], Any]
    features: tuple[tuple[str, str], ...]
    request: Mapping[str, str]
    outputs: Mapping[str, str]
    arrays: bool = False


@dataclass(frozen=True)
class Alarm:
    """When a score is worth an alert."""

    above: float
    critical: float
    decisions: tuple[str, ...]
    event_type: str


@dataclass(frozen=True)
class Service:
    """A feature service that scores the events of `source`, which are keyed by the join key `entity`.

    `views` and `previous` are the features wanted by view, as of the event and without it; `fields` are those
    of the event; `score` is the output that counts. `keyed` are the views whose entity is the topic's key.
    """

    name: str
    source: str
    entity: str
    views: Mapping[str, tuple[str, ...]]
    previous: Mapping[str, tuple[str, ...]]
    keyed: frozenset[str]
    formulas: tuple[Formula, ...]
    fields: tuple[str, ...]
    score: str
    alarm: Alarm | None

    @property
    def outputs(self) -> dict[str, str]:
        """Outputs of all formulas, with their types."""
        return {name: dtype for formula in self.formulas for name, dtype in formula.outputs.items()}


def load(store: FeatureStore, plan: Plan) -> list[Service]:
    """The services that score sources of `plan`, by name. Raises DefinitionError with the remedy."""
    sources = {source.name for source in plan.sources}
    found = [s for s in store.list_feature_services() if s.tags.get(SCORES) in sources]
    taken: dict[str, str] = {}
    for service in found:
        other = taken.setdefault(service.tags[SCORES], service.name)
        if other != service.name:
            raise DefinitionError(
                f"services {other} and {service.name} both score {service.tags[SCORES]}: leave the tag {SCORES} to one"
            )
    if not found:
        raise DefinitionError(
            f"no feature service scores a stream: give one the tag {SCORES}, for example "
            f'tags={{"{SCORES}": "{min(sources, default="my_stream")}"}}, and run feast apply'
        )
    return [_service(store, plan, one) for one in sorted(found, key=lambda s: s.name)]


def _service(store: FeatureStore, plan: Plan, service: FeatureService) -> Service:
    source = next(s for s in plan.sources if s.name == service.tags[SCORES])
    streams = {view.name: view for view in store.list_stream_feature_views()}
    on_demand = {view.name: view for view in store.list_on_demand_feature_views()}
    views: dict[str, dict[str, None]] = {}
    formulas = []
    for projection in service.feature_view_projections:
        if projection.name in on_demand:
            formulas.append(_formula(on_demand[projection.name]))
        elif projection.name in streams:
            views.setdefault(projection.name, {}).update(dict.fromkeys(f.name for f in projection.features))
        else:
            raise DefinitionError(
                f"service {service.name}: {projection.name} is no stream view: score with stream and on-demand views"
            )
    for formula in formulas:
        for view, feature in formula.features:
            views.setdefault(view, {})[feature] = None
    for view in views:
        if view not in streams or _source(streams[view]) != source.name:
            raise DefinitionError(
                f"service {service.name}: view {view} does not read {source.name}, so no event of it tells whose "
                "features are meant: leave it out of the service"
            )
    entity = _entity(streams[next(iter(views))], source.name) if views else ""
    keyed = [v.name for v in plan.views if v.name in views and [name for name, _ in v.join_keys] == [entity]]
    known = set(struct_type(source).names)
    previous: dict[str, list[str]] = {}
    fields: dict[str, None] = {source.timestamp_field: None}
    for formula in formulas:
        for field in formula.request:
            owner = _previous(formula, field)
            if owner is not None:
                previous.setdefault(owner, []).append(field.removeprefix(PREVIOUS))
            elif field in known:
                fields[field] = None
            elif field not in (TIME, INCLUDED):
                raise DefinitionError(
                    f"service {service.name}: {formula.name} requests {field}, which events of {source.name} do not "
                    "have: name a field of theirs"
                )
    outputs = {name for formula in formulas for name in formula.outputs}
    score = service.tags.get(SCORE, "")
    if score not in outputs:
        raise DefinitionError(
            f"service {service.name}: tag {SCORE} names {score or 'nothing'}: name one of its outputs "
            f"({', '.join(sorted(outputs)) or 'none'})"
        )
    return Service(
        service.name,
        source.name,
        entity,
        {view: tuple(names) for view, names in views.items()},
        {view: tuple(dict.fromkeys(names)) for view, names in previous.items()},
        frozenset(keyed),
        tuple(formulas),
        tuple(fields),
        score,
        _alarm(service, outputs),
    )


def _source(view: StreamFeatureView) -> str:
    return tags.stream_name(view.stream_source) if view.stream_source else ""


def _entity(view: StreamFeatureView, source: str) -> str:
    stream = view.stream_source
    key = stream.tags.get(PARTITION_KEY, "") if isinstance(stream, KafkaSource) else ""
    if not key:
        raise DefinitionError(
            f"source {source} does not say what its topic's key is: give it the tag {PARTITION_KEY} with the join key, "
            "and run feast apply"
        )
    return key


def _formula(view: OnDemandFeatureView) -> Formula:
    transformation: Any = view.feature_transformation
    if str(getattr(view, "mode", "")).lower() != "pandas":
        raise DefinitionError(f"on-demand view {view.name} is in mode {view.mode}: only pandas scores events")
    return Formula(
        view.name,
        transformation.udf,
        tuple((p.name, f.name) for p in view.source_feature_view_projections.values() for f in p.features),
        {
            f.name: f.dtype.to_value_type().name
            for s in view.source_request_sources.values()
            for f in s.schema
        },
        {f.name: f.dtype.to_value_type().name for f in view.features},
        tags.flag(view.tags, ARRAYS, False),
    )


def _previous(formula: Formula, field: str) -> str | None:
    """The view of which `field` asks for a feature without the event."""
    if not field.startswith(PREVIOUS):
        return None
    wanted = field.removeprefix(PREVIOUS)
    return next((view for view, feature in formula.features if feature == wanted), None)


def _alarm(service: FeatureService, outputs: set[str]) -> Alarm | None:
    said = service.tags
    if ABOVE not in said and IF not in said:
        return None
    decisions = tuple(name.strip() for name in said.get(IF, "").split(",") if name.strip())
    if unknown := [name for name in decisions if name not in outputs]:
        raise DefinitionError(
            f"service {service.name}: tag {IF} names {unknown[0]}, which is no output of it"
        )
    try:
        above, critical = (float(said.get(name, "inf")) for name in (ABOVE, CRITICAL))
    except ValueError:
        raise DefinitionError(f"service {service.name}: tags {ABOVE} and {CRITICAL} are numbers") from None
    return Alarm(above, critical, decisions, said.get(EVENT, said[SCORES]))
