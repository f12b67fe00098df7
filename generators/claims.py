"""The stream of insurance claims: seasons, weather, places and people, and three schemes."""

from __future__ import annotations

import numpy as np

from generators import almanac, moments
from generators.columns import Column, Events, Moment, Number, Ref, Table, Uuid, decimal, refs, words
from generators.contracts import (
    ClaimFraud,
    ClaimStatus,
    ClaimType,
    FraudIndicator,
    Level,
    vocabulary,
)
from generators.draws import Bools, Draws, Floats, Ints, Words, below, gauss, mix, part
from generators.episodes import Roles, Steps, assign
from generators.people import POLICIES
from generators.places import REGIONS, RISKY_CITIES
from generators.scenario import Scenario
from generators.spending import TAKEOVER
from generators.transactions import Transactions

SCHEMES = vocabulary(ClaimFraud)
RING, STOLEN, INFLATED = range(1, len(SCHEMES) + 1)
_CIRCLE = 60
"""Users in the circle of a crooked provider."""

LINES = vocabulary(ClaimType)
MEAN_AMOUNT = np.array([8_500.0, 15_000.0, 5_000.0, 100_000.0])
_STORIES = (
    ("Rear-end collision", "Parking damage", "Windscreen damage", "Vehicle theft", "Collision with animal"),
    ("Water damage", "Roof damage", "Burglary", "Kitchen fire", "Broken window"),
    ("Emergency treatment", "Outpatient surgery", "Physiotherapy", "Dental treatment", "Hospital stay"),
    (
        "Terminal illness benefit",
        "Death benefit",
        "Accident benefit",
        "Policy surrender",
        "Disability benefit",
    ),
)
_SEASON = np.array(
    [
        [1.0, 0.9, 0.7, 0.6, 0.6, 0.7, 0.8, 0.8, 0.6, 0.7, 0.8, 1.0],
        [0.9, 0.9, 0.8, 0.8, 0.7, 0.7, 0.8, 1.0, 1.2, 0.9, 0.6, 0.8],
        [1.4, 1.4, 1.1, 0.8, 0.5, 0.4, 0.3, 0.3, 0.5, 0.8, 1.0, 1.3],
        [0.7] * 12,
    ]
)
"""How readily each line claims in each month."""

_WEATHER_COST = np.array([[1.0, 1.1, 1.25, 1.3, 1.15], [1.0, 1.15, 1.2, 1.6, 1.0], [1.0] * 5, [1.0] * 5])

_EVENT = words("event_type", ("insurance_claim",))
_KIND = Table(
    20,
    {
        "claim_type": [t for t in LINES for _ in range(5)],
        "claim_description": [s for t in _STORIES for s in t],
    },
)
_WEATHER = words("weather_conditions", almanac.WEATHER)
_ADJUSTER = Table(400, {"adjuster_assigned": lambda rows: [f"ADJ{r:04d}" for r in rows.tolist()]})
_RULES = vocabulary(FraudIndicator)
_FIRED = Table(
    1 << len(_RULES),
    {
        "fraud_indicators": lambda rows: [
            [rule for bit, rule in enumerate(_RULES) if row >> bit & 1] for row in rows.tolist()
        ]
    },
)
_DECISION = Table(
    12,
    {
        "priority": [level for level in vocabulary(Level) for _ in range(4)],
        "requires_investigation": [False, False, True, True] * 3,
        "auto_approved": [False, True] * 6,
    },
)
_STATUS = words("status", vocabulary(ClaimStatus))
_TRUTH = Table(
    len(SCHEMES) + 1, {"is_fraud": [False] + [True] * len(SCHEMES), "fraud_type": [None, *SCHEMES]}
)


