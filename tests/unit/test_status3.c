/* SPDX-License-Identifier: Apache-2.0 */
#include "nfsd/status3.h"
#include "tests/lib/check.h"

static void test_plain(void)
{
	CU_ASSERT_EQUAL(status3_of(0, NFS3_READ), NFS3_OK);
	CU_ASSERT_EQUAL(status3_of(-ENOENT, NFS3_LOOKUP), NFS3ERR_NOENT);
	CU_ASSERT_EQUAL(status3_of(-ESTALE, NFS3_GETATTR), NFS3ERR_STALE);
	CU_ASSERT_EQUAL(status3_of(-EBADF, NFS3_COMMIT), NFS3ERR_BADHANDLE);
	CU_ASSERT_EQUAL(status3_of(-EDQUOT, NFS3_WRITE), NFS3ERR_DQUOT);
	CU_ASSERT_EQUAL(status3_of(-EMSGSIZE, NFS3_READDIR), NFS3ERR_TOOSMALL);
	CU_ASSERT_EQUAL(status3_of(-EPROTOTYPE, NFS3_MKNOD), NFS3ERR_BADTYPE);
	CU_ASSERT_EQUAL(status3_of(-ENOTEMPTY, NFS3_RMDIR), NFS3ERR_NOTEMPTY);
	CU_ASSERT_EQUAL(status3_of(-EXDEV, NFS3_RENAME), NFS3ERR_XDEV);
}

static void test_guard_and_later(void)
{
	for (unsigned int proc = 1; proc < NFS3_PROC_COUNT; proc++)
		CU_ASSERT_EQUAL(status3_of(-EAGAIN, proc),
				proc == NFS3_SETATTR ? NFS3ERR_NOT_SYNC
						     : NFS3ERR_JUKEBOX);
	CU_ASSERT_EQUAL(status3_of(-ETIMEDOUT, NFS3_SETATTR), NFS3ERR_JUKEBOX);
	CU_ASSERT_EQUAL(status3_of(-ETIMEDOUT, NFS3_READ), NFS3ERR_JUKEBOX);
}

static void test_nearest(void)
{
	CU_ASSERT_EQUAL(status3_of(-EISDIR, NFS3_READ), NFS3ERR_INVAL);
	CU_ASSERT_EQUAL(status3_of(-EISDIR, NFS3_COMMIT), NFS3ERR_IO);
	CU_ASSERT_EQUAL(status3_of(-EPERM, NFS3_READ), NFS3ERR_ACCES);
	CU_ASSERT_EQUAL(status3_of(-ENOENT, NFS3_GETATTR), NFS3ERR_STALE);
	CU_ASSERT_EQUAL(status3_of(-EACCES, NFS3_GETATTR), NFS3ERR_IO);
	CU_ASSERT_EQUAL(status3_of(-EXDEV, NFS3_READ), NFS3ERR_INVAL);
	CU_ASSERT_EQUAL(status3_of(-ENAMETOOLONG, NFS3_READDIR), NFS3ERR_IO);
}

/* Every errno there is, in every procedure: what comes out may be returned,
 * and never NOENT for a handle, never OK. */
static void test_all(void)
{
	for (unsigned int proc = 0; proc < NFS3_PROC_COUNT; proc++) {
		for (int error = 1; error < 200; error++) {
			nfsstat3 status = status3_of(-error, proc);

			CU_ASSERT_NOT_EQUAL(status, NFS3_OK);
			CU_ASSERT_TRUE(status3_allowed(status, proc));
		}
		CU_ASSERT_TRUE(status3_allowed(NFS3_OK, proc));
		CU_ASSERT_TRUE(status3_allowed(NFS3ERR_STALE, proc));
		CU_ASSERT_TRUE(status3_allowed(NFS3ERR_BADHANDLE, proc));
		CU_ASSERT_TRUE(status3_allowed(NFS3ERR_JUKEBOX, proc));
	}
	CU_ASSERT_EQUAL(status3_of(-EXFULL, NFS3_READ), NFS3ERR_IO);
	CU_ASSERT_FALSE(status3_allowed(NFS3ERR_NOENT, NFS3_GETATTR));
	CU_ASSERT_FALSE(status3_allowed(NFS3ERR_NOT_SYNC, NFS3_WRITE));
}

static const struct check_test tests[] = {
    {"plain", test_plain},
    {"guard, and try again later", test_guard_and_later},
    {"nearest allowed", test_nearest},
    {"every errno in every procedure", test_all},
};

int main(void)
{
	return check_main("test_status3", tests, ARRAY_LEN(tests));
}
