#!/bin/sh
# SPDX-License-Identifier: MIT
# Three runs of the driver under the recorder, each ended without closing, then the checker.
#   power_loss.sh RECORDER DRIVER POWER_LOSS WHAT IMAGES
# good, install: every image keeps every promise.  install: the state of another store comes in half
# and is cut off, then whole and takes the place of this one's, twice.
# The others plant a fault, and the checker must fail: a checker that cannot proves nothing.
#   ack-early, skip-replay         of a node
#   hide:PATH                      an install without the sync of what ends in PATH
set -eu
# Meson's MALLOC_PERTURB_ fills what LMDB allocates at each open: ten times slower, 20,000 opens.
unset MALLOC_PERTURB_

recorder=$1 driver=$2 power_loss=$3 fault=$4 images=$5

# Instrumented code is ten times slower, and the images are the same.
[ -z "${FAIRSLOT_SANITIZED:-}" ] || [ "$images" -le 4000 ] || images=4000

memory=/dev/shm
[ -d "$memory" ] && [ -w "$memory" ] || memory=${TMPDIR:-/tmp}
place=$(mktemp -d "$memory/fairslot-power-XXXXXX")
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM

# LD_PRELOAD takes a space for the end of a path, and the checkout may stand in one.
cp "$recorder" "$place/recorder.so"

export FAULT_DIR="$place/data" FAULT_JOURNAL="$place/journal"
run() # MODE [PATH whose sync is hidden]
{
    ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0:detect_leaks=0 FAULT_HIDE=${2:-} \
        LD_PRELOAD="$place/recorder.so" "$driver" "$FAULT_DIR" 90 "$1"
}
case $fault in
install) run receive; run install; run install ;;
hide:*) run receive; run install "${fault#hide:}" ;;
*) run "$fault"; run "$fault"; run "$fault" ;;
esac
[ -s "$FAULT_JOURNAL" ] || { echo "nothing was recorded"; exit 1; }

status=0
"$power_loss" "$FAULT_JOURNAL" "$place/image" "$images" || status=$?
case $fault:$status in
good:0 | install:0) echo "every image keeps every promise" ;;
good:* | install:*) exit 1 ;;
*:1) echo "the planted fault $fault was found" ;;
*) echo "the planted fault $fault was NOT found"; exit 1 ;;
esac
