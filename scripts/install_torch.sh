#!/bin/sh
# Install PyTorch into the environment whose Python is given, before anything else can pull it in.
# With an NVIDIA driver, or where PyTorch is there already, the index's own build is right. Without one the CPU build is
# taken: from wherever pip is set up to find the pinned release, else from PyTorch's own index of CPU builds.
set -eu
python=$1
version=$(sed -n 's/^torch==//p' constraints.txt)

if "$python" -c "import torch" 2>/dev/null; then exit 0; fi
if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi >/dev/null 2>&1; then
    exec "$python" -m pip install --quiet "torch==$version"
fi
# A dry run says which build pip would take; the CUDA build shows by the libraries it brings.
if plan=$("$python" -m pip install --quiet --dry-run --no-deps --report - "torch==$version" 2>/dev/null) &&
    printf '%s' "$plan" | grep -q '+cpu'; then
    exec "$python" -m pip install --quiet "torch==$version"
fi
"$python" -m pip install --quiet --index-url https://download.pytorch.org/whl/cpu "torch==$version" ||
    exec "$python" -m pip install --quiet "torch==$version"
