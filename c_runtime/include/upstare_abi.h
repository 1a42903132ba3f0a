/*
 * The contract between generated code, the tables that the linker step makes, and the runtime.
 *
 * Everything here is read by three parties: transforms/ (prints calls to these functions into the user's units),
 * upstare/points/ (writes the tables) and c_runtime/src/ (runs them). Change it in one commit, with UPSTARE_ABI.
 */
#ifndef UPSTARE_ABI_H
#define UPSTARE_ABI_H

#include <stdint.h>

#define UPSTARE_ABI 6u

/* ---- Frames ------------------------------------------------------------------------------------------------------ */

/* Where a frame goes on. AFTER: the call at the point had returned (or the point is not a call).
 * IN_CALL: the callee was unrolled too; the resume clone first resumes the callee's frame. */
enum upstare_phase { UPSTARE_AFTER = 0, UPSTARE_IN_CALL = 1 };

/*
 * The data of a frame is one block of bytes, laid out by the transform (the version description has the layout).
 * A *value* slot holds the bytes of a variable at its offset.
 * A *kept* slot (array, or local whose address is taken) is 16-aligned: 8 bytes of address, 8 bytes of size (SIZED
 * only), then the bytes of the object. The address is where the object lives and goes on living: its bytes stay there all
 * the time, and the runtime writes to them only if a mapping put other bytes into the slot. Address 0 means that the
 * object gets new storage in the resumed frame (its type changed): the resume clone then copies the bytes itself.
 */
#define UPSTARE_KEPT_HEADER 16u

/* What a kept slot is about, besides the object in it. All of the memory meant stays where it is. */
enum upstare_sort {
  UPSTARE_OBJECT_ONLY = 0,
  UPSTARE_ARGUMENTS = 1, /* the object is a va_list of the function's own variable arguments; they are kept, too */
  UPSTARE_CHAIN = 2,     /* no bytes; the address is that of the newest block of alloca: struct upstare_block, or 0 */
  UPSTARE_SIZED = 3      /* no bytes in the slot; the object (a variable-length array) is as large as the slot says */
};

/* In front of every block that a function gets from alloca. */
struct upstare_block {
  struct upstare_block *older; /* of the same frame */
  uint64_t size;               /* bytes behind this header */
};

/* ---- Called by generated code ------------------------------------------------------------------------------------ */

/* Flag scheme only. Nonzero while an update or a storm is pending; tested at every point. */
extern volatile int upstare_flag;

/* Flag scheme only, out of line: what to do at a point with the flag up. Returns 0 to go on, 1 to save and return.
 * May park the thread for a while. Preserves errno. */
int upstare_at_point(void);

/* Flag scheme only: begin saving a frame; returns its data (`size` bytes, 16-aligned, zeroed). */
unsigned char *upstare_save(uint64_t function, uint32_t point, uint32_t size);

/* Flag scheme only: save a kept object of `size` bytes at `address` into the slot at `offset`; `sort` is an enum
 * upstare_sort. SIZED: the size is in the slot already. */
void upstare_save_kept(unsigned char *data, uint32_t offset, const void *address, uint64_t size, uint32_t sort);

/* First thing in a resume clone: the data of the frame to resume; its point and phase. */
const unsigned char *upstare_resume_begin(uint32_t *point, uint32_t *phase);

/* Instead of it in a function that calls setjmp. Its clone brings the buffers that lead into the frame up to date before
 * it says that it is ready: a signal handler may use them. */
const unsigned char *upstare_resume_hold(uint32_t *point, uint32_t *phase);
void upstare_resume_ready(void);

/* A call of setjmp leaves a record in its frame, which is an object that keeps its address: the address of the buffer
 * (0: not called yet), the eight words that were written to it, and whether it is a whole jmp_buf. Then its last three
 * words are the record's address, and copies of its eighth and seventh. The words at `fresh` take the place of the
 * record's eight, and of the buffer's if those are the same. */
#define UPSTARE_JUMP_WORDS 25
void upstare_rearm(volatile unsigned long *record, const unsigned long *fresh);

/* The resume clone of the callee to resume (phase IN_CALL): cast to `T (*)(void)` and call it. */
void (*upstare_resume_callee(void))(void);

/* ---- Tables (sections of the executable or patch that are not loaded, little endian, x86-64) ---------------------- */

#define UPSTARE_SECTION_NOTES ".upstare_notes"       /* raw notes; consumed and removed by the link step */
#define UPSTARE_SECTION_TABLE ".upstare.points"      /* struct upstare_table */
#define UPSTARE_SECTION_DESCRIPTION ".upstare.desc"  /* the version description (zstd JSON and blobs) */

