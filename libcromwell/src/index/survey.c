/* survey.c: reads files and finds in them what an index keeps: tokens, lines, definitions, imports, words and terms. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "index/defs.h"
#include "index/postings.h"

enum { THREADS_MAX = 16, STRIDE = 4, TRIES = 3, FILE_BYTES_MAX = 1 << 30 };

/* What one thread uses again for every file, and what it found. */
typedef struct {
  struct run *run;
  uint8_t *bytes; /* of a file */
  size_t bytes_room;
  int32_t *ids;
  size_t ids_room;
  cw_words words, terms;
  cw_lexer lexer;
  cw_defs defs;
  uint8_t *details;
  size_t details_size, details_room;
  cw_posting_list lists[CW_POSTINGS_KINDS];
  uint32_t doc;
  uint64_t hash; /* of the word whose terms are counted */
  uint32_t often;
  cw_status status;
  pthread_t thread;
} worker;

struct run {
  const cw_survey_request *request;
  const uint8_t **names; /* [count] */
  int root_fd;
  atomic_uint next;
  cw_survey *survey;
};

struct cw_survey {
  size_t count;
  cw_survey_file *files; /* [count] */
  size_t *detail_at;   /* [count] in the details of the thread that read it */
  uint8_t *reader;     /* [count] that thread */
  uint32_t threads;
  worker workers[THREADS_MAX];
};

static uint64_t mix(uint64_t lane, uint64_t word, uint64_t key) {
  lane = (lane ^ word) * key;
  return lane ^ (lane >> 29);
}

void cw_digest(const uint8_t *bytes, size_t size, uint8_t digest[CW_DIGEST_BYTES]) {
  /* Odd constants: the fractional parts of sqrt(11), sqrt(13), sqrt(17), sqrt(19). */
  static const uint64_t keys[4] = {0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u};
  uint64_t lanes[4] = {size ^ keys[1], keys[2], keys[3], keys[0]}, words[4];
  size_t left = size;
  for (; left >= 32; left -= 32, bytes += 32) {
    memcpy(words, bytes, 32);
    for (int i = 0; i < 4; i++) lanes[i] = mix(lanes[i], words[i], keys[i]);
  }
  memset(words, 0, sizeof words);
  if (left > 0) memcpy(words, bytes, left);
  for (int i = 0; i < 4; i++) lanes[i] = mix(lanes[i], words[i], keys[i]);
  uint64_t sums[2] = {keys[0], keys[3]};
  for (int i = 0; i < 4; i++) {
    sums[0] = mix(sums[0], lanes[i], keys[1]);
    sums[1] = mix(sums[1], lanes[3 - i] ^ sums[0], keys[2]);
  }
  memcpy(digest, sums, CW_DIGEST_BYTES);
}

/* Whether all of it is UTF-8: no overlong forms, surrogates, or characters beyond U+10FFFF. */
static int is_utf8(const uint8_t *text, size_t size) {
  for (size_t at = 0; at < size;) {
    uint64_t word;
    if (size - at >= 8) {
      memcpy(&word, text + at, 8);
      if (!(word & 0x8080808080808080u)) {
        at += 8;
        continue;
      }
    }
    uint8_t byte = text[at++];
    if (byte < 0x80) continue;
    size_t more = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
    if (byte < 0xc2 || byte > 0xf4 || size - at < more) return 0;
    uint8_t second = text[at];
    if ((byte == 0xe0 && second < 0xa0) || (byte == 0xed && second > 0x9f) || (byte == 0xf0 && second < 0x90) || (byte == 0xf4 && second > 0x8f))
      return 0;
    for (; more > 0; more--)
      if ((text[at++] & 0xc0) != 0x80) return 0;
  }
  return 1;
}

/* What kind of bytes these are: CW_SURVEY_TEXT, CW_SURVEY_BINARY or CW_SURVEY_ENCODING. */
static uint32_t kind_of(const uint8_t *bytes, size_t size) {
  if (size >= 2 && ((bytes[0] == 0xff && bytes[1] == 0xfe) || (bytes[0] == 0xfe && bytes[1] == 0xff))) return CW_SURVEY_ENCODING;
  if (size > 0 && memchr(bytes, 0, size) != NULL) return CW_SURVEY_BINARY;
  return is_utf8(bytes, size) ? CW_SURVEY_TEXT : CW_SURVEY_ENCODING;
}

