# SPDX-License-Identifier: Apache-2.0
# Which link-time stand-ins (tests/fake/fake_NAME.c) a test is built with.
