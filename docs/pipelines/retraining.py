"""The retraining loop of retraining.yaml, written in Python: the two make equal pipelines."""

from bankmlops.pipelines import Pipeline, PipelineBuilder, Retries


def retraining() -> Pipeline:
    """A challenger takes the champion's place where it is better beyond noise."""
    flow = PipelineBuilder("bank-retraining", "Train a challenger, and serve it if it is better than the champion beyond noise.")
    dataset = flow.parameter("dataset", "bank")
    minutes = flow.parameter("minutes", 1.0, description="the budget of the search")
    algorithms = flow.parameter("algorithms", "LightGBM", choices=("LightGBM", "LogisticRegression"))
    data = flow.prepare(dataset, test_share=0.25)
    looked_at = flow.guardrails(data)
    trained = flow.automl(
        data,
        name="train",
        after=[looked_at],
        retries=Retries(1, wait_seconds=60),
        experiment_timeout_minutes=minutes,
        allowed_models=[algorithms],
    )
    better = flow.evaluate(
        trained, name="challenge", dataset=data["test_dataset"], champion_endpoint="bank-live", otherwise="stop"
    )
    model = flow.register(better, "bank-live")
    flow.deploy(model, "bank-live", retries=Retries(2, wait_seconds=10))
    return flow.build()