class Claims:
    """The stream `claims` of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.population = scenario.population
        self.rings = scenario.claim_rings
        self.payments = Transactions(scenario)
        self.rate = scenario.stream_rate("claims")
        self.draws = Draws(scenario.seed, "claims")

    def roles(self, first: int, end: int) -> Roles:
        """The part that each index of [first, end) plays."""
        index = np.arange(first, end)
        inflated = index[self.draws.uniform("inflated", index) < self.scenario.fraud.inflated_loss]
        alone = Steps(inflated, inflated, np.zeros_like(inflated), np.ones_like(inflated))
        return assign([self.rings.events(first, end), self._stolen(first, end), alone], first, end)

    def _stolen(self, first: int, end: int) -> Steps:
        """The claim that each account takeover files while its payments go on."""
        takeovers = self.payments.schedules[TAKEOVER - 1]
        found = takeovers.between((first - 1) / self.rate, (end + 1) / self.rate)
        moment = 0.4 + 0.5 * takeovers.draws.uniform("claim", found.id)
        index = np.floor((found.start + found.gap * found.count * moment) * self.rate).astype(np.int64)
        rows = np.flatnonzero((index >= first) & (index < end))
        one = np.ones(len(rows), np.int64)
        return Steps(index[rows], found.id[rows], one - 1, one)

    def entities(self, index: Ints, roles: Roles) -> Ints:
        """The user of each event."""
        users = self.population.user(self.draws.words("user", index))
        stolen, ring = np.flatnonzero(roles.scheme == STOLEN), np.flatnonzero(roles.scheme == RING)
        users[stolen] = self.payments.victims(TAKEOVER, roles.episode[stolen])
        member = below(mix(roles.episode[ring].astype(np.uint64)), _CIRCLE)
        member = (member + 7 * (roles.step[ring] // 2)) % _CIRCLE
        circle = self.rings.draws.words("circle", self._ringleader(roles.episode[ring]) * _CIRCLE + member)
        users[ring] = self.population.victim(circle)
        return users

    def _ringleader(self, episodes: Ints) -> Ints:
        crooked = self.population.carers.crooked
        return crooked[below(self.rings.draws.words("provider", episodes), len(crooked))]

    def events(self, index: Ints, at: Ints, users: Ints, roles: Roles) -> Events:
        """The events at `index` (and time `at`, milliseconds) of `users` in their `roles`."""
        people, carers, draws = self.population.people, self.population.carers, self.draws
        a, b, c, d = (draws.words(lane, index) for lane in ("what", "cost", "papers", "desk"))
        ring, stolen, inflated = (roles.scheme == scheme for scheme in (RING, STOLEN, INFLATED))
        region = self.population.places.region[people.city[users]]
        weather = almanac.weather(draws, region, at)
        policy, line = self._policy(users, at, a)
        near = np.where(part(a, 2) < 0.85, region, (REGIONS * part(a, 3)).astype(np.int64))
        provider = carers.pick(line, near, draws.uniform("provider", index))
        rows = np.flatnonzero(ring)
        provider[rows] = self._ringleader(roles.episode[rows])
        line[rows] = carers.line[provider[rows]]
        spread = np.exp(np.where(ring, 0.35, 0.8) * gauss(b, 0) - 0.25)
        amount = MEAN_AMOUNT[line] * spread * _WEATHER_COST[line, weather] * (1 + 0.03 * people.claims[users])
        amount *= np.select([ring, stolen, inflated], [1.25, 1.15, 1.5 + part(b, 1)], 1.0)
        amount = np.maximum(amount, 100.0).round(2)
        papers = np.clip(0.86 + 0.1 * gauss(c, 0) + 0.03 * ring - 0.05 * (stolen | inflated), 0.5, 1)
        complexity = np.clip(0.35 + 0.15 * gauss(c, 1) + 0.09 * np.log10(amount / 5000), 0.1, 1)
        similar = np.minimum(5, -np.log(part(c, 2)) * (0.7 + 0.6 * ring)).astype(np.int64)
        score = self._score(users, policy, at, amount, weather, b)
        fired = self._rules(users, policy, provider, amount / MEAN_AMOUNT[line], papers, similar, d)
        guess = np.clip(0.8 * score + 0.04 * np.bitwise_count(fired) + 0.1 * (part(b, 3) - 0.5), 0, 1)
        investigate = (guess > 0.55) | (part(d, 3) < 0.02)
        auto = (score < 0.3) & (amount < 5000) & ~investigate
        level = np.digitize(guess, (0.4, 0.55))
        days = np.clip(6 + 22 * complexity + 10 * investigate + 6 * part(c, 3), 5, 45).astype(np.int64)
        columns: dict[str, Column] = {
            "claim_id": Uuid(draws.words("id", index), draws.words("id low", index)),
            "timestamp": Moment(at),
            "event_type": Ref(_EVENT, "event_type", np.zeros(len(index), np.int64)),
            "weather_conditions": Ref(_WEATHER, "weather_conditions", weather),
            "claim_amount": decimal(amount, 2),
            "adjuster_assigned": Ref(_ADJUSTER, "adjuster_assigned", below(d, _ADJUSTER.size)),
            "estimated_processing_days": Number(days),
            "claim_complexity_score": decimal(complexity, 2),
            "documentation_completeness": decimal(papers, 2),
            "similar_claims_last_30_days": Number(similar),
            "risk_score": decimal(score, 3),
            "fraud_probability": decimal(guess, 3),
            "fraud_indicators": Ref(_FIRED, "fraud_indicators", fired),
            "status": Ref(_STATUS, "status", np.where(auto, 2, np.where(part(d, 0) < 0.7, 0, 1))),
        }
        columns |= refs(people.holder, users) | refs(people.policy, policy) | refs(carers.table, provider)
        columns |= refs(_KIND, line * 5 + (5 * part(a, 0)).astype(np.int64))
        columns |= refs(almanac.CLAIM, almanac.claim_rows(at))
        columns |= refs(_DECISION, level * 4 + 2 * investigate + auto)
        columns |= refs(_TRUTH, roles.scheme.astype(np.int64))
        return Events("claims", index, at, columns)

    def _policy(self, users: Ints, at: Ints, random: Words) -> tuple[Ints, Ints]:
        """(policy, line) of each claim: one of the user's policies, rather one whose season it is."""
        people = self.population.people
        held = people.policies[users]
        first = users * POLICIES + (held * part(random, 0)).astype(np.int64)
        other = users * POLICIES + (held * part(random, 1)).astype(np.int64)
        month = moments.month(at)
        line, instead = people.policy_type(first), people.policy_type(other)
        here, there = _SEASON[line, month], _SEASON[instead, month]
        rather = part(random, 3) * (here + there) < here
        return np.where(rather, first, other), np.where(rather, line, instead)

    def _risky_city(self, users: Ints) -> Bools:
        return self.population.people.city[users] < len(RISKY_CITIES)

    def _score(
        self, users: Ints, policy: Ints, at: Ints, amount: Floats, weather: Ints, random: Words
    ) -> Floats:
        """The rule score at filing: prior, amount, history, place, weather, hour, credit and tenure."""
        people = self.population.people
        hours = moments.hour(at)
        score = 0.42 * people.risk[users] + 0.14 * np.minimum(amount / 50_000, 1)
        score += 0.12 * np.minimum(people.claims[users] / 10, 1) + 0.12 * self._risky_city(users)
        score += 0.05 * ((hours < 6) | (hours > 22)) - 0.03 * (weather == almanac.WEATHER.index("storm"))
        score += 0.1 * np.maximum(0, (700 - people.credit[users]) / 400)
        score += 0.12 * (people.policy_years(policy) < 1) + 0.1 * (part(random, 2) - 0.5)
        return np.clip(score, 0, 1)

    def _rules(
        self,
        users: Ints,
        policy: Ints,
        provider: Ints,
        ratio: Floats,
        papers: Floats,
        similar: Ints,
        random: Words,
    ) -> Ints:
        """Which intake rules fired, as bits in the order of the contract's names."""
        people = self.population.people
        chance = part(random, 1)
        fired = (similar >= 3).astype(np.int64)
        fired |= (people.policy_years(policy) < 1).astype(np.int64) << 1
        fired |= (ratio > 2.5).astype(np.int64) << 2
        fired |= (self._risky_city(users) & (chance < 0.5)).astype(np.int64) << 3
        fired |= ((similar >= 2) & (chance > 0.8)).astype(np.int64) << 4
        fired |= (self.population.carers.reputation[provider] < 0.5).astype(np.int64) << 5
        fired |= ((chance > 0.49) & (chance < 0.5)).astype(np.int64) << 6
        return fired | (papers < 0.65).astype(np.int64) << 7
