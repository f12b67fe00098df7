"""Who makes events: contracts, one shared population, simulators and the producer."""
