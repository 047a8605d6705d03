/* SPDX-License-Identifier: Apache-2.0 */
/*
 * array: an array that grows as it is filled.
 */
#ifndef DEPOT_ARRAY_H
#define DEPOT_ARRAY_H

#include "depot/base.h"

/*
 * Room for one more element of `size` bytes.  array: where the pointer to the
 * elements is (owns; NULL: none yet); count of *cap are used.  -ENOMEM: all is
 * as it was.  There is no limit but the caller's own.
 */
MUST_CHECK static inline int array_room(void *array, size_t count, size_t *cap,
					size_t size)
{
	size_t more = *cap ? *cap * 2 : 16;
	void *elements;

	if (count < *cap)
		return 0;
	/* The pointer is of any type: its bytes are copied. */
	memcpy(&elements, array, sizeof(elements));
	elements = realloc(elements, more * size);
	if (!elements)
		return -ENOMEM;
	memcpy(array, &elements, sizeof(elements));
	*cap = more;
	return 0;
}

#endif
