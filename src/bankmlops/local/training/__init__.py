"""AutoML runs and models on this machine, and the MLflow store that shows them."""
