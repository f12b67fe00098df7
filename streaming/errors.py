"""Errors a person can act on: each message is one line that names the remedy."""


class TidemarkError(Exception):
    """Base of every error whose message is meant for the person at the keyboard."""


class DefinitionError(TidemarkError):
    """A Feast definition that the engine cannot compute."""


class ServiceError(TidemarkError):
    """A broker, a Redis or a jar that cannot be had."""


class KafkaAway(ServiceError):
    """The broker does not answer, or did not take what was sent to it; it may come back."""


class FencedError(TidemarkError):
    """Another writer changed a ring or took the lane's lease; this one must give way."""


class RacedError(TidemarkError):
    """A ring changed between reading and writing it; the batch is run again."""


class LostWritesError(TidemarkError):
    """Redis misses batches that were committed, and they cannot be replayed."""
