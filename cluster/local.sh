#!/usr/bin/env bash
# A Ray cluster on this machine, as a real one would be: a head that does no
# work, a CPU pool and a GPU pool, each a raylet of its own; a token, TLS, and
# nothing but the loopback. Linux only.
#
#   cluster/local.sh start DIR    # then: source DIR/env
#   cluster/local.sh stop DIR     # ends what `start` began, and nothing else
#
# DIR holds the token, the certificates, the logs and Ray's session; its path must
# be short, for Ray puts sockets into it. Another DIR with another PORT is a
# second cluster.
#
#   PORT=6380                    first of the ports; each node uses the 100 above it
#   CPU_CPUS, GPU_CPUS=<cores>   CPUs of each pool
#   GPUS=1                       GPUs of the GPU pool, whether there are any or not
#   DASHBOARD=true               whether there are a dashboard and a jobs API; it starts
#                                ten processes, which a busy machine may not have ready in time
#   RAY=ray                      the program to start
set -euo pipefail

PORT=${PORT:-6380}
RAY=${RAY:-ray}
GPUS=${GPUS:-1}
# Ray takes 127.0.0.1 for the machine's outer address, and would listen there.
HOST=127.0.0.2

# A laptop that is busy with other things takes longer than a server.
export RAY_DASHBOARD_STARTUP_TIMEOUT_S=${RAY_DASHBOARD_STARTUP_TIMEOUT_S:-300}
export RAY_agent_register_timeout_ms=${RAY_agent_register_timeout_ms:-180000}
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=${RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S:-2}

fail() {
    echo "error: $1" >&2
    echo "hint: $2" >&2
    exit 2
}

make_secrets() {
    umask 077
    mkdir -p "$dir/logs" "$dir/pids" "$dir/tls"
    openssl rand -hex 32 >"$dir/token"
    local extensions="$dir/tls/extensions"
    printf 'subjectAltName=IP:%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$HOST" >"$extensions"
    {
        openssl req -x509 -newkey rsa:3072 -nodes -days 30 -subj '/CN=mover-ray local CA' \
            -keyout "$dir/tls/ca.key" -out "$dir/tls/ca.crt"
        openssl req -newkey rsa:3072 -nodes -subj '/CN=mover-ray local node' \
            -keyout "$dir/tls/tls.key" -out "$dir/tls/tls.csr"
        openssl x509 -req -days 30 -in "$dir/tls/tls.csr" -CA "$dir/tls/ca.crt" \
            -CAkey "$dir/tls/ca.key" -CAcreateserial -extfile "$extensions" \
            -out "$dir/tls/tls.crt"
    } 2>"$dir/logs/openssl.log" || fail "no certificates could be made" "see $dir/logs/openssl.log"
}

write_environment() {
    cat >"$dir/env" <<ENV
export RAY_ADDRESS=$HOST:$PORT
export RAY_API_SERVER_ADDRESS=http://$HOST:$((PORT + 1))
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH=$dir/token
export RAY_USE_TLS=1
export RAY_TLS_SERVER_CERT=$dir/tls/tls.crt
export RAY_TLS_SERVER_KEY=$dir/tls/tls.key
export RAY_TLS_CA_CERT=$dir/tls/ca.crt
ENV
}

# start_node NAME FIRST_PORT ARGUMENT... starts one raylet, which lives until `stop`.
# Ray gives a raylet 30 s to report, whatever the settings: it gets more than one try.
start_node() {
    local name=$1 first=$2
    shift 2
    for _ in 1 2 3; do
        nohup "$RAY" start --block --disable-usage-stats --node-ip-address="$HOST" \
            --node-manager-port=$((first + 2)) --object-manager-port=$((first + 3)) \
            --dashboard-agent-listen-port=$((first + 4)) \
            --dashboard-agent-grpc-port=$((first + 5)) \
            --runtime-env-agent-port=$((first + 6)) --metrics-export-port=$((first + 7)) \
            --min-worker-port=$((first + 10)) --max-worker-port=$((first + 99)) \
            "$@" >"$dir/logs/$name.log" 2>&1 &
        echo $! >"$dir/pids/$name"
        until grep -q 'Ray runtime started' "$dir/logs/$name.log"; do
            kill -0 "$(cat "$dir/pids/$name")" 2>/dev/null || continue 2
            sleep 0.5
        done
        return
    done
    end_all
    fail "the node does not come up: $name" "see the logs in $dir/logs and $dir/ray"
}

start() {
    [ "$(uname)" = Linux ] || fail "only Linux can do this" "on a Mac, let Ray start by itself"
    [ ! -e "$dir/pids" ] || fail "there is a cluster in: $dir" "stop it first: $0 stop $dir"
    local cores
    cores=$(getconf _NPROCESSORS_ONLN)
    make_secrets
    write_environment
    # shellcheck source=/dev/null
    source "$dir/env"
    # A head asks whoever starts it for no cluster's address.
    RAY_ADDRESS='' start_node head "$PORT" --head --port="$PORT" --num-cpus=0 --num-gpus=0 \
        --temp-dir="$dir/ray" --include-dashboard="${DASHBOARD:-true}" \
        --dashboard-host="$HOST" --dashboard-port=$((PORT + 1)) \
        --ray-client-server-port=$((PORT + 8))
    start_node cpu $((PORT + 100)) --address="$HOST:$PORT" \
        --num-cpus="${CPU_CPUS:-$cores}" --num-gpus=0 \
        --labels='ray.io/market-type=spot,mover-ray/pool=cpu'
    start_node gpu $((PORT + 200)) --address="$HOST:$PORT" \
        --num-cpus="${GPU_CPUS:-$cores}" --num-gpus="$GPUS" \
        --labels='ray.io/market-type=on-demand,mover-ray/pool=gpu'
    echo "a cluster of three nodes runs; to use it: source $dir/env"
}

end_all() {
    local name
    # The head last: the others would wait for it otherwise.
    for name in gpu cpu head; do
        [ -e "$dir/pids/$name" ] || continue
        kill "$(cat "$dir/pids/$name")" 2>/dev/null || true
        while kill -0 "$(cat "$dir/pids/$name")" 2>/dev/null; do sleep 0.2; done
    done
    rm -r "$dir/pids" "$dir/tls" "$dir/token" "$dir/env"
}

[ $# -eq 2 ] || fail "a verb and a folder are expected" "$0 start|stop DIR"
mkdir -p "$2"
dir=$(cd "$2" && pwd)
case $1 in
start) start ;;
stop)
    [ -d "$dir/pids" ] || fail "no cluster in: $dir" "name the folder that it was started with"
    end_all
    ;;
*) fail "unknown verb: $1" "$0 start|stop DIR" ;;
esac
