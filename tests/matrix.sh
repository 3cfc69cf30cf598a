#!/usr/bin/env bash
# Trains on both public data sets with both judges and 3, 4 and 5 participants on both ledgers, 1,500 visits each, and
# says whether every indicator and prediction equals the plaintext reference's.
#   tests/matrix.sh CONFAB DATA [LEDGER…]      CONFAB: the binary; DATA: the folder with uci/
set -euo pipefail
confab=$1 data=$2
shift 2
work=$(mktemp -d)
stop() { for l in dev fabric; do "$confab" network down --dir "$work/$l" >/dev/null 2>&1 || true; done; rm -rf "$work"; }
trap stop EXIT
failed=0
for ledger in "${@:-dev fabric}"; do
  case $ledger in
    dev) "$confab" ledger start --orgs 5 --dir "$work/dev" >/dev/null 2>&1 ;;
    fabric) "$confab" network up --orgs 5 --dir "$work/fabric" >/dev/null 2>&1 ;;
  esac
  for set in "breast-cancer-wisconsin.data 11 1 1 1" "australian.dat 15 - 0 1"; do
    read -r file label id lambda c <<<"$set"
    for judge in blinded paper; do
      for n in 3 4 5; do
        idflag=(); [ "$id" = - ] || idflag=(--id "$id")
        if "$confab" train --ledger "$ledger" --dir "$work/$ledger" --data "$data/uci/$file" --label "$label" "${idflag[@]}" \
          --participants "$n" --iterations 60 --batch 25 --protocol "$judge" --key-bits 512 --insecure-key-bits \
          --weak-blinding --lambda "$lambda" --c "$c" --verify --json "$work/report.json" >"$work/out" 2>&1; then
          python3 - "$work/report.json" "$file" <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
print(f"{r['ledger']['kind']:7} {sys.argv[2]:29} {r['protocol']:8} n={r['participants']} "
      f"indicators={r['identical_indicators']} predictions={r['identical_predictions']} weights={r['identical_weights']} "
      f"accuracy={r['secure']['accuracy']:.4f} float_differs={r['float_differing_indicators']} "
      f"seconds={r['seconds']['total']:.1f} (work {r['seconds']['crypto']:.1f}) retries={r['ledger']['retries']}", flush=True)
PY
        else
          failed=1; echo "$ledger $file $judge n=$n FAILED"; tail -5 "$work/out"
        fi
      done
    done
  done
done
exit $failed
