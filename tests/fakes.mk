# SPDX-License-Identifier: Apache-2.0
# Which link-time stand-ins (tests/fake/fake_NAME.c) a test is built with.
fakes_fuzz_index    := log
fakes_fuzz_plan     := log
fakes_fuzz_document := log
fakes_fuzz_signed   := log
fakes_fuzz_tree     := log
fakes_fuzz_tree_box := log
fakes_test_conn     := view site rig
fakes_test_control_long := view site
fakes_test_drc      := view site
fakes_test_evict_control := ignore_quota
fakes_test_fetch    := source fetch
fakes_test_fetch_sources := source fetch
fakes_test_fh       := view site
fakes_test_handlers := view site rig
fakes_test_layers   := still
fakes_test_rpc      := view site rig
fakes_test_server   := view site
fakes_fuzz_args     := view site rig
fakes_fuzz_fh       := view site
fakes_fuzz_calls    := view site guest guest_model guest_call guest_proc
fakes_fuzz_drc      := view site log
fakes_fuzz_view     := guest guest_model guest_call guest_proc log
fakes_fuzz_values   := log
# What else of tests/ it is linked with.
with_fuzz_view   := lib/fixture_view lib/check lib/tmpdir
with_fuzz_values := lib/fixture_view lib/check lib/tmpdir
with_fuzz_archive := lib/memory_sink
