#!/bin/sh
# The guest's first process: mounts the cgroup layout that the kernel command line names, runs pods under
# it and prints what it saw. A line that counts starts with `ok`, `FAIL` or `PASS`; the last of them is the
# verdict, `PASS LAYOUT` or `FAIL LAYOUT`.

export PATH=/bin
layout=unknown
unified=/sys/fs/cgroup
failures=0

ok() { echo "ok   $*"; }
fail() { echo "FAIL $*"; failures=$((failures + 1)); }

# is WHAT ACTUAL EXPECTED
is() { if [ "$2" = "$3" ]; then ok "$1"; else fail "$1: \"$2\" instead of \"$3\""; fi; }

# has WHAT TEXT PART
has() { case $2 in *"$3"*) ok "$1" ;; *) fail "$1: \"$3\" is not in \"$2\"" ;; esac; }

finish() {
    if [ $failures = 0 ]; then echo "PASS $layout"; else echo "FAIL $layout"; fi
    poweroff -f
}

# What the guest itself needs: nothing after its failure would mean anything.
need() { "$@" || { fail "$*"; finish; }; }

# eventually COMMAND…: tries until it succeeds, for two minutes.
eventually() {
    tries=600
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.2
    done
}

surroundings() {
    need mount -t proc proc /proc
    need mount -t sysfs sysfs /sys
    need mount -t devtmpfs devtmpfs /dev
    need mkdir /dev/pts /dev/shm
    need mount -t devpts devpts /dev/pts
    need mount -t tmpfs -o mode=1777 shm /dev/shm
    need mount -t tmpfs -o mode=1777,size=70% tmp /tmp
    for module in /modules/*.ko; do need insmod "$module"; done
    need ip link set lo up
    need hostname guest
    layout=$(sed -n 's/.*wharf\.layout=\([a-z0-9]*\).*/\1/p' /proc/cmdline)
}

# mount_v1 CONTROLLERS…: a hierarchy each. Two controllers share one and have links, as under systemd.
mount_v1() {
    need mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
    for names in cpu,cpuacct "$@"; do
        need mkdir "/sys/fs/cgroup/$names"
        need mount -t cgroup -o "$names" cgroup "/sys/fs/cgroup/$names"
    done
    for name in cpu cpuacct; do need ln -s cpu,cpuacct "/sys/fs/cgroup/$name"; done
}

mount_unified() {
    unified=/sys/fs/cgroup/unified
    need mkdir $unified
    need mount -t cgroup2 cgroup2 $unified
}

mount_cgroups() {
    case $layout in
        v2) need mount -t cgroup2 cgroup2 /sys/fs/cgroup ;;
        v1) mount_v1 cpuset memory devices freezer blkio pids ;;
        hybrid) mount_v1 cpuset memory devices freezer blkio pids && mount_unified ;;
        split) mount_v1 cpuset devices freezer blkio && mount_unified ;;
        *) need false "no layout of the name $layout" ;;
    esac
}

# start USER DATA: a cluster of that user.
start() {
    : >"$2.out"
    su -s /bin/sh "$1" -c "exec wctl --data-dir $2 dev" >"$2.out" 2>&1 &
    server=$!
    if eventually ready_or_gone "$2.out" && kill -0 $server; then
        ok "wctl dev of $1 is ready"
    else
        fail "wctl dev of $1 is not ready: $(tail -n 20 "$2.out")"
        finish
    fi
    export KUBECONFIG="$2/kubeconfig"
}

ready_or_gone() { grep -q '^ready' "$1" || ! kill -0 $server; }

# stop USER DATA EXPECTED: ends the cluster; a warning that does not contain the text EXPECTED is a failure.
stop() {
    kill $server
    wait $server
    is "wctl dev of $1 ends well" $? 0
    is "wctl dev of $1 warns of nothing" "$(grep -E ' (WARN|ERROR) ' "$2.out" | grep -v "$3")" ""
}

# until_pod POD CONDITION
until_pod() {
    wctl wait "pod/$1" --for "$2" --timeout 180s >/dev/null ||
        fail "$1: not $2: $(wctl describe pod "$1" | tail -n 25)"
}

# column POD NUMBER: of `wctl get -o wide`.
column() { wctl get pod "$1" -o wide --no-headers | awk "{print \$$2}"; }

# The first process of a pod's container `c`.
process() {
    uid=$(wctl get pod "$1" -o yaml | sed -n 's/^  uid: *//p')
    # Other pods' cgroups may go away meanwhile.
    find /sys/fs/cgroup -path "*$uid*/c/cgroup.procs" -exec cat {} + 2>/dev/null | head -n 1
}

