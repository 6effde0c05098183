/* walk.c: the files of a tree, as git and the ignore files see it.
 *
 * Threads take folders from a stack; each reads its folder, asks the ignore rules of it and of the folders above, notes the state of
 * every file and puts the folders below on the stack. Symbolic links are never followed. What a folder's rules say is asked kind by kind:
 * .cromwellignore of any level before .ignore of any level before git's (as ripgrep orders them), the deepest folder first. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "index/rules.h"
#include "index/tracked.h"

enum { KINDS = 3, OWN = 0, PLAIN = 1, GIT = 2, THREADS_MAX = 16, PATH_BYTES = 4096, INDEX_MAX = 1 << 30 };
static const char *const rule_files[KINDS] = {".cromwellignore", ".ignore", ".gitignore"};

typedef struct folder {
  const struct folder *parent;
  struct folder *next; /* of all folders */
  struct folder *below; /* on the stack */
  cw_rules *rules[KINDS];
  uint32_t base;        /* bytes of `path` that are the folder's, its slash included */
  uint8_t tracked_only; /* an ignored folder with tracked files in it */
  char path[];          /* from the top of the repository: "" or "a/b/" */
} folder;

typedef struct {
  uint32_t name, size; /* path from the root: in the names of `part` */
  uint32_t part;
  cw_file_stat stat;
} entry;

/* What one thread found. */
typedef struct {
  struct shared *shared;
  uint32_t number;
  entry *entries;
  size_t count, room;
  char *names;
  size_t names_size, names_room;
  uint32_t unreadable;
  cw_status status;
  pthread_t thread;
} part;

struct shared {
  int root_fd;
  uint32_t prefix_size; /* bytes of paths from the top that lead to the root */
  int hidden, in_repository;
  cw_rules *exclude, *global; /* .git/info/exclude, core.excludesFile */
  cw_tracked *tracked;
  pthread_mutex_t lock;
  pthread_cond_t more;
  folder *stack, *all;
  uint32_t waiting, threads;
  int done;
  part parts[THREADS_MAX];
};

struct cw_walk {
  size_t count;
  cw_file_stat *stats; /* [count] */
  uint8_t *names;      /* each ended by a zero byte */
  size_t names_size;
  uint32_t unreadable;
};

