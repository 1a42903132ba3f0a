/*
 * The agent: the thread that talks to the coordinator, for as long as that takes. Nothing of it exists otherwise.
 *
 * The coordinator listens on an abstract socket and queues the reserved signal with the number that names it. The
 * handler may be anywhere, so it creates the agent only where that is safe: in the restartable region of a blocking call
 * (through ups_blocking_stop), or in transformed code that only transformed code has called. Elsewhere it remembers the
 * wish, passes the signal on to the other threads, and tells the coordinator where this thread is; the coordinator
 * repeats the signal until the agent connects.
 *
 *   wish      0, or the number of a coordinator that waits
 *   served    1 while there is an agent (or one is being created)
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/poll.h>
#include <sys/socket.h>

#include "blocking.h"
#include "faults.h"
#include "proc.h"
#include "update.h"

#define STACK_BYTES ((size_t)1 << 20)
#define MAGIC 0x4d435055u /* "UPCM" */
#define PROTOCOL 5
#define LOOK_MS 20 /* how long a decision of another process may go unnoticed */
#define GUEST_PATIENCE_MS 15000
#define GLANCE_PATIENCE_US 50000 /* for a look at the threads: they pause meanwhile */

enum op { STATUS = 1, LOAD, STOP, COMMIT, ABORT, ROLLBACK_PREPARE, BYE, FAULT, CHECK, MAPS };

struct request {
  uint32_t magic, op;
  uint64_t a, b;
};

static _Atomic(uint64_t) wish;
static _Atomic(uint32_t) served;
static _Atomic(uint64_t) serving; /* the number of the coordinator that the agent talks to */
static _Atomic(int) conversation = -1; /* the agent's socket */
static _Atomic(uint32_t) reading_table;
static uint64_t decision_due; /* when to give up waiting for it, after a yes. agent */

bool ups_agent_wanted(void) {
  return atomic_load_explicit(&wish, memory_order_relaxed) != 0 && atomic_load(&served) == 0;
}

void ups_agent_child(void) {
  int inherited = atomic_exchange(&conversation, -1);
  if (inherited >= 0) close(inherited); /* else the coordinator would not notice that our parent ended */
  atomic_store(&wish, 0);
  atomic_store(&served, 0);
  atomic_store(&serving, 0);
  ups_guest_child();
  ups_fault_forget();
  ups_proc_take_back();
  ups_update_child();
}

/* ---- The socket ----------------------------------------------------------------------------------------------------------- */

/* Only root and our own user may update us. The kernel vouches for the peer of a socket. */
static bool trusted(int fd) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == getuid() || peer.uid == geteuid();
}

static bool send_text(int fd, const struct ups_text *text) {
  uint32_t length = (uint32_t)text->length;
  return !text->failed && ups_send_all(fd, &length, sizeof length) && ups_send_all(fd, text->bytes, length);
}

/* ---- Words from a handler --------------------------------------------------------------------------------------------------- */

static char *put(char *at, const char *text) {
  while (*text != 0) *at++ = *text++;
  return at;
}

static char *put_number(char *at, uint64_t value, unsigned base) {
  char digits[24];
  int n = 0;
  do digits[n++] = "0123456789abcdef"[value % base];
  while ((value /= base) != 0);
  while (n > 0) *at++ = digits[--n];
  return at;
}

static void say_not_now(uint64_t nonce, const struct ups_glance *glance) {
  char text[160];
  char *at = put(text, "{\"not_now\":true,\"tid\":");
  at = put_number(at, (uint64_t)ups_gettid(), 10);
  at = put(at, ",\"caller\":\"");
  at = put_number(at, glance->caller, 16);
  at = put(at, "\"}");
  ups_say(nonce, text, at);
}

/* Has the coordinator said something that the agent has not read yet? It may be good-bye. handler. */
static bool unread(void) {
  struct pollfd state = {atomic_load(&conversation), POLLIN | POLLRDHUP, 0};
  return state.fd < 0 || syscall(SYS_poll, &state, 1, 0) != 0;
}

/* Nothing is to be said while threads are being stopped: it can only be ABORT, or the end of the coordinator. */
bool ups_agent_called_off(void) {
  return unread();
}

static void say_busy(uint64_t nonce) {
  static const char text[] = "{\"ok\":false,\"kind\":\"refused\",\"reason\":\"another update is under way\"}";
  ups_say(nonce, text, text + sizeof text - 1);
}

