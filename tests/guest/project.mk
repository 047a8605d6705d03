# SPDX-License-Identifier: Apache-2.0
# What job_apps.sh builds in a guest, with the drive's gcc: our own tree image
# with its unit test, copied by jobs.sh.  The program is the same wherever it is
# built.

OBJECTS := $(patsubst %.c,%.o,$(wildcard depot/*.c tests/lib/*.c tests/unit/*.c))

program: $(OBJECTS)
	gcc -o $@ $^ -lcunit -lcrypto -lz -pthread
%.o: %.c
	gcc -O1 -std=gnu11 -D_GNU_SOURCE -DHAVE_LIBDEFLATE=0 -I. -c -o $@ $<
