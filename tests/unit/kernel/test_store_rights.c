// SPDX-License-Identifier: GPL-2.0-only
/* Who may change the state directory: its mode, its owner, one process at a time; and writing that
 * fails. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kernel/store.h"
#include "kernel/store_work.h"
#include "tests/unit/kernel/folder.h"
#include "tests/unit/kernel/state.h"

Test(store, the_folder_is_made_for_its_owner_alone_with_the_way_to_it)
{
	static const char *const names[] = {"a/b/state", "a/b/state/images"};
	static const char *const files[] = {"a/b/state/lock", "a/b/state/record.json"};
	const struct store_record record = {.boot = ""};
	struct store *store = NULL;
	struct stat about;
	mode_t mask;
	struct at at;

	at_init(&at);
	mask = umask(0);
	cr_assert_eq(store_open(at_path(&at, names[0]), NULL, at.diag, &store), 0, "%s",
		     words(at.diag));
	cr_assert_eq(store_write_record(store, &record, at.diag), 0);
	(void)umask(mask);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		cr_assert_eq(stat(at_path(&at, names[i]), &about), 0);
		cr_assert_eq(about.st_mode & 07777, 0700, "%s: %#o", names[i], about.st_mode);
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		cr_assert_eq(stat(at_path(&at, files[i]), &about), 0);
		cr_assert_eq(about.st_mode & 07777, 0600, "%s: %#o", files[i], about.st_mode);
	}
	store_close(store);
	at_fini(&at);
}

Test(store, a_folder_that_others_may_write_is_refused)
{
	struct store *store = NULL;
	struct at at;

	at_init(&at);
	cr_assert_eq(mkdir(at_path(&at, "wide"), 0700), 0);
	cr_assert_eq(chmod(at_path(&at, "wide"), 0770), 0);
	cr_assert_eq(store_open(at_path(&at, "wide"), NULL, at.diag, &store), -EPERM);
	cr_assert(strstr(words(at.diag), "may be written by others (mode 0770)"));
	cr_assert_eq(chmod(at_path(&at, "wide"), 0755), 0);
	cr_assert_eq(store_open(at_path(&at, "wide"), NULL, at.diag, &store), 0);
	store_close(store);
	cr_assert_eq(chmod(at_path(&at, "wide/images"), 0777), 0);
	cr_assert_eq(store_open(at_path(&at, "wide"), NULL, at.diag, &store), -EPERM);
	cr_assert(strstr(words(at.diag), "wide/images' may be written"));
	at_fini(&at);
}

Test(store, a_folder_of_another_user_is_refused)
{
	struct store *store = NULL;
	struct at at;

	at_init(&at);
	cr_assert_eq(mkdir(at_path(&at, "other"), 0700), 0);
	if (chown(at_path(&at, "other"), 65534, 65534)) {
		at_fini(&at);
		cr_skip_test("giving a folder away needs root");
	}
	cr_assert_eq(store_open(at_path(&at, "other"), NULL, at.diag, &store), -EPERM);
	cr_assert(strstr(words(at.diag), "belongs to user 65534, not to root"));
	at_fini(&at);
}

Test(store, a_place_that_is_no_folder_is_refused)
{
	struct store *store = NULL;
	struct at at;

	at_init(&at);
	folder_write(at_path(&at, "file"), "x", 1);
	cr_assert_eq(store_open(at_path(&at, "file"), NULL, at.diag, &store), -ENOTDIR);
	cr_assert_eq(store_open(at_path(&at, "file/below"), NULL, at.diag, &store), -ENOTDIR);
	cr_assert_eq(store_open_read(at_path(&at, "file"), at.diag, &store), -ENOTDIR);
	cr_assert_null(store);
	at_fini(&at);
}

Test(store, a_folder_that_is_not_there_is_told_to_readers_without_words)
{
	struct store *store = NULL;
	struct at at;

	at_init(&at);
	cr_assert_eq(store_open_read(at_path(&at, "none"), at.diag, &store), -ENOENT);
	cr_assert_eq(diag_n_errors(at.diag), 0);
	at_fini(&at);
}

/* ---- the lock ---- */

