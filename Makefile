# SPDX-License-Identifier: Apache-2.0
# The only makefile.  `make check` runs every test, `make demo` the main job;
# both install nothing: `sh admin/setup` does that.  Variants by variable, each
# in its own directory: make SAN=address,undefined check; make BROKEN=reply-first;
# make KILLPOINTS=1 (depot/killpoint.h).

SAN     ?=
BROKEN  ?=
KILLPOINTS ?=
CC      ?= cc
comma   := ,
VARIANT := $(if $(SAN),$(subst $(comma),-,$(SAN)),plain)
VARIANT := $(VARIANT)$(if $(BROKEN),-broken-$(BROKEN))$(if $(KILLPOINTS),-killpoints)
B       := build/$(VARIANT)
CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
           -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Wundef \
           -Wformat=2
# With sanitizers gcc takes its own checks for code and warns of what cannot be.
WARN    += $(if $(SAN),-Wno-format-truncation -Wno-format-overflow \
           -Wno-maybe-uninitialized -Wno-stringop-overflow)
# The first of them, or clang takes the others for mistakes.
WARN    := $(if $(findstring clang,$(CC)),-Wno-unknown-warning-option) $(WARN)
HAVE_LIBDEFLATE := $(shell pkg-config --exists libdeflate && echo 1 || echo 0)
# Deliberately broken builds: the control runs of the fault tests.
BROKEN_reply-first := -DBROKEN_REPLY_FIRST=1
BROKEN_no-log-sync := -DBROKEN_NO_LOG_SYNC=1
BROKEN_no-data-sync := -DBROKEN_NO_DATA_SYNC=1
BROKEN_drc-memory := -DBROKEN_DRC_MEMORY=1
BROKEN_no-reserve  := -DBROKEN_NO_RESERVE=1
BROKEN_ignore-quota := -DBROKEN_IGNORE_QUOTA=1
BROKEN_ignore-sync := -DBROKEN_IGNORE_SYNC=1
BROKEN_no-verify   := -DBROKEN_NO_VERIFY=1
BROKEN_no-hedge    := -DBROKEN_NO_HEDGE=1
BROKEN_gc-no-lease := -DBROKEN_GC_NO_LEASE=1
BROKEN_one-number  := -DBROKEN_ONE_NUMBER=1
ALL_C   := -std=gnu11 -D_GNU_SOURCE -I. -I$(B) -MMD -MP \
           -DHAVE_LIBDEFLATE=$(HAVE_LIBDEFLATE) $(BROKEN_$(BROKEN)) \
           $(if $(KILLPOINTS),-DKILLPOINTS=1) \
           $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer) $(CFLAGS)
TIRPC   := $(shell pkg-config --cflags libtirpc)
LIBS    := -lrocksdb -lz $(if $(filter 1,$(HAVE_LIBDEFLATE)),-ldeflate) \
           -lcrypto -lcurl -lnfs -ltirpc -linih -ljansson -lmicrohttpd -larchive \
           -lm -pthread

