/*
 * Checks a point table against the running program.
 *
 * harness TABLE: scenario() runs again and again. In run N the N-th trap makes the stack be taken apart: the list of
 * points that the table foretells (from the stack as the unwinder sees it, `returns` and `next`) must be the list of the
 * points that then trap, and the operands recorded at each must be what the function itself says they are. All other
 * traps only check their operands and go on. Ends with "ok RUNS REFUSALS", or with a message and status 1.
 */
#define _GNU_SOURCE
#include "notes.h"

#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>
#include <upstare_abi.h>

long scenario(int n);
int scenario_consistent(void);

#define LIST 64
static struct upstare_table *table;
static uintptr_t load_base;
static int traps, trigger, refusals, unrolling, listed, reached, halfway;
static uint32_t list[LIST];

#define ARRAY(type, field) ((struct type *)((char *)table + table->field))

static void fail(const char *what, uintptr_t address) {
  printf("%s at %#lx (run %d)\n", what, (unsigned long)(address - load_base), trigger);
  fflush(stdout);
  _exit(1);
}

int harness_opaque(int x) { return x * 2; }
int harness_call_back(int (*f)(int), int x) { return f(x) + 1; }

static int64_t find_point(uintptr_t address) {
  struct upstare_point *p = ARRAY(upstare_point, points);
  for (uint32_t i = 0; i < table->n_points; i++)
    if (p[i].address == address - load_base)
      return i;
  return -1;
}

static struct upstare_return *find_return(uintptr_t address) {
  struct upstare_return *r = ARRAY(upstare_return, returns);
  for (uint32_t i = 0; i < table->n_returns; i++)
    if (r[i].address == address - load_base)
      return &r[i];
  return 0;
}

/* ---- Operands ---- */

static const int registers[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static const void *place(const struct upstare_operand *o, ucontext_t *u, int64_t *buffer) {
  greg_t *g = u->uc_mcontext.gregs;
  uintptr_t a = (uintptr_t)o->value;
  switch (o->place) {
  case UPSTARE_REG:
    *buffer = g[registers[o->base]];
    return buffer;
  case UPSTARE_XMM:
    return &u->uc_mcontext.fpregs->_xmm[o->base];
  case UPSTARE_IMM:
    *buffer = o->value;
    return buffer;
  case UPSTARE_MEM_RIP:
    return (void *)(a + load_base);
  case UPSTARE_MEM:
    if (o->base != 0xff)
      a += (uintptr_t)g[registers[o->base]];
    if (o->index != 0xff)
      a += (uintptr_t)g[registers[o->index]] * o->scale;
    return (void *)a;
  default:
    fail("operand at %fs", 0);
    return 0;
  }
}

static void check_operands(const struct upstare_point *p, ucontext_t *u) {
  struct upstare_operand *o = ARRAY(upstare_operand, operands) + p->operand;
  int64_t buffer, pointer;
  struct expected *e;
  memcpy(&e, place(o, u, &buffer), sizeof e);
  for (int i = 1; i < p->n_operands; i++) {
    const void *at = place(&o[i], u, &buffer);
    size_t size = o[i].size;
    if (o[i].kind == UPSTARE_OBJECT || o[i].kind == UPSTARE_POINTER) {
      if (o[i].kind == UPSTARE_OBJECT)
        pointer = (int64_t)at;
      else
        memcpy(&pointer, at, sizeof pointer);
      at = &pointer;
      size = sizeof pointer;
    }
    if (memcmp(at, (const void *)&e->slot[o[i].offset / 16], size)) {
      printf("function %lx point %u slot %u: ", (unsigned long)p->function, p->point, o[i].offset / 16);
      fail("wrong operand", p->address + load_base);
    }
  }
}

/* ---- The walk ---- */

__attribute__((noinline, section("harness_run"))) static long run(int n) {
  long r = scenario(n);
  __asm__ volatile("" : "+r"(r));
  return r;
}
extern char __start_harness_run[], __stop_harness_run[];

enum { AT_TRAP, AT_FRAME, COMPLETE, FOREIGN };

struct walk {
  int state;
  uintptr_t trap;
};

static void append(int64_t point, struct walk *w) {
  while (point >= 0) {
    struct upstare_point *p = ARRAY(upstare_point, points) + point;
    if (listed == LIST)
      fail("stack too deep", p->address);
    list[listed++] = (uint32_t)point;
    point = p->next;
  }
  if (point == UPSTARE_NEXT_UNKNOWN)
    w->state = FOREIGN;
}

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *data) {
  struct walk *w = data;
  uintptr_t ip = _Unwind_GetIP(context);
  if (w->state == AT_TRAP) {
    if (ip == w->trap + 1) { /* the frame of the trap itself */
      w->state = AT_FRAME;
      append(find_point(w->trap), w);
    }
    return _URC_NO_REASON;
  }
  if (w->state != AT_FRAME)
    return _URC_END_OF_STACK;
  if (ip >= (uintptr_t)__start_harness_run && ip < (uintptr_t)__stop_harness_run) {
    w->state = COMPLETE;
    return _URC_END_OF_STACK;
  }
  struct upstare_return *r = find_return(ip);
  if (!r)
    w->state = FOREIGN;
  else if (r->point != UPSTARE_NEXT_RETURN)
    append(r->point, w);
  return _URC_NO_REASON;
}

