/* Takes the section of notes apart. The format of a note is described in notes.py, which has the structs once more.
 *
 * Where a variable is at a point is decoded from the one instruction that the assembler made of its operand. The transform
 * writes movq %q0,%rax (VALUE of an integer or pointer, POINTER), movups %0,%xmm0 (VALUE of a floating point number) or
 * leaq %0,%rax (OBJECT, MEMORY). The assembler is free in the encoding, so all forms that it makes are read here, and any
 * other is an error: a wrong guess would restore a wrong value.
 *
 * The bytes are in a section that is not loaded. A displacement relative to %rip was therefore resolved as if the
 * instruction ran at the address of that section (0) plus its offset; the target is found by undoing just that. Operands
 * may be slots of the global offset table (movq x@GOTPCREL(%rip)): the linker keeps these loads in such sections as they
 * are, so that the value is in memory at the slot.
 */

#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { RECORD = 44, OPERAND = 10 }; /* bytes; an instruction follows an operand */

enum { VALUE, OBJECT, POINTER, MEMORY };		/* enum upstare_operand_kind */
enum { SIZED = 3 };					/* the last of enum upstare_operand_sort */
enum { REG, XMM, IMM, MEM, MEM_RIP, MEM_FS, NO_PLACE };	/* enum upstare_operand_place */
enum { NO_REGISTER = 0xff };

enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8 };

/* Why an instruction is none that an operand can be: of _REASONS of notes.py. */
enum reason {
	NO_REASON,
	CUT_SHORT,
	LEFT_OVER,
	RELATIVE_TO_GS,
	OTHER_OPCODE,
	OTHER_TARGET,
	ADDRESS_OF_REGISTER,
	FS_AND_RIP,
	OTHER_KIND,
};

struct note {
	uint64_t address, label, resume, function;
	uint32_t point, line, operand, n_operands, flags, part;
};

/* struct upstare_operand of c_runtime/include/upstare_abi.h */
struct operand {
	uint8_t kind, place, base, index, scale, high;
	uint16_t sort;
	uint32_t offset, size;
	int64_t value;
};

struct counts {
	int64_t notes, operands;
};

/* What could not be decoded: which operand, and its instruction. */
struct fault {
	int64_t note, at;
	int32_t size, reason;
};

/* An instruction that is being read. */
struct code {
	const uint8_t *bytes;
	uint32_t size, at;
	uint64_t address; /* of the first byte */
	uint8_t rex, segment;
	enum reason reason; /* the first thing that is wrong */
};

static void refuse(struct code *c, enum reason reason)
{
	if (!c->reason)
		c->reason = reason;
}

static uint8_t byte(struct code *c)
{
	if (c->at < c->size)
		return c->bytes[c->at++];
	refuse(c, CUT_SHORT);
	return 0;
}

static int64_t number(struct code *c, uint32_t size)
{
	int64_t value = 0;

	if (c->size - c->at < size) {
		refuse(c, CUT_SHORT);
		return 0;
	}
	memcpy(&value, c->bytes + c->at, size);
	c->at += size;
	return size == 1 ? (int8_t)value : size == 4 ? (int32_t)value : value;
}

/* The r/m operand, of an instruction that goes to %rax or %xmm0. `place`: what a register is, NO_PLACE if it may not be
 * one. */
static void read_rm(struct code *c, struct operand *o, uint8_t place)
{
	uint8_t modrm = byte(c), mode = modrm >> 6, low = modrm & 7;

	if (modrm & 0x38 || c->rex & REX_R)
		refuse(c, OTHER_TARGET);
	o->base = low | (c->rex & REX_B) << 3;
	if (mode == 3) {
		o->place = place;
		if (place == NO_PLACE)
			refuse(c, ADDRESS_OF_REGISTER);
		return;
	}
	o->place = c->segment == 0x64 ? MEM_FS : MEM;
	o->index = NO_REGISTER;
	o->scale = 1;
	if (low == 4) {
		uint8_t sib = byte(c), index = (sib >> 3 & 7) | (c->rex & REX_X) << 2;
		o->base = (sib & 7) | (c->rex & REX_B) << 3;
		if (index != 4) {
			o->index = index;
			o->scale = 1 << (sib >> 6);
		}
		if ((sib & 7) == 5 && mode == 0) {
			o->base = NO_REGISTER;
			o->value = number(c, 4);
			return;
		}
	} else if (low == 5 && mode == 0) {
		if (c->segment == 0x64)
			refuse(c, FS_AND_RIP);
		o->place = MEM_RIP;
		o->base = NO_REGISTER;
		o->value = number(c, 4);
		o->value += c->address + c->at;
		return;
	}
	o->value = mode == 1 ? number(c, 1) : mode == 2 ? number(c, 4) : 0;
}

/* The other direction of a move between registers: the operand is in the reg field. */
static void read_reg(struct code *c, struct operand *o, uint8_t place)
{
	uint8_t modrm = byte(c);

	if ((modrm & 0xc7) != 0xc0 || c->rex & REX_B)
		refuse(c, OTHER_TARGET);
	o->place = place;
	o->base = (modrm >> 3 & 7) | (c->rex & REX_R) << 1;
}

static void read_immediate(struct code *c, struct operand *o, uint32_t size)
{
	o->place = IMM;
	o->value = number(c, size);
}

