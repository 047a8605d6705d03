/* SPDX-License-Identifier: Apache-2.0 */
/* test_gate: alone means alone; and nobody waits for who waits for him. */
#include "depot/gate.h"

#include <time.h>

#include "tests/lib/check.h"

static struct gate test_gate;
static atomic_int test_gate_value; /* changed only by who has it alone */
static atomic_bool test_gate_stop;

static void test_gate_sleep_ms(long ms)
{
	struct timespec t = {0, ms * 1000000};

	nanosleep(&t, NULL);
}

static void *test_gate_user(void *arg)
{
	uintptr_t wrong = 0;

	while (!atomic_load(&test_gate_stop)) {
		gate_enter(&test_gate, false);
		wrong += atomic_load(&test_gate_value) & 1;
		gate_enter(&test_gate, true); /* inside: never waits */
		wrong += atomic_load(&test_gate_value) & 1;
		gate_leave(&test_gate);
		gate_leave(&test_gate);
		atomic_fetch_add((atomic_uint *)arg, 1);
	}
	return (void *)wrong;
}

/* Keeps a pin beyond its leaving, and enters with it. */
static void *test_gate_pinner(void *arg)
{
	uintptr_t wrong = 0;

	while (!atomic_load(&test_gate_stop)) {
		bool pinned;

		gate_enter(&test_gate, false);
		pinned = gate_pin(&test_gate);
		gate_leave(&test_gate);
		gate_enter(&test_gate, false);
		gate_leave(&test_gate);
		if (!pinned)
			continue;
		wrong += atomic_load(&test_gate_value) & 1;
		gate_unpin(&test_gate);
		atomic_fetch_add((atomic_uint *)arg, 1);
	}
	return (void *)wrong;
}

/* Wait until a busy machine has let each of them in once. */
static void test_gate_wait_turns(atomic_uint *turns, size_t count)
{
	for (size_t i = 0; i < count; i++)
		while (atomic_load(&turns[i]) == 0)
			test_gate_sleep_ms(1);
}

static void test_gate_alone(void)
{
	atomic_uint turns[4] = {0};
	pthread_t threads[4];
	void *wrong;

	gate_init(&test_gate);
	atomic_store(&test_gate_stop, false);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		CU_ASSERT_EQUAL(
		    pthread_create(&threads[i], NULL,
				   i % 2 ? test_gate_pinner : test_gate_user,
				   &turns[i]),
		    0);
	test_gate_wait_turns(turns, ARRAY_LEN(turns));
	for (int i = 0; i < 200; i++) {
		CU_ASSERT_EQUAL_FATAL(gate_close(&test_gate, 20), 0);
		atomic_fetch_add(&test_gate_value, 1);
		if (i % 20 == 0)
			test_gate_sleep_ms(1);
		atomic_fetch_add(&test_gate_value, 1);
		gate_open(&test_gate);
	}
	atomic_store(&test_gate_stop, true);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], &wrong);
		CU_ASSERT_PTR_NULL(wrong);
	}
	CU_ASSERT_TRUE(gate_is_idle(&test_gate));
	gate_destroy(&test_gate);
}

/* A pin or a user that stays: given up, and all is as before. */
static void test_gate_timeout(void)
{
	gate_init(&test_gate);
	gate_enter(&test_gate, false);
	CU_ASSERT_FALSE(gate_is_idle(&test_gate));
	CU_ASSERT_EQUAL(gate_close(&test_gate, 0), -ETIMEDOUT);
	CU_ASSERT_TRUE(gate_pin(&test_gate));
	gate_leave(&test_gate);
	CU_ASSERT_EQUAL(gate_close(&test_gate, 0), -ETIMEDOUT);
	gate_enter(&test_gate, false);
	gate_leave(&test_gate);
	gate_unpin(&test_gate);
	CU_ASSERT_EQUAL(gate_close(&test_gate, 0), 0);
	gate_open(&test_gate);
	CU_ASSERT_TRUE(gate_is_idle(&test_gate));
	gate_destroy(&test_gate);
}

static void *test_gate_closer(void *arg)
{
	int rc = gate_close(&test_gate, 20);

	if (rc == 0)
		gate_open(&test_gate);
	(void)arg;
	return (void *)(intptr_t)rc;
}

/* While a pin holds the closing off all goes on, but for new pins. */
static void test_gate_drain(void)
{
	pthread_t closer;
	void *rc;

	gate_init(&test_gate);
	gate_enter(&test_gate, false);
	CU_ASSERT_TRUE(gate_pin(&test_gate));
	gate_leave(&test_gate);
	CU_ASSERT_EQUAL(pthread_create(&closer, NULL, test_gate_closer, NULL),
			0);
	for (bool refused = false; !refused;) {
		gate_enter(&test_gate, false);
		refused = !gate_pin(&test_gate);
		if (!refused)
			gate_unpin(&test_gate);
		gate_leave(&test_gate);
	}
	gate_enter(&test_gate, false);
	gate_unpin(&test_gate);
	/* Now it waits for us, who are inside. */
	test_gate_sleep_ms(5);
	gate_enter(&test_gate, true);
	gate_leave(&test_gate);
	gate_leave(&test_gate);
	pthread_join(closer, &rc);
	CU_ASSERT_PTR_NULL(rc);
	gate_destroy(&test_gate);
}

static const struct check_test tests[] = {
    {"alone", test_gate_alone},
    {"timeout", test_gate_timeout},
    {"drain", test_gate_drain},
};

int main(void)
{
	return check_main("test_gate", tests, ARRAY_LEN(tests));
}
