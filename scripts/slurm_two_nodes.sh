#!/bin/bash
# A Slurm cluster of two nodes on this machine, to try job scripts on:
#
#   scripts/slurm_two_nodes.sh start DIR    starts it; its files and logs are in DIR
#   export SLURM_CONF=DIR/slurm.conf        then sbatch, squeue, scontrol ... talk to it
#   scripts/slurm_two_nodes.sh stop DIR     ends it and all its jobs
#
# Needs root and the Debian packages slurmctld, slurmd, slurm-client and munge. Uses a munge key, a
# socket and ports of its own: a cluster that is there already is not touched.
set -eu
PATH=$PATH:/usr/sbin

main() {
    [ $# = 2 ] || { sed -n '2,6s/^# \?//p' "$0" >&2; exit 2; }
    folder=$(realpath -m -- "$2")
    case $1 in
        start) start ;;
        stop) stop ;;
        *) echo "$1: start or stop" >&2; exit 2 ;;
    esac
}

start() {
    for program in munged slurmctld slurmd; do
        command -v $program >/dev/null || { echo "$program is not installed" >&2; exit 1; }
    done
    mkdir -p "$folder"/{state,n0,n1}
    chmod 755 "$folder"
    (umask 077; head -c 128 /dev/urandom >"$folder/munge.key")
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
        --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" \
        --seed-file="$folder/munge.seed"
    configure
    export SLURM_CONF=$folder/slurm.conf
    slurmctld -f "$SLURM_CONF" -L "$folder/slurmctld.log"
    for node in n0 n1; do slurmd -f "$SLURM_CONF" -N $node; done
    for _ in $(seq 60); do
        [ "$(sinfo -h -N -o %t 2>/dev/null | grep -c '^idle')" = 2 ] && return
        sleep 0.5
    done
    echo "the nodes did not come up; see the logs in $folder" >&2
    exit 1
}

configure() {
    cpus=$(nproc)
    cat >"$folder/slurm.conf" <<END
ClusterName=two
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=${SLURM_TEST_PORT:-27817}
AuthInfo=socket=$folder/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
StateSaveLocation=$folder/state
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n/slurmd.pid
SlurmdLogFile=$folder/%n/slurmd.log
SlurmdSpoolDir=$folder/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=5
SchedulerParameters=sched_interval=2,batch_sched_delay=1
NodeName=n0 NodeAddr=127.0.0.1 Port=$((${SLURM_TEST_PORT:-27817} + 1)) CPUs=$cpus
NodeName=n1 NodeAddr=127.0.0.1 Port=$((${SLURM_TEST_PORT:-27817} + 2)) CPUs=$cpus
PartitionName=all Nodes=n[0-1] Default=YES
END
}

stop() {
    export SLURM_CONF=$folder/slurm.conf
    scancel -u "$(id -un)" 2>/dev/null || true
    for pid in "$folder"/n?/slurmd.pid "$folder"/slurmctld.pid "$folder"/munged.pid; do
        if [ -s "$pid" ]; then kill "$(cat "$pid")" 2>/dev/null || true; fi
    done
}

main "$@"
