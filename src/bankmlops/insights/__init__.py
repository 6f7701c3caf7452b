"""What an endpoint recorded, to be asked: SQL over its telemetry, a report of it, and how far its inputs have drifted."""
