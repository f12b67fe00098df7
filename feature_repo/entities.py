"""Who and what features are about."""

from feast import Entity, ValueType


def _entity(name, key, description, **tags):
    return Entity(name=name, join_keys=[key], value_type=ValueType.STRING, description=description, tags=tags)


user = _entity("user", "user_id", "Policy and account holder", session_gap="30m")
card = _entity("card", "card_id", "Token of a card or account", session_gap="30m")
merchant = _entity("merchant", "merchant_id", "Who was paid")
provider = _entity("provider", "provider_id", "Garage, clinic, builder or adviser behind a claim")
device = _entity("device", "device_id", "Insured sensor")
device_type = _entity("device_type", "device_type", "Kind of insured sensor")
