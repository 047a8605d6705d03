/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_hash6: linked into vdrived and vdrive it cuts the hash of names to 6
 * bits before main(), so that nearly all names of a directory tie and stand in
 * chains.  Nothing that is shipped has a switch for this.
 */
#include "depot/digest.h"

enum { HASH6_BITS = 6 };

static __attribute__((constructor)) void hash6_cut(void)
{
	name_cookie_cut_for_tests(HASH6_BITS);
}