/* LF line ends in place; a lone CR is one only where there is no LF. Returns the new size. */
static size_t to_lf(uint8_t *text, size_t size) {
  uint8_t *cr = memchr(text, '\r', size);
  if (cr == NULL) return size;
  int has_lf = memchr(text, '\n', size) != NULL;
  size_t to = (size_t)(cr - text);
  for (size_t at = to; at < size; at++) {
    if (text[at] == '\r' && !has_lf) text[to++] = '\n';
    else if (!(text[at] == '\r' && at + 1 < size && text[at + 1] == '\n')) text[to++] = text[at];
  }
  return to;
}

static cw_status reserve(uint8_t **bytes, size_t *room, size_t wanted) {
  if (wanted <= *room) return CW_OK;
  size_t grown = wanted + wanted / 2 + 65536;
  uint8_t *all = realloc(*bytes, grown);
  if (all == NULL) return CW_E_MEMORY;
  *bytes = all;
  *room = grown;
  return CW_OK;
}

static int same_state(const struct stat *a, const struct stat *b) {
  return a->st_size == b->st_size && a->st_ino == b->st_ino && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
         a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Reads a file whole. file->state is CW_SURVEY_TEXT, or says why not. A file that changes meanwhile is read again; one that goes on
 * changing is CW_SURVEY_CHANGING. */
static cw_status read_file(worker *w, const char *name, cw_survey_file *file, size_t *size) {
  const cw_survey_request *request = w->run->request;
  int fd = openat(w->run->root_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  struct stat before, now;
  file->state = CW_SURVEY_UNREADABLE;
  if (fd < 0) return CW_OK;
  cw_status status = CW_OK;
  for (int tries = 0; tries < TRIES; tries++) {
    *size = 0;
    if (fstat(fd, &before) != 0 || !S_ISREG(before.st_mode)) break;
    uint64_t most = cw_language_of(name, NULL, 0) != CW_LANG_NONE ? request->max_bytes : request->max_other_bytes;
    file->stat = (cw_file_stat){.size = before.st_size,
                                .mtime_ns = (int64_t)before.st_mtim.tv_sec * 1000000000 + before.st_mtim.tv_nsec,
                                .ctime_ns = (int64_t)before.st_ctim.tv_sec * 1000000000 + before.st_ctim.tv_nsec,
                                .inode = before.st_ino,
                                .kind = CW_FILE_REGULAR};
    if ((uint64_t)before.st_size > most || before.st_size > FILE_BYTES_MAX) {
      file->state = CW_SURVEY_LARGE;
      break;
    }
    status = reserve(&w->bytes, &w->bytes_room, (size_t)before.st_size + CW_TEXT_SLACK);
    if (status != CW_OK) break;
    ssize_t got = 0;
    while (*size <= (size_t)before.st_size) {
      got = read(fd, w->bytes + *size, (size_t)before.st_size + 1 - *size);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      *size += (size_t)got;
    }
    if (got < 0) break;
    if (*size == (size_t)before.st_size && fstat(fd, &now) == 0 && same_state(&before, &now)) {
      file->state = CW_SURVEY_TEXT;
      break;
    }
    file->state = CW_SURVEY_CHANGING;
    if (lseek(fd, 0, SEEK_SET) != 0) break;
  }
  close(fd);
  return status;
}

static cw_status count_term(void *user, const uint8_t *term, size_t size) {
  worker *w = user;
  return cw_words_count(&w->terms, cw_term_hash(term, size), w->often);
}

/* Adds the words of the file as postings, and the terms that they give. */
static cw_status add_postings(worker *w, cw_survey_file *file) {
  cw_words_clear(&w->terms);
  for (size_t i = 0; i < w->words.used; i++) {
    const cw_word_count *word = &w->words.slots[w->words.order[i]];
    w->often = word->code + word->text;
    CW_TRY(cw_word_terms(w->lexer.text + word->at, word->size, count_term, w));
    if (word->code > 0) CW_TRY(cw_posting_add(&w->lists[CW_POSTINGS_NAMES], word->hash, w->doc, word->code));
  }
  for (size_t i = 0; i < w->terms.used; i++) {
    const cw_word_count *term = &w->terms.slots[w->terms.order[i]];
    CW_TRY(cw_posting_add(&w->lists[CW_POSTINGS_TERMS], term->hash, w->doc, term->code));
    file->terms += term->code;
  }
  return CW_OK;
}

static int by_line(const void *a, const void *b, void *argument) {
  const cw_def *defs = argument, *left = &defs[*(const uint32_t *)a], *right = &defs[*(const uint32_t *)b];
  if (left->first_line != right->first_line) return left->first_line < right->first_line ? -1 : 1;
  if (left->last_line != right->last_line) return left->last_line > right->last_line ? -1 : 1;
  return (left > right) - (left < right);
}

/* A dotted name into out [256]; returns its size. C++'s :: becomes a dot, blanks and line ends go. */
static size_t dotted(const cw_defs *defs, int32_t number, uint8_t *out, int depth) {
  const cw_def *def = &defs->defs[number];
  size_t size = 0;
  if (def->outer >= 0 && depth < 32) {
    size = dotted(defs, def->outer, out, depth + 1);
    if (size > 0 && size < 255) out[size++] = '.';
  }
  const uint8_t *name = defs->l->text + def->name_at;
  for (uint32_t i = 0; i < def->name_size && size < 255; i++) {
    if (name[i] == ':' && i + 1 < def->name_size && name[i + 1] == ':') {
      out[size++] = '.';
      i++;
    } else if (name[i] > ' ') {
      out[size++] = name[i];
    }
  }
  while (size > 0 && size >= 253 && out[size - 1] >= 0x80) size--; /* no half a character at the cut */
  return size;
}

/* Appends lines "kind first signature last name" of the definitions in order, then "> import" lines. */
static cw_status add_details(worker *w) {
  cw_defs *defs = &w->defs;
  uint32_t *order = malloc(defs->count * sizeof *order + 1);
  if (order == NULL) return CW_E_MEMORY;
  for (uint32_t i = 0; i < defs->count; i++) order[i] = i;
  qsort_r(order, defs->count, sizeof *order, by_line, defs->defs);
  cw_status status = CW_OK;
  for (size_t i = 0; i < defs->count && status == CW_OK; i++) {
    const cw_def *def = &defs->defs[order[i]];
    uint8_t name[256];
    size_t size = dotted(defs, (int32_t)order[i], name, 0), last = size;
    if (size == 0) continue;
    while (last > 0 && name[last - 1] != '.') last--;
    status = reserve(&w->details, &w->details_room, w->details_size + size + CW_TEXT_SLACK);
    if (status != CW_OK) break;
    w->details_size += (size_t)snprintf((char *)w->details + w->details_size, 64, "%c %u %u %u ", def->kind, def->first_line,
                                        def->signature_line, def->last_line);
    memcpy(w->details + w->details_size, name, size);
    w->details_size += size;
    w->details[w->details_size++] = '\n';
    status = cw_posting_add(&w->lists[CW_POSTINGS_DEFINED], cw_name_hash(name + last, size - last), w->doc, 1);
  }
  free(order);
  for (size_t at = 0; at < defs->imports_size && status == CW_OK;) {
    const uint8_t *newline = memchr(defs->imports + at, '\n', defs->imports_size - at);
    size_t end = newline != NULL ? (size_t)(newline - defs->imports) : defs->imports_size;
    status = reserve(&w->details, &w->details_room, w->details_size + (end - at) + 8);
    if (status != CW_OK) break;
    if (end > at) {
      w->details[w->details_size++] = '>';
      w->details[w->details_size++] = ' ';
      memcpy(w->details + w->details_size, defs->imports + at, end - at);
      w->details_size += end - at;
      w->details[w->details_size++] = '\n';
    }
    at = end + 1;
  }
  return status;
}

/* Cuts the text of w->bytes into words and finds what it defines. */
static cw_status analyse(worker *w, const char *name, size_t size, cw_language language) {
  w->lexer.text = w->bytes;
  w->lexer.size = size;
  w->lexer.language = language;
  const char *dot = strrchr(name, '.');
  w->lexer.jsx = language == CW_LANG_JAVASCRIPT || (dot != NULL && strcmp(dot, ".tsx") == 0);
  w->lexer.words = &w->words;
  w->defs.l = &w->lexer;
  cw_words_clear(&w->words);
  CW_TRY(cw_lex(&w->lexer));
  return cw_defs_find(&w->defs);
}

static cw_status count_tokens(worker *w, size_t size, uint32_t *tokens) {
  const cw_tokenizer *tokenizer = w->run->request->tokenizer;
  size_t skip = size >= 3 && memcmp(w->bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0, count;
  if (tokenizer == NULL || size == skip) return CW_OK;
  if (size > w->ids_room) {
    free(w->ids);
    w->ids_room = size + size / 2;
    w->ids = malloc(w->ids_room * sizeof *w->ids);
    if (w->ids == NULL) {
      w->ids_room = 0;
      return CW_E_MEMORY;
    }
  }
  CW_TRY(cw_tokenizer_encode(tokenizer, w->bytes + skip, size - skip, w->ids, w->ids_room, &count));
  *tokens = (uint32_t)count;
  return CW_OK;
}

static cw_status survey_file(worker *w, uint32_t number) {
  cw_survey *survey = w->run->survey;
  cw_survey_file *file = &survey->files[number];
  const char *name = (const char *)w->run->names[number];
  size_t size = 0;
  w->doc = number;
  survey->reader[number] = (uint8_t)(w - survey->workers);
  survey->detail_at[number] = w->details_size;
  CW_TRY(read_file(w, name, file, &size));
  if (file->state != CW_SURVEY_TEXT) return CW_OK;
  cw_digest(w->bytes, size, file->digest);
  file->state = kind_of(w->bytes, size);
  if (file->state != CW_SURVEY_TEXT) return CW_OK;
  size = to_lf(w->bytes, size);
  cw_language language = cw_language_of(name, w->bytes, size);
  file->language = (uint32_t)language;
  for (const uint8_t *at = w->bytes, *end = w->bytes + size; at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++) file->lines++;
  file->lines += size > 0 && w->bytes[size - 1] != '\n';
  CW_TRY(count_tokens(w, size, &file->tokens));
  CW_TRY(analyse(w, name, size, language));
  CW_TRY(add_postings(w, file));
  CW_TRY(add_details(w));
  file->details = (uint32_t)(w->details_size - survey->detail_at[number]);
  return CW_OK;
}

static void *work(void *argument) {
  worker *w = argument;
  struct run *run = w->run;
  for (;;) {
    unsigned from = atomic_fetch_add(&run->next, STRIDE);
    if (from >= run->survey->count) return NULL;
    for (unsigned i = from; i < from + STRIDE && i < run->survey->count; i++) {
      w->status = survey_file(w, i);
      if (w->status != CW_OK) {
        atomic_store(&run->next, (unsigned)run->survey->count);
        return NULL;
      }
    }
  }
}

static void close_worker(worker *w) {
  free(w->bytes);
  free(w->ids);
  free(w->details);
  cw_words_close(&w->words);
  cw_words_close(&w->terms);
  free(w->lexer.tokens);
  free(w->defs.match);
  free(w->defs.defs);
  free(w->defs.imports);
  for (int kind = 0; kind < CW_POSTINGS_KINDS; kind++) free(w->lists[kind].all);
}

static cw_status run_all(cw_survey *survey, struct run *run) {
  cw_status status = CW_OK;
  for (uint32_t i = 0; i < survey->threads && status == CW_OK; i++) {
    survey->workers[i].run = run;
    status = cw_words_open(&survey->workers[i].words);
    if (status == CW_OK) status = cw_words_open(&survey->workers[i].terms);
  }
  if (status != CW_OK) return status;
  uint32_t started = 1;
  while (started < survey->threads && pthread_create(&survey->workers[started].thread, NULL, work, &survey->workers[started]) == 0) started++;
  work(&survey->workers[0]);
  for (uint32_t i = 1; i < started; i++) pthread_join(survey->workers[i].thread, NULL);
  for (uint32_t i = 0; i < started && status == CW_OK; i++) status = survey->workers[i].status;
  return status;
}

cw_status cw_survey_open(const cw_survey_request *request, cw_survey **out, cw_fault *fault) {
  if (request == NULL || out == NULL || request->root == NULL || (request->names == NULL && request->count > 0))
    return cw_fault_set(fault, CW_E_ARGUMENT, "survey: an incomplete request");
  size_t left = request->names_size;
  struct run run = {.request = request, .root_fd = -1};
  cw_survey *survey = calloc(1, sizeof *survey);
  cw_status status = survey != NULL ? CW_OK : CW_E_MEMORY;
  if (status == CW_OK) {
    survey->count = request->count;
    survey->threads = request->threads < 1 ? 1 : request->threads > THREADS_MAX ? THREADS_MAX : request->threads;
    if (survey->threads > survey->count / STRIDE + 1) survey->threads = (uint32_t)(survey->count / STRIDE) + 1;
    survey->files = calloc(survey->count + 1, sizeof *survey->files);
    survey->detail_at = calloc(survey->count + 1, sizeof *survey->detail_at);
    survey->reader = calloc(survey->count + 1, 1);
    run.names = malloc((survey->count + 1) * sizeof *run.names);
    run.survey = survey;
    if (survey->files == NULL || survey->detail_at == NULL || survey->reader == NULL || run.names == NULL) status = CW_E_MEMORY;
  }
  const uint8_t *name = request->names;
  for (size_t i = 0; status == CW_OK && i < survey->count; i++) {
    const uint8_t *nul = left > 0 ? memchr(name, 0, left) : NULL;
    if (nul == NULL) {
      status = cw_fault_set(fault, CW_E_ARGUMENT, "survey: fewer names than files");
      break;
    }
    run.names[i] = name;
    left -= (size_t)(nul + 1 - name);
    name = nul + 1;
  }
  if (status == CW_OK && request->tokenizer != NULL) { /* so that no thread has to */
    int32_t id;
    size_t count;
    status = cw_tokenizer_encode(request->tokenizer, (const uint8_t *)"a", 1, &id, 1, &count);
  }
  if (status == CW_OK && (run.root_fd = open(request->root, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
    status = cw_fault_set(fault, CW_E_IO, "%s: %s", request->root, strerror(errno));
  if (status == CW_OK) status = run_all(survey, &run);
  if (run.root_fd >= 0) close(run.root_fd);
  free(run.names);
  if (status == CW_OK) *out = survey;
  else cw_survey_close(survey);
  if (status == CW_E_MEMORY) return cw_fault_set(fault, status, "survey: out of memory");
  return status;
}

void cw_survey_close(cw_survey *survey) {
  if (survey == NULL) return;
  for (uint32_t i = 0; i < THREADS_MAX; i++) close_worker(&survey->workers[i]);
  free(survey->files);
  free(survey->detail_at);
  free(survey->reader);
  free(survey);
}

size_t cw_survey_files(const cw_survey *survey, const cw_survey_file **files) {
  *files = survey->files;
  return survey->count;
}

cw_status cw_survey_details(const cw_survey *survey, size_t number, const uint8_t **text, size_t *size) {
  if (survey == NULL || text == NULL || size == NULL || number >= survey->count) return CW_E_ARGUMENT;
  const uint8_t *details = survey->workers[survey->reader[number]].details;
  *text = details != NULL ? details + survey->detail_at[number] : (const uint8_t *)"";
  *size = survey->files[number].details;
  return CW_OK;
}

cw_status cw_survey_postings(cw_survey *survey, uint32_t kind, cw_postings **out) {
  cw_posting_list lists[THREADS_MAX];
  if (survey == NULL || out == NULL || kind >= CW_POSTINGS_KINDS) return CW_E_ARGUMENT;
  for (uint32_t i = 0; i < THREADS_MAX; i++) lists[i] = survey->workers[i].lists[kind];
  return cw_postings_write(lists, THREADS_MAX, out);
}

cw_status cw_survey_names(const uint8_t *text, size_t size, const char *path, uint8_t *out, size_t capacity, size_t *written) {
  if ((text == NULL && size > 0) || path == NULL || out == NULL || written == NULL || size > FILE_BYTES_MAX) return CW_E_ARGUMENT;
  worker w = {0};
  cw_status status = reserve(&w.bytes, &w.bytes_room, size + CW_TEXT_SLACK);
  if (status == CW_OK) status = cw_words_open(&w.words);
  if (status == CW_OK) {
    if (size > 0) memcpy(w.bytes, text, size);
    size = to_lf(w.bytes, size);
    status = analyse(&w, path, size, cw_language_of(path, w.bytes, size));
  }
  size_t made = 0;
  for (size_t i = 0; status == CW_OK && i < w.words.used; i++) {
    const cw_word_count *word = &w.words.slots[w.words.order[i]];
    if (word->code == 0) continue;
    if (capacity - made < word->size + 16) status = CW_E_CAPACITY;
    else made += (size_t)snprintf((char *)out + made, 16, "%u ", word->code);
    if (status != CW_OK) break;
    memcpy(out + made, w.bytes + word->at, word->size);
    made += word->size;
    out[made++] = '\n';
  }
  close_worker(&w);
  if (status == CW_OK) *written = made;
  return status;
}

/* Terms of free text: those of its words, one after another, each ended by a newline. */
typedef struct {
  uint8_t *out;
  size_t capacity, size;
} term_text;

static cw_status write_term(void *user, const uint8_t *term, size_t size) {
  term_text *text = user;
  if (text->capacity - text->size < size + 1) return CW_E_CAPACITY;
  memcpy(text->out + text->size, term, size);
  text->size += size;
  text->out[text->size++] = '\n';
  return CW_OK;
}

cw_status cw_text_terms(const uint8_t *text, size_t size, uint8_t *out, size_t capacity, size_t *written) {
  if ((text == NULL && size > 0) || (out == NULL && capacity > 0) || written == NULL) return CW_E_ARGUMENT;
  term_text terms = {out, capacity, 0};
  for (size_t at = 0; at < size;) {
    if (cw_byte_class[text[at]] == 0) {
      at++;
      continue;
    }
    size_t end = at;
    while (end < size && cw_byte_class[text[end]] != 0) end++;
    if (end - at > 1) CW_TRY(cw_word_terms(text + at, end - at, write_term, &terms));
    at = end;
  }
  *written = terms.size;
  return CW_OK;
}
