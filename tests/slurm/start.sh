#!/usr/bin/env bash
# Start Slurm on this machine without systemd, for tests: munged, slurmctld and slurmd.
#
#     start.sh FOLDER    configuration, logs, state and sockets go into FOLDER; stop.sh FOLDER ends it
#
# Installs Slurm with apt-get where it is absent. Started twice it does nothing. What is in the way is
# one line on stderr and exit code 3. Then 'export SLURM_CONF=FOLDER/slurm.conf' and sbatch works.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

fail() {
  echo "Slurm cannot be started: $*" >&2
  exit 3
}

# The reason is the last line of a log that is not empty.
fail_with_log() {
  fail "$1: $( (grep . "$2" 2>/dev/null || echo "nothing in $2") | tail -n 1): see $2"
}

wait_for() { # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.2
  done
}

is_up() { [[ $(sinfo --noheader --format=%t 2>/dev/null) =~ ^(idle|mix|alloc)$ ]]; }

is_running() { # DAEMON; a file that a killed one left may name another process by now
  [[ $(cat "/proc/$(cat "$folder/run/$1.pid" 2>/dev/null)/comm" 2>/dev/null) == "$1" ]]
}

missing() { # the programs that are, in one line
  local program found=()
  for program in munged munge slurmctld slurmd sbatch; do
    command -v "$program" >/dev/null || found+=("$program")
  done
  echo "${found[*]-}"
}

install() {
  command -v apt-get >/dev/null ||
    fail "$(missing) not found, and no apt-get to install them: install Slurm and munge"
  local log="$folder/install.log"
  echo "installing slurm-wlm and munge with apt-get, log in $log"
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes \
    --no-install-recommends slurm-wlm munge; } >"$log" 2>&1 </dev/null ||
    fail_with_log "apt-get install slurm-wlm munge failed" "$log"
  [[ -z $(missing) ]] || fail "$(missing) not found after apt-get install: see $log"
}

start_munged() {
  local socket="$folder/run/munge.socket" key="$folder/run/munge.key"
  munge --socket="$socket" --no-input >/dev/null 2>&1 && return
  [[ -s $key ]] || (umask 077 && head --bytes=128 /dev/urandom >"$key")
  # Forced: that the folder is not for everybody is meant, only root comes here.
  munged --force --socket="$socket" --key-file="$key" --pid-file="$folder/run/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/run/munged.seed" 2>>"$folder/munged.log" ||
    fail_with_log "munged ended" "$folder/munged.log"
  wait_for 10 munge --socket="$socket" --no-input ||
    fail_with_log "munged does not answer" "$folder/munged.log"
}

[[ $# == 1 ]] || fail "usage: start.sh FOLDER"
[[ $(uname -s) == Linux ]] || fail "this is $(uname -s), not Linux"
[[ $(id -u) == 0 ]] || fail "it needs root: run the test as root, in a container for example"
mkdir -p "$1/run/spool" "$1/run/state"
folder=$(cd "$1" && pwd)
((${#folder} <= 80)) || fail "$folder is too long for a socket: give a folder of up to 80 characters"
PATH=$PATH:/usr/sbin:/sbin
host=$(hostname -s)
export SLURM_CONF="$folder/slurm.conf"

[[ -z $(missing) ]] || install
if [[ -s $SLURM_CONF ]] && is_up; then
  echo "Slurm $(slurmd -V | cut -d' ' -f2) is up already: SLURM_CONF=$SLURM_CONF"
  exit
fi
sed -e "s|@FOLDER@|$folder|g" -e "s|@HOST@|$host|g" "$here/slurm.conf" >"$SLURM_CONF"
start_munged
scontrol ping 2>/dev/null | grep -q UP || slurmctld >>"$folder/slurmctld.log" 2>&1 ||
  fail_with_log "slurmctld ended" "$folder/slurmctld.log"
wait_for 20 eval 'scontrol ping | grep -q UP' ||
  fail_with_log "slurmctld does not answer" "$folder/slurmctld.log"
is_running slurmd || slurmd >>"$folder/slurmd.log" 2>&1 || fail_with_log "slurmd ended" "$folder/slurmd.log"
wait_for 20 is_up ||
  fail_with_log "node $host is '$(sinfo --noheader --format='%t %E')'" "$folder/slurmd.log"
echo "Slurm $(slurmd -V | cut -d' ' -f2) is up: SLURM_CONF=$SLURM_CONF"
