// SPDX-License-Identifier: GPL-2.0-only
/* Addresses, prefixes, ranges; see base/addr.h. */
#include <arpa/inet.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"

static size_t n_bytes(const struct addr *addr)
{
	return addr->family == ADDR_V4 ? 4 : 16;
}

static unsigned n_bits(const struct addr *addr)
{
	return (unsigned)n_bytes(addr) * 8;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hexadecimal(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Digits and dots, or hexadecimal with a colon: something that means to be an address. */
static bool looks_like_addr(struct str text)
{
	bool dot = false, colon = false, only_digits = true;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		dot |= c == '.';
		colon |= c == ':';
		only_digits &= is_digit(c) || c == '.';
		if (!is_hexadecimal(c) && c != '.' && c != ':')
			return false;
	}
	return colon || (dot && only_digits && is_digit(text.at[0]));
}

enum addr_error addr_parse(struct str text, struct addr *ret_addr)
{
	char buffer[INET6_ADDRSTRLEN];
	struct addr addr = {};
	bool v6 = text.len && memchr(text.at, ':', text.len);

	if (!looks_like_addr(text))
		return ADDR_NOT_AN_ADDRESS;
	if (text.len >= sizeof(buffer))
		return ADDR_BAD_ADDRESS;
	memcpy(buffer, text.at, text.len);
	buffer[text.len] = '\0';
	addr.family = v6 ? ADDR_V6 : ADDR_V4;
	if (inet_pton(v6 ? AF_INET6 : AF_INET, buffer, addr.bytes) != 1)
		return ADDR_BAD_ADDRESS;
	*ret_addr = addr;
	return ADDR_OK;
}

/* Sets (or clears) the bits behind the first len. */
static void set_host_bits(struct addr *addr, unsigned len, bool value)
{
	for (unsigned bit = len; bit < n_bits(addr);) {
		uint8_t mask = (uint8_t)(0xff >> bit % 8);

		addr->bytes[bit / 8] = (uint8_t)(value ? addr->bytes[bit / 8] | mask
						       : addr->bytes[bit / 8] & ~mask);
		bit = (bit / 8 + 1) * 8;
	}
}

struct addr_range addr_range_of_prefix(const struct addr *addr, unsigned len)
{
	struct addr_range range = {.first = *addr, .last = *addr};

	set_host_bits(&range.first, len, false);
	set_host_bits(&range.last, len, true);
	return range;
}

static enum addr_error prefix_parse(struct str address, struct str length,
				    struct addr_range *ret_range)
{
	struct addr first;
	struct addr_range range;
	uint64_t len;
	enum addr_error error = addr_parse(address, &first);

	if (error)
		return error;
	if (!str_number(length, 1000000, &len))
		return ADDR_BAD_LENGTH;
	if (len > n_bits(&first))
		return ADDR_LENGTH_TOO_LONG;
	range = addr_range_of_prefix(&first, (unsigned)len);
	if (addr_compare(&range.first, &first))
		return ADDR_HOST_BITS;
	*ret_range = range;
	return ADDR_OK;
}

enum addr_error addr_range_parse(struct str text, struct addr_range *ret_range)
{
	struct addr_range range;
	struct str head, tail;
	enum addr_error error, second;

	if (str_cut(text, '/', &head, &tail))
		return prefix_parse(head, tail, ret_range);
	if (!str_cut(text, '-', &head, &tail)) {
		error = addr_parse(text, &range.first);
		range.last = range.first;
		if (!error)
			*ret_range = range;
		return error;
	}
	error = addr_parse(head, &range.first);
	second = addr_parse(tail, &range.last);
	if (error || second) {
		/* web-db is a name; 10.0.0.1-db is a range gone wrong. */
		if (error == ADDR_NOT_AN_ADDRESS && second == ADDR_NOT_AN_ADDRESS)
			return ADDR_NOT_AN_ADDRESS;
		return ADDR_BAD_ADDRESS;
	}
	if (range.first.family != range.last.family)
		return ADDR_MIXED;
	if (addr_compare(&range.first, &range.last) > 0)
		return ADDR_REVERSED;
	*ret_range = range;
	return ADDR_OK;
}

const char *addr_print(const struct addr *addr, char *buffer)
{
	if (!inet_ntop(addr->family == ADDR_V6 ? AF_INET6 : AF_INET, addr->bytes, buffer,
		       ADDR_TEXT_SIZE))
		buffer[0] = '\0';
	return buffer;
}

/* How many bits two addresses of one family have in common at their head. */
static unsigned common_len(const struct addr *a, const struct addr *b)
{
	unsigned len = 0;

	while (len < n_bits(a) && a->bytes[len / 8] == b->bytes[len / 8])
		len += 8;
	if (len == n_bits(a))
		return len;
	return len + (unsigned)__builtin_clz((unsigned)(a->bytes[len / 8] ^ b->bytes[len / 8])) -
	       24;
}

/* The prefix length of a range that is a prefix, else -1. */
static int prefix_len(const struct addr_range *range)
{
	unsigned len = common_len(&range->first, &range->last);
	struct addr first = range->first;
	struct addr last = range->first;

	set_host_bits(&first, len, false);
	set_host_bits(&last, len, true);
	if (!addr_compare(&first, &range->first) && !addr_compare(&last, &range->last))
		return (int)len;
	return -1;
}

const char *addr_range_print(const struct addr_range *range, char *buffer)
{
	char first[ADDR_TEXT_SIZE], last[ADDR_TEXT_SIZE];
	int len = prefix_len(range);

	addr_print(&range->first, first);
	if (!addr_compare(&range->first, &range->last))
		(void)snprintf(buffer, ADDR_RANGE_TEXT_SIZE, "%s", first);
	else if (len >= 0)
		(void)snprintf(buffer, ADDR_RANGE_TEXT_SIZE, "%s/%d", first, len);
	else
		(void)snprintf(buffer, ADDR_RANGE_TEXT_SIZE, "%s-%s", first,
			       addr_print(&range->last, last));
	return buffer;
}

struct addr addr_v4(uint32_t host_order)
{
	struct addr addr = {.family = ADDR_V4};
	uint32_t be = htonl(host_order);

	memcpy(addr.bytes, &be, sizeof(be));
	return addr;
}

uint32_t addr_to_v4(const struct addr *addr)
{
	uint32_t be;

	memcpy(&be, addr->bytes, sizeof(be));
	return ntohl(be);
}

void addr_unmap(struct addr *addr)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (addr->family != ADDR_V6 || memcmp(addr->bytes, mapped, sizeof(mapped)) != 0)
		return;
	addr->family = ADDR_V4;
	memmove(addr->bytes, addr->bytes + 12, 4);
	memset(addr->bytes + 4, 0, 12);
}

