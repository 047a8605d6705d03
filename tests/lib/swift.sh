# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# swift.sh: a real S3 server: OpenStack Swift of Debian 12 with its s3api, one
# of each of its servers on ports of loopback, as ordinary processes.  Sourced
# after host.sh.
#
#   swift_available     or says what is missing
#   swift_start         begins to start them; S3 is the URL, S3_KEY and S3_SECRET
#                       the keys; makes no bucket.  swift_up: waits for them
#   swift_bucket NAME   makes one, through Swift's own door
#   swift_stop
#
# What it takes: rings of one device; mount_check off; s3api before tempauth;
# memcached, without which tempauth knows nobody; a file system with extended
# attributes, as /tmp has.  The access key of s3api is ACCOUNT:USER.

SWIFT=$W/swift
SWIFT_PORT=${SWIFT_PORT:-18601}	# and the four after it
S3=http://127.0.0.1:$SWIFT_PORT
S3_KEY=depot:writer
S3_SECRET=let.me.in
SWIFT_PIDS=

swift_available()
{
	for program in swift-proxy-server swift-object-server memcached curl; do
		command -v $program >/dev/null || {
			echo "# no $program: packages swift-proxy, swift-account," \
				"swift-container, swift-object, memcached, curl"
			return 1
		}
	done
}

swift_head()	# PORT: what all servers' files begin with
{
	cat <<-END
	[DEFAULT]
	bind_ip = 127.0.0.1
	bind_port = $1
	workers = 0
	user = root
	swift_dir = $SWIFT
	devices = $SWIFT/devices
	mount_check = false
	log_level = WARNING
	log_address = $SWIFT/no-syslog
	fallocate_reserve = 0
	disable_fallocate = true
	END
}

swift_storage()	# KIND PORT
{
	{
		swift_head "$2"
		cat <<-END
		[pipeline:main]
		pipeline = $1-server
		[app:$1-server]
		use = egg:swift#$1
		[$1-replicator]
		END
	} >"$SWIFT/$1-server.conf"
}

swift_files()
{
	mkdir -p "$SWIFT/devices/d1"
	cat >"$SWIFT/swift.conf" <<-END
	[swift-hash]
	swift_hash_path_suffix = test
	swift_hash_path_prefix = test
	[storage-policy:0]
	name = one
	default = yes
	END
	{
		swift_head "$SWIFT_PORT"
		cat <<-END
		[pipeline:main]
		pipeline = catch_errors cache s3api tempauth bulk slo proxy-server
		[app:proxy-server]
		use = egg:swift#proxy
		account_autocreate = true
		[filter:catch_errors]
		use = egg:swift#catch_errors
		[filter:cache]
		use = egg:swift#memcache
		memcache_servers = 127.0.0.1:$((SWIFT_PORT + 4))
		[filter:s3api]
		use = egg:swift#s3api
		location = eu-test
		[filter:tempauth]
		use = egg:swift#tempauth
		user_depot_writer = $S3_SECRET .admin
		[filter:bulk]
		use = egg:swift#bulk
		[filter:slo]
		use = egg:swift#slo
		END
	} >"$SWIFT/proxy-server.conf"
	swift_storage account $((SWIFT_PORT + 1))
	swift_storage container $((SWIFT_PORT + 2))
	swift_storage object $((SWIFT_PORT + 3))
}

swift_alive()
{
	for pid in $SWIFT_PIDS; do
		kill -0 "$pid" 2>/dev/null || return 1
	done
}

swift_again()
{
	memcached -u nobody -l 127.0.0.1 -p $((SWIFT_PORT + 4)) -U 0 -m 16 \
		>/dev/null 2>&1 &
	SWIFT_PIDS=$!
	# They read /etc/swift/swift.conf: they see ours there.
	unshare --mount sh -c '
		mount --bind "$1" /etc/swift &&
			exec /usr/bin/python3 tests/lib/s3_servers.py /etc/swift "$2"' \
		sh "$SWIFT" "$SWIFT_PORT" >"$SWIFT/log" 2>&1 </dev/null &
	SWIFT_PIDS="$SWIFT_PIDS $!"
}

swift_token()
{
	curl -s --max-time 5 -D - -o /dev/null "$S3/auth/v1.0" \
		-H "X-Auth-User: $S3_KEY" -H "X-Auth-Key: $S3_SECRET" |
		sed -n 's/^[Xx]-[Aa]uth-[Tt]oken: *\([^[:space:]]*\).*/\1/p'
}

# Until they answer: the token is memcached's, the listing of all others.
swift_up()
{
	tries=0
	until token=$(swift_token) && [ -n "$token" ] &&
		curl -s -f --max-time 5 -o /dev/null \
			-H "X-Auth-Token: $token" "$S3/v1/AUTH_depot"
	do
		tries=$((tries + 1))
		if [ $tries -gt 600 ] || ! swift_alive; then
			cat "$SWIFT/log" >&2
			return 1
		fi
		sleep 0.1
	done
}

swift_start()
{
	swift_files && swift_again
}

swift_bucket()
{
	token=$(swift_token)
	curl -s -f -X PUT -H "X-Auth-Token: $token" \
		"$S3/v1/AUTH_depot/$1"
}

swift_stop()
{
	# shellcheck disable=SC2086
	[ -z "$SWIFT_PIDS" ] || kill $SWIFT_PIDS 2>/dev/null
	for pid in $SWIFT_PIDS; do
		wait "$pid" 2>/dev/null
	done
	SWIFT_PIDS=
}
