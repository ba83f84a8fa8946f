#!/usr/bin/env bash
# End the daemons that start.sh FOLDER started, and the jobs that they run. Logs stay.
set -euo pipefail
[[ $# == 1 ]] || { echo "usage: stop.sh FOLDER" >&2; exit 2; }
folder=$1
export SLURM_CONF="$folder/slurm.conf"
PATH=$PATH:/usr/sbin:/sbin

if [[ -s $SLURM_CONF ]] && scontrol ping 2>/dev/null | grep -q UP; then
  scancel --user=root || true
  for _ in {1..50}; do
    [[ -n $(squeue --noheader) ]] || break
    sleep 0.2
  done
fi
for daemon in slurmd slurmctld munged; do
  pid=$(cat "$folder/run/$daemon.pid" 2>/dev/null) || continue
  # A file that a killed daemon left may name another process by now.
  [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$daemon" ]] || continue
  kill "$pid"
  for _ in {1..100}; do
    [[ -d /proc/$pid ]] || continue 2
    sleep 0.1
  done
  echo "$daemon ($pid) does not end: killed" >&2
  kill -KILL "$pid"
done
