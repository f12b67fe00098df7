"""The whole platform on this machine for a minute, and the accounts of what it did."""