static void on_trap(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)info;
  ucontext_t *u = context;
  uintptr_t address = (uintptr_t)u->uc_mcontext.gregs[REG_RIP] - 1;
  int64_t index = find_point(address);
  if (index < 0)
    fail("trap at no point", address);
  struct upstare_point *p = ARRAY(upstare_point, points) + index;
  check_operands(p, u);
  if (!unrolling) {
    if (++traps != trigger)
      return;
    struct walk w = {AT_TRAP, address};
    listed = reached = 0;
    _Unwind_Backtrace(step, &w);
    if (w.state != COMPLETE) {
      refusals++;
      return;
    }
    unrolling = 1;
  }
  struct upstare_point *told = ARRAY(upstare_point, points) + list[reached];
  if (reached == listed || told->function != p->function || told->point != p->point || (!halfway && told != p))
    fail("not the point that the table foretells", address);
  halfway = p->part != 0; /* then the next part is at the label */
  reached += p->part == 0;
  u->uc_mcontext.gregs[REG_RIP] = (greg_t)(p->label + load_base);
}

/* ---- Start ---- */

static int find_base(struct dl_phdr_info *info, size_t size, void *data) {
  (void)size;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    if (info->dlpi_phdr[i].p_type == PT_LOAD && (uintptr_t)data - begin < info->dlpi_phdr[i].p_memsz) {
      load_base = info->dlpi_addr;
      return 1;
    }
  }
  return 0;
}

static void arm(void) {
  struct upstare_point *p = ARRAY(upstare_point, points);
  for (uint32_t i = 0; i < table->n_points; i++) {
    unsigned char *at = (unsigned char *)(p[i].address + load_base);
    if (mprotect((void *)((uintptr_t)at & ~4095ul), 4096, PROT_READ | PROT_WRITE | PROT_EXEC))
      fail("mprotect", (uintptr_t)at);
    if (*at != (p[i].flags & UPSTARE_POINT_PREFIX ? 0x26 : 0x90))
      fail("no no-op or prefix", (uintptr_t)at);
    *at = 0xcc;
  }
}

int main(int argc, char **argv) {
  FILE *file = argc > 1 ? fopen(argv[1], "rb") : 0;
  table = malloc(1 << 20);
  if (!file || !table || !fread(table, 1, 1 << 20, file))
    return 2;
  fclose(file);
  dl_iterate_phdr(find_base, (void *)scenario);
  long plain = run(20);
  struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
  sigfillset(&action.sa_mask);
  sigaction(SIGTRAP, &action, 0);
  arm();
  for (trigger = 1;; trigger++) {
    traps = unrolling = 0;
    long result = run(20);
    if (!scenario_consistent())
      fail("a store was lost", load_base);
    if (unrolling && reached != listed)
      fail("the stack was taken apart too early", load_base);
    if (!unrolling && result != plain)
      fail("wrong result", load_base);
    if (!unrolling && traps < trigger)
      break;
  }
  printf("ok %d %d\n", trigger - 1, refusals);
  return 0;
}
