"""Models beside the rules: trained from history, kept by version, served by name.

from training import models
model = models.current("var/models", "transactions")  # None while none is promoted
model.probability(columns)  # columns by the names of model.features; an array, one a row
"""

from training.models.card import Card
from training.models.model import Model, ModelError
from training.models.monitor import Monitor
from training.models.settings import ModelSettings
from training.models.shelf import Shelf, current

__all__ = ["Card", "Model", "ModelError", "ModelSettings", "Monitor", "Shelf", "current"]
