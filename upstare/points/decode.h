/* Single instructions for x86-64: how long they are, and how they pass control on. */
#ifndef DECODE_H
#define DECODE_H

#include <stdint.h>
#include <string.h>

enum { LENGTH_MAX = 15 };

enum kind { PLAIN, JUMP, BRANCH, RETURN, CALL, BARRIER };

enum { EQUAL = 4, NOT_EQUAL = 5 }; /* condition codes of je and jne */

struct step {
	int32_t size;
	int32_t kind;
	int32_t target;    /* of jumps and branches, relative to the end */
	int32_t condition; /* of a branch: condition code of the encoding */
	int32_t guard;     /* reads the stack protector's canary, %fs:0x28 */
};

/* What follows an opcode: M a ModRM byte, B W Z immediates of 1, 2, and 2 or 4 bytes; X: no such instruction. */
enum { M = 1, B = 2, W = 4, Z = 8, X = 16, SPECIAL = 32, R = 64 /* relative, 4 bytes */ };

#define EIGHT(x) x, x, x, x, x, x, x, x
#define ARITHMETIC M, M, M, M, B, Z, X, X

static const uint8_t one_byte[256] = {
	ARITHMETIC, M, M, M, M, B, Z, X, SPECIAL,                           /* 00: 0f escape */
	ARITHMETIC, ARITHMETIC,                                             /* 10 */
	ARITHMETIC, ARITHMETIC,                                             /* 20 */
	ARITHMETIC, ARITHMETIC,                                             /* 30 */
	EIGHT(X), EIGHT(X),                                                 /* 40: rex */
	EIGHT(0), EIGHT(0),                                                 /* 50 */
	X, X, SPECIAL, M, X, X, X, X, Z, M | Z, B, M | B, 0, 0, 0, 0,       /* 60: 62 evex */
	EIGHT(B), EIGHT(B),                                                 /* 70 */
	M | B, M | Z, X, M | B, M, M, M, M, M, M, M, M, M, M, M, SPECIAL,   /* 80: 8f pop, xop */
	EIGHT(0), 0, 0, X, 0, 0, 0, 0, 0,                                   /* 90 */
	SPECIAL, SPECIAL, SPECIAL, SPECIAL, 0, 0, 0, 0, B, Z, 0, 0, 0, 0, 0, 0, /* a0: far addresses */
	EIGHT(B), EIGHT(SPECIAL),                                           /* b0: b8 mov */
	M | B, M | B, W, 0, SPECIAL, SPECIAL, M | B, M | Z, W | B, 0, W, 0, 0, B, X, 0, /* c0: c4 c5 vex */
	M, M, M, M, X, X, X, 0, EIGHT(M),                                   /* d0 */
	B, B, B, B, B, B, B, B, R, R, X, B, 0, 0, 0, 0,                     /* e0 */
	X, 0, X, X, 0, 0, SPECIAL, SPECIAL, 0, 0, 0, 0, 0, 0, M, M,         /* f0: f6 f7 test and others */
};

static const uint8_t two_byte[256] = {
	M, M, M, M, X, 0, 0, 0, 0, 0, X, 0, X, M, 0, M | B, /* 00 */
	EIGHT(M), EIGHT(M),                                 /* 10 */
	X, X, X, X, X, X, X, X, EIGHT(M),                   /* 20 */
	0, 0, 0, 0, 0, 0, X, 0, SPECIAL, X, SPECIAL, X, X, X, X, X, /* 30: 38 3a escapes */
	EIGHT(M), EIGHT(M),                                 /* 40 */
	EIGHT(M), EIGHT(M),                                 /* 50 */
	EIGHT(M), EIGHT(M),                                 /* 60 */
	M | B, M | B, M | B, M | B, M, M, M, 0, SPECIAL, SPECIAL, X, X, M, M, M, M, /* 70: 78 79 vmread, sse4a */
	EIGHT(R), EIGHT(R),                                 /* 80 */
	EIGHT(M), EIGHT(M),                                 /* 90 */
	0, 0, 0, M, M | B, M, X, X, 0, 0, 0, M, M | B, M, M, M, /* a0 */
	M, M, M, M, M, M, M, M, M, M, M | B, M, M, M, M, M, /* b0 */
	M, M, M | B, M, M | B, M | B, M | B, M, EIGHT(0),   /* c0 */
	EIGHT(M), EIGHT(M),                                 /* d0 */
	EIGHT(M), EIGHT(M),                                 /* e0 */
	EIGHT(M), EIGHT(M),                                 /* f0 */
};

