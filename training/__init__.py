"""Who learns: training sets.

from training import training_set
training_set("feature_repo", "labels.parquet", "transaction_risk", "train.parquet", spark=spark)
"""

from training.training_set import training_set

__all__ = ["training_set"]