/* ---- The handler of the reserved signal ---------------------------------------------------------------------------------------- */

static void pass_on(const struct ups_thread *self) {
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next) {
    int tid = atomic_load(&t->tid);
    if (t == self || atomic_load(&t->state) != UPS_RUNNING || tid == 0) continue;
    atomic_fetch_or(&t->attention, UPS_ATTENTION_AGENT);
    syscall(SYS_tgkill, syscall(SYS_getpid), tid, UPS_SIGNAL);
  }
}

/* The table of the executable says which code is transformed. Read from its file the first time that it matters. */
static void have_table(void) {
  uint32_t idle = 0;
  struct ups_image *image = atomic_load(&ups_current);
  if (atomic_load(&image->table) != NULL) return;
  if (!atomic_compare_exchange_strong(&reading_table, &idle, 1)) return;
  ups_image_read_self(image);
  atomic_store(&reading_table, 0);
}

static void agent_wanted(struct ups_thread *self, ucontext_t *context, bool first_hand) {
  if (self != NULL && ups_thread_is_self(self)) {
    if (ups_blocking_classify(context) != UPS_PLACE_ELSEWHERE) {
      atomic_fetch_or(&self->attention, UPS_ATTENTION_AGENT); /* ups_blocking_stop creates it */
      return;
    }
    struct ups_glance glance;
    have_table();
    ups_walk_glance(context, &glance);
    if (glance.transformed && glance.only_transformed) {
      ups_agent_start();
      return;
    }
    uint64_t nonce = atomic_load(&wish);
    if (self->told != nonce) {
      self->told = nonce;
      say_not_now(nonce, &glance);
    }
    atomic_fetch_or(&self->attention, UPS_ATTENTION_AGENT);
  }
  if (first_hand) pass_on(self);
}

/* The agent asks where this thread is. */
static void report(struct ups_thread *self, const ucontext_t *context) {
  struct ups_glance glance;
  if (self != NULL) {
    if (atomic_load(&self->reported) != 0 || !ups_thread_is_self(self)) return;
    ups_walk_glance(context, &glance);
    atomic_store(&self->blocker, glance.blocker);
    atomic_store(&self->blocker_caller, glance.caller);
    atomic_store(&self->reported, 1);
    ups_changed();
    return;
  }
  int tid = ups_gettid();
  uint32_t n = atomic_load(&ups_foreign_count);
  for (uint32_t i = 0; i < n && i < UPS_FOREIGN_MOST; i++) {
    struct ups_foreign *f = &ups_foreign[i];
    if (atomic_load(&f->tid) != tid || atomic_load(&f->status) != UPS_FOREIGN_ASKED) continue;
    ups_walk_glance(context, &glance);
    atomic_store(&f->blocker, glance.blocker);
    atomic_store(&f->caller, glance.caller);
    atomic_store(&f->status, glance.any_transformed ? UPS_FOREIGN_BUSY : UPS_FOREIGN_CLEAR);
    ups_changed();
  }
}

struct signalled {
  struct ups_thread *self;
  ucontext_t *context;
  uint64_t nonce; /* of the coordinator; 0: sent by ourselves */
};

static int attend(void *argument, void *b, void *c) {
  const struct signalled *a = argument;
  (void)b;
  (void)c;
  if (a->nonce != 0) {
    if (atomic_load(&served) == 0)
      atomic_store(&wish, a->nonce);
    else if (atomic_load(&serving) != 0 && atomic_load(&serving) != a->nonce && !unread())
      say_busy(a->nonce);
  }
  if (ups_agent_wanted()) agent_wanted(a->self, a->context, a->nonce != 0);
  if (atomic_load(&ups_stop.phase) == UPS_STOPPING) report(a->self, a->context);
  /* Last: it changes where the program goes on. */
  ups_blocking_set_stop(a->context);
  return 0;
}

void ups_attended(const siginfo_t *info, ucontext_t *context) {
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  struct ups_thread *self = ups_self;
  struct signalled signalled = {self, context, 0};
  if (ups_is_coordinators(info)) signalled.nonce = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
  if (self != NULL && ups_thread_is_self(self) && ups_thread_scratch(self) &&
      !(here >= self->scratch_low && here < self->scratch_high))
    ups_call_on(self->scratch_high, attend, &signalled, NULL, NULL);
  else
    attend(&signalled, NULL, NULL);
}

