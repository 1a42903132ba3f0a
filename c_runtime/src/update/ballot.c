/*
 * The decision of an update, the same for all processes of it: one word in memory that they share with the coordinator.
 *
 * Once a process has voted yes it may not go on by itself, and must not wait for ever either. Whoever changes the word
 * first decides for all: the first agent that is told to commit, or the first that finds the coordinator gone or too
 * late. So there is no moment at which the death of anybody could leave two versions behind.
 */
#include "ballot.h"

#include <sys/mman.h>
#include <sys/stat.h>

#define BYTES 4096u
#ifndef F_GET_SEALS
#define F_GET_SEALS 1034
#endif
#define SEAL_SHRINK 2

enum { OPEN, COMMITTED, ABORTED };

static _Atomic(uint32_t) *word;

bool ups_ballot_open(int fd) {
  struct stat file;
  ups_ballot_close();
  if (fd < 0 || fstat(fd, &file) != 0 || file.st_size < (off_t)sizeof *word) return false;
  int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & SEAL_SHRINK) == 0) return false; /* a file that is cut off kills whoever reads it */
  void *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (memory == MAP_FAILED) return false;
  word = memory;
  return true;
}

void ups_ballot_close(void) {
  if (word != NULL) munmap((void *)word, BYTES);
  word = NULL;
}

bool ups_ballot_decided(void) {
  return word != NULL && atomic_load(word) != OPEN;
}

bool ups_ballot_cast(bool commit) {
  uint32_t open = OPEN;
  if (word == NULL) return commit;
  if (atomic_compare_exchange_strong(word, &open, commit ? COMMITTED : ABORTED)) return commit;
  return open == COMMITTED;
}