#define UPSTARE_TABLE_MAGIC 0x31545055u /* "UPT1" */

enum upstare_scheme { UPSTARE_SCHEME_TRAP = 0, UPSTARE_SCHEME_FLAG = 1 };

/* Header; the arrays follow at byte offsets from the start of the table. Addresses are link-time addresses. */
struct upstare_table {
  uint32_t magic, abi;
  uint32_t size;   /* bytes of the whole table */
  uint32_t scheme; /* enum upstare_scheme */
  uint8_t build[32]; /* digest of the version, see upstare_image_info */
  uint32_t n_functions, functions; /* struct upstare_function[], sorted by id */
  uint32_t n_points, points;       /* struct upstare_point[], sorted by address */
  uint32_t n_returns, returns;     /* struct upstare_return[], sorted by address */
  uint32_t n_operands, operands;   /* struct upstare_operand[] */
  uint32_t n_ranges, ranges;       /* struct upstare_range[], sorted: text of transformed units */
  uint32_t n_bindings, bindings;   /* struct upstare_binding[], sorted by name */
  uint32_t n_names, names;         /* bytes of the string pool (NUL-terminated strings) */
};

struct upstare_function {
  uint64_t id;         /* first 8 bytes (big endian) of SHA-256 of "unit:name" */
  uint64_t resume;     /* address of the resume clone; 0: it is in the twin of this image */
  uint32_t frame_size; /* bytes of frame data */
  uint32_t name;       /* offset into the names, "name" */
};

/* `next`: what runs when the dummy return is taken at this copy of the point. */
#define UPSTARE_NEXT_RETURN (-1)  /* the physical function returns to its caller */
#define UPSTARE_NEXT_UNKNOWN (-2) /* not provable: this copy must not be unrolled */

struct upstare_point {
  uint64_t address; /* of the no-op of one byte, or prefix (TRAP), or of the flag test (FLAG) */
  uint64_t label;   /* where the dummy return begins (TRAP); 0 for FLAG */
  uint64_t function;
  uint32_t point;   /* number of the point in its function, from 1 */
  uint32_t line;    /* source line; 0 unknown */
  uint32_t operand; /* index of the first operand */
  uint16_t n_operands;
  uint16_t flags;   /* enum upstare_point_flags */
  int32_t next;     /* index of the point of the inlining function reached next, or UPSTARE_NEXT_* */
  uint32_t part;    /* chunks of one point: counts down to 0, the last or only one; each is at the label of the one before */
};

enum upstare_point_flags {
  UPSTARE_POINT_CALL = 1,
  UPSTARE_POINT_LOOP = 2,
  UPSTARE_POINT_ENTRY = 4,
  UPSTARE_POINT_PREFIX = 8 /* the byte is a prefix of the instruction behind it, which also stands without it */
};

/* A return address in transformed code. point: index of the point that is reached with no branch or call between;
 * UPSTARE_NEXT_RETURN: a pure epilogue (a tail call that stayed a call): no frame. Others are not in the table. */
struct upstare_return {
  uint64_t address;
  int32_t point;
  uint32_t reserved;
};

struct upstare_range { uint64_t begin, end; };

/* A variable, slot or stable entry of an executable that patches share with it. The dynamic linker does not know it: its
 * tables would take memory in every process, updated or not. */
struct upstare_binding {
  uint64_t address;
  uint32_t name; /* offset into the names */
  uint32_t reserved;
};

enum upstare_operand_kind {
  UPSTARE_VALUE = 0,   /* bytes of a variable -> value slot */
  UPSTARE_OBJECT = 1,  /* operand is the object in memory: kept slot (address and bytes) */
  UPSTARE_POINTER = 2, /* operand is a pointer to the object: kept slot (address and bytes) */
  UPSTARE_MEMORY = 3   /* operand is a variable in memory of any size -> value slot */
};

/* Where the operand is: register numbers are those of the x86-64 encoding (0 rax, 1 rcx, 2 rdx, 3 rbx, 4 rsp ...). */
enum upstare_place {
  UPSTARE_REG = 0,     /* general register `base`; `high` set: bits 8..15 (ah..bh) */
  UPSTARE_XMM = 1,     /* xmm register `base` */
  UPSTARE_IMM = 2,     /* the constant `value` */
  UPSTARE_MEM = 3,     /* memory at base + index * scale + value; base/index 0xff: none */
  UPSTARE_MEM_RIP = 4, /* memory at link-time address `value` (plus load base) */
  UPSTARE_MEM_FS = 5   /* memory at %fs + base + index * scale + value */
};

