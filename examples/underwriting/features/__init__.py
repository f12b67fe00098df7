"""Every Feast definition of the example; feature_repo/registered.py is what Feast imports."""