static void read_value(struct code *c, struct operand *o, uint8_t opcode)
{
	int wide = c->rex & REX_W;

	if (opcode == 0x0f && o->kind == VALUE) { /* movups */
		opcode = byte(c);
		if (opcode == 0x10)
			read_rm(c, o, XMM);
		else if (opcode == 0x11)
			read_reg(c, o, XMM);
		else
			refuse(c, OTHER_OPCODE);
	} else if (opcode == 0x8b && wide) {
		read_rm(c, o, REG);
	} else if (opcode == 0x89 && wide) {
		read_reg(c, o, REG);
	} else if (opcode == 0xc7 && wide && !(c->rex & REX_B) && byte(c) == 0xc0) {
		read_immediate(c, o, 4);
	} else if (opcode == 0xb8 && !(c->rex & REX_B)) { /* movabs $imm64,%rax or mov $imm32,%eax */
		read_immediate(c, o, wide ? 8 : 4);
		if (!wide)
			o->value = (uint32_t)o->value;
	} else if (opcode == 0x31 && !(c->rex & (REX_B | REX_R)) && byte(c) == 0xc0) { /* xor %eax,%eax (as -O) */
		o->place = IMM;
	} else {
		refuse(c, OTHER_OPCODE);
	}
}

/* Where the operand of this kind is, of which these bytes are all of the instruction. */
EXPORT int decode_operand(uint8_t kind, const uint8_t *bytes, uint32_t size, uint64_t address, struct operand *o)
{
	struct code c = {bytes, size, 0, address, 0, 0, NO_REASON};
	uint8_t opcode;

	*o = (struct operand){.kind = kind};
	if (kind > MEMORY)
		return OTHER_KIND;
	opcode = byte(&c);
	/* Prefixes of segments; only %fs has a meaning for us. */
	while (opcode == 0x64 || opcode == 0x65 || opcode == 0x2e || opcode == 0x3e || opcode == 0x26 || opcode == 0x36) {
		c.segment = opcode;
		if (opcode == 0x65)
			refuse(&c, RELATIVE_TO_GS);
		opcode = byte(&c);
	}
	if ((opcode & 0xf0) == 0x40) {
		c.rex = opcode;
		opcode = byte(&c);
	}
	if (kind == VALUE || kind == POINTER)
		read_value(&c, o, opcode);
	else if (opcode == 0x8d && c.rex & REX_W)
		read_rm(&c, o, NO_PLACE);
	else
		refuse(&c, OTHER_OPCODE);
	if (c.at != size)
		refuse(&c, LEFT_OVER);
	return c.reason;
}

/* The bytes of the operand at a place, or 0 if the section ends before it does. */
static uint32_t operand_size(const uint8_t *data, uint64_t size, uint64_t at)
{
	return at + OPERAND <= size && at + OPERAND + data[at + 1] <= size ? OPERAND + data[at + 1] : 0;
}

/* How many notes and operands there are, those without an address left out; 0 if the section is cut short. */
EXPORT int count_notes(const uint8_t *data, uint64_t size, struct counts *counts)
{
	*counts = (struct counts){0, 0};
	for (uint64_t at = 0; at < size;) {
		uint64_t address;
		uint16_t n;
		if (at + RECORD > size)
			return 0;
		memcpy(&address, data + at, sizeof address);
		memcpy(&n, data + at + 40, sizeof n);
		at += RECORD;
		for (uint16_t i = 0; i < n; i++) {
			uint32_t length = operand_size(data, size, at);
			if (!length)
				return 0;
			at += length;
		}
		if (address) {
			counts->notes++;
			counts->operands += n;
		}
	}
	return 1;
}

/* The notes in a section at this address that count_notes has looked through, and their operands; 0 if one cannot be
 * decoded. */
EXPORT int take_notes(const uint8_t *data, uint64_t size, uint64_t address, struct note *notes, struct operand *operands,
		      struct fault *fault)
{
	uint32_t n_operands = 0, n_notes = 0;

	for (uint64_t at = 0; at < size;) {
		uint64_t quads[4];
		uint32_t longs[2];
		uint16_t n;
		const uint8_t *record = data + at;
		memcpy(quads, record, sizeof quads);
		memcpy(longs, record + 32, sizeof longs);
		memcpy(&n, record + 40, sizeof n);
		if (quads[0])
			notes[n_notes++] = (struct note){quads[0], quads[1], quads[2], quads[3], longs[0],
							 longs[1], n_operands, n, record[42], record[43]};
		at += RECORD;
		for (uint16_t i = 0; i < n; i++) {
			uint32_t length = operand_size(data, size, at), code = length - OPERAND;
			struct operand *o = &operands[n_operands];
			if (quads[0]) {
				int reason = decode_operand(data[at] & 15, data + at + OPERAND, code,
							    address + at + OPERAND, o);
				o->sort = data[at] >> 4;
				if (o->sort > SIZED)
					reason = OTHER_KIND;
				memcpy(&o->offset, data + at + 2, sizeof o->offset);
				memcpy(&o->size, data + at + 6, sizeof o->size);
				if (reason) {
					*fault = (struct fault){n_notes - 1, at + OPERAND, code, reason};
					return 0;
				}
				n_operands++;
			}
			at += length;
		}
	}
	return 1;
}
