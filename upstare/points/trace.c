/* Where control goes from an address in machine code, if nothing but plain instructions, jumps and branches that come
 * together again are on the way. What is looked for, and what the states of registers are, is said in returns.py. What
 * plain instructions do to registers and memory is asked of code.py, which calls these functions, and has the structs and
 * enums once more. decode.h reads single instructions.
 *
 * What is not known is the end of a body's code: nothing behind it is proved.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"

#define EXPORT __attribute__((visibility("default")))

enum { STEPS_MAX = 400, BRANCHES_MAX = 6, CHECK_STEPS = 4 };

/* One contiguous piece of a function's text. */
struct body {
	uint64_t begin, end;
	uint64_t offset;  /* of its bytes in the file */
	uint32_t size;    /* of its bytes in the file; 0 if there are none */
	int32_t physical; /* the function that it is a piece of */
	int32_t whole;    /* it is the piece that has the function's name */
	int32_t unused;
};

struct found {
	int64_t target; /* index of a note, TO_RETURN or NOWHERE */
	uint64_t at;    /* the instruction that is the reason */
	int32_t reason; /* enum reason, of NOWHERE */
	int32_t intact; /* TO_RETURN: nothing touched the result on the way */
};

enum { TO_RETURN = -1, NOWHERE = -2 };

enum reason {
	NO_REASON,
	CANNOT_FOLLOW,
	CALL_OR_TRAP,
	TOO_MANY_BRANCHES,
	SIDES_DIFFER,
	LEAVES_FUNCTION,
	CALLS_AGAIN,
	UNUSUAL_CHECK,
	NOT_AFTER_CALL,
	NO_FUNCTION,
	DIVIDES,
	LOADS_THROUGH_DUMMY,
	STORES_OUTSIDE,
	NOT_DESCRIBED, /* ask again when what is wanted has been learned */
};

/* Registers: 0 rax ... 15 r15, vector registers, and what else can be in an address. */
enum { RAX = 0, RSP = 4, RBP = 5, XMM0 = 16, REGISTERS = 48, RIP = 100, NONE = 101, ABSENT = 255 };

enum { FS = 1, READ = 2, WRITE = 4 }; /* flags of struct memory */

enum { CONSTANT = 1, FAULTS = 2, RESTORES = 4, UNKNOWN = 8 }; /* flags of struct effect */

struct memory {
	uint8_t base, index, flags;
};

/* What one plain instruction does to registers and memory. */
struct effect {
	uint64_t reads, writes; /* sets of registers; those in addresses are not read */
	struct memory memory[2];
	uint8_t n_memory;
	uint8_t to, from;   /* of a plain move between registers, else ABSENT */
	uint8_t address_of; /* lea: the register that takes the address of memory[0], else ABSENT */
	uint8_t flags;
	uint8_t unused[5];
};

/* A row of the table of what is known: the bytes of an instruction, and what it does. */
struct described {
	uint8_t code[LENGTH_MAX];
	uint8_t size; /* 0: the row is free */
	struct effect effect;
};

/* What is proved of a path. */
enum proof { WAY_ONLY, FROM_LABEL, FROM_RETURN };

enum { FIRM, LOOSE, STACK }; /* states of registers */

struct state {
	uint8_t registers[REGISTERS];
	int spilled; /* a loose value has got into the frame, so what is loaded from there is loose */
};

struct text {
	const uint8_t *file;
	const struct body *bodies;
	int64_t n_bodies;
	const uint64_t *notes; /* addresses, sorted */
	const uint8_t *after_call;
	int64_t n_notes;
	uint8_t **sizes; /* of each body, when it was asked for: sizes of the instructions at their begins, with IS_CALL */
	uint8_t *frame_pointers; /* of each function, by the number of its pieces: enum frame_pointer */
	struct described *table; /* by the hash of the code, open addressing */
	uint64_t room, used;     /* of the table; the room is a power of two */
	struct described *wanted; /* instructions whose effects nobody has asked for yet */
	int64_t n_wanted, wanted_room;
};

