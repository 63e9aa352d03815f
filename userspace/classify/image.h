/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The image: the exact bytes that the kernel reads (tables), and what people want to know of
 * them (notes: names, places, digests, the resolved rules). classify/build makes it,
 * kernel/apply writes it into maps, kernel/store keeps its encoded form. Deterministic: the same
 * files give the same bytes on every host.
 */
#ifndef CLASSIFY_IMAGE_H
#define CLASSIFY_IMAGE_H

#include "base/addr.h"
#include "base/array.h"
#include "base/diag.h"
#include "bpf/abi.h"

/* SHA-256. */
struct image_digest {
	uint8_t bytes[32];
};

enum { IMAGE_DIGEST_TEXT_SIZE = 65 };

struct image_source {
	const char *path;
	struct image_digest digest; /* of its bytes */
};

enum { IMAGE_NO_SOURCE = UINT32_MAX };

struct image_group {
	const char *name;
	enum bh_tier tier;
	uint64_t order;
	bool audit;
	bool keep;
	bool defaults_azure;
	uint32_t source; /* index in notes.sources, or IMAGE_NO_SOURCE */
	uint32_t line;
};

/* As struct policy_set. */
struct image_set {
	bool any;
	bool self;
	addr_ranges ranges;
};

/* As struct policy_clause; -1 is any. */
struct image_clause {
	int16_t protocol;
	int16_t icmp_type;
	int16_t icmp_code;
	ARRAY(struct port_range) source_ports;
	ARRAY(struct port_range) destination_ports;
};

enum image_access {
	IMAGE_ALLOW,
	IMAGE_DENY,
	IMAGE_ALWAYS_ALLOW,
};

/* Its id is its index; order of evaluation as in struct policy. */
struct image_rule {
	const char *name;
	const char *description; /* "" where there is none */
	uint32_t group;
	uint32_t source; /* index in notes.sources; place of the rule */
	uint32_t line;
	uint32_t column;
	enum bh_direction direction;
	enum image_access access;
	uint32_t priority;
	bool log;
	bool audit;
	bool is_default;
	uint32_t source_set; /* index in notes.sets */
	uint32_t destination_set;
	ARRAY(struct image_clause) clauses;
};

struct image_disabled {
	const char *name;
	uint32_t group;
	uint32_t source;
	uint32_t line;
	enum bh_direction direction;
	uint32_t priority;
};

struct image_notes {
	ARRAY(struct image_source) sources;
	ARRAY(struct image_group) groups;
	ARRAY(struct image_set) sets;
	ARRAY(struct image_rule) rules;
	ARRAY(struct image_disabled) disabled;
	addr_ranges virtual_network; /* of host.yaml; empty: unset */
	bool no_group_allow;
	bool existing_flows_keep; /* of host.yaml */
};

/* Bytes of the tables, each with what alignment leaves free before it; together all of them. */
struct image_sizes {
	uint64_t head;
	uint64_t address4;
	uint64_t address6;
	uint64_t ports; /* of all protocols of both directions */
	uint64_t outcomes;
	uint64_t blocks; /* of rows of outcomes, pairs */
	uint64_t sets;	 /* of rules, bits */
	uint64_t side[BH_DIRECTION_COUNT][2];
	uint64_t services[BH_DIRECTION_COUNT];
	uint64_t
		product[BH_DIRECTION_COUNT]; /* pairs and rows, or addresses of sets and outcomes */
};

/* What was weighed for IPv4 addresses; bytes are behind the index. */
struct image_choice4 {
	uint64_t blocks_size;
	uint64_t ranges_size;
	uint64_t blocks_budget;
	uint32_t n_ranges;
	uint32_t n_deep; /* different /16 that are not of one class */
};

struct image_choice6 {
	uint32_t bits; /* of the index */
	uint32_t n_ranges;
	uint32_t n_fans;
	uint32_t n_leaves;
	uint32_t n_lists;
	uint32_t longest; /* entries of a list */
};

struct image_choice_product {
	const char *why_bits; /* why not by pairs; NULL: by pairs */
	uint64_t bits_size;   /* at most, if it were by bits */
	uint32_t n_words;     /* of a set of rules, if it were or is by bits */
	uint32_t n_slots;     /* of protocols that rules name, and one for the rest */
	uint32_t n_ports[2];  /* classes of source and destination ports where most multiply */
};

/* What was chosen and what it costs, for check; not part of the encoded form. */
struct image_figures {
	struct image_sizes sizes;
	struct image_choice4 choice4;
	struct image_choice6 choice6;
	struct image_choice_product choice[BH_DIRECTION_COUNT];
	uint32_t n_rules;
	uint32_t n_prefixes; /* over all distinct sets */
	uint32_t n_classes;
	uint32_t n_source_classes[BH_DIRECTION_COUNT];
	uint32_t n_destination_classes[BH_DIRECTION_COUNT];
	enum bh_product product[BH_DIRECTION_COUNT];
	uint32_t n_pair_classes[BH_DIRECTION_COUNT]; /* by bits: of protocols */
	uint32_t n_protocol_classes[BH_DIRECTION_COUNT];
	uint32_t n_outcomes;
	uint64_t tables_size; /* bytes in use */
};

struct image {
	uint8_t *tables; /* n_pages * BH_PAGE_SIZE bytes, zero behind tables_size */
	uint32_t n_pages;
	uint64_t tables_size;
	struct image_notes notes;
	struct image_figures figures;
	struct image_digest digest; /* of the encoded form */
};

const struct bh_head *image_head(const struct image *image);
const struct bh_outcome *image_outcome(const struct image *image, uint32_t outcome);

/* Text of a digest, hexadecimal; buffer: IMAGE_DIGEST_TEXT_SIZE. */
const char *image_digest_print(const struct image_digest *digest, char *buffer);
struct image_digest image_digest_of(const void *data, size_t size);

/* The same of bytes that lie in several places, one behind the other. */
struct image_bytes {
	const void *data;
	size_t size;
};

struct image_digest image_digest_of_all(const struct image_bytes *parts, size_t n);

/* The encoded form: these pieces one behind the other. */
struct image_encoded {
	struct image_bytes pieces[3];
};

/*
 * Magic, version, two parts (tables, notes), each with its length and checksum. The tables are the
 * image's own, which may be large; the rest is in the arena. Fills image->digest.
 */
void image_encode(struct arena *arena, struct image *image, struct image_encoded *ret_encoded);

/* Fills image->digest as that does, and keeps nothing. */
void image_seal(struct image *image);

/*
 * Reads an encoded form that may be cut or altered at any byte: -EBADMSG with words then. Every
 * index and address in it is checked, so that lookup and the kernel may trust the result.
 * name is what messages call it.
 */
int image_decode(struct arena *arena, const char *name, const void *data, size_t size,
		 struct diag *diag, struct image *ret_image);

/* Prints tables and notes in a form made for comparing (golden files). */
void image_print(const struct image *image, FILE *out);

/* The tables alone are equal: what the kernel would do is the same. */
bool image_tables_equal(const struct image *a, const struct image *b);

#endif