/* A child that holds the lock until the pipe that it is given is closed; it says when it has it. */
static pid_t hold(const char *folder, int pipes[2])
{
	int ready[2];
	char byte;
	pid_t child;

	cr_assert_eq(pipe(pipes), 0);
	cr_assert_eq(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		struct store *store = NULL;

		(void)close(pipes[1]);
		if (store_open(folder, NULL, diag_new(), &store))
			_exit(1);
		(void)!write(ready[1], "x", 1);
		_exit(read(pipes[0], &byte, 1) != 0);
	}
	cr_assert_eq(read(ready[0], &byte, 1), 1, "the child did not get the lock");
	(void)close(ready[0]);
	(void)close(ready[1]);
	return child;
}

Test(store, a_second_writer_is_refused_with_the_process_id_of_the_first)
{
	struct store *store = NULL;
	char expected[40];
	int pipes[2];
	pid_t child;
	struct at at;

	at_init(&at);
	store_close(at.store);
	at.store = NULL;
	child = hold(at.folder, pipes);
	cr_assert_eq(store_open(at.folder, NULL, at.diag, &store), -EBUSY);
	(void)snprintf(expected, sizeof(expected), "(process %d)", (int)child);
	cr_assert(strstr(words(at.diag), expected), "%s", words(at.diag));
	/* Readers need no lock. */
	cr_assert_eq(store_open_read(at.folder, at.diag, &store), 0);
	store_close(store);
	(void)close(pipes[1]);
	cr_assert_eq(waitpid(child, NULL, 0), child);
	cr_assert_eq(store_open(at.folder, NULL, at.diag, &at.store), 0, "it outlived its holder");
	(void)close(pipes[0]);
	at_fini(&at);
}

static int told_fd;

static void tell(const char *words)
{
	(void)!write(told_fd, words, strlen(words));
}

Test(store, a_writer_that_waits_says_so_and_gets_the_lock_when_its_holder_ends)
{
	char expected[40];
	char told[200] = "";
	int telling[2];
	int pipes[2];
	int status = 0;
	pid_t holder;
	pid_t waiter;
	struct at at;

	at_init(&at);
	store_close(at.store);
	at.store = NULL;
	cr_assert_eq(pipe(telling), 0);
	told_fd = telling[1];
	holder = hold(at.folder, pipes);
	waiter = fork();
	if (waiter == 0) {
		struct store *store = NULL;

		(void)close(pipes[1]);
		_exit(store_open(at.folder, tell, diag_new(), &store) != 0);
	}
	cr_assert_gt(read(telling[0], told, sizeof(told) - 1), 0);
	(void)snprintf(expected, sizeof(expected), "(process %d)", (int)holder);
	cr_assert(strstr(told, expected) && strstr(told, "waiting"), "%s", told);
	(void)close(telling[0]);
	(void)close(telling[1]);
	(void)close(pipes[1]);
	cr_assert_eq(waitpid(waiter, &status, 0), waiter);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	cr_assert_eq(waitpid(holder, NULL, 0), holder);
	(void)close(pipes[0]);
	at_fini(&at);
}

Test(store, what_opening_has_made_is_taken_back_where_nothing_is_in_it)
{
	struct store_record record = {.boot = ""};
	struct store *store = NULL;
	struct at at;

	at_init(&at);
	cr_assert_eq(store_open(at_path(&at, "a/b"), NULL, at.diag, &store), 0);
	store_take_back(store);
	store_close(store);
	cr_assert_neq(access(at_path(&at, "a"), F_OK), 0, "a folder is left");
	cr_assert_eq(store_open(at_path(&at, "a/b"), NULL, at.diag, &store), 0);
	cr_assert_eq(store_write_record(store, &record, at.diag), 0);
	store_take_back(store);
	store_close(store);
	cr_assert_eq(access(at_path(&at, "a/b/record.json"), F_OK), 0);
	/* What was there is not this run's to remove. */
	cr_assert_eq(store_open(at_path(&at, "a/b"), NULL, at.diag, &store), 0);
	store_close(store);
	cr_assert_eq(store_open(at_path(&at, "a/b"), NULL, at.diag, &store), 0);
	store_take_back(store);
	store_close(store);
	cr_assert_eq(access(at_path(&at, "a/b/lock"), F_OK), 0);
	cr_assert_eq(access(at_path(&at, "a/b/images"), F_OK), 0);
	at_fini(&at);
}

/* A child that takes back what it has made when the pipe is closed. */
static pid_t hold_and_take_back(const char *folder, int until, int from, int ready)
{
	pid_t child = fork();

	if (child == 0) {
		struct store *store = NULL;
		char byte;

		(void)close(from);
		if (store_open(folder, NULL, diag_new(), &store))
			_exit(1);
		(void)!write(ready, "x", 1);
		(void)!read(until, &byte, 1);
		store_take_back(store);
		_exit(0);
	}
	return child;
}