struct prefixes {
	int operand, address, repeat, rex;
};

/* The bytes before the opcode. */
static int read_prefixes(const uint8_t *code, int room, struct prefixes *p)
{
	int at = 0;

	memset(p, 0, sizeof *p);
	for (; at < room; at++) {
		switch (code[at]) {
		case 0x66:
			p->operand = 1;
			break;
		case 0x67:
			p->address = 1;
			break;
		case 0xf2:
		case 0xf3:
			p->repeat = code[at];
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x65:
		case 0xf0:
			break;
		default:
			if ((code[at] & 0xf0) != 0x40)
				return at;
			p->rex = code[at]; /* counts only right before the opcode */
			continue;
		}
		p->rex = 0;
	}
	return at;
}

/* Where behind a ModRM byte is a displacement of four bytes; 0: there is none. */
static int far_displacement(const uint8_t *code)
{
	int mode = code[0] >> 6, low = code[0] & 7;

	if (mode == 2)
		return low == 4 ? 2 : 1;
	if (mode == 0 && low == 4)
		return (code[1] & 7) == 5 ? 2 : 0;
	return mode == 0 && low == 5 ? 1 : 0;
}

/* The bytes of a ModRM byte and what belongs to it. */
static int modrm_size(const uint8_t *code, int room)
{
	int mode = code[0] >> 6, low = code[0] & 7, size = 1;

	if (mode == 3)
		return 1;
	if (low == 4) {
		if (room < 2)
			return 2;
		size = 2;
		if (mode == 0 && (code[1] & 7) == 5)
			size += 4;
	} else if (mode == 0 && low == 5) {
		size += 4;
	}
	return size + (mode == 1 ? 1 : mode == 2 ? 4 : 0);
}

/* The bytes behind the opcode of an instruction with a vex or evex prefix; -1 if there is none such. */
static int vector_size(int map, uint8_t opcode, const uint8_t *rest, int room)
{
	if (map == 1 && opcode == 0x77)
		return 0;
	if (map == 4 || map == 0 || map > 6 || room < 1)
		return -1;
	int immediate = map == 3 || (map == 1 && two_byte[opcode] == (M | B));
	return modrm_size(rest, room) + immediate;
}

/* The size of the instruction, 0 if there is none (or it is not known); its opcode is at *opcode_at, its ModRM byte at
 * *modrm_at (0: it has none). */
static int instruction_size(const uint8_t *code, int room, int *opcode_at, int *modrm_at)
{
	struct prefixes p;
	int form, at, size;

	*modrm_at = 0;
	if (room > LENGTH_MAX)
		room = LENGTH_MAX;
	*opcode_at = at = read_prefixes(code, room, &p);
	if (at >= room)
		return 0;
	int wide = (p.rex & 8) != 0;
	uint8_t opcode = code[at++];
	form = one_byte[opcode];
	if (form == SPECIAL) {
		switch (opcode) {
		case 0x0f:
			if (at >= room)
				return 0;
			opcode = code[at++];
			form = two_byte[opcode];
			if (form == SPECIAL && (opcode == 0x38 || opcode == 0x3a)) {
				at++; /* the third byte */
				form = opcode == 0x38 ? M : M | B;
			} else if (form == SPECIAL) {
				form = p.operand || p.repeat == 0xf2 ? X : M;
			}
			break;
		case 0x62: /* evex */
			if (at + 4 > room || (size = vector_size(code[at] & 7, code[at + 3], code + at + 4, room - at - 4)) < 0)
				return 0;
			*modrm_at = size ? at + 4 : 0;
			at += 4 + size;
			return at <= room ? at : 0;
		case 0xc4:
			if (at + 3 > room ||
			    (size = vector_size(code[at] & 31, code[at + 2], code + at + 3, room - at - 3)) < 0)
				return 0;
			*modrm_at = size ? at + 3 : 0;
			at += 3 + size;
			return at <= room ? at : 0;
		case 0xc5:
			if (at + 2 > room || (size = vector_size(1, code[at + 1], code + at + 2, room - at - 2)) < 0)
				return 0;
			*modrm_at = size ? at + 2 : 0;
			at += 2 + size;
			return at <= room ? at : 0;
		case 0x8f:
			form = at < room && !(code[at] & 0x38) ? M : X;
			break;
		case 0xf6:
		case 0xf7:
			if (at >= room)
				return 0;
			form = M | (code[at] & 0x30 ? 0 : opcode == 0xf6 ? B : Z);
			break;
		default: /* mov with a full address or a full constant */
			form = 0;
			if (opcode < 0xb0)
				at += p.address ? 4 : 8;
			else
				at += wide ? 8 : p.operand ? 2 : 4;
		}
	}
	/* Processors do not agree on relative jumps with an operand prefix. */
	if ((form & X) || ((form & R) && p.operand && !wide))
		return 0;
	if (form & M) {
		if (at >= room)
			return 0;
		*modrm_at = at;
		at += modrm_size(code + at, room - at);
	}
	at += (form & B ? 1 : 0) + (form & W ? 2 : 0) + (form & R ? 4 : 0);
	if (form & Z)
		at += p.operand && !wide ? 2 : 4;
	return at <= room ? at : 0;
}

