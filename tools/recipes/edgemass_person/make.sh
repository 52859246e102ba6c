#!/bin/sh
# Makes models/edgemass-person again: make.sh ASSETS WORK
# ASSETS holds train/, coco-val/, videos/ and detectors/ (docs/workshop.md says what they are). Every step goes on where it was
# interrupted. The first training takes about an hour on two cores, the second a quarter of one.
set -eu

assets=$1
work=$2
here=$(dirname "$0")
tools="edgemass-tools"

python "$here/frames.py" "$assets" "$work"

data="--annotations $assets/train/train.json --images $assets/train/images
    --annotations $work/vtest.json --images $work/frames
    --annotations $work/one-by-one-person-detection.json --images $work/frames
    --annotations $work/highway_video2.json --images $work/frames
    --labels person --val-annotations $assets/train/heldout.json --val-images $assets/train/images
    --per-epoch 4000 --precision bf16 --soft"

# A net of a million parameters, first on smaller pictures.
# shellcheck disable=SC2086 (the options are words)
$tools train --option 'widths=[16,32,64,128,192]' --option neck=48 $data \
    --weight coco_train2017=6 --weight coco_other=6 --weight bsds500=2 --weight pedbehav=2 --weight video_vtest=4 \
    --weight camvid=0.7 --weight stanford40=0.8 --weight video_highway_video2=0.7 \
    --size 384x288 --first-size 288x224 --first-epochs 50 --plain-epochs 8 --epochs 68 --measure-every 4 -o "$work/wide"

# An eighth of its operations cut; then larger pictures, and more of those that look like COCO's.
# shellcheck disable=SC2086
$tools prune "$work/wide/model.pt" --operations 0.88 $data --per-epoch 3600 \
    --weight coco_train2017=10 --weight coco_other=10 --weight imagenet_sample=3 --weight bsds500=3 --weight caltech101=1.5 \
    --weight pedbehav=1.5 --weight video_vtest=3 --weight camvid=0.5 --weight stanford40=0.5 --weight shwd=0.6 \
    --weight video_highway_video2=0.6 --weight video_one-by-one-person-detection=0.6 \
    --size 416x320 --plain-epochs 3 --epochs 12 --measure-every 3 --lr 8e-4 -o "$work/person"

# A tenth larger again than in training: small people are found better, others as well (AP50 of the held-out pictures 0.660, at
# 416x320 0.665).
$tools export "$work/person/model.pt" -o "$work/edgemass-person" --licence Apache-2.0 --tflite --halves --size 448x352 \
    --notes "$here/notes.md"
measured="--images $assets/train/images --annotations $assets/coco-val/instances.json --eval-images $assets/coco-val/images
    --samples 128 --max-loss 0.02"
# shellcheck disable=SC2086
$tools quantize "$work/edgemass-person" -o "$work/edgemass-person" $measured
# shellcheck disable=SC2086
$tools quantize "$work/edgemass-person" -o "$work/edgemass-person" $measured --runtime tflite --drop tflite --drop onnx
