# SPDX-License-Identifier: Apache-2.0
#
# server_ganesha.sh: start and stop nfs-ganesha 4.3 as Debian 12 has it
# (packages nfs-ganesha, nfs-ganesha-vfs, rpcbind); sourced by run.sh.
#
# What it takes to get it up, found by trying:
#   - rpcbind must answer, or "Cannot register NFS V3 on TCP" ends ganesha
#     even when nobody is going to ask for its ports.
#   - Bind_addr = 127.0.0.1 is refused ("No IP address found") where loopback
#     is the only interface, as in run.sh's own network, and `rpcbind -h
#     127.0.0.1` crashes there: both ask the resolver, which skips addresses
#     of loopback.  There, listening everywhere is listening on loopback.
#   - Enable_NLM off, or it wants rpc.statd; Enable_UDP off, one port less.
#   - /run/ganesha must exist, and a recovery directory must be writable.
#   - Squash = none, or root's calls become nobody's.
#   - It takes NFS and MOUNT away from whoever had registered them at rpcbind,
#     and takes them out at its end.  In a network of our own nobody minds; on
#     the host we keep off when another NFS server is registered.
#   - It complains about D-Bus and Kerberos; both are harmless.

GANESHA_PID= GANESHA_RPCBIND_PID=

ganesha_available() {
	if ! command -v ganesha.nfsd >/dev/null ||
	   ! command -v rpcbind >/dev/null; then
		bench_say "ganesha: SKIPPED, packages nfs-ganesha," \
			"nfs-ganesha-vfs and rpcbind are not all installed"
		return 1
	fi
	if [ "$(id -u)" -ne 0 ]; then
		bench_say "ganesha: SKIPPED, it opens files by handle: needs root"
		return 1
	fi
	if rpcinfo -p 127.0.0.1 2>/dev/null | grep -qE '^ *10000[35] '; then
		bench_say "ganesha: SKIPPED, rpcbind on this host has another" \
			"NFS server, which ganesha would push out"
		return 1
	fi
}

# On the host there may be one already, which we then leave alone.
ganesha_rpcbind() {
	if rpcinfo -T tcp 127.0.0.1 100000 4 >/dev/null 2>&1; then
		return
	fi
	if [ "$BENCH_INSIDE" = own ]; then
		rpcbind -f &
	else
		rpcbind -f -h 127.0.0.1 &
	fi
	GANESHA_RPCBIND_PID=$!
	bench_wait rpcinfo -T tcp 127.0.0.1 100000 4
}

ganesha_config() { # directories to export, the first by default
	if [ "$BENCH_INSIDE" = host ]; then
		ganesha_bind='Bind_addr = 127.0.0.1;'
	else
		ganesha_bind=
	fi
	cat <<-EOF
	NFS_CORE_PARAM {
		$ganesha_bind
		NFS_Port = $GANESHA_PORT;
		MNT_Port = $GANESHA_MOUNT_PORT;
		Protocols = 3;
		Enable_NLM = false;
		Enable_RQUOTA = false;
		Enable_UDP = false;
		mount_path_pseudo = false;
	}
	NFSv4 {
		RecoveryRoot = $BENCH_TMP/ganesha;
		Graceless = true;
	}
	LOG { Default_Log_Level = EVENT; }
	EOF
	ganesha_id=0
	for ganesha_dir in "$@"; do
		ganesha_id=$((ganesha_id + 1))
		cat <<-EOF
		EXPORT {
			Export_Id = $ganesha_id;
			Path = $ganesha_dir;
			Protocols = 3;
			Transports = TCP;
			Access_Type = RW;
			Squash = none;
			SecType = sys;
			FSAL { Name = VFS; }
		}
		EOF
	done
}

ganesha_start() {
	GANESHA_PORT=20491 GANESHA_MOUNT_PORT=20492 GANESHA_EXPORT=$1
	mkdir -p "$BENCH_TMP/ganesha" /run/ganesha
	ganesha_config "$@" >"$BENCH_TMP/ganesha/conf"
	ganesha_rpcbind || return 1
	bench_exec "$BENCH_SERVER_CPU" ganesha.nfsd -F \
		-f "$BENCH_TMP/ganesha/conf" -L "$BENCH_TMP/ganesha.log" \
		-p "$BENCH_TMP/ganesha/pid" &
	GANESHA_PID=$!
}

# Ganesha first: it signs off at rpcbind.
ganesha_stop() {
	bench_end "$GANESHA_PID"
	[ -z "$GANESHA_RPCBIND_PID" ] || bench_end "$GANESHA_RPCBIND_PID"
}
