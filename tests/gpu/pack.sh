#!/usr/bin/env bash
# For a GPU machine without network that has torch, transformers, accelerate, safetensors, numpy,
# pillow and httpx. Run here, in the project's root: it collects in .gpu/, which git ignores, the
# wheels that such a machine lacks, in the versions of constraints.txt, and a script that runs the
# check. Copy the project's folder there and run: bash .gpu/run.sh
#   PYTHON_VERSION  of that machine (default 3.12)
#   PLATFORMS       wheels that it takes (default: Linux on x86-64)
set -euo pipefail
cd "$(dirname "$0")/../.."
PACKAGES="diffusers spandrel ftfy wcwidth pydantic pydantic_core pydantic-settings python-dotenv
platformdirs annotated-types typing-inspection typing_extensions websockets"
PLATFORMS=${PLATFORMS:-manylinux_2_28_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64}
PYTHON=${PYTHON:-.venv/bin/python}
[ -x "$PYTHON" ] || PYTHON=python3

pins=$(for name in $PACKAGES; do grep -i "^$name==" constraints.txt; done)
if [ "${1:-}" = --list ]; then echo "$pins"; exit; fi
rm -rf .gpu && mkdir -p .gpu/wheels
# shellcheck disable=SC2086  # words on purpose
"$PYTHON" -m pip download --quiet --no-deps --only-binary=:all: --implementation cp \
  --python-version "${PYTHON_VERSION:-3.12}" $(printf -- '--platform %s ' $PLATFORMS) \
  --dest .gpu/wheels $pins
cat >.gpu/run.sh <<'RUN'
#!/usr/bin/env bash
# Arguments are those of python -m tests.gpu.
set -euo pipefail
cd "$(dirname "$0")/.."
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir \
  --target "$site" .gpu/wheels/*.whl
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv || true
PYTHONPATH=$site:. PYTHONUNBUFFERED=1 python3 -m tests.gpu "$@"
RUN
du -sh .gpu
