"""What a pipeline is: a named graph of typed steps with typed parameters. Knows no engine and no backend."""

from bankmlops.pipelines.builder import PipelineBuilder
from bankmlops.pipelines.definition import DEFAULT_OPTIONS, Parameter, ParameterType, Pipeline, Retries, RunOptions, Scalar, Step
from bankmlops.pipelines.training import dataset_trained_on, from_config, graph_of
from bankmlops.pipelines.validation import check_pipeline

__all__ = [
    "DEFAULT_OPTIONS",
    "Parameter",
    "ParameterType",
    "Pipeline",
    "PipelineBuilder",
    "Retries",
    "RunOptions",
    "Scalar",
    "Step",
    "check_pipeline",
    "dataset_trained_on",
    "from_config",
    "graph_of",
]