/* Opens a folder below `fd` part by part when its path is too long for one call. */
static int open_below(int fd, const char *path, int flags) {
  return openat(fd, path[0] != 0 ? path : ".", flags | O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

static folder *new_folder(const folder *parent, const char *path, size_t size) {
  folder *made = calloc(1, sizeof *made + size + 2);
  if (made == NULL) return NULL;
  made->parent = parent;
  memcpy(made->path, path, size);
  if (size > 0 && path[size - 1] != '/') made->path[size++] = '/';
  made->base = (uint32_t)size;
  return made;
}

static cw_status read_rules(folder *f, int fd) {
  for (int kind = 0; kind < KINDS; kind++) CW_TRY(cw_rules_read(fd, rule_files[kind], 0, &f->rules[kind]));
  return CW_OK;
}

/* What the rules of one kind say, the deepest folder first. */
static int verdict_of(const folder *f, int kind, const char *path, size_t size, size_t base, int is_folder) {
  for (; f != NULL; f = f->parent) {
    if (f->rules[kind] == NULL) continue;
    int verdict = cw_rules_match(f->rules[kind], path + f->base, size - f->base, base - f->base, is_folder);
    if (verdict != CW_RULES_NOTHING) return verdict;
  }
  return CW_RULES_NOTHING;
}

static int git_verdict(const struct shared *shared, const folder *f, const char *path, size_t size, size_t base, int is_folder) {
  int verdict = verdict_of(f, GIT, path, size, base, is_folder);
  if (verdict == CW_RULES_NOTHING && shared->exclude != NULL) verdict = cw_rules_match(shared->exclude, path, size, base, is_folder);
  if (verdict == CW_RULES_NOTHING && shared->global != NULL) verdict = cw_rules_match(shared->global, path, size, base, is_folder);
  return verdict;
}

static cw_status append(part *p, const char *name, size_t size, const struct stat *status, uint32_t kind) {
  if (p->count == p->room) {
    size_t room = p->room * 2 + 256;
    entry *entries = realloc(p->entries, room * sizeof *entries);
    if (entries == NULL) return CW_E_MEMORY;
    p->entries = entries;
    p->room = room;
  }
  if (p->names_size + size + 1 > p->names_room) {
    size_t room = (p->names_size + size) * 2 + 4096;
    if (room > UINT32_MAX) return CW_E_CAPACITY;
    char *names = realloc(p->names, room);
    if (names == NULL) return CW_E_MEMORY;
    p->names = names;
    p->names_room = room;
  }
  memcpy(p->names + p->names_size, name, size);
  p->entries[p->count++] = (entry){
      (uint32_t)p->names_size, (uint32_t)size, p->number,
      {.size = status->st_size,
       .mtime_ns = (int64_t)status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec,
       .ctime_ns = (int64_t)status->st_ctim.tv_sec * 1000000000 + status->st_ctim.tv_nsec,
       .inode = status->st_ino,
       .kind = kind}};
  p->names_size += size;
  return CW_OK;
}

/* Whether path/.git is a repository, as git decides for folders below a work tree. */
static int is_repository(int fd, const char *path) {
  char name[PATH_BYTES + 16];
  static const char *const needed[] = {"HEAD", "objects", "refs"};
  size_t size = strlen(path);
  if (size > PATH_BYTES) return 0;
  memcpy(name, path, size);
  memcpy(name + size, "/.git", 6);
  struct stat status;
  if (fstatat(fd, name, &status, 0) != 0) return 0;
  int git = -1;
  if (S_ISDIR(status.st_mode)) {
    git = openat(fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  } else if (S_ISREG(status.st_mode)) {
    char text[PATH_BYTES + 9];
    int file = openat(fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = file >= 0 ? read(file, text, sizeof text - 1) : -1;
    if (file >= 0) close(file);
    while (got > 0 && (text[got - 1] == '\n' || text[got - 1] == '\r')) got--;
    if (got < 9 || memcmp(text, "gitdir: ", 8) != 0) return 0;
    text[got] = 0;
    int folder_fd = openat(fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    git = folder_fd >= 0 ? openat(folder_fd, text + 8, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (folder_fd >= 0) close(folder_fd);
    if (git >= 0 && faccessat(git, "commondir", F_OK, 0) == 0) { /* a linked work tree: objects and refs lie elsewhere */
      int head = faccessat(git, "HEAD", F_OK, 0) == 0;
      close(git);
      return head;
    }
  }
  if (git < 0) return 0;
  int found = 1;
  for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
    found &= fstatat(git, needed[i], &status, AT_SYMLINK_NOFOLLOW) == 0; /* HEAD may be a link to a branch that is not there yet */
  close(git);
  return found;
}

static void push(struct shared *shared, folder *f) {
  pthread_mutex_lock(&shared->lock);
  f->next = shared->all;
  shared->all = f;
  f->below = shared->stack;
  shared->stack = f;
  if (shared->waiting > 0) pthread_cond_signal(&shared->more);
  pthread_mutex_unlock(&shared->lock);
}

/* One name in a folder: a file is noted, a folder put on the stack, all else left out. */
static cw_status visit(part *p, const folder *f, int fd, const char *path, size_t size, unsigned char type) {
  struct shared *shared = p->shared;
  struct stat status;
  const char *name = path + f->base;
  if (type != DT_DIR && type != DT_REG && type != DT_LNK && type != DT_UNKNOWN) return CW_OK;
  int have_status = 0;
  if (type == DT_UNKNOWN) {
    if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) return CW_OK;
    have_status = 1;
    type = S_ISDIR(status.st_mode) ? DT_DIR : S_ISREG(status.st_mode) ? DT_REG : S_ISLNK(status.st_mode) ? DT_LNK : DT_UNKNOWN;
    if (type == DT_UNKNOWN) return CW_OK;
  }
  int is_folder = type == DT_DIR, tracked = cw_tracked_find(shared->tracked, path, size), tracked_only = 0;
  int is_tracked = is_folder ? tracked & (CW_TRACKED_SUBMODULE | CW_TRACKED_BELOW) : tracked & (CW_TRACKED_FILE | CW_TRACKED_SUBMODULE);
  int verdict = verdict_of(f, OWN, path, size, f->base, is_folder);
  if (verdict == CW_RULES_NOTHING) verdict = verdict_of(f, PLAIN, path, size, f->base, is_folder);
  if (verdict == CW_RULES_IGNORE) return CW_OK;
  if (name[0] == '.' && !shared->hidden && verdict != CW_RULES_KEEP) {
    if (is_tracked || f->tracked_only || git_verdict(shared, f, path, size, f->base, is_folder) != CW_RULES_KEEP) return CW_OK;
  }
  if (verdict == CW_RULES_NOTHING && (f->tracked_only || !is_tracked || is_folder)) {
    int ignored = f->tracked_only || git_verdict(shared, f, path, size, f->base, is_folder) == CW_RULES_IGNORE;
    if (ignored && !is_tracked) return CW_OK;
    tracked_only = ignored;
  }
  if (is_folder) {
    int unit = tracked & CW_TRACKED_SUBMODULE || (shared->in_repository && !(tracked & CW_TRACKED_BELOW) && is_repository(fd, name));
    if (!unit) {
      folder *below = new_folder(f, path, size);
      if (below == NULL) return CW_E_MEMORY;
      below->tracked_only = (uint8_t)tracked_only;
      push(shared, below);
      return CW_OK;
    }
  }
  if (!have_status && fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) return CW_OK; /* it is gone */
  uint32_t kind = is_folder ? CW_FILE_SUBMODULE : S_ISREG(status.st_mode) ? CW_FILE_REGULAR : CW_FILE_LINK;
  if (!is_folder && !S_ISREG(status.st_mode) && !S_ISLNK(status.st_mode)) return CW_OK; /* it became something else */
  return append(p, path + shared->prefix_size, size - shared->prefix_size, &status, kind);
}

static cw_status read_folder(part *p, folder *f) {
  struct shared *shared = p->shared;
  int fd = open_below(shared->root_fd, f->path + shared->prefix_size, O_DIRECTORY);
  DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
  if (stream == NULL) {
    if (fd >= 0) close(fd);
    if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) p->unreadable++; /* else it is gone, or became a link */
    return errno == ENOMEM ? CW_E_MEMORY : CW_OK;
  }
  char path[PATH_BYTES + 256];
  cw_status status = f->base < PATH_BYTES ? read_rules(f, fd) : CW_OK;
  memcpy(path, f->path, f->base < PATH_BYTES ? f->base : 0);
  for (struct dirent *found; status == CW_OK && f->base < PATH_BYTES && (found = readdir(stream)) != NULL;) {
    const char *name = found->d_name;
    size_t size = strlen(name);
    if (size == 0 || size > 255 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, ".git") == 0) continue;
    memcpy(path + f->base, name, size + 1);
    status = visit(p, f, fd, path, f->base + size, found->d_type);
  }
  closedir(stream);
  return status;
}

static void *work(void *argument) {
  part *p = argument;
  struct shared *shared = p->shared;
  pthread_mutex_lock(&shared->lock);
  while (!shared->done) {
    folder *f = shared->stack;
    if (f == NULL) {
      if (++shared->waiting == shared->threads) {
        shared->done = 1;
        pthread_cond_broadcast(&shared->more);
        break;
      }
      pthread_cond_wait(&shared->more, &shared->lock);
      shared->waiting--;
      continue;
    }
    shared->stack = f->below;
    pthread_mutex_unlock(&shared->lock);
    cw_status status = read_folder(p, f);
    pthread_mutex_lock(&shared->lock);
    if (status != CW_OK) {
      p->status = status;
      shared->done = 1;
      pthread_cond_broadcast(&shared->more);
    }
  }
  pthread_mutex_unlock(&shared->lock);
  return NULL;
}

static cw_status read_tracked(const cw_walk_request *request, cw_tracked **out) {
  int fd = request->git_index != NULL ? open(request->git_index, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
  struct stat status;
  if (fd < 0) return CW_OK;
  cw_status result = CW_OK;
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 && status.st_size <= INDEX_MAX) {
    size_t size = 0, all = (size_t)status.st_size;
    uint8_t *bytes = malloc(all);
    if (bytes == NULL) result = CW_E_MEMORY;
    while (bytes != NULL && size < all) {
      ssize_t got = read(fd, bytes + size, all - size);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      size += (size_t)got;
    }
    if (bytes != NULL) result = cw_tracked_parse(bytes, size, request->id_bytes, out);
    free(bytes);
  }
  close(fd);
  return result == CW_E_MEMORY ? result : CW_OK; /* an index that git could not read either tracks nothing */
}

/* The folders from the top of the repository to the root, for their rules; the root is the last. */
static cw_status open_ancestors(struct shared *shared, const cw_walk_request *request, folder **root) {
  const folder *above = NULL;
  const char *prefix = request->prefix;
  size_t size = strlen(prefix);
  for (size_t at = 0; at < size; at++) {
    if (at > 0 && prefix[at - 1] != '/') continue;
    folder *f = new_folder(above, prefix, at);
    if (f == NULL) return CW_E_MEMORY;
    f->next = shared->all;
    shared->all = f;
    int top = open(request->top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = top >= 0 ? openat(top, at > 0 ? f->path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    cw_status status = fd >= 0 ? read_rules(f, fd) : CW_OK;
    if (fd >= 0) close(fd);
    if (top >= 0) close(top);
    CW_TRY(status);
    above = f;
  }
  *root = new_folder(above, prefix, size);
  return *root != NULL ? CW_OK : CW_E_MEMORY;
}

static int compare(const void *a, const void *b, void *argument) {
  const entry *left = a, *right = b;
  const part *parts = argument;
  size_t shorter = left->size < right->size ? left->size : right->size;
  int order = memcmp(parts[left->part].names + left->name, parts[right->part].names + right->name, shorter);
  return order != 0 ? order : (left->size > right->size) - (left->size < right->size);
}

/* Joins what the threads found, in order of names. */
static cw_status collect(struct shared *shared, cw_walk *walk) {
  size_t count = 0, bytes = 0;
  for (uint32_t i = 0; i < shared->threads; i++) {
    count += shared->parts[i].count;
    bytes += shared->parts[i].names_size + shared->parts[i].count;
    walk->unreadable += shared->parts[i].unreadable;
  }
  entry *entries = malloc(count * sizeof *entries + 1);
  walk->stats = malloc(count * sizeof *walk->stats + 1);
  walk->names = malloc(bytes + 1);
  if (entries == NULL || walk->stats == NULL || walk->names == NULL) {
    free(entries);
    return CW_E_MEMORY;
  }
  for (uint32_t i = 0; i < shared->threads; i++) {
    if (shared->parts[i].count > 0) memcpy(entries + walk->count, shared->parts[i].entries, shared->parts[i].count * sizeof *entries);
    walk->count += shared->parts[i].count;
  }
  qsort_r(entries, count, sizeof *entries, compare, shared->parts);
  for (size_t i = 0; i < count; i++) {
    walk->stats[i] = entries[i].stat;
    memcpy(walk->names + walk->names_size, shared->parts[entries[i].part].names + entries[i].name, entries[i].size);
    walk->names_size += entries[i].size;
    walk->names[walk->names_size++] = 0;
  }
  free(entries);
  return CW_OK;
}

static cw_status run(struct shared *shared, cw_walk *walk) {
  cw_status status = CW_OK;
  uint32_t wanted = shared->threads;
  for (uint32_t i = 0; i < wanted; i++) shared->parts[i].shared = shared, shared->parts[i].number = i;
  uint32_t started = 1;
  pthread_mutex_lock(&shared->lock); /* so that none counts the threads before all are there */
  while (started < wanted && pthread_create(&shared->parts[started].thread, NULL, work, &shared->parts[started]) == 0) started++;
  shared->threads = started;
  pthread_mutex_unlock(&shared->lock);
  work(&shared->parts[0]);
  for (uint32_t i = 1; i < started; i++) pthread_join(shared->parts[i].thread, NULL);
  for (uint32_t i = 0; i < started && status == CW_OK; i++) status = shared->parts[i].status;
  return status == CW_OK ? collect(shared, walk) : status;
}

cw_status cw_walk_open(const cw_walk_request *request, cw_walk **out, cw_fault *fault) {
  if (request == NULL || out == NULL || request->root == NULL || request->top == NULL || request->prefix == NULL ||
      (request->id_bytes != 20 && request->id_bytes != 32))
    return cw_fault_set(fault, CW_E_ARGUMENT, "walk: an incomplete request");
  size_t prefix_size = strlen(request->prefix);
  if (prefix_size >= PATH_BYTES || (prefix_size > 0 && request->prefix[prefix_size - 1] != '/'))
    return cw_fault_set(fault, CW_E_ARGUMENT, "walk: the prefix does not end with a slash, or is too long");
  cw_walk *walk = calloc(1, sizeof *walk);
  struct shared *shared = calloc(1, sizeof *shared);
  cw_status status = walk != NULL && shared != NULL ? CW_OK : CW_E_MEMORY;
  folder *root = NULL;
  if (status == CW_OK) {
    pthread_mutex_init(&shared->lock, NULL);
    pthread_cond_init(&shared->more, NULL);
    shared->root_fd = open(request->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    shared->prefix_size = (uint32_t)prefix_size;
    shared->hidden = request->hidden != 0;
    shared->in_repository = request->in_repository != 0;
    shared->threads = request->threads < 1 ? 1 : request->threads > THREADS_MAX ? THREADS_MAX : request->threads;
    if (shared->root_fd < 0) status = cw_fault_set(fault, CW_E_IO, "%s: %s", request->root, strerror(errno));
    if (status == CW_OK) status = read_tracked(request, &shared->tracked);
    if (status == CW_OK && request->exclude_file != NULL) status = cw_rules_read(AT_FDCWD, request->exclude_file, 1, &shared->exclude);
    if (status == CW_OK && request->global_file != NULL) status = cw_rules_read(AT_FDCWD, request->global_file, 1, &shared->global);
    if (status == CW_OK) status = open_ancestors(shared, request, &root);
    if (status == CW_OK) {
      push(shared, root);
      status = run(shared, walk);
    }
    for (folder *f = shared->all, *next; f != NULL; f = next) {
      next = f->next;
      for (int kind = 0; kind < KINDS; kind++) cw_rules_free(f->rules[kind]);
      free(f);
    }
    for (uint32_t i = 0; i < THREADS_MAX; i++) {
      free(shared->parts[i].entries);
      free(shared->parts[i].names);
    }
    cw_rules_free(shared->exclude);
    cw_rules_free(shared->global);
    cw_tracked_free(shared->tracked);
    if (shared->root_fd >= 0) close(shared->root_fd);
    pthread_cond_destroy(&shared->more);
    pthread_mutex_destroy(&shared->lock);
  }
  free(shared);
  if (status == CW_OK) *out = walk;
  else cw_walk_close(walk);
  if (status == CW_E_MEMORY) return cw_fault_set(fault, status, "walk: out of memory");
  return status;
}

cw_status cw_walk_names(const char *root, const uint8_t *names, size_t size, cw_walk **out, cw_fault *fault) {
  if (root == NULL || (names == NULL && size > 0) || out == NULL || (size > 0 && names[size - 1] != 0))
    return cw_fault_set(fault, CW_E_ARGUMENT, "walk: names that do not end with a zero byte");
  int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root_fd < 0) return cw_fault_set(fault, CW_E_IO, "%s: %s", root, strerror(errno));
  struct shared shared = {.threads = 1};
  cw_walk *walk = calloc(1, sizeof *walk);
  cw_status status = walk != NULL ? CW_OK : CW_E_MEMORY;
  for (size_t at = 0; at < size && status == CW_OK;) {
    const char *name = (const char *)names + at;
    size_t length = strlen(name);
    struct stat found;
    if (length > 0 && fstatat(root_fd, name, &found, AT_SYMLINK_NOFOLLOW) == 0 && (S_ISREG(found.st_mode) || S_ISLNK(found.st_mode)))
      status = append(&shared.parts[0], name, length, &found, S_ISREG(found.st_mode) ? CW_FILE_REGULAR : CW_FILE_LINK);
    else
      shared.parts[0].unreadable++;
    at += length + 1;
  }
  if (status == CW_OK) status = collect(&shared, walk);
  free(shared.parts[0].entries);
  free(shared.parts[0].names);
  close(root_fd);
  if (status == CW_OK) *out = walk;
  else cw_walk_close(walk);
  if (status == CW_E_MEMORY) return cw_fault_set(fault, status, "walk: out of memory");
  return status;
}

void cw_walk_close(cw_walk *walk) {
  if (walk == NULL) return;
  free(walk->stats);
  free(walk->names);
  free(walk);
}

size_t cw_walk_files(const cw_walk *walk, const cw_file_stat **stats, const uint8_t **names, size_t *names_size, uint32_t *unreadable) {
  *stats = walk->stats;
  *names = walk->names;
  *names_size = walk->names_size;
  *unreadable = walk->unreadable;
  return walk->count;
}