/* ---- Replies ------------------------------------------------------------------------------------------------------------------ */

static void number(struct ups_text *text, const char *name, uint64_t value) {
  ups_text_add(text, ",\"%s\":%llu", name, (unsigned long long)value);
}

/* {"ok":true  or the whole refusal without its closing brace. */
static void begin_reply(struct ups_text *text, const struct ups_report *report) {
  if (report->kind == NULL) {
    ups_text_add(text, "{\"ok\":true");
    return;
  }
  ups_text_add(text, "{\"ok\":false,\"kind\":\"%s\",\"reason\":", report->kind);
  /* The coordinator, which can read every file, knows better names for the places in libraries. */
  if (report->in_libraries)
    ups_text_quote(text, "not all threads stopped in time");
  else
    ups_text_quote(text, ups_text_string(&report->reason));
  ups_text_add(text, ",\"detail\":");
  ups_text_quote(text, ups_text_string(&report->reason));
  ups_text_add(text, ",\"%s\":[%s]", report->in_libraries ? "culprits" : "places", ups_text_string(&report->culprits));
}

static void describe_self(struct ups_text *text) {
  const struct ups_image *image = atomic_load(&ups_current);
  ups_text_add(text, ",\"pid\":%d,\"build\":\"", (int)getpid());
  ups_text_hex(text, image->info->build, sizeof image->info->build);
  ups_text_add(text, "\",\"resumes\":%s,\"program\":", ups_image_clones(image) ? "true" : "false");
  ups_text_quote(text, image->info->program);
  ups_text_add(text, ",\"version\":");
  ups_text_quote(text, image->info->version);
  ups_text_add(text, ",\"scheme\":\"%s\",\"threads\":%u,\"images\":%u,\"storm\":%u,\"history\":",
               image->info->scheme == UPSTARE_SCHEME_FLAG ? "flag" : "trap", ups_threads_count(),
               atomic_load(&ups_images_count), ups_storm_every);
  ups_history_describe(text);
}

static bool hello(int fd) {
  struct ups_text text = {0};
  ups_text_add(&text, "{\"ok\":true,\"hello\":%u,\"abi\":%u", PROTOCOL, UPSTARE_ABI);
  describe_self(&text);
  ups_text_add(&text, "}");
  bool sent = send_text(fd, &text);
  ups_text_free(&text);
  return sent;
}

/* ---- Requests ------------------------------------------------------------------------------------------------------------------ */

static void status(struct ups_text *text, struct ups_report *report) {
  ups_update_glance(ups_now_us() + GLANCE_PATIENCE_US, report);
  report->kind = NULL;
  begin_reply(text, report);
  describe_self(text);
  if (report->detail.length == 0) { /* the threads could not be stopped just now; that is no error */
    ups_text_add(text, ",\"busy\":");
    ups_text_quote(text, ups_text_string(&report->reason));
    return;
  }
  number(text, "frames", report->counts.frames);
  number(text, "old_frames", report->counts.old_frames);
  ups_text_add(text, ",\"threads_detail\":%s", ups_text_string(&report->detail));
}

static void stop(struct ups_text *text, struct ups_report *report, const struct request *request, int ballot) {
  ups_update_stop(ups_now_us() + request->a, ballot, report);
  decision_due = ups_now_us() + request->b;
  begin_reply(text, report);
  if (report->kind != NULL) return;
  number(text, "stop_us", report->stop_us);
  number(text, "threads", report->counts.threads);
  number(text, "frames", report->counts.frames);
}

static void say_loaded(struct ups_text *text, const struct ups_report *report) {
  begin_reply(text, report);
  number(text, "load_us", report->load_us);
  number(text, "checks", report->checks);
}

static void say_committed(struct ups_text *text, const struct ups_report *report) {
  number(text, "committed", 1);
  number(text, "transform_us", report->transform_us);
  number(text, "resume_us", report->resume_us);
  number(text, "pause_us", report->pause_us);
  number(text, "frames", report->counts.frames);
  number(text, "moved_objects", report->moved);
  number(text, "threads", report->counts.threads);
}

static void commit(struct ups_text *text, struct ups_report *report) {
  ups_update_commit(report);
  begin_reply(text, report);
  if (report->kind == NULL) say_committed(text, report);
}

