/*
 * The runtime's own memory, and the few primitives that everything stands on.
 *
 * Nothing here touches the program's allocator: it may be transformed itself, or be locked by a thread that is stopped.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sys/mman.h>

#include "direct.h"
#include "runtime.h"

/* Every mapping of ours begins with one of these, so that a scan of the program's memory can leave them out.
 * Protected by `maps_lock`. */
struct map {
  struct map *next;
  size_t size; /* of the whole mapping */
  struct map *spare;
  uint64_t padding[5];
};
_Static_assert(sizeof(struct map) == 64, "what follows stays aligned");

static struct map *maps;
static struct map *spare; /* some of them, of a page each, that are not in use */
static unsigned spares;
static struct ups_lock maps_lock;

struct ups_chunk {
  struct ups_chunk *next;
  size_t size, used;
  size_t padding;
  alignas(16) unsigned char bytes[];
};

#define CHUNK_BYTES ((size_t)64 * 1024)
#define PAGE 4096u
#define SPARES_MOST 8u

int ups_gettid(void) {
  return (int)ups_direct_plain(SYS_gettid);
}

uint64_t ups_now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

void ups_futex_wait(_Atomic(uint32_t) *word, uint32_t value, uint64_t deadline_us) {
  if (ups_awake() && ups_guest_wait(word, value)) return;
  struct timespec deadline = {(time_t)(deadline_us / 1000000u), (long)(deadline_us % 1000000u) * 1000};
  syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value, deadline_us ? &deadline : NULL, NULL,
          FUTEX_BITSET_MATCH_ANY);
}

void ups_futex_wake(_Atomic(uint32_t) *word, int count) {
  syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, NULL, NULL, 0);
  if (ups_awake()) ups_guest_woken(word);
}

/* 0 free, 1 held, 2 held and somebody waits. */
void ups_lock(struct ups_lock *lock) {
  uint32_t old = 0;
  if (atomic_compare_exchange_strong_explicit(&lock->word, &old, 1, memory_order_acquire, memory_order_relaxed)) return;
  while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire) != 0) ups_futex_wait(&lock->word, 2, 0);
}

void ups_unlock(struct ups_lock *lock) {
  if (atomic_exchange_explicit(&lock->word, 0, memory_order_release) == 2) ups_futex_wake(&lock->word, 1);
}

#define BIT(signal) (1ul << ((signal) - 1))
#define ALL_SIGNALS (~(BIT(SIGTRAP) | BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGILL) | BIT(SIGFPE)))

void ups_signals_all(sigset_t *set) {
  memset(set, 0xff, sizeof *set);
  *(unsigned long *)set = ALL_SIGNALS;
}

void ups_signals_block(sigset_t *old) {
  unsigned long all = ALL_SIGNALS;
  memset(old, 0, sizeof *old);
  ups_direct(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)old, sizeof all);
}

void ups_signals_restore(const sigset_t *old) {
  ups_direct(SYS_rt_sigprocmask, SIG_SETMASK, (long)old, 0, 8);
}

/* While threads stand still: giving a page back to the kernel and getting it again interrupts other processors. */
static void *take_spare(void) {
  ups_lock(&maps_lock);
  struct map *map = spare;
  if (map != NULL) {
    spare = map->spare;
    spares--;
  }
  ups_unlock(&maps_lock);
  return map != NULL ? memset(map + 1, 0, PAGE - sizeof *map) : NULL;
}

static bool keep_spare(struct map *map) {
  bool kept = false;
  ups_lock(&maps_lock);
  if (map->size == PAGE && spares < SPARES_MOST) {
    map->spare = spare;
    spare = map;
    spares++;
    kept = true;
  }
  ups_unlock(&maps_lock);
  return kept;
}

void *ups_map(size_t size) {
  size_t whole = (size + sizeof(struct map) + PAGE - 1) & ~(size_t)(PAGE - 1);
  if (whole < size) return NULL;
  void *memory = whole == PAGE ? take_spare() : NULL;
  if (memory != NULL) return memory;
  struct map *map = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) return NULL;
  map->size = whole;
  ups_lock(&maps_lock);
  map->next = maps;
  maps = map;
  ups_unlock(&maps_lock);
  return map + 1;
}

void ups_unmap(void *memory) {
  if (memory == NULL) return;
  struct map *map = (struct map *)memory - 1;
  if (keep_spare(map)) return;
  ups_lock(&maps_lock);
  for (struct map **link = &maps; *link != NULL; link = &(*link)->next) {
    if (*link == map) {
      *link = map->next;
      break;
    }
  }
  ups_unlock(&maps_lock);
  munmap(map, map->size);
}

size_t ups_map_list(struct ups_extent *list, size_t room) {
  size_t count = 0;
  ups_lock(&maps_lock);
  for (const struct map *map = maps; map != NULL; map = map->next, count++)
    if (count < room) list[count] = (struct ups_extent){(uintptr_t)map, (uintptr_t)map + map->size};
  ups_unlock(&maps_lock);
  return count;
}

bool ups_arena_reserve(struct ups_chunk **arena, size_t size) {
  struct ups_chunk *chunk = *arena;
  if (chunk != NULL && chunk->size - chunk->used >= size) return true;
  size_t room = size > CHUNK_BYTES - 256 ? size : CHUNK_BYTES - 256;
  chunk = ups_map(sizeof *chunk + room);
  if (chunk == NULL) return false;
  chunk->size = room;
  chunk->next = *arena;
  *arena = chunk;
  return true;
}

void *ups_arena_take(struct ups_chunk **arena, size_t size) {
  size_t need = (size + 15) & ~(size_t)15;
  if (need < size || !ups_arena_reserve(arena, need)) return NULL;
  struct ups_chunk *chunk = *arena;
  unsigned char *piece = chunk->bytes + chunk->used;
  chunk->used += need;
  memset(piece, 0, need);
  return piece;
}

void ups_arena_reset(struct ups_chunk **arena) {
  struct ups_chunk *chunk = *arena;
  if (chunk == NULL) return;
  while (chunk->next != NULL) {
    struct ups_chunk *next = chunk->next;
    ups_unmap(chunk);
    chunk = next;
  }
  chunk->used = 0;
  *arena = chunk;
}

void ups_memory_hold(void) { ups_lock(&maps_lock); }

void ups_memory_let_go(void) { ups_unlock(&maps_lock); }

void ups_memory_child(void) { atomic_store_explicit(&maps_lock.word, 0, memory_order_release); }
