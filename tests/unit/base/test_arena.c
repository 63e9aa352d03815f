// SPDX-License-Identifier: GPL-2.0-only
/* Memory that is freed whole: zeroed, aligned, apart; and the end of the program without it. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <sys/wait.h>

#include "base/arena.h"

/* Under AddressSanitizer, too, malloc says no as it does without. */
const char *__asan_default_options(void); /* NOLINT(bugprone-reserved-identifier): its own name */

const char *__asan_default_options(void) /* NOLINT(bugprone-reserved-identifier): its own name */
{
	return "allocator_may_return_null=1";
}

Test(arena, pieces_are_zeroed_aligned_and_do_not_overlap)
{
	static const size_t sizes[] = {0, 1, 7, 8, 100, 16384, 16385, 65536, 300000, 3};
	enum { ROUNDS = 20, N = sizeof(sizes) / sizeof(sizes[0]) };
	scoped(arena_free) struct arena *arena = arena_new();
	unsigned char *pieces[ROUNDS * N];

	for (size_t i = 0; i < ROUNDS * N; i++) {
		size_t size = sizes[i % N];

		pieces[i] = arena_alloc(arena, size);
		cr_assert_eq((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
		for (size_t j = 0; j < size; j++)
			cr_assert_eq(pieces[i][j], 0, "byte %zu of piece %zu", j, i);
		memset(pieces[i], (int)(i % 255) + 1, size);
	}
	for (size_t i = 0; i < ROUNDS * N; i++)
		for (size_t j = 0; j < sizes[i % N]; j++)
			cr_assert_eq(pieces[i][j], i % 255 + 1, "byte %zu of piece %zu", j, i);
}

Test(arena, nothing_at_all_still_has_a_place_of_its_own)
{
	scoped(arena_free) struct arena *arena = arena_new();
	void *one = arena_alloc(arena, 0);
	void *two = arena_alloc(arena, 0);

	cr_assert(one && two);
	cr_assert_neq(one, two);
	cr_assert_not_null(arena_calloc(arena, 0, 8));
}

Test(arena, freeing_none_is_no_mistake)
{
	arena_free(NULL);
}

Test(arena, a_copy_has_its_bytes_and_a_nul_behind_them)
{
	scoped(arena_free) struct arena *arena = arena_new();
	const char bytes[4] = {'a', '\0', 'b', 'c'};
	const char *copy = arena_copy(arena, bytes, sizeof(bytes));

	cr_assert_eq(memcmp(copy, bytes, sizeof(bytes)), 0);
	cr_assert_eq(copy[4], '\0');
	cr_assert_str_eq(arena_copy(arena, NULL, 0), "");
}

Test(arena, printf_makes_room_for_all_of_it)
{
	scoped(arena_free) struct arena *arena = arena_new();
	char *text = arena_printf(arena, "%s-%u", "rule", 7U);
	const char *wide;

	cr_assert_str_eq(text, "rule-7");
	cr_assert_str_eq(arena_printf(arena, "%s", ""), "");
	wide = arena_printf(arena, "%0100000d", 7);
	cr_assert_eq(strlen(wide), 100000);
	cr_assert_eq(wide[99999], '7');
	cr_assert_str_eq(text, "rule-7", "the first text has changed");
}

Test(arena, its_size_is_what_was_handed_out)
{
	scoped(arena_free) struct arena *arena = arena_new();
	size_t before;

	cr_assert_eq(arena_size(arena), 0);
	(void)arena_alloc(arena, 1000);
	before = arena_size(arena);
	cr_assert_geq(before, 1000);
	cr_assert_lt(before, 1100);
	(void)arena_alloc(arena, 1000000);
	cr_assert_geq(arena_size(arena), before + 1000000);
}

/* A child that runs ask ends with status 1, and these are its last words. */
static void ends_the_program(void (*ask)(void))
{
	static const char expected[] = "bulkhead: out of memory\n";
	char words[4096] = "";
	size_t len = 0;
	ssize_t n;
	int pipes[2];
	int status = 0;
	pid_t child;

	cr_assert_eq(pipe(pipes), 0);
	child = fork();
	if (child == 0) {
		(void)dup2(pipes[1], STDERR_FILENO);
		ask();
		_exit(0);
	}
	(void)close(pipes[1]);
	while ((n = read(pipes[0], words + len, sizeof(words) - 1 - len)) > 0)
		len += (size_t)n;
	cr_assert_eq(waitpid(child, &status, 0), child);
	(void)close(pipes[0]);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status %#x", (unsigned)status);
	cr_assert_geq(len, sizeof(expected) - 1);
	cr_assert_str_eq(words + len - (sizeof(expected) - 1), expected, "%s", words);
}

/* More than any machine has, and not so much that the compiler objects. */
static size_t too_much(void)
{
	static volatile size_t size = PTRDIFF_MAX / 2;

	return size;
}

static void alloc_too_much(void)
{
	(void)arena_alloc(arena_new(), too_much());
}

static void alloc_all(void)
{
	(void)arena_alloc(arena_new(), too_much() * 4 + 3);
}

static void calloc_over(void)
{
	(void)arena_calloc(arena_new(), too_much(), 16);
}

static void malloc_too_much(void)
{
	free(mem_alloc(too_much()));
}

static void realloc_over(void)
{
	free(mem_realloc(NULL, too_much(), 16));
}

Test(arena, memory_that_cannot_be_had_ends_the_program_with_one_message)
{
	ends_the_program(alloc_too_much);
	ends_the_program(alloc_all);
	ends_the_program(calloc_over);
	ends_the_program(malloc_too_much);
	ends_the_program(realloc_over);
}

Test(arena, heap_memory_of_no_bytes_is_still_some)
{
	scoped(free) char *one = mem_alloc(0);
	scoped(free) char *two = mem_calloc(0, 8);
	scoped(free) char *three = mem_calloc(3, 8);

	cr_assert(one && two);
	for (int i = 0; i < 24; i++)
		cr_assert_eq(three[i], 0);
	one = mem_realloc(one, 100, 10);
	cr_assert_not_null(one);
}

Test(arena, a_piece_grows_with_its_bytes_small_and_large)
{
	scoped(arena_free) struct arena *arena = arena_new();
	unsigned char *other = arena_alloc(arena, 100000);
	unsigned char *piece = NULL;
	size_t size = 0;

	memset(other, 7, 100000);
	for (size_t more = 8; more < 10000000; more *= 3) {
		piece = arena_grow(arena, piece, size, more);
		cr_assert_eq((uintptr_t)piece % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			cr_assert_eq(piece[i], (unsigned char)(i * 31), "byte %zu of %zu", i, size);
		for (size_t i = size; i < more; i++)
			piece[i] = (unsigned char)(i * 31);
		size = more;
	}
	for (size_t i = 0; i < 100000; i++)
		cr_assert_eq(other[i], 7);
	/* What a large piece leaves when it grows is not kept. */
	cr_assert_lt(arena_size(arena), size + 200000);
}

Test(arena, a_piece_that_is_not_its_own_is_copied)
{
	scoped(arena_free) struct arena *arena = arena_new();
	scoped(arena_free) struct arena *other = arena_new();
	char *piece = arena_alloc(other, 100000);
	char *grown;

	piece[99999] = 'x';
	grown = arena_grow(arena, piece, 100000, 200000);
	cr_assert_neq(grown, piece);
	cr_assert_eq(grown[99999], 'x');
	cr_assert_eq(piece[99999], 'x');
}
