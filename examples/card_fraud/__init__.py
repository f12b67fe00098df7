"""Card fraud with fresh and long aggregates: ten minutes beside a week, at the moment of the payment."""