enum { SIZE = 15, IS_CALL = 16 }; /* parts of a size */

enum frame_pointer { NOT_LOOKED, IS_NONE, IS_ONE };

/* ---- bodies ---------------------------------------------------------------------------------------------------- */

/* The body that holds an address. */
static const struct body *body_at(const struct text *t, uint64_t address)
{
	int64_t low = 0, high = t->n_bodies;

	while (low < high) {
		int64_t middle = (low + high) / 2;
		if (t->bodies[middle].begin <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low && address < t->bodies[low - 1].end ? &t->bodies[low - 1] : NULL;
}

/* The index of the note at an address, or -1. */
static int64_t note_at(const struct text *t, uint64_t address)
{
	int64_t low = 0, high = t->n_notes;

	while (low < high) {
		int64_t middle = (low + high) / 2;
		if (t->notes[middle] < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->n_notes && t->notes[low] == address ? low : -1;
}

/* The sizes of all instructions of a body: compilers for x86-64 put nothing else between its begin and its end. */
static const uint8_t *sizes_of(struct text *t, const struct body *b)
{
	uint8_t **sizes = &t->sizes[b - t->bodies];

	if (!*sizes && (*sizes = calloc(b->size + 1, 1))) {
		const uint8_t *code = t->file + b->offset;
		int ignored, unused, size;
		for (uint32_t at = 0; at < b->size; at += size) {
			uint32_t room = b->size - at;
			size = instruction_size(code + at, room < LENGTH_MAX ? (int)room : LENGTH_MAX, &ignored,
						&unused);
			if (!size)
				break;
			struct step step = {.size = size};
			struct prefixes ignored_prefixes;
			describe(code + at, read_prefixes(code + at, size, &ignored_prefixes), &step);
			(*sizes)[at] = size | (step.kind == CALL ? IS_CALL : 0);
		}
	}
	return *sizes;
}

static int step_at(struct text *t, uint64_t address, struct step *step)
{
	const struct body *b = body_at(t, address);
	const uint8_t *sizes = b ? sizes_of(t, b) : NULL;
	struct prefixes ignored;

	if (!sizes || address - b->begin >= b->size || !sizes[address - b->begin])
		return 0;
	const uint8_t *code = t->file + b->offset + (address - b->begin);
	step->size = sizes[address - b->begin] & SIZE;
	describe(code, read_prefixes(code, step->size, &ignored), step);
	return 1;
}

/* ---- effects --------------------------------------------------------------------------------------------------- */

static uint64_t hash_of(const uint8_t *code, int size)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a */

	for (int i = 0; i < size; i++)
		hash = (hash ^ code[i]) * 1099511628211u;
	return hash ^ hash >> 29;
}

/* The row of an instruction, or the free one where it belongs; NULL without a table. */
static struct described *row_of(const struct text *t, const uint8_t *code, int size)
{
	if (!t->room)
		return NULL;
	for (uint64_t i = hash_of(code, size);; i++) {
		struct described *row = &t->table[i & (t->room - 1)];
		if (!row->size || (row->size == size && !memcmp(row->code, code, size)))
			return row;
	}
}

static int put_row(struct text *t, const struct described *row)
{
	if (2 * t->used >= t->room) {
		struct text larger = *t;
		larger.room = t->room ? 2 * t->room : 4096;
		larger.table = calloc(larger.room, sizeof *larger.table);
		if (!larger.table)
			return 0;
		for (uint64_t i = 0; i < t->room; i++)
			if (t->table[i].size)
				*row_of(&larger, t->table[i].code, t->table[i].size) = t->table[i];
		free(t->table);
		*t = larger;
	}
	struct described *place = row_of(t, row->code, row->size);
	t->used += !place->size;
	*place = *row;
	return 1;
}

/* Without memory it is wanted again when this is asked again. */
static void want(struct text *t, const uint8_t *code, int size)
{
	struct described row = {.size = size, .effect.flags = UNKNOWN};

	if (t->n_wanted == t->wanted_room) {
		int64_t room = t->wanted_room ? 2 * t->wanted_room : 256;
		struct described *larger = realloc(t->wanted, room * sizeof *larger);
		if (!larger)
			return;
		t->wanted = larger;
		t->wanted_room = room;
	}
	memcpy(row.code, code, size);
	if (put_row(t, &row))
		t->wanted[t->n_wanted++] = row;
}

/* The instruction with a displacement of four bytes set to 0: what it does, without where, is the same. Each link gives
 * variables other places, and few instructions would be known from the last one. */
static const uint8_t *anywhere(const uint8_t *code, int size, uint8_t *copy)
{
	int ignored, modrm_at, far;

	instruction_size(code, size, &ignored, &modrm_at);
	far = modrm_at ? far_displacement(code + modrm_at) : 0;
	if (!far)
		return code;
	memcpy(copy, code, size);
	memset(copy + modrm_at + far, 0, 4);
	return copy;
}

/* What the plain instruction does: a copy, as the table moves when it grows. 0 if it is not known, but wanted from now
 * on. */
static int effect_of(struct text *t, const uint8_t *code, int size, struct effect *effect)
{
	uint8_t copy[LENGTH_MAX];
	code = anywhere(code, size, copy);
	struct described *row = row_of(t, code, size);

	if (!row || !row->size) {
		want(t, code, size);
		return 0;
	}
	*effect = row->effect;
	return !(row->effect.flags & UNKNOWN);
}

/* Whether %rbp is set from %rsp in this piece of a function, and else only saved and restored; -1: not known yet. */
static int sets_frame_pointer(struct text *t, const struct body *b)
{
	struct step step;
	int found = 0, known = 1, other = 0;

	for (uint64_t address = b->begin; address < b->end; address += step.size) {
		if (!step_at(t, address, &step))
			return 0;
		if (step.kind != PLAIN)
			continue;
		struct effect effect;
		if (!effect_of(t, t->file + b->offset + (address - b->begin), step.size, &effect))
			known = 0;
		else if (effect.to == RBP && effect.from == RSP)
			found = 1;
		else if (effect.writes >> RBP & 1 && !(effect.flags & RESTORES))
			other = 1;
	}
	return known ? found && !other : other ? 0 : -1;
}

/* Whether %rbp is the frame pointer in the whole function of the body; -1: not known yet. */
static int has_frame_pointer(struct text *t, const struct body *b)
{
	uint8_t *kept = &t->frame_pointers[b->physical];
	int known = 1;

	if (*kept != NOT_LOOKED)
		return *kept == IS_ONE;
	for (int64_t i = 0; i < t->n_bodies; i++) {
		if (t->bodies[i].physical != b->physical)
			continue;
		int sets = sets_frame_pointer(t, &t->bodies[i]);
		if (sets > 0) {
			*kept = IS_ONE;
			return 1;
		}
		known &= sets == 0;
	}
	if (!known)
		return -1;
	*kept = IS_NONE;
	return 0;
}

/* ---- paths ----------------------------------------------------------------------------------------------------- */

struct path {
	struct text *text;
	const struct body *body;
	struct found *found;
	enum proof proof;
	int missing; /* whether something has to be learned first */
	int steps;
	int n_seen;
	uint64_t seen[STEPS_MAX + 1];
};

/* The path proves nothing. */
static int64_t stop(struct path *p, enum reason reason, uint64_t at)
{
	p->found->reason = reason;
	p->found->at = at;
	return NOWHERE;
}

/* Whether a jump goes to a place in the same function, and is not a call of itself. */
static int may_jump(struct path *p, uint64_t target, uint64_t source)
{
	const struct body *b = body_at(p->text, target);

	if (!b || b->physical != p->body->physical)
		return stop(p, LEAVES_FUNCTION, source), 0;
	if (target == b->begin && b->whole && note_at(p->text, target) < 0)
		return stop(p, CALLS_AGAIN, source), 0;
	return 1;
}

/* Go to the side of the stack protector's branch that is taken if all is well; the other one must end in a call. */
static int past_guard(struct path *p, const struct step *branch, uint64_t taken, uint64_t *after)
{
	struct step step = {.kind = PLAIN};
	uint64_t failing = *after, going_on = taken;
	int there = 0;

	if (branch->condition != EQUAL && branch->condition != NOT_EQUAL)
		return stop(p, UNUSUAL_CHECK, *after), 0;
	if (branch->condition == NOT_EQUAL) {
		failing = taken;
		going_on = *after;
	}
	for (int i = 0; i < CHECK_STEPS; i++) {
		there = step_at(p->text, failing, &step);
		if (!there || (step.kind != PLAIN && step.kind != JUMP))
			break;
		failing += step.size + (int64_t)step.target;
	}
	if (!there || step.kind != CALL)
		return stop(p, UNUSUAL_CHECK, *after), 0;
	if (!may_jump(p, going_on, *after))
		return 0;
	*after = going_on;
	return 1;
}

/* Whether a register of an address is in one of these states (a set of them). */
static int is(struct path *p, uint8_t number, const struct state *s, int states)
{
	if (number == RIP || number == NONE)
		return 1;
	if (number >= REGISTERS)
		return 0;
	if (number == RBP && s->registers[RBP] != STACK) {
		int frame = has_frame_pointer(p->text, p->body);
		p->missing |= frame < 0;
		if (frame)
			return states >> STACK & 1;
	}
	return states >> s->registers[number] & 1;
}

static int may_read(struct path *p, const struct memory *m, const struct state *s)
{
	if (m->flags & FS)
		return m->index == NONE && m->base == NONE;
	return is(p, m->base, s, 1 << FIRM | 1 << STACK) && is(p, m->index, s, 1 << FIRM);
}

static int may_write(struct path *p, const struct memory *m, const struct state *s)
{
	if (m->flags & FS || !is(p, m->index, s, 1 << FIRM) || m->base == NONE || m->base == RIP)
		return 0;
	return is(p, m->base, s, 1 << STACK);
}

static int any_loose(const struct state *s, uint64_t set)
{
	for (int i = 0; i < REGISTERS; i++)
		if (set >> i & 1 && s->registers[i] == LOOSE)
			return 1;
	return 0;
}

/* Change the state by a plain instruction. */
static void advance(struct path *p, const struct effect *e, struct state *s)
{
	uint8_t *r = s->registers;

	if (e->to != ABSENT) {
		if (e->to < REGISTERS && e->from < REGISTERS) {
			int frame = e->from == RBP ? has_frame_pointer(p->text, p->body) : 0;
			p->missing |= frame < 0;
			r[e->to] = frame ? STACK : r[e->from];
		}
	} else if (e->address_of < REGISTERS) {
		const struct memory *m = &e->memory[0];
		int firm = (m->base >= REGISTERS || r[m->base] != LOOSE) && (m->index >= REGISTERS || r[m->index] != LOOSE);
		if (m->index == NONE && m->base < REGISTERS && is(p, m->base, s, 1 << STACK))
			r[e->address_of] = STACK;
		else
			r[e->address_of] = firm ? FIRM : LOOSE;
	} else {
		int loads = 0, loose = 0;
		for (int i = 0; i < e->n_memory; i++)
			loads |= e->memory[i].flags & READ;
		if (!(e->flags & CONSTANT))
			loose = any_loose(s, e->reads) || (loads && (s->spilled || p->proof == FROM_LABEL));
		for (int i = 0; i < REGISTERS; i++)
			if (e->writes >> i & 1)
				r[i] = loose ? LOOSE : FIRM;
	}
	r[RSP] = STACK;
}

/* Whether the plain instruction does no harm; the state is that behind it. */
static int harmless(struct path *p, uint64_t address, int size, struct state *s)
{
	const struct body *b = body_at(p->text, address);
	struct effect effect;
	const struct effect *e = &effect;

	if (!effect_of(p->text, p->text->file + b->offset + (address - b->begin), size, &effect))
		return stop(p, NOT_DESCRIBED, address), 0;
	if (e->flags & FAULTS)
		return stop(p, DIVIDES, address), 0;
	for (int i = 0; i < e->n_memory; i++) {
		const struct memory *m = &e->memory[i];
		if (m->flags & READ && !may_read(p, m, s))
			return stop(p, LOADS_THROUGH_DUMMY, address), 0;
		if (m->flags & WRITE) {
			if (!may_write(p, m, s))
				return stop(p, STORES_OUTSIDE, address), 0;
			s->spilled |= any_loose(s, e->reads);
		}
	}
	if (e->writes >> RAX & 1 || e->writes >> XMM0 & 1)
		p->found->intact = 0;
	advance(p, e, s);
	return 1;
}

static int64_t run(struct path *p, uint64_t address, struct state state, int branches)
{
	int guarded = 0;

	for (;;) {
		int64_t index = note_at(p->text, address);
		if (index >= 0)
			return p->text->after_call[index] ? index : stop(p, NOT_AFTER_CALL, address);
		struct step step;
		int known = step_at(p->text, address, &step);
		p->steps++;
		for (int i = 0; known && i < p->n_seen; i++)
			known = p->seen[i] != address;
		if (!known || p->steps > STEPS_MAX)
			return stop(p, CANNOT_FOLLOW, address);
		p->seen[p->n_seen++] = address;
		uint64_t after = address + step.size;
		uint64_t target = after + (int64_t)step.target;
		if (step.kind == PLAIN) {
			guarded |= step.guard;
			if (p->proof != WAY_ONLY && !harmless(p, address, step.size, &state))
				return NOWHERE;
		} else if (step.kind == RETURN) {
			return TO_RETURN;
		} else if (step.kind == CALL || step.kind == BARRIER) {
			return stop(p, CALL_OR_TRAP, address);
		} else if (step.kind == JUMP) {
			if (!may_jump(p, target, address))
				return NOWHERE;
			after = target;
		} else if (guarded) {
			if (!past_guard(p, &step, target, &after))
				return NOWHERE;
			guarded = 0;
		} else {
			if (!may_jump(p, target, address))
				return NOWHERE;
			if (!branches)
				return stop(p, TOO_MANY_BRANCHES, address);
			int n_seen = p->n_seen;
			int64_t one = run(p, target, state, branches - 1);
			p->n_seen = n_seen;
			if (one == NOWHERE && p->found->reason != NOT_AFTER_CALL)
				return NOWHERE;
			int64_t two = run(p, after, state, branches - 1);
			p->n_seen = n_seen;
			if (two == NOWHERE && p->found->reason != NOT_AFTER_CALL)
				return NOWHERE;
			return one != NOWHERE && one == two ? one : stop(p, SIDES_DIFFER, address);
		}
		address = after;
	}
}

/* ---- what code.py calls ---------------------------------------------------------------------------------------- */

EXPORT void close_text(struct text *t)
{
	for (int64_t i = 0; t->sizes && i < t->n_bodies; i++)
		free(t->sizes[i]);
	free(t->sizes);
	free(t->frame_pointers);
	free(t->table);
	free(t->wanted);
	free(t);
}

EXPORT struct text *open_text(const uint8_t *file, const struct body *bodies, int64_t n_bodies, const uint64_t *notes,
			      const uint8_t *after_call, int64_t n_notes)
{
	struct text *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->file = file;
	t->bodies = bodies;
	t->n_bodies = n_bodies;
	t->notes = notes;
	t->after_call = after_call;
	t->n_notes = n_notes;
	t->sizes = calloc(n_bodies + 1, sizeof *t->sizes);
	t->frame_pointers = calloc(n_bodies + 1, 1);
	if (!t->sizes || !t->frame_pointers) {
		close_text(t);
		return NULL;
	}
	return t;
}

/* The instruction at an address; 0 if no instruction of a function begins there. */
EXPORT int read_step(struct text *t, uint64_t address, struct step *step)
{
	return step_at(t, address, step);
}

/* How many calls there are in the bodies with these indices, but for those that end one; the addresses behind them and
 * the indices, if they are asked for. */
EXPORT int64_t find_calls(struct text *t, const int64_t *indices, int64_t n, uint64_t *addresses, int64_t *owners)
{
	int64_t found = 0;

	for (int64_t i = 0; i < n; i++) {
		const struct body *b = &t->bodies[indices[i]];
		const uint8_t *sizes = sizes_of(t, b);
		for (uint32_t at = 0; sizes && at < b->size && sizes[at];) {
			int is_call = sizes[at] & IS_CALL;
			at += sizes[at] & SIZE;
			if (!is_call || b->begin + at >= b->end)
				continue;
			if (addresses) {
				addresses[found] = b->begin + at;
				owners[found] = indices[i];
			}
			found++;
		}
	}
	return found;
}

/* Where control goes from each of the addresses; with a proof that nothing is done with a dummy result on the way, if
 * one is asked for. How many instructions are wanted for that, whose effects have to be learned first. */
EXPORT int64_t follow(struct text *t, const uint64_t *addresses, int64_t n, enum proof proof, struct found *found)
{
	static const uint8_t results[] = {RAX, 2, XMM0, XMM0 + 1};
	struct path path = {.text = t, .proof = proof};
	struct state state = {.spilled = 0};

	memset(state.registers, proof == FROM_LABEL ? LOOSE : FIRM, REGISTERS);
	for (size_t i = 0; i < sizeof results; i++)
		state.registers[results[i]] = LOOSE;
	state.registers[RSP] = STACK;
	for (int64_t i = 0; i < n; i++) {
		path.body = body_at(t, addresses[i]);
		path.found = &found[i];
		path.steps = path.n_seen = path.missing = 0;
		found[i] = (struct found){.intact = 1};
		found[i].target =
			path.body ? run(&path, addresses[i], state, BRANCHES_MAX) : stop(&path, NO_FUNCTION, addresses[i]);
		if (path.missing)
			found[i].target = stop(&path, NOT_DESCRIBED, addresses[i]);
	}
	return t->n_wanted;
}

/* The instructions that are wanted; none are from now on. */
EXPORT void take_wanted(struct text *t, struct described *rows)
{
	memcpy(rows, t->wanted, t->n_wanted * sizeof *rows);
	t->n_wanted = 0;
}

/* 0: there is no memory for it. */
EXPORT int learn(struct text *t, const struct described *rows, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		if (rows[i].size && rows[i].size <= LENGTH_MAX && !put_row(t, &rows[i]))
			return 0;
	return 1;
}

struct place {
	uint64_t offset; /* in the file */
	uint64_t size;
};

/* Where the instruction behind each note is in the file, if it is one of the same body, and no note itself (else its
 * size is 0). */
EXPORT void behind_notes(struct text *t, struct place *places)
{
	struct step step;

	for (int64_t i = 0; i < t->n_notes; i++) {
		uint64_t address = t->notes[i] + 1;
		const struct body *b = body_at(t, t->notes[i]);
		places[i] = (struct place){0, 0};
		if (b && address < b->end && note_at(t, address) < 0 && step_at(t, address, &step) &&
		    address + step.size <= b->end)
			places[i] = (struct place){b->offset + (address - b->begin), step.size};
	}
}

/* For tests: the size of the instruction at the begin of these bytes, 0 if there is none. */
EXPORT int size_of_instruction(const uint8_t *code, int room)
{
	int ignored, unused;

	return instruction_size(code, room, &ignored, &unused);
}

/* For tests: the instruction as its effect is known by, into `copy`. */
EXPORT void take_place_away(const uint8_t *code, int size, uint8_t *copy)
{
	const uint8_t *found = anywhere(code, size, copy);

	if (found != copy)
		memcpy(copy, found, size);
}
