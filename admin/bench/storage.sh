# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# storage.sh: what guests with the same softwares take up, each started once and
# shut down, in five designs.  Sourced by bench.sh.  Bytes are what files occupy.
#
#	full images		an image of its own for each guest
#	shared backing		one image, a qcow2 overlay for each guest
#	deduplicated images	the full images cut into chunks by casync, stored
#				once, compressed
#	vdrive			the OS's image and an overlay for each guest; the
#				depot at rest with packs, trees and index; the host's
#				store with what it has of them, and all deltas
#	vdrive, root		no image: the OS is in the depot, too

: "${STORAGE_GUESTS:=10}"

storage_bytes() { # files and directories
	du -s -c --block-size=1 "$@" | awk 'END { print $1 }'
}

storage_say() { # softwares, design, parts as JSON members
	printf '{"softwares":%s,"guests":%s,"design":"%s","bytes":%s,"parts":{%s}}\n' \
		"$1" "$STORAGE_GUESTS" "$2" "$(echo "$3" |
			tr , '\n' | awk -F: '{ n += $2 } END { printf "%.0f", n }')" "$3"
}

# Start, from $WORK/disk or the drive alone, and shut down.
storage_guest() { # program, guest, how
	bench_say "storage: $1, $3, $storage_i of $STORAGE_GUESTS"
	GUEST_UNTIL=synced
	guest_run "$1" "$2" "$3" "$WORK/events" ||
		bench_die "storage: $1 did not answer: $(tail -n 1 "$WORK/events")"
	GUEST_UNTIL=answered
}

storage_images() { # program, softwares
	for storage_i in $(seq "$STORAGE_GUESTS"); do
		guest_disk "$CACHE/$1.qcow2" || bench_die "storage: no disk"
		storage_guest "$1" - image
		mv "$WORK/disk" "$WORK/storage/overlay.$storage_i"
	done
	storage_overlays=$(storage_bytes "$WORK"/storage/overlay.*)
	mkdir "$WORK/storage/full"
	for storage_i in $(seq "$STORAGE_GUESTS"); do
		qemu-img convert -O qcow2 "$WORK/storage/overlay.$storage_i" \
			"$WORK/storage/full/$storage_i" &&
			casync make --store="$WORK/storage/chunks" \
				"$WORK/storage/$storage_i.caibx" \
				"$WORK/storage/full/$storage_i" \
				>>"$WORK/log" 2>&1 ||
			bench_die "storage: cannot make image $storage_i"
	done
	storage_say "$2" "full images" \
		"\"images\":$(storage_bytes "$WORK/storage/full")"
	storage_say "$2" "shared backing" \
		"\"image\":$(storage_bytes "$CACHE/$1.qcow2"),\"overlays\":$storage_overlays"
	storage_say "$2" "deduplicated images" \
		"\"chunks\":$(storage_bytes "$WORK/storage/chunks"),\"indexes\":$(storage_bytes "$WORK"/storage/*.caibx)"
}

# The guests of a tenant with the drive; their disks become system.N.
storage_guests() { # program, how, selection
	rm -rf "$WORK/store"
	host_start "$WORK/store"
	host_upstream "$1"
	# shellcheck disable=SC2086
	cli tenant create t >>"$WORK/log" &&
		cli tenant assign t $3 >>"$WORK/log" 2>&1 ||
		bench_die "storage: no tenant"
	for storage_i in $(seq "$STORAGE_GUESTS"); do
		host_guest "$1" "g$storage_i" ||
			bench_die "storage: no guest g$storage_i"
		storage_guest "$1" "g$storage_i" "$2"
		mv "$WORK/disk" "$WORK/storage/system.$storage_i"
	done
	host_stop
}

# The host's store as JSON members; its reserve against a full disk, which is the
# same for any number of guests, by itself.
storage_store() {
	storage_reserve=$(storage_bytes "$WORK/store/reserve")
	printf "\"host's store\":%s,\"its reserve\":%s" \
		$(($(storage_bytes "$WORK/store") - storage_reserve)) \
		"$storage_reserve"
}

storage_drive() { # program, softwares
	storage_guests "$1" drive "$1:1"
	storage_say "$2" vdrive "\"OS image\":$(storage_bytes \
		"$CACHE/base.qcow2"),\"overlays\":$(storage_bytes \
		"$WORK"/storage/system.*),\"depot\":$(storage_bytes \
		"$CACHE/$1.depot"),$(storage_store)"
	storage_guests "$1" root "$1:1 os:1 --order"
	storage_say "$2" "vdrive, root" "\"depots\":$(storage_bytes \
		"$CACHE/$1.depot" "$CACHE/os.depot"),$(storage_store)"
}

storage() { # program, softwares
	command -v casync >/dev/null || bench_die "casync is not installed"
	rm -rf "$WORK/storage"
	mkdir "$WORK/storage"
	storage_images "$1" "$2"
	storage_drive "$1" "$2"
	rm -rf "$WORK/storage"
}