objs     = $(patsubst %.c,$(B)/%.o,$(wildcard $(1)/*.c))
CORE    := $(filter-out $(B)/nfsd/nfsd.o,$(call objs,nfsd)) \
           $(call objs,overlay) $(call objs,depot) \
           $(filter-out $(B)/admin/vdrive.o,$(call objs,admin))
GEN_O   := $(B)/gen/nfs3_xdr.o $(B)/gen/mount3_xdr.o
GEN_H   := $(B)/gen/nfs3.h $(B)/gen/mount3.h
UNIT    := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/test_*.c))
NFS     := $(patsubst %.c,$(B)/%,$(wildcard tests/nfs/test_*.c))
FUZZ    := $(patsubst %.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))
MODEL   := $(patsubst %.c,$(B)/%,$(wildcard tests/model/test_*.c))
MODEL_O := $(filter-out $(B)/tests/model/test_%,$(call objs,tests/model))
CUTREC  := $(B)/tests/tools/cutrec.so
FAILCALL := $(B)/tests/tools/failcall.so
INSIDE  := $(CUTREC) $(FAILCALL)
TOOLS   := $(filter-out $(INSIDE:.so=),$(patsubst %.c,$(B)/%,\
           $(wildcard tests/tools/*.c))) $(INSIDE)
BENCH   := $(patsubst %,$(B)/tests/bench/%,nfsbench nfswrite bareserver \
           nfstap coldstart imagebench)
TESTLIB := $(call objs,tests/lib)

.DELETE_ON_ERROR:
.SECONDEXPANSION:
.SECONDARY:
.PHONY: all check check-unit check-nfs check-fuzz check-model check-e2e \
        check-guest check-customise forged exports model listing sweep mixed corrupt probe capture bench-va \
        demo bench referee fuzz faults torture torture-full \
        variants lint format layers clean install

all: $(B)/vdrived $(B)/vdrive

# hash6: the same with names' hashes cut to 6 bits, for tests.
HASH6   := $(B)/hash6/vdrived $(B)/hash6/vdrive
$(B)/vdrived: $(B)/nfsd/nfsd.o $(B)/core.a
$(B)/vdrive: $(B)/admin/vdrive.o $(B)/core.a
$(B)/hash6/vdrived: $(B)/nfsd/nfsd.o $(B)/tests/fake/fake_hash6.o $(B)/core.a
$(B)/hash6/vdrive: $(B)/admin/vdrive.o $(B)/tests/fake/fake_hash6.o $(B)/core.a
$(B)/vdrived $(B)/vdrive $(HASH6):
	@mkdir -p $(@D)
	@echo "  LINK $@"
	@$(CC) $(ALL_C) -o $@ $^ $(LIBS)

$(B)/core.a: $(CORE) $(GEN_O)
	@rm -f $@; ar rcs $@ $^          # all but the mains: tests and fuzzers link it

$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(ALL_C) $(WARN) -c -o $@ $<
$(B)/nfsd/%.o $(B)/tests/%.o: ALL_C += $(TIRPC)
$(call objs,nfsd) $(call objs,tests/fake) $(UNIT:=.o) $(FUZZ:=.o) $(NFS:=.o): | $(GEN_H)

# rpcgen's output is built without our warnings: it is not ours.
$(B)/gen/%.h: nfsd/%.x
	@mkdir -p $(@D)
	@rm -f $@; cd $(<D) && rpcgen -h -o $(abspath $@) $(<F)
$(B)/gen/%_xdr.c: nfsd/%.x $(B)/gen/%.h
	@rm -f $@; cd $(<D) && rpcgen -c -o $(abspath $@) $(<F)
	@sed -i 's|#include "$*.h"|#include "gen/$*.h"|' $@
$(B)/gen/%.o: $(B)/gen/%.c
	@$(CC) $(ALL_C) $(TIRPC) -w -c -o $@ $<

# --- tests -----------------------------------------------------------------
# A test names its fakes; the linker takes them before the archive's real ones.
include tests/fakes.mk

$(UNIT): $(B)/tests/unit/%: $(B)/tests/unit/%.o \
         $$(foreach f,$$(fakes_$$*),$(B)/tests/fake/fake_$$(f).o) \
         $(TESTLIB) $(B)/core.a
	@$(CC) $(ALL_C) -o $@ $^ $(LIBS) -lcunit
$(NFS): $(B)/tests/nfs/%: $(B)/tests/nfs/%.o $(TESTLIB) $(B)/core.a
	@$(CC) $(ALL_C) -o $@ $^ $(LIBS) -lcunit
$(MODEL): $(B)/tests/model/%: $(B)/tests/model/%.o $(MODEL_O) $(TESTLIB) \
          $(B)/core.a
	@$(CC) $(ALL_C) -o $@ $^ $(LIBS) -lcunit
$(filter-out $(INSIDE),$(TOOLS)): $(B)/tests/tools/%: $(B)/tests/tools/%.o \
         $(TESTLIB) $(B)/core.a
	@$(CC) $(ALL_C) -o $@ $^ $(LIBS) -lcunit -lm
# Loaded into vdrived by the power-cut test and the fault sweep; never with a
# sanitizer in it.
$(CUTREC): tests/lib/cutlog.h
$(FAILCALL): tests/lib/failcall.h
$(INSIDE): $(B)/%.so: %.c
	@mkdir -p $(@D)
	@$(CC) -std=gnu11 -D_GNU_SOURCE -I. -O2 -g $(WARN) -fPIC -shared \
		$(if $(SAN),-DFAILCALL_NO_ALLOC) -fvisibility=hidden -o $@ $< -pthread
$(FUZZ): $(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o \
         $$(foreach f,$$(fakes_$$*),$(B)/tests/fake/fake_$$(f).o) \
         $$(foreach f,$$(with_$$*),$(B)/tests/$$f.o) \
         $(if $(FUZZING),,$(B)/tests/fuzz/main.o) $(B)/core.a
	@$(CC) $(ALL_C) $(if $(FUZZING),-fsanitize=fuzzer) -o $@ $^ $(LIBS) -lcunit
bench_o  = $(patsubst %,$(B)/tests/bench/%.o,$(1))
$(B)/tests/bench/nfsbench: $(call bench_o,nfsbench target load talk reply)
$(B)/tests/bench/nfswrite: $(call bench_o,nfswrite write_file write_many \
		target load talk reply)
$(B)/tests/bench/bareserver: $(call bench_o,bareserver)
$(B)/tests/bench/nfstap: $(call bench_o,nfstap)
$(B)/tests/bench/coldstart: $(call bench_o,coldstart target talk reply)
$(B)/tests/bench/imagebench: $(call bench_o,imagebench) $(B)/core.a
$(BENCH):
	@$(CC) $(ALL_C) -o $@ $^ $(if $(filter %.a,$^),$(LIBS)) -lm

# Goes before the libraries of a daemon as it is shipped: no code of ours in it.
PRELOAD := $(B)/tests/preload.so
$(PRELOAD): tests/preload/preload.c tests/lib/preload.h
	@mkdir -p $(@D)
	@$(CC) -std=gnu11 -D_GNU_SOURCE -I. $(WARN) -O2 -g -fPIC -shared \
		-fvisibility=hidden -o $@ $< -ldl
$(NFS): | $(PRELOAD) $(FAILCALL)

tools: $(TOOLS)
test_programs: $(UNIT) $(NFS) $(FUZZ) $(TOOLS) $(MODEL) $(HASH6)

# Every suite writes "NAME: P passed, F failed"; tests/run adds them up.
check: layers all test_programs variants
	@B=$(B) sh tests/run unit fuzz nfs model guest + e2e
check-unit: layers all $(UNIT)
	@B=$(B) sh tests/run unit
check-fuzz: $(FUZZ)
	@B=$(B) sh tests/run fuzz
check-nfs: all $(NFS) $(TOOLS)
	@B=$(B) sh tests/run nfs
check-model: all $(MODEL) $(HASH6)
	@B=$(B) sh tests/run model
# The long runs: make model SEEDS=5000; make listing NAMES=100000
model: all $(MODEL) $(HASH6)
	@B=$(B) SEEDS=$(or $(SEEDS),5000) $(B)/tests/model/test_model
	@B=$(B)/hash6 HASH6=1 SEEDS=$(or $(SEEDS),5000) $(B)/tests/model/test_model
listing: all $(MODEL) $(HASH6)
	@B=$(B) NAMES=$(or $(NAMES),100000) LISTINGS=$(or $(LISTINGS),100) \
		$(B)/tests/model/test_listing
check-e2e: all $(TOOLS) variants
	@B=$(B) sh tests/run e2e
# Real software made one's own in one VM, and used so in another; a mirror.
# SOFTWARE="vim python": only these of vim sqlite postgresql python.
check-customise: all $(TOOLS)
	@B=$(B) sh tests/guest/customise.sh $(SOFTWARE)
# JOBS="run root": only these of check move jobs run root suites (tests/run).
check-guest: all $(TOOLS)
	@B=$(B) JOBS="$(JOBS)" SUITE_TIMEOUT=4000 SUITES=$(SUITES) sh tests/run guest-all
demo: all $(TOOLS)
	@B=$(B) sh tests/demo
# The protocol tests against nfs-ganesha, as root: tests/nfs/referee.sh
referee: all $(NFS)
	@B=$(B) sh tests/nfs/referee.sh
bench: all $(BENCH) $(patsubst %,$(B)/tests/tools/%,shardsum treetrace \
		faultproxy mounts nfsedit)
	@B=$(B) ROWS="$(ROWS)" sh tests/bench/run.sh
# KILLS=0 or CUTS=0 leaves one of the two out.
torture: all $(TOOLS) variants
	@rc=0; \
	if [ "$(KILLS)" = 0 ]; then echo "kill: left out, KILLS=0"; \
	else B=$(B) KILLS=$(or $(KILLS),1000) sh tests/e2e/kill || rc=1; fi; \
	if [ "$(CUTS)" = 0 ]; then echo "cut: left out, CUTS=0"; \
	else B=$(B) CUTS=$(or $(CUTS),200) sh tests/e2e/cut || rc=1; fi; \
	exit $$rc
torture-full: all $(TOOLS) variants
	@B=$(B) CYCLES=$(or $(CYCLES),100) sh tests/e2e/full

# Real installers over a debootstrapped Debian, as root.
capture: all $(B)/tests/tools/nfscopy
	@B=$(B) sh tests/e2e/capture-debian.sh

# N damages at rest and in flight: make corrupt N=10000 (tests/e2e/corrupt).
corrupt: all $(TOOLS) variants
	@B=$(B) N=$(or $(N),10000) sh tests/e2e/corrupt

# Against virtual appliances (admin/bench): one start each of a few kinds, in real
# guests, as root with a mirror.  The real thing: vdrive bench run, vdrive-bench(8).
bench-va: all
	@B=$(B) CACHE=$(or $(CACHE),/var/tmp/vdrive-bench) sh tests/bench/va.sh

# Handles of another tenant's guest, forged in any way: make forged N=1000000
forged: all $(B)/tests/nfs/test_apart
	@B=$(B) FORGED=$(or $(N),1000000) $(B)/tests/nfs/test_apart

# What 1,000 idle exports cost in memory: make exports N=1000
exports: all $(TOOLS)
	@B=$(B) sh tests/bench/exports.sh $(or $(N),1000)

# 2,000 first reads timed: does it show what others have (tests/e2e/probe.sh)?
probe: all $(TOOLS)
	@B=$(B) PROBES=$(or $(PROBES),2000) sh tests/e2e/probe.sh

# The whole fault matrix of upstreams (tests/e2e/faults).
faults: all $(TOOLS) variants
	@B=$(B) FULL=1 sh tests/e2e/faults $(CASE)

# Each call of the write path failed in turn, all of them (tests/e2e/sweep).
sweep: all $(TOOLS)
	@B=$(B) POINTS= sh tests/e2e/sweep

# 100 updates of a package under readers (tests/e2e/mixed).
mixed: all $(TOOLS)
	@B=$(B) UPDATES=$(or $(UPDATES),100) sh tests/e2e/mixed

# What the kill, power-cut and full-disk tests need besides; here, so that no suite's time goes into it.
variants:
	@$(MAKE) -s KILLPOINTS=1 $(B)-killpoints/vdrived
	@$(MAKE) -s BROKEN=reply-first $(B)-broken-reply-first/vdrived
	@$(MAKE) -s BROKEN=gc-no-lease $(B)-broken-gc-no-lease/vdrived
	@$(MAKE) -s BROKEN=drc-memory $(B)-broken-drc-memory/vdrived
	@$(MAKE) -s BROKEN=no-log-sync $(B)-broken-no-log-sync/vdrived
	@$(MAKE) -s BROKEN=no-data-sync $(B)-broken-no-data-sync/vdrived
	@$(MAKE) -s BROKEN=no-reserve all $(B)-broken-no-reserve/tests/tools/filler
	@$(MAKE) -s BROKEN=ignore-sync $(B)-broken-ignore-sync/vdrived
	@$(MAKE) -s BROKEN=no-verify all
	@$(MAKE) -s BROKEN=no-hedge $(B)-broken-no-hedge/vdrived
	@$(MAKE) -s BROKEN=one-number $(B)-broken-one-number/vdrived

# Coverage-guided fuzzing, SECONDS each: make fuzz SECONDS=300.  Stores on a
# tmpfs; libFuzzer takes what living threads of a store hold for leaks.
fuzz:
	@$(MAKE) CC=clang SAN=fuzzer-no-link,address,undefined FUZZING=1 \
		FUZZ_SECONDS=$(or $(SECONDS),10) fuzz-run
fuzz-run: $(FUZZ)
	@for f in $^; do n=$${f##*/fuzz_}; mkdir -p $(B)/corpus/$$n; \
	  echo "fuzz_$$n"; \
	  case $$n in view | values) more=-detect_leaks=0 ;; *) more= ;; esac; \
	  TMPDIR=$${TMPDIR:-/dev/shm} \
	  $$f $$more -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=3072 -print_final_stats=1 \
	    -artifact_prefix=$(B)/$$n- \
	    $(B)/corpus/$$n tests/fuzz/corpus/$$n >$(B)/fuzz_$$n.log 2>&1 \
	    || { tail -30 $(B)/fuzz_$$n.log; exit 1; }; \
	  grep -E 'number_of_executed_units|average_exec' $(B)/fuzz_$$n.log; done

