"""The Backend on this machine: MLflow, processes and SQLite in one folder, and nothing that needs an account."""
