"""AutoML runs as the SDK asks for them: what is requested, trained, told of iterations, and given as models."""
