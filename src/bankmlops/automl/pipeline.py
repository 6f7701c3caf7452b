"""The winner as scikit-learn has it: a `Pipeline` over a data frame of the original columns, of public classes alone.

Whoever unpickles it needs scikit-learn, LightGBM and XGBoost, and nothing of ours. Its steps bear the names that Azure's AutoML
gives: `datatransformer`, and `prefittedsoftvotingclassifier` or `stackensembleclassifier` where the winner is an ensemble.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import partial
from operator import attrgetter, methodcaller
from typing import Any

import numpy

from bankmlops.automl.algorithms import STACK_ENSEMBLE, VOTING_ENSEMBLE
from bankmlops.features import ColumnSpecification, FeatureSpecification

ENSEMBLE_STEP = "prefittedsoftvotingclassifier"
STACK_STEP = "stackensembleclassifier"


def build_pipeline(specification: FeatureSpecification, step: str, classifier: Any) -> Any:
    """The whole way from a data frame to labels; makes of a frame the very matrix that the specification makes."""
    from sklearn.pipeline import Pipeline

    return Pipeline([("datatransformer", _transformer(specification)), (step, classifier)])


def step_name(algorithm: str) -> str:
    """What the step of an algorithm is called."""
    return {VOTING_ENSEMBLE: ENSEMBLE_STEP, STACK_ENSEMBLE: STACK_STEP}.get(algorithm, algorithm.lower())


def voting_classifier(names: Sequence[str], members: Sequence[Any], weights: Sequence[float], classes: Sequence[Any]) -> Any:
    """A `VotingClassifier` of members that were fitted before, on class codes; it answers the classes."""
    from sklearn.ensemble import VotingClassifier
    from sklearn.preprocessing import LabelEncoder

    voting = VotingClassifier(_named(names, members), voting="soft", weights=numpy.array(weights), flatten_transform=False)
    voting.estimators_ = list(members)
    voting.le_ = LabelEncoder()
    voting.le_.classes_ = numpy.array(list(classes))  # not fitted: that would sort them, and the positive class comes last
    voting.classes_ = voting.le_.classes_
    return voting


def averaged(name: str, fits: Sequence[Any], classes: int) -> Any:
    """One classifier, on class codes, of a learner that was fitted several times: their mean."""
    if len(fits) == 1:
        return fits[0]
    return voting_classifier([name] * len(fits), fits, [1 / len(fits)] * len(fits), range(classes))


def stacking_classifier(names: Sequence[str], members: Sequence[Any], final_estimator: Any, classes: Sequence[Any]) -> Any:
    """A `StackingClassifier` of members and a final estimator that were fitted before, on class codes; it answers the classes."""
    from sklearn.ensemble import StackingClassifier
    from sklearn.preprocessing import LabelEncoder

    stacking = StackingClassifier(_named(names, members), final_estimator, cv="prefit", stack_method="predict_proba")
    stacking.estimators_ = list(members)
    stacking.final_estimator_ = final_estimator
    stacking.stack_method_ = ["predict_proba"] * len(members)
    stacking._label_encoder = LabelEncoder()
    stacking._label_encoder.classes_ = numpy.array(list(classes))  # not fitted, as above
    stacking.classes_ = stacking._label_encoder.classes_
    return stacking


def _named(names: Sequence[str], members: Sequence[Any]) -> list[tuple[str, Any]]:
    """Each as a pipeline, as Azure's ensembles have them: what prints a model walks the steps of their members."""
    from sklearn.pipeline import Pipeline

    pairs = enumerate(zip(names, members, strict=True))
    return [(f"{index}-{name}", Pipeline([(step_name(name), member)])) for index, (name, member) in pairs]


def _transformer(specification: FeatureSpecification) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer

    columns = specification.columns
    steps = [(column.name, _encoder(column), column.name if column.words else [column.name]) for column in columns]
    encoders = ColumnTransformer(steps, remainder="drop", sparse_threshold=0, verbose_feature_names_out=False)
    transformer = Pipeline([("columns", encoders), ("single_precision", FunctionTransformer(numpy.float32))])
    return transformer.fit(_example_frame(specification))


def _encoder(column: ColumnSpecification) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

    if column.is_numeric:
        imputer = SimpleImputer(strategy="constant", fill_value=column.fill, keep_empty_features=True)
        return make_pipeline(FunctionTransformer(numpy.float64), imputer)  # which takes no whole numbers where it saw others
    if column.parts:
        return _date_encoder(column)
    if column.words:
        return _word_encoder(column)
    categories: list[Any] = [float(value) for value in column.values] if column.kind.is_numeric else list(column.values)
    encoder = OneHotEncoder(categories=[categories], handle_unknown="ignore", sparse_output=False, dtype=numpy.float32)
    return make_pipeline(FunctionTransformer(numpy.float64), encoder) if column.kind.is_numeric else encoder


def _date_encoder(column: ColumnSpecification) -> Any:
    """pandas' own parts of a date, those of one without an offset as they stand."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    def part(name: str, fill: float) -> Any:
        read = FunctionTransformer(methodcaller("apply", attrgetter(f"dt.{name}")))
        return make_pipeline(
            read,
            FunctionTransformer(numpy.float64),
            SimpleImputer(strategy="constant", fill_value=fill, keep_empty_features=True),
        )

    texts = FunctionTransformer(methodcaller("astype", object))
    moments = FunctionTransformer(methodcaller("astype", "datetime64[us, UTC]"))  # nanoseconds end in the year 2262
    pairs = zip(column.parts, column.fills, strict=True)
    parts = ColumnTransformer([(name, part(name, fill), [column.name]) for name, fill in pairs], sparse_threshold=0)
    return make_pipeline(texts, moments, parts)


def _word_encoder(column: ColumnSpecification) -> Any:
    """scikit-learn's words of a text are those of `features.words`; a gap has none."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    texts = FunctionTransformer(methodcaller("astype", object))
    whole = FunctionTransformer(methodcaller("fillna", ""))
    composed = FunctionTransformer(methodcaller("map", partial(unicodedata.normalize, "NFC")))
    return make_pipeline(texts, whole, composed, CountVectorizer(vocabulary=list(column.words), binary=True))


def _example_frame(specification: FeatureSpecification) -> Any:
    """One row with a value of each column's kind: all that fitting needs, since the specification holds what was learnt."""
    import pandas

    def value(column: ColumnSpecification) -> Any:
        if column.is_numeric:
            return numpy.array([column.fill])
        if column.parts:
            return numpy.array(["2026-01-31"], dtype=object)
        if column.words:
            return numpy.array(column.words[:1], dtype=object)
        return numpy.array(column.values[:1], dtype=numpy.float64 if column.kind.is_numeric else object)

    return pandas.DataFrame({column.name: value(column) for column in specification.columns})