# cgroup_of PID CONTROLLER: the folder of a process in the hierarchy that has the controller.
cgroup_of() {
    path=$(sed -n "s/^[0-9]*:[^:]*\b$2\b[^:]*:\(.*\)/\1/p" "/proc/$1/cgroup")
    if [ -n "$path" ]; then
        echo "/sys/fs/cgroup/$2$path"
    else
        echo "$unified$(sed -n 's/^0:://p' "/proc/$1/cgroup")"
    fi
}

# value FOLDER FILE…: the first of the files that exists.
value() {
    folder=$1
    shift
    for file in "$@"; do [ -f "$folder/$file" ] && cat "$folder/$file" && return; done
    echo "none of $* in $folder"
}

# limits NAME PID QUOTA MEMORY: what the kernel holds against a process.
limits() {
    cpu=$(cgroup_of "$2" cpu)
    memory=$(cgroup_of "$2" memory)
    is "$1: CPU quota" "$(value "$cpu" cpu.max cpu.cfs_quota_us)" "$3"
    is "$1: memory limit" "$(value "$memory" memory.max memory.limit_in_bytes)" "$4"
    is "$1: task limit of the pod" "$(value "$(cgroup_of "$2" pids)/.." pids.max)" 4096
    if eventually grep -q '^nr_throttled [1-9]' "$cpu/cpu.stat"; then
        ok "$1: the CPU quota throttles"
    else
        fail "$1: never throttled: $(cat "$cpu/cpu.stat")"
    fi
}

logged() { wctl logs "$1" | grep -q "$2"; }

native_pods() {
    if [ $layout = v2 ]; then quota='20000 100000'; else quota=20000; fi
    until_pod native condition=Ready
    eventually logged native listed
    # Unquoted: the lines become words.
    is "native: its limits seen from inside" "$(echo $(wctl logs native))" "$quota 33554432 listed"
    limits native "$(process native)" "$quota" 33554432
    until_pod greedy 'jsonpath={.status.phase}=Failed'
    is "greedy: reason" "$(column greedy 3)" OOMKilled
    has "greedy: exit code" "$(wctl describe pod greedy)" 137
    until_pod devices 'jsonpath={.status.phase}=Succeeded'
    is "devices: only the usual ones can be opened" "$(echo $(wctl logs devices))" \
        "null sh: can't create /d/serial: Operation not permitted"
    until_pod all-devices 'jsonpath={.status.phase}=Succeeded'
    is "devices: privileged, all can" "$(echo $(wctl logs all-devices))" "null serial"
}

wasm_pods() {
    until_pod spin condition=Ready
    limits spin "$(process spin)" "$quota" 67108864
    until_pod growing 'jsonpath={.status.phase}=Failed'
    has "growing: told by its limit" "$(wctl logs growing)" "malloc failed after"
    # Ready is what answered an HTTP probe, here through the bridge.
    until_pod web condition=Ready
    has "web: ready at an address of its own" "$(column web 6)" 10.
}

# What runs; a process may end meanwhile.
programs() { for process in /proc/[0-9]*; do readlink "$process/exe"; done; }

as_root() {
    echo "--- wctl doctor of root"
    wctl doctor | cat
    has "doctor: native containers" "$(wctl doctor)" "Native containers run here."
    start root /var/cluster
    has "processes can be seen" "$(programs)" wctl
    need wctl image load /images/busybox --name hosts/busybox:v1
    need wctl image load /images/http-c.wasm --name hosts/web:v1
    need wctl image load /images/spin.wasm --name hosts/spin:v1
    need wctl apply -f /pods.yaml -f /web.yaml
    native_pods
    wasm_pods
    need wctl delete pods --all --grace-period 1
    stop root /var/cluster 'nothing is expected'
    is "no process stays" "$(programs | grep wctl)" ""
    is "no cgroup stays" "$(find /sys/fs/cgroup -mindepth 2 -type d -path '*wharf*/*')" ""
}

as_nobody() {
    echo "--- wctl doctor of nobody"
    by_nobody "wctl --data-dir /tmp/none doctor | cat"
    start nobody /tmp/cluster
    need by_nobody "wctl image load /images/http-c.wasm --name hosts/web:v1"
    need wctl apply -f /web.yaml
    until_pod web condition=Ready
    has "web of nobody: ready at a loopback address" "$(column web 6)" 127.
    stop nobody /tmp/cluster ip_unprivileged_port_start
}

by_nobody() { su -s /bin/sh nobody -c "$1"; }

surroundings
mount_cgroups
echo "--- $(uname -sr), cgroups: $layout"
as_root
as_nobody
finish
