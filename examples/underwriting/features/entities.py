"""Who and what features are about."""

from feast import Entity, ValueType


def _entity(name, description):
    return Entity(name=name, join_keys=[f"{name}_id"], value_type=ValueType.STRING, description=description)


customer = _entity("customer", "Policy and account holder: CUST%08d, the population's user")
policy = _entity("policy", "An insurance policy: POL%08d%02d, the customer's number and a count")
claim = _entity("claim", "A claim: CLM%010d")
provider = _entity("provider", "Garage, clinic, builder or adviser behind a claim: PROV%06d")
transaction = _entity("transaction", "A payment: TXN%012d")
merchant = _entity("merchant", "Who is paid: MERCH%06d")
