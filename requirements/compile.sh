#!/usr/bin/env bash
# Makes the locks anew from pyproject.toml, with hashes and without an index's address. Needs `uv` on the PATH.
#   requirements/compile.sh            keeps today's pins where they still fit
#   UPGRADE=1 requirements/compile.sh  takes the newest of everything
# One resolution serves all: system.txt holds every extra and group, the others are cut from it, so no two locks disagree.
# Five stand apart. azure-ai-ml.txt and azureml-widgets.txt are for environments of their own, in which SDK v1, or what its older
# clients want, holds nothing back, and so are automl-peers.txt, since AutoGluon wants older packages than ours, and
# scoring-peers.txt. deep.txt comes on top of any other, and wants PyTorch's CPU build within uv's reach (UV_FIND_LINKS, UV_INDEX).
set -euo pipefail
cd "$(dirname "$0")/.."
options=(--quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --no-strip-markers)
[ -z "${UPGRADE:-}" ] || options+=(--upgrade)
compile() {
  uv pip compile "${options[@]}" "$@" --no-emit-package bankmlops pyproject.toml
}
all=(--extra notebook --extra ray --extra emulator --group dev) # the emulator's extra holds all others but deep
compile "${all[@]}" --group jupyter -o requirements/system.txt
printf 'azure-ai-ml>=1.35\nazure-identity>=1.27\n' | uv pip compile "${options[@]}" -o requirements/azure-ai-ml.txt -
clients=(azureml-{widgets,interpret}==1.62.* 'azureml-core<2' azureml-{pipeline,train-automl-client,dataset-runtime})
jupyter=('notebook<7' 'ipywidgets<7.7' 'widgetsnbextension<3.6' 'ipython<9' 'setuptools<81')
printf '%s\n' "${clients[@]}" "${jupyter[@]}" | uv pip compile "${options[@]}" -o requirements/azureml-widgets.txt -
printf '%s\n' 'autogluon.tabular[lightgbm,xgboost,catboost]>=1.5' 'h2o>=3.46' pyarrow |
  uv pip compile "${options[@]}" -o requirements/automl-peers.txt -
servers=('bentoml>=1.4' 'litserve>=0.2.10' 'mlflow>=3.4' 'mlserver>=1.7' 'ray[serve]>=2.50')
models=('lightgbm>=4.5' 'onnxruntime>=1.20' pandas 'scikit-learn>=1.7' 'xgboost-cpu>=3')
printf '%s\n' "${servers[@]}" "${models[@]}" | uv pip compile "${options[@]}" -o requirements/scoring-peers.txt -
options=("${options[@]/--upgrade/--quiet}" --constraint requirements/system.txt)
rm -f requirements/{dev,scoring,local,azure,deep}.txt
compile "${all[@]}" -o requirements/dev.txt
for extra in scoring local azure; do
  compile --extra "$extra" --group build -o "requirements/$extra.txt"
done
printf 'torch==2.13.0+cpu\n' | uv pip compile "${options[@]}" --extra deep --no-emit-package bankmlops --constraint - -o requirements/deep.txt pyproject.toml
