"""Synthetic insurance claims, payments and sensor readings: contracts, simulators, producer.

from generators import encode, stream

columns = stream("transactions", seed=7, start_index=0, n=1000, start_time=0, rate=50.0)
keys, values = encode("transactions", columns)
"""

from generators.columns import Events
from generators.encode import encode
from generators.population import Population
from generators.scenario import DEFAULT_MIX, FraudRates, Scenario
from generators.simulate import Simulation, stream

__all__ = ["DEFAULT_MIX", "Events", "FraudRates", "Population", "Scenario", "Simulation", "encode", "stream"]
