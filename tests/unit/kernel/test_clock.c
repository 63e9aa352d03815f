// SPDX-License-Identifier: GPL-2.0-only
/* Jiffies and time. */
#include <criterion/criterion.h>
#include <time.h>

#include "base/array.h"
#include "kernel/clock.h"

static const uint32_t usual[] = {100, 250, 300, 1000};

/* What the wall clock is told to be. The names that the linker's --wrap=time gives to both. */
static bool is_set;
static time_t set_to;

time_t real_time(time_t *ret_seconds) __asm__("__real_time");
time_t told_time(time_t *ret_seconds) __asm__("__wrap_time");

time_t told_time(time_t *ret_seconds)
{
	time_t now = is_set ? set_to : real_time(NULL);

	if (ret_seconds)
		*ret_seconds = now;
	return now;
}

static uint64_t monotonic(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Those of all architectures, and those that patched kernels add; the kernel rounds a jiffy as here. */
Test(clock, hz_is_told_by_the_length_of_a_jiffy)
{
	static const uint32_t all[] = {24,  32,	 48,  64,  100, 128,  200,  250,
				       256, 300, 500, 600, 750, 1000, 1024, 1200};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		const struct timespec tick = {.tv_nsec = (1000000000 + all[i] / 2) / all[i]};

		cr_assert_eq(clock_hz_of(&tick), all[i], "%u: %u", all[i], clock_hz_of(&tick));
	}
	cr_assert_eq(clock_hz_of(&(struct timespec){}), 0);
}

Test(clock, a_reading_is_as_old_as_its_jiffies_whatever_hz_is)
{
	for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
		struct bh_machine machine = {.hz = usual[i], .jiffies_at_zero = 4294667296};
		uint64_t now = machine.jiffies_at_zero +
			       (uint64_t)((unsigned __int128)monotonic() * usual[i] / 1000000000);
		int64_t age = (int64_t)time(NULL) -
			      (int64_t)clock_real(&machine, now - 3600UL * usual[i]);

		cr_assert(age >= 3599 && age <= 3601, "%d s", (int)age);
	}
}

Test(clock, never_stays_never_and_the_future_is_now)
{
	const struct bh_machine machine = {.hz = 1000, .jiffies_at_zero = 1};
	const struct bh_machine unknown = {};
	int64_t ahead = (int64_t)clock_real(&machine, UINT64_MAX / 4) - (int64_t)time(NULL);

	cr_assert_eq(clock_real(&machine, 0), 0);
	cr_assert_eq(clock_real(&unknown, 77), 0);
	cr_assert(ahead >= -1 && ahead <= 1, "%d s", (int)ahead);
}

/* The state takes no number below 0, and 0 says that something has not been. */
Test(clock, no_time_is_told_from_before_1970)
{
	static const time_t clocks[] = {-86400, -1, 0, 1, 10};
	struct bh_machine machine = {.hz = 250, .jiffies_at_zero = 1000000};
	uint64_t now = machine.jiffies_at_zero + monotonic() / 4000000;

	is_set = true;
	for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
		set_to = clocks[i];
		cr_assert_eq(clock_seconds(), clocks[i] > 0 ? (uint64_t)clocks[i] : 1, "%d",
			     (int)clocks[i]);
		cr_assert_eq(clock_real(&machine, now - 3600UL * machine.hz), 1, "%d",
			     (int)clocks[i]);
	}
	is_set = false;
}

Test(clock, a_tick_is_a_power_of_two_of_jiffies)
{
	const struct bh_machine machine = {.hz = 250, .tick_shift = 5, .jiffies_at_zero = 1000};
	uint64_t low = (1000 + monotonic() / 4000000) >> 5;
	uint64_t tick = clock_tick(&machine);
	uint64_t high = (1000 + monotonic() / 4000000) >> 5;

	cr_assert(low <= tick && tick <= high);
}
