/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cutmodel: what a lane's files must be (cutlane.h).  Bytes are what is stable,
 * and over them pieces that may be there or not.
 */
#ifndef TESTS_LIB_CUTMODEL_H
#define TESTS_LIB_CUTMODEL_H

#include "tests/lib/cutlane.h"

void cutmodel_init(struct cut_model *model, int lane);
void cutmodel_copy(struct cut_model *to, const struct cut_model *from);
void cutmodel_clear(struct cut_model *model);
/* The operation has had its effect.  certain: its answer was sent. */
void cutmodel_apply(struct cut_model *model, int lane, const struct cut_op *op,
		    bool certain);
/* Bytes [skip, skip + len) of content `id` of a lane. */
void cutmodel_content(int lane, uint64_t id, uint32_t skip, uint32_t len,
		      uint8_t *out);
/* Is `got` (the whole file) one of the contents that it may have? */
bool cutmodel_fits(const struct cut_file *file, int lane, const uint8_t *got,
		   uint64_t got_len, uint64_t *wrong_at);
/* Length and content of the package's file in a slot. */
uint64_t cutmodel_packed_len(int slot);
/* "f3", and whether it is in the sub-directory. */
void cutmodel_name(int slot, char name[16]);

#endif
