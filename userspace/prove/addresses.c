// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two lists of pieces of one line, gone through side by side: the policy's segments, over each of
 * which the same sets hold, and the image's runs, over each of which one class does.
 */
#include "prove/addresses.h"

#include <assert.h>

#include "prove/runs.h"
#include "prove/set.h"

/*
 * More than any image has that is made from a policy: 2^24 for all /24s, and one for each segment.
 * A corrupt one may have 2^64, by a chunk for low halves that stands under many high ones.
 */
enum { PIECES_MAX = 1 << 25 };

static const enum addr_family families[FAMILIES] = {ADDR_V4, ADDR_V6};

static line_number last_of(int family)
{
	return family ? ~(line_number)0 : UINT32_MAX;
}

static line_number number_of(const struct addr *addr)
{
	line_number number = 0;

	for (int i = 0; i < (addr->family == ADDR_V6 ? 16 : 4); i++)
		number = number << 8 | addr->bytes[i];
	return number;
}

struct addr address_of_number(int family, line_number number)
{
	struct addr addr = {.family = families[family]};

	for (int i = family ? 15 : 3; i >= 0; i--, number >>= 8)
		addr.bytes[i] = (uint8_t)number;
	return addr;
}

/* Addresses from which the rules judge what comes in: first two ranges of those that packets have. */
enum { COMMON_RANGES = 2, RANK_COMMON = 2 };

static const struct {
	line_number first;
	line_number last;
} usual[FAMILIES][6] = {
	{{0x01000000, 0x7effffff}, {0x80000000, 0xdfffffff}, {0xf0000000, 0xfffffffe}},
	{{(line_number)0x2000 << 112, ((line_number)0x4000 << 112) - 1},
	 {(line_number)0xfc00 << 112, ((line_number)0xfe00 << 112) - 1},
	 {(line_number)0x4000 << 112, ((line_number)0xfc00 << 112) - 1},
	 {(line_number)0xfe00 << 112, ((line_number)0xff00 << 112) - 1},
	 {(line_number)1 << 48, ((line_number)0x2000 << 112) - 1},
	 {2, ((line_number)0xffff << 32) - 1}},
};

/* The first usual address from first to last, common ones before others; false: none is. */
static bool find_usual(int family, line_number first, line_number last, line_number *ret_address)
{
	for (size_t i = 0; i < ARRAY_LEN(usual[family]) && usual[family][i].last; i++) {
		line_number address =
			first > usual[family][i].first ? first : usual[family][i].first;

		if (address > last || address > usual[family][i].last)
			continue;
		*ret_address = address;
		return true;
	}
	return false;
}

int address_rank(int family, line_number number)
{
	for (int i = 0; i < (int)ARRAY_LEN(usual[family]); i++)
		if (usual[family][i].last && number >= usual[family][i].first &&
		    number <= usual[family][i].last)
			return i < COMMON_RANGES ? RANK_COMMON : 1;
	return 0;
}

static struct segments segments_of(struct arena *arena, const struct policy *policy, int family,
				   struct pool *sets)
{
	struct sweep sweep = {.last = last_of(family)};

	for (uint32_t s = 0; s < policy->sets.len; s++) {
		const addr_ranges *ranges = &policy->sets.at[s].ranges;

		for (size_t i = 0; i < ranges->len; i++)
			if (ranges->at[i].first.family == families[family])
				sweep_add(arena, &sweep, number_of(&ranges->at[i].first),
					  number_of(&ranges->at[i].last), s);
	}
	return sweep_segments(arena, &sweep, sets);
}

struct walk {
	struct arena *arena;
	int family;
	struct pool *known; /* sets and class of the points */
	struct address_points *points;
	struct address_point *last; /* that of the piece before; NULL: there is none */
};

/* Addresses with the same sets and one class. */
struct piece {
	line_number first;
	line_number last;
	uint32_t sets;
	uint32_t class;
};

/* An address of the piece besides that one, which is returned where there is none. */
static line_number another(int family, const struct piece *piece, line_number one)
{
	line_number number;

	if (find_usual(family, piece->first, piece->last, &number) && number != one)
		return number;
	if (piece->first <= one && one < piece->last &&
	    find_usual(family, one + 1, piece->last, &number))
		return number;
	return piece->last != one ? piece->last : piece->first;
}

/* Better examples for a point, out of a piece of it. */
static void improve(int family, const struct piece *piece, struct address_point *point)
{
	bool alone = point->other == point->example;
	line_number number;

	if (find_usual(family, piece->first, piece->last, &number) &&
	    address_rank(family, number) > address_rank(family, point->example)) {
		point->example = number;
		if (alone)
			point->other = number;
	}
	number = another(family, piece, point->example);
	if (number != point->example &&
	    (point->other == point->example ||
	     address_rank(family, number) > address_rank(family, point->other)))
		point->other = number;
	point->both_common = point->other != point->example &&
			     address_rank(family, point->example) == RANK_COMMON &&
			     address_rank(family, point->other) == RANK_COMMON;
}

/* The point of the piece. Most pieces of an image are of the point of the one before. */
static struct address_point *point_of(struct walk *walk, const struct piece *piece)
{
	uint32_t i;

	if (walk->last && walk->last->sets == piece->sets && walk->last->class == piece->class)
		return walk->last;
	i = pool_put_two(walk->known, piece->sets, piece->class);
	if (i == walk->points->of[walk->family].len)
		array_push(walk->arena, &walk->points->of[walk->family],
			   (struct address_point){
				   .sets = piece->sets,
				   .class = piece->class,
				   .example = piece->first,
				   .other = piece->first,
			   });
	assert(i < walk->points->of[walk->family].len);
	return &walk->points->of[walk->family].at[i];
}

static void add_piece(struct walk *walk, const struct piece *piece)
{
	walk->last = point_of(walk, piece);
	if (!walk->last->both_common)
		improve(walk->family, piece, walk->last);
}

static bool walk_family(struct walk *walk, const struct image *image,
			const struct segments *segments)
{
	line_number end = last_of(walk->family);
	struct piece piece = {};
	line_number run_last = 0;
	size_t s = 0;

	for (uint64_t n = 0; n < PIECES_MAX; n++) {
		line_number segment_last =
			s + 1 < segments->len ? segments->at[s + 1].first - 1 : end;

		if (!n || piece.first > run_last)
			piece.class =
				runs_class(image, families[walk->family], piece.first, &run_last);
		piece.sets = segments->at[s].members;
		piece.last = segment_last < run_last ? segment_last : run_last;
		add_piece(walk, &piece);
		if (piece.last == end)
			return true;
		if (piece.last == segment_last)
			s++;
		piece.first = piece.last + 1;
	}
	return false;
}

bool address_points(struct arena *arena, const struct policy *policy, const struct image *image,
		    struct address_points *ret_points)
{
	struct address_points points = {.sets = pool_new(set_words(policy->sets.len))};
	bool walked = true;

	for (int family = 0; family < FAMILIES && walked; family++) {
		struct segments segments = segments_of(arena, policy, family, points.sets);
		scoped(pool_free) struct pool *known = pool_new(1);
		struct walk walk = {arena, family, known, &points, NULL};

		points.n_segments += segments.len;
		walked = walk_family(&walk, image, &segments);
	}
	*ret_points = points;
	return walked;
}

void address_points_fini(struct address_points *points)
{
	pool_free(take(points->sets));
}