static uint64_t half_of(const uint8_t *bytes)
{
	uint64_t be;

	memcpy(&be, bytes, sizeof(be));
	return be64toh(be);
}

/* As numbers and not by memcmp(), which takes longer to be called than this does. */
int addr_compare(const struct addr *a, const struct addr *b)
{
	uint64_t left = half_of(a->bytes);
	uint64_t right = half_of(b->bytes);

	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (left == right) {
		left = half_of(a->bytes + sizeof(left));
		right = half_of(b->bytes + sizeof(right));
	}
	return (left > right) - (left < right);
}

bool addr_range_has(const struct addr_range *range, const struct addr *addr)
{
	return addr->family == range->first.family && addr_compare(&range->first, addr) <= 0 &&
	       addr_compare(addr, &range->last) <= 0;
}

bool addr_next(const struct addr *addr, struct addr *ret_next)
{
	struct addr next = *addr;

	for (size_t i = n_bytes(addr); i-- > 0;) {
		if (++next.bytes[i]) {
			*ret_next = next;
			return true;
		}
	}
	return false;
}

bool addr_previous(const struct addr *addr, struct addr *ret_previous)
{
	struct addr previous = *addr;

	for (size_t i = n_bytes(addr); i-- > 0;) {
		if (previous.bytes[i]--) {
			*ret_previous = previous;
			return true;
		}
	}
	return false;
}

