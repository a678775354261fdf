#!/usr/bin/env bash
# Runs the notebooks of the figures: small, into runs/figures; with DATA, as recorded, into figures/.
# `make figures` calls it:  .ci/figures.sh [DATA [CHECKPOINT]]
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-} checkpoint=${2:-}
out="$PWD/runs/figures"
mkdir -p "$out"
if [ -n "$data" ]; then export BIGGAN_COLORIZE_DATA="$data" out="$PWD/figures"; fi

draw() {  # NAME NOTEBOOK [the parameters of a full run]; a small run takes the notebook's own
  local name=$1 notebook=$2
  shift 2
  [ -n "$data" ] || set --
  echo "== $name"
  papermill --no-progress-bar "nbs/experiments/$notebook.ipynb" "runs/figures/$name.ipynb" -r out "$out" "$@"
}

val=(-p dataset imagenet-20)
complex=("${val[@]}" -p n_images 2000 -p n_perceptual 600 -p precision auto -p batch 100)

draw fig1_inversion fig1_inversion -p full True
draw fig2_framework fig2_framework "${val[@]}" -p image 4
draw fig3_encoder fig3_encoder
draw fig4_comparison fig4_comparison "${val[@]}" -p n_images 5
draw fig5_complex fig5_complex "${complex[@]}" -p methods gray,mini-z,mini-4,mini-8,mini-16,mini-32,mini-64,ours
draw resolution_study resolution_study "${val[@]}" -p n_images 1500 -p n_effect 40 -p draws 8 -p groups 10
draw ledger ledger "${val[@]}" -p n_images 1000 -p large imagenet -p n_large 0 ${checkpoint:+-p checkpoint "$checkpoint"}
draw ruler ruler "${val[@]}" -p n_images 5000
if [ -n "$data" ]; then
  draw fig5_methods fig5_complex "${complex[@]}" \
    -p methods gray,cic,chromagan,instcolor,deoldify,tovivid,mini-16,ours,photo -p name fig5_methods
fi
ls "$out"