static void abort_update(struct ups_text *text, struct ups_report *report) {
  bool committed = ups_update_abort(report);
  begin_reply(text, report);
  if (committed) say_committed(text, report);
}

/* True: another request may come. */
static bool serve(int fd, const struct request *request, int descriptor) {
  struct ups_text text = {0};
  struct ups_report report = {0};
  bool more = true;
  switch ((enum op)request->op) {
    case STATUS: status(&text, &report); break;
    case LOAD:
      if (request->a != 0)
        ups_update_load_twin(descriptor, &report);
      else
        ups_update_load(descriptor, &report);
      say_loaded(&text, &report);
      break;
    case ROLLBACK_PREPARE:
      ups_update_load_previous(&report);
      say_loaded(&text, &report);
      break;
    case CHECK:
      ups_update_check(&report);
      begin_reply(&text, &report);
      break;
    case MAPS:
      more = descriptor >= 0 && ups_proc_lend_maps(descriptor);
      begin_reply(&text, &report);
      break;
    case STOP: stop(&text, &report, request, descriptor); break;
    case COMMIT: commit(&text, &report); break;
    case ABORT: abort_update(&text, &report); break;
    case FAULT:
      more = ups_fault_order(request->a, request->b);
      begin_reply(&text, &report);
      break;
    default: more = false; break;
  }
  if (more) {
    ups_text_add(&text, "}");
    more = send_text(fd, &text);
  }
  ups_text_free(&text);
  ups_report_free(&report);
  return more;
}

/* A whole request, and the descriptor that came with it or -1. False: the other side is gone, or speaks nonsense. */
static bool receive(int fd, struct request *request, int *descriptor) {
  *descriptor = -1;
  for (size_t got = 0; got < sizeof *request;) {
    union {
      struct cmsghdr header;
      char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec piece = {(char *)request + got, sizeof *request - got};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct pollfd ready = {fd, POLLIN, 0};
    int patience = ups_update_prepared() ? LOOK_MS : ups_guest_runs() ? GUEST_PATIENCE_MS : -1;
    while (poll(&ready, 1, patience) == 0) {
      if (!ups_update_prepared() && ups_guest_runs()) return false; /* a thread of the program stands still for us */
      ups_update_look();
      if (ups_update_prepared() && ups_now_us() >= decision_due) return false; /* the coordinator hangs */
    }
    ssize_t count = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    got += (size_t)count;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int))) {
      if (*descriptor >= 0) close(*descriptor);
      memcpy(descriptor, CMSG_DATA(c), sizeof *descriptor);
    }
  }
  return request->magic == MAGIC;
}

static void *agent(void *argument) {
  uint64_t nonce = (uint64_t)(uintptr_t)argument;
  struct request request;
  int descriptor = -1;
  int fd = ups_call_coordinator(nonce);
  atomic_store(&conversation, fd);
  if (fd >= 0 && trusted(fd) && hello(fd)) {
    while (receive(fd, &request, &descriptor)) {
      bool more = serve(fd, &request, descriptor);
      if (descriptor >= 0) close(descriptor);
      descriptor = -1;
      if (!more) break;
    }
  }
  atomic_store(&serving, 0);
  atomic_store(&conversation, -1);
  ups_update_cancel("the coordinator is gone");
  ups_fault_forget();
  ups_proc_take_back();
  if (descriptor >= 0) close(descriptor);
  if (fd >= 0) close(fd);
  atomic_store(&served, 0);
  return NULL;
}

void ups_agent_start(void) {
  uint32_t none = 0;
  pthread_attr_t attributes;
  pthread_t thread;
  if (!atomic_compare_exchange_strong(&served, &none, 1)) return;
  uint64_t nonce = atomic_exchange(&wish, 0);
  atomic_store(&serving, nonce);
  bool started = false;
  if (nonce != 0 && pthread_attr_init(&attributes) == 0) {
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    started = pthread_create(&thread, &attributes, agent, (void *)(uintptr_t)nonce) == 0;
    pthread_attr_destroy(&attributes);
    if (!started) started = ups_guest_start(agent, (void *)(uintptr_t)nonce);
  }
  if (!started) {
    atomic_store(&serving, 0);
    atomic_store(&served, 0);
  }
}
