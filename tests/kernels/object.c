// SPDX-License-Identifier: GPL-2.0-only
/* An object as clang and bpftool leave it: code in sections, calls between them by relocation. */
#include "tests/kernels/object.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <gelf.h>

#include "base/arena.h"

/* An instruction that names a symbol. */
struct object_relocation {
	const char *section;
	size_t insn;
	const char *symbol;
	const char *to_section; /* NULL: the object does not hold the symbol */
	size_t to;		/* the symbol's number of an instruction in it */
};

static void __attribute__((noreturn)) fail(const char *what)
{
	(void)fprintf(stderr, "%s: %s\n", what, elf_errmsg(-1));
	abort();
}

static void *must(void *result, const char *what)
{
	if (!result)
		fail(what);
	return result;
}

/* A section's name and header. */
static const char *section_name(Elf *elf, Elf_Scn *section, GElf_Shdr *ret_header)
{
	size_t names;

	must(gelf_getshdr(section, ret_header), "a section without header");
	if (elf_getshdrstrndx(elf, &names))
		fail("no names of sections");
	return must(elf_strptr(elf, names, ret_header->sh_name), "a section without name");
}

static Elf_Scn *symbols_of(Elf *elf, GElf_Shdr *ret_header)
{
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(elf, section))) {
		must(gelf_getshdr(section, ret_header), "a section without header");
		if (ret_header->sh_type == SHT_SYMTAB)
			return section;
	}
	fail("no symbols");
}

static void add_function(struct object *object, Elf *elf, const GElf_Sym *symbol, const char *name)
{
	Elf_Scn *section = must(elf_getscn(elf, symbol->st_shndx), "a function without section");
	struct object_function *function;
	GElf_Shdr header;
	Elf_Data *data;

	object->functions =
		mem_realloc(object->functions, object->n_functions + 1, sizeof(*object->functions));
	function = &object->functions[object->n_functions++];
	function->name = name;
	function->section = section_name(elf, section, &header);
	data = must(elf_getdata(section, NULL), "a section without bytes");
	function->at = symbol->st_value / sizeof(struct bpf_insn);
	function->n_insns = symbol->st_size / sizeof(struct bpf_insn);
	function->insns = (const struct bpf_insn *)data->d_buf + function->at;
}

static void read_functions(struct object *object, Elf *elf)
{
	GElf_Shdr header;
	Elf_Scn *section = symbols_of(elf, &header);
	Elf_Data *data = must(elf_getdata(section, NULL), "no symbols");
	GElf_Sym symbol;

	for (int i = 0; gelf_getsym(data, i, &symbol); i++)
		if (GELF_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_shndx != SHN_UNDEF)
			add_function(object, elf, &symbol,
				     elf_strptr(elf, header.sh_link, symbol.st_name));
}

static void add_relocation(struct object *object, Elf *elf, const char *section,
			   const GElf_Rel *rel)
{
	GElf_Shdr header;
	GElf_Shdr to;
	Elf_Data *symbols =
		must(elf_getdata(symbols_of(elf, &header), NULL), "no symbols to relocate by");
	struct object_relocation *relocation;
	GElf_Sym symbol;

	must(gelf_getsym(symbols, (int)GELF_R_SYM(rel->r_info), &symbol), "no such symbol");
	object->relocations = mem_realloc(object->relocations, object->n_relocations + 1,
					  sizeof(*object->relocations));
	relocation = &object->relocations[object->n_relocations++];
	*relocation = (struct object_relocation){
		.section = section,
		.insn = rel->r_offset / sizeof(struct bpf_insn),
		.symbol = elf_strptr(elf, header.sh_link, symbol.st_name),
		.to = symbol.st_value / sizeof(struct bpf_insn),
	};
	if (symbol.st_shndx != SHN_UNDEF)
		relocation->to_section = section_name(
			elf, must(elf_getscn(elf, symbol.st_shndx), "no such section"), &to);
}

static void read_relocations(struct object *object, Elf *elf)
{
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;
		GElf_Shdr code;
		const char *name;
		Elf_Data *data;
		GElf_Rel rel;

		must(gelf_getshdr(section, &header), "a section without header");
		if (header.sh_type != SHT_REL)
			continue;
		name = section_name(elf, must(elf_getscn(elf, header.sh_info), "no such section"),
				    &code);
		if (!(code.sh_flags & SHF_EXECINSTR))
			continue;
		data = must(elf_getdata(section, NULL), "relocations without bytes");
		for (int i = 0; gelf_getrel(data, i, &rel); i++)
			add_relocation(object, elf, name, &rel);
	}
}

struct object *object_open(const char *path)
{
	struct object *object = mem_calloc(1, sizeof(*object));

	(void)elf_version(EV_CURRENT);
	object->fd = open(path, O_RDONLY | O_CLOEXEC);
	object->elf = must(elf_begin(object->fd, ELF_C_READ, NULL), path);
	read_functions(object, object->elf);
	read_relocations(object, object->elf);
	return object;
}

void object_free(struct object *object)
{
	(void)elf_end(object->elf);
	scoped_close(&object->fd);
	free(object->functions);
	free(object->relocations);
	free(object);
}

const struct object_function *object_find(const struct object *object, const char *name)
{
	for (size_t i = 0; i < object->n_functions; i++)
		if (!strcmp(object->functions[i].name, name))
			return &object->functions[i];
	return NULL;
}

static const struct object_function *function_at(const struct object *object, const char *section,
						 size_t at)
{
	for (size_t i = 0; i < object->n_functions; i++)
		if (object->functions[i].at == at && !strcmp(object->functions[i].section, section))
			return &object->functions[i];
	return NULL;
}

const struct object_function *object_callee(const struct object *object,
					    const struct object_function *function, size_t insn,
					    const char **ret_name)
{
	size_t at = function->at + insn;
	int imm = function->insns[insn].imm;

	*ret_name = NULL;
	for (size_t i = 0; i < object->n_relocations; i++) {
		const struct object_relocation *relocation = &object->relocations[i];

		if (relocation->insn != at || strcmp(relocation->section, function->section) != 0)
			continue;
		*ret_name = relocation->symbol;
		if (!relocation->to_section)
			return NULL;
		return function_at(object, relocation->to_section, relocation->to + imm + 1);
	}
	return function_at(object, function->section, at + imm + 1);
}

void object_reach(const struct object *object, const struct object_function *function,
		  bool *reached)
{
	size_t number = function - object->functions;

	if (reached[number])
		return;
	reached[number] = true;
	for (size_t i = 0; i < function->n_insns; i++) {
		const struct object_function *callee;
		const char *name;

		if (function->insns[i].code != (BPF_JMP | BPF_CALL) ||
		    function->insns[i].src_reg != BPF_PSEUDO_CALL)
			continue;
		callee = object_callee(object, function, i, &name);
		if (callee)
			object_reach(object, callee, reached);
	}
}
