/*
 * What there is to do once, when the runtime wakes: before that nobody asks for it.
 */
#define _GNU_SOURCE
#include <link.h>

#include "blocking.h"
#include "runtime.h"
#include "signals.h"

extern const struct upstare_image_info upstare_image_self __attribute__((weak, visibility("hidden")));

const struct upstare_image_info *ups_self_info(void) {
  static const struct upstare_image_info unknown = {.abi = UPSTARE_ABI, .program = "?", .version = "?"};
  const struct upstare_image_info *info = &upstare_image_self;
  __asm__("" : "+r"(info)); /* the compiler must not know that an object has an address */
  return info ? info : &unknown;
}

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden"))); /* by the linker */

/* Where the executable is, less where its headers say. */
static uintptr_t bias_of_executable(void) {
  const ElfW(Ehdr) *header = &__ehdr_start;
  const ElfW(Phdr) *segments = (const ElfW(Phdr) *)((const char *)header + header->e_phoff);
  for (unsigned i = 0; i < header->e_phnum; i++)
    if (segments[i].p_type == PT_LOAD && segments[i].p_offset == 0) return (uintptr_t)header - segments[i].p_vaddr;
  return 0;
}

static void note_executable(void) {
  static struct ups_image executable;
  executable.info = ups_self_info();
  executable.has_run = true;
  executable.bias = bias_of_executable();
  atomic_store(&ups_images[0], &executable);
  atomic_store(&ups_images_count, 1);
  atomic_store(&ups_current, &executable);
}

bool ups_woken(void) {
  if (!ups_far_bind()) return false;
  ups_walk_init();
  note_executable();
  ups_trap_install();
  ups_issue = ups_call_issue_watched;
  return true;
}