Test(store, who_waits_for_what_is_taken_back_has_a_folder_and_a_lock_that_are_there)
{
	struct store *store = NULL;
	int until[2], ready[2];
	const char *folder;
	char told[200];
	pid_t waiter;
	struct at at;

	at_init(&at);
	folder = at_path(&at, "new/state");
	cr_assert_eq(pipe(until), 0);
	cr_assert_eq(pipe(ready), 0);
	cr_assert_gt(hold_and_take_back(folder, until[0], until[1], ready[1]), 0);
	cr_assert_eq(read(ready[0], told, 1), 1);
	told_fd = ready[1];
	waiter = fork();
	if (waiter == 0) {
		(void)close(until[1]);
		if (store_open(folder, tell, diag_new(), &store))
			_exit(1);
		(void)!write(ready[1], "x", 1);
		(void)pause();
	}
	cr_assert_gt(read(ready[0], told, sizeof(told)), 1, "it does not wait");
	(void)close(until[1]);
	cr_assert_eq(read(ready[0], told, sizeof(told)), 1, "it did not get the lock");
	cr_assert_eq(store_open(folder, NULL, at.diag, &store), -EBUSY, "two have the lock");
	cr_assert_eq(kill(waiter, SIGKILL), 0);
	while (wait(NULL) > 0)
		;
	cr_assert_eq(store_open(folder, NULL, at.diag, &store), 0);
	store_close(store);
	(void)close(until[0]);
	(void)close(ready[0]);
	(void)close(ready[1]);
	at_fini(&at);
}

Test(store, a_killed_holder_leaves_no_lock_behind)
{
	int pipes[2];
	pid_t child;
	struct at at;

	at_init(&at);
	store_close(at.store);
	at.store = NULL;
	child = hold(at.folder, pipes);
	cr_assert_eq(kill(child, SIGKILL), 0);
	cr_assert_eq(waitpid(child, NULL, 0), child);
	cr_assert_eq(store_open(at.folder, NULL, at.diag, &at.store), 0);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
	at_fini(&at);
}

Test(store, who_only_looks_sees_who_is_at_work_and_is_in_nobody_s_way)
{
	struct store_work before, during, after;
	int pipes[2];
	pid_t child;
	struct at at;

	at_init(&at);
	store_close(at.store);
	at.store = NULL;
	store_look_for_work(at.folder, &before);
	cr_assert(!before.is_on && !before.process && store_was_idle(&before, &before));
	child = hold(at.folder, pipes);
	store_look_for_work(at.folder, &during);
	cr_assert(during.is_on);
	cr_assert_eq(during.process, child);
	cr_assert(!store_was_idle(&during, &during));
	/* It goes on: the time is over. */
	store_await_work(&during, 1);
	cr_assert_eq(waitpid(child, NULL, WNOHANG), 0);
	(void)close(pipes[1]);
	store_await_work(&during, 60000);
	cr_assert_eq(waitpid(child, NULL, WNOHANG), child, "not waited for");
	/* Nobody is, and somebody has been. */
	store_look_for_work(at.folder, &after);
	cr_assert(!after.is_on && !store_was_idle(&before, &after));
	cr_assert(store_was_idle(&after, &after));
	cr_assert_eq(store_open(at.folder, NULL, at.diag, &at.store), 0);
	(void)close(pipes[0]);
	at_fini(&at);
}

/* ---- writing that fails ---- */

Test(store, a_write_that_fails_leaves_the_old_bytes_and_no_rest)
{
	const struct rlimit small = {.rlim_cur = 100, .rlim_max = RLIM_INFINITY};
	struct store_record back = {};
	struct store_record record;
	int status = 0;
	pid_t child;
	struct at at;

	at_init(&at);
	record = full_record(at.arena);
	cr_assert_eq(store_write_record(at.store, &record, at.diag), 0);
	child = fork();
	if (child == 0) {
		record.abi = 99;
		(void)signal(SIGXFSZ, SIG_IGN);
		(void)setrlimit(RLIMIT_FSIZE, &small);
		_exit(store_write_record(at.store, &record, at.diag) != -EFBIG ||
		      !strstr(words(at.diag), "record.json"));
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	cr_assert_eq(access(at_path(&at, ".new-record.json"), F_OK), -1);
	cr_assert_eq(store_read_record(at.store, at.arena, at.diag, &back), 0);
	same_record(&record, &back);
	at_fini(&at);
}