# --- the house rules a compiler cannot see ----------------------------------
# Floors, facades, doors, self-contained headers, 70 lines.  See README.
open_depot   := base|array|clock|log|killpoint|io|kv|depot|tree|digest|pool|space|gc|du|verify|plan|plan_rows|prefetch
admin_depot  := $(open_depot)|tree_build|chunker|shard|document|publish|format|source|replay
layers: | $(GEN_H)
	@! grep -nE '^#include "(overlay|nfsd|admin|tests)/' depot/*.[ch]
	@! grep -nE '^#include "(nfsd|admin|tests)/' overlay/*.[ch]
	@! grep -nE '^#include "(admin|tests)/' nfsd/*.[ch]
	@! grep -nE '^#include "depot/' overlay/*.[ch] | grep -vE 'depot/($(open_depot))\.h"'
	@! grep -nE '^#include "depot/' $(filter-out nfsd/nfsd.c nfsd/peer.c $(wildcard nfsd/control*),$(wildcard nfsd/*.[ch])) | grep -vE 'depot/(base|log|killpoint|digest)\.h"'
	@! grep -nE '^#include "depot/' nfsd/nfsd.c nfsd/peer.c nfsd/control*.[ch] | grep -vE 'depot/($(open_depot)|document|shard|shelf)\.h"'
	@! grep -nE '^#include "depot/' admin/*.[ch] | grep -vE 'depot/($(admin_depot))\.h"'
	@! grep -nE '^#include "overlay/' nfsd/*.[ch] admin/*.[ch] | grep -vE 'overlay/(view|site)\.h"'
	@! grep -nE '^#include "nfsd/' admin/*.[ch] | grep -vE 'nfsd/control\.h"'
	@! grep -lE '^#include <rocksdb/' */*.[ch] | grep -vE '^depot/kv(_(flush|inside|open|options))?\.[ch]$$'
	@! grep -lE '^#include <(zlib|libdeflate)\.h>' */*.[ch] | grep -v '^depot/shard\.c$$'
	@! grep -lE '^#include <openssl/' */*.[ch] | grep -v '^depot/digest\.c$$'
	@! grep -lE '^#include <curl/' */*.[ch] | grep -vE '^(depot/http|admin/client)\.c$$'
	@! grep -lE '^#include <nfsc/' */*.[ch] | grep -vE '^depot/nfsc\.c$$'
	@! grep -lE '^#include <(rpc|tirpc)/' depot/* overlay/* admin/*.[ch]
	@! grep -lE '^#include <microhttpd' */*.[ch] | grep -vE '^nfsd/(control|peer\.c)'
	@! grep -lE '^#include <archive' */*.[ch] | grep -vE '^admin/import_'
	@! grep -lE '^#include <jansson' */*.[ch] | grep -vE '^(depot/document|nfsd/control|admin/)'
	@! grep -lE '^#include <ini\.h>' */*.[ch] | grep -vE '^nfsd/conf\.c$$'
	@ls depot overlay nfsd admin | grep -E '\.[ch]$$' | sort | uniq -d | sed 's/^/two files are called /' | (! grep .)
	@for h in */*.h; do $(CC) $(filter-out -MMD -MP,$(ALL_C)) $(TIRPC) -fsyntax-only -x c $$h || exit 1; done
	@awk 'FNR==1{s=0} /^\{/{s=FNR} /^\}/{if(s&&FNR-s>70){print FILENAME":"s": "FNR-s" lines";b=1}s=0} END{exit b}' */*.c tests/*/*.c

format:
	clang-format -i */*.[ch] tests/*/*.[ch]
lint:
	cppcheck --quiet --error-exitcode=1 --std=c11 -I. --inline-suppr \
		--enable=warning,portability depot overlay nfsd admin
install: all
	install -D -m 755 $(B)/vdrived $(DESTDIR)/usr/sbin/vdrived
	install -D -m 755 $(B)/vdrive $(DESTDIR)/usr/bin/vdrive
	install -D -m 755 -t $(DESTDIR)/usr/share/vdrive/guest admin/guest/*
	install -D -m 755 admin/libvirt/vdrive-hook \
		$(DESTDIR)/usr/share/vdrive/libvirt/vdrive-hook
	install -D -m 755 -t $(DESTDIR)/usr/share/vdrive/bench admin/bench/*.sh
	install -D -m 755 -t $(DESTDIR)/usr/share/vdrive/bench/guest admin/bench/guest/*
	install -D -m 644 -t $(DESTDIR)/usr/share/man/man8 admin/man/*.8
	install -D -m 644 -t $(DESTDIR)/usr/share/man/man5 admin/man/*.5
clean:
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
