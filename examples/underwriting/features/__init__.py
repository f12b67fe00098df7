"""Every Feast definition of the example; feature_repo/registered.py is what Feast imports."""

import warnings

import feast.stream_feature_view  # noqa: F401  Importing it turns the warnings below on.

# Stream and on-demand views are called experimental by Feast, once for each.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"feast\.")