struct upstare_operand {
  uint8_t kind;  /* enum upstare_operand_kind */
  uint8_t place; /* enum upstare_place */
  uint8_t base, index, scale, high;
  uint16_t sort;   /* enum upstare_sort; OBJECT and POINTER only */
  uint32_t offset; /* of the slot in the frame data */
  uint32_t size;   /* bytes of the variable or object */
  int64_t value;
};

/* ---- What an image says of itself (loaded) ----------------------------------------------------------------------- */

/* Defined once in each image (hidden symbol `upstare_image_self`), by code generated at link time. */
struct upstare_image_info {
  uint32_t abi;
  uint32_t scheme;
  uint8_t build[32];   /* SHA-256 over all units (path, flags, text) and the options of the transform */
  const char *program; /* base name of the executable */
  const char *version; /* what the user calls this version (UPSTARE_VERSION at build time, or the base name) */
  uint32_t apart;      /* 1: it has no resume clones, its twin has them (`from` and `to` of the twin are this build) */
};

/* ---- What a patch exports (symbol `upstare_patch`, found with dlsym) ---------------------------------------------- */

struct upstare_context; /* the runtime's, handed through to generated transformers */

/* Problems a transformer reports end the update before commit. `what` is copied. */
void upstare_refuse(struct upstare_context *context, const char *what);

/* Old continuation -> new continuation. Sorted by (function, point). The phase is kept.
 * map == 0: the frame data of both versions have the same layout; copy. Returns 0, or -1 after upstare_refuse. */
struct upstare_continuation {
  uint64_t function;
  uint64_t new_function;
  uint32_t point, new_point;
  uint32_t new_size;
  uint32_t flags; /* bit 0: only phase AFTER can be mapped (the call is gone); bit 1: only IN_CALL */
  int (*map)(const unsigned char *old_data, unsigned char *new_data, struct upstare_context *context);
};

/* An object that moves (its type changed): old storage -> new storage. Nothing may point into the old one: the runtime
 * scans for such pointers when all threads are stopped and refuses the update if it finds any. */
struct upstare_move {
  const char *name;      /* as the user knows it, for messages */
  const char *old_type, *new_type;
  void *old_object;      /* bound by symbol; 0: a new object without a predecessor */
  void *new_object;
  uint64_t old_size, new_size;
  int (*transform)(const void *old_object, void *new_object, struct upstare_context *context);
};

/* An object that the old version does not have, or whose storage may be stale: reset to its initial value. */
struct upstare_initial {
  void *object;        /* bound by symbol */
  const void *initial; /* the pristine bytes in this image; 0: zeros */
  uint64_t size;
};

/* The slot behind a function's stable entry, and the function of the target version (0: function is gone). */
struct upstare_entry {
  void **slot;
  void (*function)(void);
};

/* A function of the user's that counts the messages of a type that are on their way, in a format which the target version
 * does not know. It is called when all processes of the update have prepared. Anything but 0 ends the try. */
struct upstare_check {
  const char *messages; /* the tag of their type */
  int (*in_flight)(struct upstare_context *context);
};

/* A constant that versions would share if the target version had the same one. It has not, so what points to it means
 * nothing there. No frame may: the others, in memory, go on leading to the bytes that they lead to now. */
struct upstare_constant {
  const char *name;   /* with the place of its definition, for messages */
  const void *object; /* bound by symbol */
  uint64_t span;      /* bytes from there to which a pointer may lead, with that behind an array */
};

/* A variable of a frame of the source version, for messages about constants. */
struct upstare_variable {
  uint64_t function;
  uint32_t offset; /* of its slot */
  uint32_t name;   /* offset into the names */
};

struct upstare_direction {
  uint32_t n_continuations, n_moves, n_initials, n_entries, n_checks, n_constants, n_variables;
  const struct upstare_continuation *continuations;
  const struct upstare_move *moves;
  const struct upstare_initial *initials;
  const struct upstare_entry *entries;
  const struct upstare_check *checks;
  const struct upstare_constant *constants;
  const struct upstare_variable *variables;
  const char *names;
};

struct upstare_patch {
  uint32_t abi;
  uint32_t reserved;
  uint8_t from[32], to[32];
  const struct upstare_image_info *image;
  struct upstare_direction forward, backward;
};

#endif
