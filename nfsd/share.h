/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share: how much of the server one guest, one tenant and one client address
 * hold, and whether that is all they may.
 *
 * One guest's hostile or broken load must not slow another's (promise P-18), so
 * what calls and connections hold for longer than a turn is counted:
 *
 *	SHARE_CONNS	connections; a guest's from the first handle that was
 *			proved on them, an address' from accept()
 *	SHARE_PARKED	calls that wait for bytes or for the disk
 *	SHARE_BYTES	replies that wait for a slow reader, and arguments of
 *			calls that wait
 *
 * A guest's account is also its tenant's; it is full when either is.  Accounts
 * of guests stay until shares_free() (there are as many as exports); those of
 * addresses go with their last connection.
 *
 * Thread-safe.  Counts are atomic and unordered: a limit may be overrun by as
 * many as there are threads.
 */
#ifndef NFSD_SHARE_H
#define NFSD_SHARE_H

#include "depot/base.h"

struct view_info;

enum share_kind { SHARE_CONNS, SHARE_PARKED, SHARE_BYTES, SHARE_KINDS };

struct share_limits {
	size_t guest[SHARE_KINDS], tenant[SHARE_KINDS];
	size_t address_conns;
};

enum {
	SHARE_GUEST_CONNS = 256,
	SHARE_GUEST_PARKED = 1024,
	SHARE_GUEST_BYTES = 16 << 20,
	SHARE_TENANT_CONNS = 2048,
	SHARE_TENANT_PARKED = 2048,
	SHARE_TENANT_BYTES = 32 << 20,
	SHARE_ADDRESS_CONNS = 1024,
	/* Beyond so many times its bytes, somebody of it must go. */
	SHARE_RELIEVE = 3,
};

/* What is above, as limits. */
struct share_limits share_defaults(void);

struct shares; /* of a server */
struct share;  /* one account */

MUST_CHECK int shares_new(const struct share_limits *limits,
			  struct shares **shares);
void shares_free(struct shares *shares); /* takes; NULL allowed */

/* The account of an export's guest; NULL: no memory. */
struct share *share_of_guest(struct shares *shares,
			     const struct view_info *info);
/* Take one more connection of an address; NULL: it has all it may, or no
 * memory.  Given back with share_give_address(). */
struct share *share_take_address(struct shares *shares, const uint8_t addr[16]);
void share_give_address(struct shares *shares, struct share *share);

/* Counts the guests from 0, in the order in which they came. */
unsigned int share_number(const struct share *share);
/* NULL is nobody's account in all of these: never full, nothing counted. */
bool share_is_full(const struct share *share, enum share_kind kind);
/* Also beyond the limit: whoever must not asks first. */
void share_add(struct share *share, enum share_kind kind, size_t n);
void share_sub(struct share *share, enum share_kind kind, size_t n);
/* It, or its tenant, holds SHARE_RELIEVE times its bytes. */
bool share_must_relieve(const struct share *share);

#endif
