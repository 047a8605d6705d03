# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# sample.sh: one start, from nothing to the program's first answer.  Sourced by
# bench.sh.
#
#	copy	the image (qcow2) is copied over the link, and booted
#	copyz	the same, compressed
#	stream	its qcow2 overlay has the image behind the link as backing file,
#		which QEMU reads as the guest asks
#	streamz	the same with the compressed one
#	local	the image is here already
#	cold	the drive, host without any of its data, which fetches what is
#		asked for and no more
#	plan	the same with the depot's plan
#	warm	the host's store has all of it
#
#	run-cold, run-plan, run-warm
#		the same, started by vdrive-run
#	root-cold, root-plan, root-warm
#		the same without an image: the OS is on the drive, too
#
#	live-cold, live-plan, live-warm
#		into a guest that is up already: it mounts the drive when the
#		tenant has got its software
#
# With the drive but for root the guest's own OS is an image that is here already;
# the clock runs from before the tenant gets its software.

sample_clock() {
	bash -c 'echo "$EPOCHREALTIME"'
}

sample_drive_host() { # variant, program
	case ${1##*-} in
	warm)
		case $1 in
		root-*) sample_store=$CACHE/$2.root.store ;;
		*) sample_store=$CACHE/$2.store ;;
		esac
		cp -a --reflink=auto "$sample_store" "$WORK/store"
		host_start "$WORK/store"
		;;
	cold)
		host_start "$WORK/store" -o upstream.plans=off \
			-o upstream.fill=off
		host_upstream "$2"
		;;
	plan)
		host_start "$WORK/store"
		host_upstream "$2"
		;;
	esac
}

sample_disk() { # variant, program
	case $1 in
	copy) sample_image=$2.qcow2 ;;
	copyz) sample_image=$2.z.qcow2 ;;
	stream) guest_disk "http://$HOST_A:$HOST_WEB/$2.qcow2" ;;
	streamz) guest_disk "http://$HOST_A:$HOST_WEB/$2.z.qcow2" ;;
	local) guest_disk "$CACHE/$2.qcow2" ;;
	esac
	case $1 in
	copy*)
		ip netns exec "$HOST_NS" curl -sf -o "$WORK/disk" \
			"http://$HOST_A:$HOST_WEB/$sample_image"
		;;
	esac
}

sample_assign() { # variant, program
	sample_selection="$2:1"
	case $1 in
	root-*) sample_selection="$2:1 os:1 --order" ;;
	esac
	case $1 in
	live-*)
		cli tenant assign t "$2:1" >>"$WORK/log" 2>&1
		return
		;;
	*warm) ;;
	*)
		# shellcheck disable=SC2086
		cli tenant create t >>"$WORK/log" &&
			cli tenant assign t $sample_selection >>"$WORK/log" 2>&1 ||
			return
		;;
	esac
	host_guest "$2" g
}

# A guest that is up, of a tenant without software.
sample_up() { # variant, program
	case $1 in
	*warm) cli tenant unassign t "$2" ;;
	*) cli tenant create t ;;
	esac >>"$WORK/log" 2>&1 && host_guest "$2" g ||
		bench_die "$2/$1: no guest"
	guest_boot "$2" g live
	guest_until userspace "$WORK/events"
	grep -q ' userspace' "$WORK/events" || bench_die "$2/$1 does not boot"
}

# The line of JSON: times of the phases, in their order, and the bytes.
sample_line() { # variant, program, file of events, start, image ready, bytes
	awk -v app="$2" -v variant="$1" -v from="$4" -v image="$5" \
		-v bytes="$6" '
		{ at[$2] = $1 }
		END {
			n = split("kernel userspace mounted answered", name)
			last = image
			out = sprintf("\"image\":%.4f", image - from)
			for (i = 1; i <= n; i++) {
				if (!(name[i] in at))
					continue
				out = out sprintf(",\"%s\":%.4f", name[i],
					at[name[i]] - last)
				last = at[name[i]]
			}
			printf "{\"app\":\"%s\",\"variant\":\"%s\"," \
				"\"seconds\":%.4f,\"phases\":{%s}," \
				"\"bytes\":%.0f}\n", app, variant,
				last - from, out, bytes
		}' "$3"
}

sample() { # program, variant
	rm -rf "$WORK/store" "$WORK/disk"
	case $2 in
	cold | plan | warm)
		sample_drive_host "$2" "$1"
		sample_how=drive
		;;
	run-cold | run-plan | run-warm)
		sample_drive_host "$2" "$1"
		sample_how=run
		;;
	root-cold | root-plan | root-warm)
		sample_drive_host "$2" "$1"
		sample_how=root
		;;
	live-cold | live-plan | live-warm)
		sample_drive_host "$2" "$1"
		sample_how=live
		sample_up "$2" "$1"
		;;
	copy | copyz | stream | streamz | local) sample_how=image ;;
	*) bench_die "no variant $2" ;;
	esac
	sample_bytes=$(link_bytes)
	sample_from=$(sample_clock)
	if [ $sample_how = image ]; then
		sample_disk "$2" "$1"
	else
		sample_assign "$2" "$1"
	fi || bench_die "$1/$2: no image or no drive"
	sample_ready=$(sample_clock)
	if [ $sample_how = live ]; then
		guest_go
	else
		guest_boot "$1" g $sample_how
	fi
	guest_until answered "$WORK/events"
	guest_end
	grep -q ' answered' "$WORK/events" ||
		bench_die "$1/$2 did not answer: $(tail -n 3 "$WORK/console" \
			"$WORK/events" | tr '\n' ' ')"
	sample_bytes=$(($(link_bytes) - sample_bytes))
	sample_line "$2" "$1" "$WORK/events" "$sample_from" "$sample_ready" \
		"$sample_bytes"
	host_stop
}