/* Instructions with which nothing that is known goes on: int3, int, int1, hlt, far and callee-clean returns, iret, loop,
 * jrcxz, port input and output; xbegin (which shares its opcode with mov). */
static int is_barrier(const uint8_t *code)
{
	uint8_t opcode = code[0];

	if (opcode == 0x0f) { /* system calls and returns, undefined instructions, counters, ... */
		static const uint8_t list[] = {0x00, 0x01, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0b,
					       0x30, 0x34, 0x35, 0xaa, 0xb9, 0xff};
		return memchr(list, code[1], sizeof list) != NULL;
	}
	if (opcode == 0xff) /* indirect jumps */
		return (code[1] >> 3 & 7) == 4 || (code[1] >> 3 & 7) == 5;
	if (opcode == 0xc7)
		return code[1] == 0xf8;
	static const uint8_t list[] = {0xcc, 0xcd, 0xf1, 0xf4, 0xc2, 0xca, 0xcb, 0xcf};
	return memchr(list, opcode, sizeof list) || (opcode >= 0xe0 && opcode < 0xe8) ||
	       (opcode >= 0xec && opcode < 0xf0);
}

static int32_t relative(const uint8_t *from, const uint8_t *end)
{
	int32_t value;

	if (end - from == 1)
		return (int8_t)*from;
	memcpy(&value, from, sizeof value);
	return value;
}

/* How the instruction passes control on; *step has its size. */
static void describe(const uint8_t *code, int opcode_at, struct step *step)
{
	static const uint8_t canary[] = {0x25, 0x28, 0, 0, 0};
	const uint8_t *end = code + step->size;
	const uint8_t *opcode = code + opcode_at;

	step->kind = PLAIN;
	step->target = step->condition = step->guard = 0;
	if (*opcode == 0xc3) {
		step->kind = RETURN;
	} else if (*opcode == 0xe9 || *opcode == 0xeb) {
		step->kind = JUMP;
		step->target = relative(opcode + 1, end);
	} else if ((*opcode & 0xf0) == 0x70) {
		step->kind = BRANCH;
		step->target = relative(opcode + 1, end);
		step->condition = *opcode & 15;
	} else if (*opcode == 0x0f && (opcode[1] & 0xf0) == 0x80) {
		step->kind = BRANCH;
		step->target = relative(opcode + 2, end);
		step->condition = opcode[1] & 15;
	} else if (*opcode == 0xe8 || (*opcode == 0xff && ((opcode[1] >> 3 & 7) == 2 || (opcode[1] >> 3 & 7) == 3))) {
		step->kind = CALL;
	} else if (is_barrier(opcode)) {
		step->kind = BARRIER;
	} else {
		step->guard = code[0] == 0x64 && step->size >= 5 && !memcmp(end - 5, canary, 5);
	}
}

#endif
