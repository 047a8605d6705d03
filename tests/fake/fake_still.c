/* SPDX-License-Identifier: Apache-2.0 */
/* fake_still: see fake_still.h. */
#include "tests/fake/fake_still.h"

#define view_still real_still
#include "overlay/still.c"
#undef view_still

MUST_CHECK int view_still(struct view *view);

static bool fake_still_fails;

void fake_still_fail(bool fail)
{
	fake_still_fails = fail;
}

int view_still(struct view *view)
{
	return fake_still_fails ? -EIO : real_still(view);
}