struct addr_range addr_range_all(enum addr_family family)
{
	struct addr_range range = {
		.first = {.family = (uint8_t)family},
		.last = {.family = (uint8_t)family},
	};

	set_host_bits(&range.last, 0, true);
	return range;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct addr_range *one = a, *two = b;
	int order = addr_compare(&one->first, &two->first);

	return order ? order : addr_compare(&one->last, &two->last);
}

/* b begins inside a or right behind it; a does not begin behind b. */
static bool touches(const struct addr_range *a, const struct addr_range *b)
{
	struct addr next;

	if (a->last.family != b->first.family)
		return false;
	return addr_compare(&b->first, &a->last) <= 0 ||
	       (addr_next(&a->last, &next) && !addr_compare(&next, &b->first));
}

void addr_ranges_normalize(addr_ranges *ranges)
{
	size_t len = 0;

	if (!ranges->len)
		return;
	qsort(ranges->at, ranges->len, sizeof(*ranges->at), compare_ranges);
	for (size_t i = 1; i < ranges->len; i++) {
		struct addr_range *last = &ranges->at[len];

		if (!touches(last, &ranges->at[i]))
			ranges->at[++len] = ranges->at[i];
		else if (addr_compare(&ranges->at[i].last, &last->last) > 0)
			last->last = ranges->at[i].last;
	}
	ranges->len = len + 1;
}

bool addr_ranges_have(const addr_ranges *ranges, const struct addr *addr)
{
	size_t low = 0, high = ranges->len;

	/* The first range that does not end before the address. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (addr_compare(&ranges->at[middle].last, addr) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < ranges->len && addr_range_has(&ranges->at[low], addr);
}

void addr_ranges_subtract(struct arena *arena, const addr_ranges *a, const addr_ranges *b,
			  addr_ranges *result)
{
	size_t j = 0;

	for (size_t i = 0; i < a->len; i++) {
		struct addr_range rest = a->at[i];
		bool left = true;

		while (j < b->len && addr_compare(&b->at[j].last, &rest.first) < 0)
			j++;
		for (size_t k = j; left && k < b->len; k++) {
			const struct addr_range *hole = &b->at[k];
			struct addr_range before = rest;

			if (addr_compare(&hole->first, &rest.last) > 0)
				break;
			if (addr_compare(&hole->first, &rest.first) > 0 &&
			    addr_previous(&hole->first, &before.last))
				array_push(arena, result, before);
			left = addr_compare(&hole->last, &rest.last) < 0 &&
			       addr_next(&hole->last, &rest.first);
		}
		if (left)
			array_push(arena, result, rest);
	}
}

/* The largest prefix that begins at addr and does not reach past last. */
static struct addr_range first_prefix(const struct addr *addr, const struct addr *last)
{
	struct addr_range range = {.first = *addr, .last = *addr};

	for (unsigned len = n_bits(addr); len-- > 0;) {
		const struct addr_range wider = addr_range_of_prefix(addr, len);

		if (addr_compare(&wider.first, addr) || addr_compare(&wider.last, last) > 0)
			break;
		range = wider;
	}
	return range;
}

bool addr_range_take_prefix(struct addr_range *rest, struct addr_range *ret_prefix)
{
	struct addr next;

	*ret_prefix = first_prefix(&rest->first, &rest->last);
	if (addr_compare(&ret_prefix->last, &rest->last) >= 0 ||
	    !addr_next(&ret_prefix->last, &next))
		return false;
	rest->first = next;
	return true;
}

unsigned addr_range_n_prefixes(const struct addr_range *range)
{
	struct addr_range rest = *range;
	struct addr_range prefix;
	unsigned n = 1;

	if (prefix_len(range) >= 0) /* nearly all are, and this is cheap */
		return 1;
	while (addr_range_take_prefix(&rest, &prefix))
		n++;
	return n;
}

bool port_range_has(struct port_range range, uint16_t port)
{
	return range.first <= port && port <= range.last;
}
