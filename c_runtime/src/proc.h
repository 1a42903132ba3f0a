/* What the process sees of itself in /proc (update/proc.c). */
#ifndef UPS_PROC_H
#define UPS_PROC_H

#include <stdbool.h>

#pragma GCC visibility push(hidden)

bool ups_proc_is_there(void);
int ups_proc_open(const char *name, int flags); /* a file of our own; -1: not there, or it cannot be opened */

/* Our memory map; -1: nobody lets us see it. The coordinator's descriptor of it is used if we have no /proc. agent. */
int ups_proc_maps(void);
bool ups_proc_lend_maps(int fd);
void ups_proc_take_back(void);

#pragma GCC visibility pop

#endif
