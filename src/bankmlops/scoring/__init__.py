"""What runs where requests arrive: load a verified bundle, authenticate, validate, predict, limit, log.

Of the package it knows `features`, `types` and `errors` alone, and nothing that trains: the service starts fast, stays small and
can't load a pickle. `python -m bankmlops.scoring --service-dir DIR` starts it; `app.ScoringApp` is the ASGI application.
"""
