/* cromwell.h: the one public header of libcromwell. Opaque handles, status codes, a stable C ABI.
 *
 * The library never prints, exits, or reads the environment; it allocates only in functions named *_open, in cw_diff_text, in
 * cw_patch_fit, and in those of surveys and postings.
 * Functions return a cw_status and give results through out pointers; on failure out pointers are left untouched and, where a
 * cw_fault is taken (NULL is allowed), it says in one line what was wrong and where. Handles are not shared between threads
 * while a call runs on them; cw_model and cw_tokenizer are read-only after opening and may be shared freely.
 *
 * Results are bit-identical for every instruction set and every thread count: each output is accumulated in one fixed order
 * with fused multiply-adds (see docs/engine.md). */
#ifndef CROMWELL_H
#define CROMWELL_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define CW_API __attribute__((visibility("default")))
#else
#define CW_API
#endif

/* cffi: begin (the binding reads from here to the end mark; keep it free of preprocessor lines) */

typedef enum {
  CW_OK = 0,
  CW_E_ARGUMENT = 1,  /* a value out of its documented range */
  CW_E_MEMORY = 2,    /* allocation failed */
  CW_E_IO = 3,        /* the operating system refused; errno is in the fault text */
  CW_E_FORMAT = 4,    /* not what it claims to be, truncated, or inconsistent */
  CW_E_VERSION = 5,   /* a format version this build does not read */
  CW_E_CHECKSUM = 6,  /* contents differ from their checksum */
  CW_E_ISA = 7,       /* instruction set unknown or absent on this machine */
  CW_E_CAPACITY = 8   /* the buffer or the session is too small */
} cw_status;

typedef struct {
  char text[256]; /* one line, no newline, always terminated */
} cw_fault;

CW_API const char *cw_version(void);
CW_API const char *cw_status_text(cw_status status);

/* ---- Machine -------------------------------------------------------------------------------------------------- */

/* Selects the kernels: "scalar", "avx2", "avx512vnni", or NULL for the best this machine has. Call before opening models.
 * CW_E_ISA when the name is unknown or the machine lacks it. */
CW_API cw_status cw_isa_select(const char *name);
CW_API const char *cw_isa_name(void);   /* the selected one */
CW_API int32_t cw_threads_default(void); /* physical cores within the affinity mask and the cgroup quota, at least 1 */

/* 64-bit checksum used by the model pack (docs/pack.md); portable, not cryptographic. */
CW_API uint64_t cw_checksum64(const void *bytes, size_t size);

/* ---- Tokenizer ------------------------------------------------------------------------------------------------ */

typedef struct cw_tokenizer cw_tokenizer;

/* Opens the tokenizer section of a model pack (docs/pack.md) held in memory; `bytes` must outlive the handle. */
CW_API cw_status cw_tokenizer_open(const void *bytes, size_t size, cw_tokenizer **out, cw_fault *fault);
CW_API void cw_tokenizer_close(cw_tokenizer *tokenizer);
CW_API int32_t cw_tokenizer_size(const cw_tokenizer *tokenizer); /* tokens in the vocabulary */
/* Encodes any bytes as ordinary text; special tokens are never produced. At most `size` ids: a buffer of `size` never
 * overflows. CW_E_CAPACITY when `capacity` is too small. */
CW_API cw_status cw_tokenizer_encode(const cw_tokenizer *tokenizer, const uint8_t *text, size_t size, int32_t *ids, size_t capacity,
                                     size_t *count);
/* Concatenates the bytes of ids; special tokens give their names when `with_special` is non-zero and nothing otherwise.
 * With out = NULL only *size is set. CW_E_ARGUMENT for an id outside the vocabulary. */
CW_API cw_status cw_tokenizer_decode(const cw_tokenizer *tokenizer, const int32_t *ids, size_t count, int32_t with_special, uint8_t *out,
                                     size_t capacity, size_t *size);
/* Id of a special token such as "<EDIT>", or -1. */
CW_API int32_t cw_tokenizer_special(const cw_tokenizer *tokenizer, const char *name);

/* ---- Model ---------------------------------------------------------------------------------------------------- */

typedef struct cw_model cw_model;

typedef struct {
  uint32_t vocab_size, max_positions, joint_size, max_tiles, vision_tokens_per_tile, jepa_steps;
  uint64_t parameter_count;   /* embeddings counted once when tied */
  uint64_t fingerprint;       /* checksum over config, tokenizer and every tensor */
  uint32_t block_tokens;      /* tokens whose states make a block: 64 */
  uint64_t block_bytes;       /* of cw_session_block */
} cw_model_info;

typedef struct {
  char name[64];
  char format[8];    /* "f32", "q8" or "q4" */
  uint32_t rank, shape[3]; /* 1 where unused */
  uint64_t size_bytes;
} cw_tensor_info;

/* Maps a model pack read-only and checks every offset, shape and size before use, and all of it by checksum but the numbers of the
 * tensors, which are not read: opening takes as long for a large model as for a small one. Wrong numbers give wrong results, never
 * a wrong address. */
CW_API cw_status cw_model_open(const char *path, cw_model **out, cw_fault *fault);
/* Checks the numbers of all tensors: checksums, ranges, and that nothing stands between them. Reads the whole file. */
CW_API cw_status cw_model_verify(const cw_model *model, cw_fault *fault);
CW_API void cw_model_close(cw_model *model);
CW_API void cw_model_describe(const cw_model *model, cw_model_info *out);
CW_API const char *cw_model_config(const cw_model *model, size_t *size); /* the JSON text of the configuration */
/* Made ready for encoding by the first call that encodes, from whichever thread, or by cw_model_verify. */
CW_API const cw_tokenizer *cw_model_tokenizer(const cw_model *model);
CW_API uint32_t cw_model_tensor_count(const cw_model *model);
CW_API cw_status cw_model_tensor(const cw_model *model, uint32_t index, cw_tensor_info *out);

/* ---- Session: one sequence and its states ---------------------------------------------------------------------- */

typedef struct cw_session cw_session;

typedef struct {
  uint32_t max_tokens; /* capacity in text tokens, 1..max_positions */
  uint32_t max_tiles;  /* capacity in picture tiles over all images, 0..max_tiles */
  int32_t threads;     /* 1..64; 0 = cw_threads_default() */
  int32_t guidance;    /* non-zero: JEPA guidance as trained; 0: guide gate taken as zero */
} cw_session_options;

CW_API cw_status cw_session_open(const cw_model *model, const cw_session_options *options, cw_session **out, cw_fault *fault);
CW_API void cw_session_close(cw_session *session);
CW_API const cw_model *cw_session_model(const cw_session *session); /* the one it was opened on */
CW_API uint32_t cw_session_length(const cw_session *session); /* tokens fed so far */
/* Feeds `count` tokens; computes their states (K/V of every layer). Allocates nothing. */
CW_API cw_status cw_session_feed(cw_session *session, const int32_t *ids, size_t count);
/* Feeds an image: the next token fed must be its <IMAGE> token. `tiles` is [rows*cols, 256, 256, 3] RGB bytes, tiles row-major.
 * CW_E_ARGUMENT when another waits for its token, or while the session shares images of another. */
CW_API cw_status cw_session_feed_image(cw_session *session, const uint8_t *tiles, uint32_t rows, uint32_t cols);
/* Feeds counts[i] tokens to sessions[i], for each of `count` sessions (0..64, all different, of one model, with the same guidance) in one
 * pass, which costs little more than one token: for batches, candidates and beams, with drafts. `ids` are those of the first session, then
 * those of the next, 192 in all at most; counts = NULL: one each. Runs with the threads and the positions of the first, which may be there
 * for that alone, with no tokens; on an error all are as they were. */
CW_API cw_status cw_session_feed_each(cw_session *const *sessions, const int32_t *ids, const uint32_t *counts, uint32_t count);
/* Logits of the last token fed, float [vocab_size], valid until the next call on the session; CW_E_ARGUMENT on an empty one. */
CW_API cw_status cw_session_logits(cw_session *session, const float **logits);
/* Logits of the last `count` tokens fed (1..192), float [count, vocab_size]. */
CW_API cw_status cw_session_logits_rows(cw_session *session, uint32_t count, const float **logits);
/* Logits of the last counts[i] tokens of each of `count` sessions (1..64) of one model, 1..192 in all, float [all, vocab_size], held by the
 * first; counts = NULL: one each. */
CW_API cw_status cw_session_logits_each(cw_session *const *sessions, const uint32_t *counts, uint32_t count, const float **logits);
/* Forgets everything from position `length` on, images after it included. */
CW_API cw_status cw_session_rewind(cw_session *session, uint32_t length);
/* Joint embeddings f of tokens first..first+count-1, float [count, joint_size]. */
CW_API cw_status cw_session_joint(const cw_session *session, uint32_t first, uint32_t count, float *out);
/* States go in blocks of 64 tokens, and are shared, not copied. What a shared or attached block holds is exactly what feeding the
 * same tokens after the same prefix would give.
 *
 * The states of tokens 64 index .. 64 index + 63: block_bytes bytes at *block, as they are until the session is rewound below
 * their end or closed. CW_E_ARGUMENT when they are not all there, or follow an image. */
CW_API cw_status cw_session_block(const cw_session *session, uint32_t index, const void **block);
/* Appends the 64 tokens `ids` with their states, which the session uses in place: `block` (64-byte aligned) must stay as it is until
 * the session is rewound below them or closed. The session's length must be a multiple of 64, without images.
 * CW_E_FORMAT when the block is one of another model, place, guidance or other ids. */
CW_API cw_status cw_session_attach(cw_session *session, const int32_t *ids, const void *block, size_t size);
/* An empty session takes the first `count` tokens of another of the same model, images before them included, and uses their states in
 * place: `from` must neither be rewound below `count` nor closed before it. */
CW_API cw_status cw_session_share(cw_session *session, const cw_session *from, uint32_t count);
/* For tests: called with every intermediate result while feeding; `name` as in docs/engine.md, `values` is [rows, cols]. */
typedef void (*cw_trace_fn)(void *user, const char *name, int32_t layer, const float *values, uint32_t rows, uint32_t cols);
CW_API void cw_session_trace(cw_session *session, cw_trace_fn trace, void *user);

/* ---- Sampling -------------------------------------------------------------------------------------------------- */

typedef struct cw_sampler cw_sampler;

typedef struct {
  float temperature;         /* 0 = greedy (ties: the lowest id); else > 0 */
  int32_t top_k;             /* 0 = off */
  float top_p;               /* 1 = off; in (0, 1] */
  float min_p;               /* 0 = off; in [0, 1) */
  float repetition_penalty;  /* 1 = off; > 0 (CTRL, arXiv 1909.05858): positive logits divided, negative multiplied */
  int32_t repetition_window; /* last tokens considered; 0 = all accepted so far */
  uint64_t seed;
} cw_sampling;

/* vocab_size 1..2^24; max_tokens 1..2^24 is the room for accepted tokens. */
CW_API cw_status cw_sampler_open(uint32_t vocab_size, uint32_t max_tokens, const cw_sampling *sampling, cw_sampler **out, cw_fault *fault);
CW_API void cw_sampler_close(cw_sampler *sampler);
/* Adds tokens to the history that the repetition penalty looks at; all or, on failure, none. CW_E_ARGUMENT for an id outside the
 * vocabulary, CW_E_CAPACITY beyond max_tokens. */
CW_API cw_status cw_sampler_accept(cw_sampler *sampler, const int32_t *ids, size_t count);
/* Picks the next token from logits [vocab_size]; does not accept it. Order: penalty, temperature, top-k, softmax, top-p, min-p, draw
 * (docs/sampling.md). *log_probability (NULL allowed) is that of the token under the plain softmax of the logits.
 * A logit of -inf rules its token out; CW_E_ARGUMENT for NaN, +inf, or nothing but -inf. */
CW_API cw_status cw_sampler_next(cw_sampler *sampler, const float *logits, int32_t *id, float *log_probability);

typedef enum {
  CW_STOP_TOKEN = 0,   /* a stop token was produced; it is not among the output */
  CW_STOP_STRING = 1,  /* a stop string was produced; the output still holds the tokens that carry it */
  CW_STOP_LENGTH = 2,  /* max_tokens or the session's capacity reached */
  CW_STOP_CALLER = 3   /* the callback asked to stop */
} cw_stop_reason;

typedef int (*cw_token_fn)(void *user, int32_t id); /* return non-zero to stop */

typedef struct {
  const int32_t *stop_ids;
  size_t stop_id_count;
  const uint8_t *const *stop_strings; /* at most 32 of 1..256 bytes each */
  const size_t *stop_sizes;
  size_t stop_string_count;
  uint32_t max_tokens;
  const int32_t *draft_ids; /* what the answer may repeat, the likeliest beginning first: the text to be rewritten */
  size_t draft_count;       /* 0: plain decoding */
  cw_token_fn on_token;     /* NULL allowed; sees every token written, and must not use the session */
  void *user;
} cw_generate_request;

typedef struct {
  uint32_t count;            /* tokens written */
  size_t text_size;          /* decoded bytes before the stop string, of all tokens otherwise */
  float log_probability_sum; /* over the tokens written and the stop token */
  cw_stop_reason reason;
  uint32_t steps;            /* passes of the model */
  uint32_t drafted, accepted; /* tokens fed before they were known to be right, and those that were */
} cw_generation;

/* The token loop: logits, sample, accept, feed, until a stop. Allocates nothing. Stop strings are matched on the decoded bytes, across
 * token borders: the match that ends first counts, of those that end together the longest.
 * ids has room for max_tokens. A token is fed when its successor is wanted: the last one written is not, unless a stop token
 * followed it. With draft_ids, tokens that the answer is likely to repeat are fed several at a time and forgotten where it does not:
 * faster, and the same in every result but steps, drafted and accepted.
 * CW_E_ARGUMENT also for a vocabulary other than the sampler's; on failure the session and ids may hold tokens already made. */
CW_API cw_status cw_generate(cw_session *session, cw_sampler *sampler, const cw_generate_request *request, int32_t *ids,
                             cw_generation *out);

/* cw_generate with each of `count` sessions (1..64, all different, of one model, with the same guidance) at a time: a pass gives every
 * answer its next tokens, and answers that are still the same, from sessions that share the same prompt, are computed once. samplers,
 * requests, ids and out are [count]; samplers are all different. Answers and sessions are those of `count` calls of cw_generate, apart
 * from steps, drafted and accepted; passes run with the threads of the session with the most room, of equals the first. `out` is left
 * untouched on failure. */
CW_API cw_status cw_generate_each(cw_session *const *sessions, cw_sampler *const *samplers, const cw_generate_request *requests,
                                  uint32_t count, int32_t *const *ids, cw_generation *out);

typedef struct cw_beam cw_beam;

/* Room for a beam search of `width` (1..8) lines of at most max_tokens tokens. */
CW_API cw_status cw_beam_open(uint32_t width, uint32_t max_tokens, cw_beam **out, cw_fault *fault);
CW_API void cw_beam_close(cw_beam *beam);
/* Looks for the answers of the highest mean log-probability (docs/sampling.md); *found is how many there are, at most `width`. sessions
 * [width], all different, of one model, with the same guidance: the first holds the prompt, which at the end all hold that were
 * needed; with pictures all must hold it before. The request is without draft_ids and on_token, with at most 32 stop ids. */
CW_API cw_status cw_beam_search(cw_beam *beam, cw_session *const *sessions, const cw_generate_request *request, uint32_t *found);
/* Answer `index` of the last search, 0 the best: its tokens, valid until the next search, and what is known of it; `steps` are those of
 * the whole search. The mean is log_probability_sum over the tokens, a stop token included. */
CW_API cw_status cw_beam_answer(const cw_beam *beam, uint32_t index, const int32_t **ids, cw_generation *out);

/* ---- Pictures -------------------------------------------------------------------------------------------------- */

/* Grid for a picture of width x height pixels: native scale when it fits max_tiles and 8 tiles either way, else the largest
 * shrink that fits, its other side rounded to the nearest pixel. Sets the grid and the size the picture is scaled to (area average)
 * before tiling. CW_E_ARGUMENT for a side outside 1..65535 or more than 2^28 pixels. */
CW_API cw_status cw_image_layout(uint32_t width, uint32_t height, uint32_t max_tiles, uint32_t *rows, uint32_t *cols,
                                 uint32_t *scaled_width, uint32_t *scaled_height);
/* Cuts RGB bytes [height, width, 3], shrunk to the scaled size, into white-padded tiles [rows*cols, 256, 256, 3]. CW_E_ARGUMENT for a
 * scaled size above the picture's or the grid's. */
CW_API cw_status cw_image_tiles(const uint8_t *rgb, uint32_t width, uint32_t height, uint32_t rows, uint32_t cols,
                                uint32_t scaled_width, uint32_t scaled_height, uint8_t *tiles);

/* ---- Diff ------------------------------------------------------------------------------------------------------ */

typedef struct cw_diff cw_diff;

typedef struct {
  uint32_t old_first, old_count, new_first, new_count; /* lines, from 0: old lines replaced by new lines */
} cw_diff_change;

typedef enum {
  CW_DIFF_HISTOGRAM, /* around the longest runs of rare lines, as git diff --histogram */
  CW_DIFF_PATIENCE,  /* around lines that both texts have once */
  CW_DIFF_MYERS,     /* a shortest script, unless that takes too long */
  CW_DIFF_MINIMAL    /* a shortest script, however long it takes: quadratic for texts without much in common */
} cw_diff_algorithm;

/* Line differences of two byte strings (lines end after \n; the last may lack it): maximal changed ranges in order. The texts must
 * stay until the diff is closed. All but CW_DIFF_MINIMAL take time in proportion to the lines and at worst to lines^1.5. */
CW_API cw_status cw_diff_open(const uint8_t *old_text, size_t old_size, const uint8_t *new_text, size_t new_size,
                              cw_diff_algorithm algorithm, cw_diff **out, cw_fault *fault);
CW_API void cw_diff_close(cw_diff *diff);
CW_API size_t cw_diff_changes(const cw_diff *diff, const cw_diff_change **changes);
/* The hunks of a unified diff with `context` lines around changes; valid until the next call or until the diff is closed. */
CW_API cw_status cw_diff_text(cw_diff *diff, uint32_t context, const uint8_t **text, size_t *size);

enum { CW_BLOB_NAMES_MAX = 4, CW_BLOB_NAME_DIGITS = 40 };

/* Git's (SHA-1) names of up to CW_BLOB_NAMES_MAX file contents, in about the time of one; names is [count, CW_BLOB_NAME_DIGITS + 1],
 * each in hex with a 0 at its end. */
CW_API cw_status cw_blob_names(const uint8_t *const *texts, const size_t *sizes, uint32_t count, char *names);

/* ---- Patch ----------------------------------------------------------------------------------------------------- */

/* A unified diff read strictly (docs/apply.md says what is one): from git, GNU diff, Mercurial or Subversion, with text around its parts.
 * Nothing in it is trusted, and nothing here touches a file. */
typedef struct cw_patch cw_patch;

enum { CW_PATCH_BYTES_MAX = 268435456, CW_PATCH_FILES_MAX = 100000 };
enum { CW_PATCH_ABSENT = 0xffffffff }; /* the size of a string that is not there */

typedef struct {
  uint32_t at, size; /* bytes of cw_patch_strings */
} cw_patch_string;

enum { CW_PATCH_GIT = 1, CW_PATCH_CRLF = 2, CW_PATCH_RENAME = 4, CW_PATCH_COPY = 8, CW_PATCH_BINARY = 16 };

typedef struct {
  uint32_t line;                        /* of the patch, from 1, where the part begins */
  uint32_t flags;                       /* git's header; header lines end in CRLF; what moved; a binary file */
  uint32_t first_hunk, hunk_count;
  uint32_t first_block, block_count;    /* of a binary patch: forward and, where given, backward; none without its data */
  cw_patch_string old_name, new_name;   /* as written, unquoted; "/dev/null" where the file is absent */
  cw_patch_string header_old, header_new; /* the names on the `diff --git` line, where they can be told; of other diffs
                                           * those on the --- and +++ lines of one hunk, dates of missing files or not */
  cw_patch_string old_mode, new_mode, old_blob, new_blob;
} cw_patch_file;

typedef struct {
  uint32_t line;                                          /* of the patch, from 1 */
  uint32_t old_start, old_count, new_start, new_count;    /* lines from 1 as stated, and how many there are */
  uint32_t lines, leading, trailing;                      /* of either side; of context at either end */
  uint32_t body_at, body_size;                            /* the bytes of the patch below the @@ line */
  uint32_t old_bytes, new_bytes;
} cw_patch_hunk;

typedef struct {
  uint64_t size_bytes; /* once inflated, as stated */
  cw_patch_string deflated;
  uint32_t is_delta;
} cw_patch_block;

/* Why a patch is refused. `line` is from 0; `number` is what the kind's comment says. */
typedef enum {
  CW_PATCH_SOUND,
  CW_PATCH_MANY_FILES,
  CW_PATCH_HUNK_ALONE,        /* without a file header */
  CW_PATCH_COMBINED,          /* a diff of a merge */
  CW_PATCH_CONTEXT_DIFF,
  CW_PATCH_BINARY_ALONE,      /* a binary file's difference without git's header */
  CW_PATCH_BOTH_ABSENT,
  CW_PATCH_ESCAPE,            /* unknown in a quoted name; number: the byte */
  CW_PATCH_NO_NAME,
  CW_PATCH_NO_NEW_NAME,       /* no +++ line after the --- line */
  CW_PATCH_CONTRADICTION,
  CW_PATCH_ABSENT_UNCLEAR,    /* names and header lines disagree about a missing file */
  CW_PATCH_INDEX,
  CW_PATCH_NO_CHANGE,
  CW_PATCH_BINARY_KIND,       /* neither literal nor delta */
  CW_PATCH_BINARY_LINE,
  CW_PATCH_BASE85_DIGIT,      /* number: its place in the line's data */
  CW_PATCH_BASE85_OVERFLOW,   /* number: where the five digits begin */
  CW_PATCH_BINARY_CUT,
  CW_PATCH_FIELD_TWICE,       /* number: of old mode, new mode, deleted file mode, new file mode, copy from, copy to, rename from,
                                 rename to, similarity index, dissimilarity index, index */
  CW_PATCH_MODE_ALONE,
  CW_PATCH_MODE,
  CW_PATCH_MOVE_HALF,         /* number: 0 a rename, 1 a copy */
  CW_PATCH_MOVE_BOTH,
  CW_PATCH_MOVE_NAMES,        /* number: the same */
  CW_PATCH_NAMES_UNCLEAR,
  CW_PATCH_NAMES_DIFFER,      /* from those of the header */
  CW_PATCH_QUOTE_TAIL,
  CW_PATCH_OVERLAP,           /* number: of the hunk in its file, from 1 */
  CW_PATCH_NEW_HAS_OLD,
  CW_PATCH_DELETED_HAS_NEW,
  CW_PATCH_ABSENT_HUNKS,      /* a new or deleted file in several hunks */
  CW_PATCH_NO_HUNK,
  CW_PATCH_HUNK_HEADER,
  CW_PATCH_HUNK_NUMBERS,
  CW_PATCH_HUNK_CUT,
  CW_PATCH_HUNK_SHORT,        /* fewer lines than its header says */
  CW_PATCH_HUNK_SUM,          /* lines that do not add up to its header */
  CW_PATCH_LINE_CUT,
  CW_PATCH_HUNK_IDLE,         /* without a change */
  CW_PATCH_NEWLINE_INSIDE,    /* no newline in the middle of a file */
  CW_PATCH_NEWLINE_EMPTY,     /* an empty line without newline */
  CW_PATCH_HUNK_LONG          /* more lines than its header says */
} cw_patch_fault_kind;

typedef struct {
  cw_patch_fault_kind kind;
  uint32_t line;
  uint64_t number;
} cw_patch_fault;

/* Reads a patch, which must stay until it is closed; in time and memory proportional to its size. CW_E_FORMAT, with the first fault
 * (NULL allowed), when it is not one; CW_E_CAPACITY above CW_PATCH_BYTES_MAX. A text without any part is a patch of no files. */
CW_API cw_status cw_patch_open(const uint8_t *text, size_t size, cw_patch **out, cw_patch_fault *fault);
CW_API void cw_patch_close(cw_patch *patch);
CW_API size_t cw_patch_files(const cw_patch *patch, const cw_patch_file **files);
CW_API size_t cw_patch_hunks(const cw_patch *patch, const cw_patch_hunk **hunks);
CW_API size_t cw_patch_blocks(const cw_patch *patch, const cw_patch_block **blocks);
CW_API size_t cw_patch_strings(const cw_patch *patch, const uint8_t **bytes);

enum {
  CW_FIT_REVERSED = 1,   /* the new lines are there, and the old ones are wanted */
  CW_FIT_VERSION = 2,    /* the text is the version that the patch was made from: missing context says nothing */
  CW_FIT_WITHOUT_CR = 4  /* lines that end in CRLF end in LF */
};

/* What all hunks of file `file` make of a text when they stand at their stated lines: *fits, and then *made, valid until the next call or
 * until the patch is closed. They stand when their old lines are there whole; without CW_FIT_VERSION also only at the start (end) of the
 * text where a hunk has no context before (after) its change while some hunk has context, and without old lines only in an empty text. */
CW_API cw_status cw_patch_fit(cw_patch *patch, uint32_t file, uint32_t how, const uint8_t *text, size_t size, int32_t *fits,
                              const uint8_t **made, size_t *made_size);

/* ---- Files of a tree ------------------------------------------------------------------------------------------- */

typedef struct cw_walk cw_walk;

enum { CW_FILE_REGULAR = 1, CW_FILE_LINK = 2, CW_FILE_SUBMODULE = 3 };

typedef struct {
  int64_t size, mtime_ns, ctime_ns;
  uint64_t inode;
  uint32_t kind, reserved; /* CW_FILE_*; reserved is 0 */
} cw_file_stat;

typedef struct {
  const char *root;         /* the folder to walk */
  const char *top;          /* the repository's work tree that holds it, or the root again: where paths in ignore files start */
  const char *prefix;       /* the root's path from the top: "" or "a/b/" */
  const char *git_index;    /* the repository's index file: what it tracks is no matter of git's ignore files; NULL: none */
  const char *exclude_file; /* .git/info/exclude; NULL: none */
  const char *global_file;  /* core.excludesFile; NULL: none */
  uint32_t id_bytes;        /* of object ids in the index: 20, or 32 for SHA-256 */
  uint32_t threads;         /* 1..16 */
  int32_t hidden;           /* non-zero: names that begin with a dot, too; .git never */
  int32_t in_repository;    /* non-zero: a repository below is one entry, not walked */
} cw_walk_request;

/* The files below a folder that no .gitignore, .ignore or .cromwellignore excludes, in order of their names' bytes (docs/context.md).
 * CW_E_IO when the folder cannot be opened; folders below that cannot are counted. */
CW_API cw_status cw_walk_open(const cw_walk_request *request, cw_walk **out, cw_fault *fault);
/* The same result for given names, each ended by a zero byte, relative to `root`; those that are not there are counted as unreadable. */
CW_API cw_status cw_walk_names(const char *root, const uint8_t *names, size_t size, cw_walk **out, cw_fault *fault);
CW_API void cw_walk_close(cw_walk *walk);
/* The number of files, their states, and their names, each ended by a zero byte; valid until the walk is closed. */
CW_API size_t cw_walk_files(const cw_walk *walk, const cw_file_stat **stats, const uint8_t **names, size_t *names_size,
                            uint32_t *unreadable);

/* ---- Index of a tree ------------------------------------------------------------------------------------------- */

typedef struct cw_survey cw_survey;
typedef struct cw_postings cw_postings;
typedef struct cw_merge cw_merge;

enum { CW_DIGEST_BYTES = 16 };
enum { CW_SURVEY_TEXT = 0, CW_SURVEY_BINARY = 1, CW_SURVEY_ENCODING = 2, CW_SURVEY_LARGE = 3, CW_SURVEY_UNREADABLE = 4, CW_SURVEY_CHANGING = 5 };
/* Terms: words and their parts in lower case. Names: identifiers in code as written. Defined: last parts of names that are defined. */
enum { CW_POSTINGS_TERMS = 0, CW_POSTINGS_NAMES = 1, CW_POSTINGS_DEFINED = 2, CW_POSTINGS_KINDS = 3 };

typedef struct {
  const char *root;
  const uint8_t *names;          /* relative to the root, each ended by a zero byte */
  size_t names_size;
  uint32_t count;                /* of names */
  uint32_t threads;              /* 1..16 */
  const cw_tokenizer *tokenizer; /* NULL: tokens are not counted */
  uint64_t max_bytes;            /* of a file in a known language; larger ones are not read */
  uint64_t max_other_bytes;      /* of any other file */
} cw_survey_request;

typedef struct {
  cw_file_stat stat; /* when it was read */
  uint32_t state;    /* CW_SURVEY_*; of what is no text the rest is 0, but for the digest of what was read */
  uint32_t language; /* of cw_language_name */
  uint32_t tokens, lines;
  uint32_t terms;    /* occurrences of terms: the length for BM25 */
  uint32_t details;  /* bytes of cw_survey_details */
  uint8_t digest[16];
} cw_survey_file;

/* Name of a language ("" for none known), or NULL from the first number on that has none. */
CW_API const char *cw_language_name(uint32_t language);
/* Reads files and finds what an index keeps of them. Links are not followed, and what is no regular file is unreadable. */
CW_API cw_status cw_survey_open(const cw_survey_request *request, cw_survey **out, cw_fault *fault);
CW_API void cw_survey_close(cw_survey *survey);
CW_API size_t cw_survey_files(const cw_survey *survey, const cw_survey_file **files);
/* Lines "kind first-line last-line-of-signature last-line dotted.name" of definitions, then "> what is written" of imports. */
CW_API cw_status cw_survey_details(const cw_survey *survey, size_t number, const uint8_t **text, size_t *size);
/* Postings of all files by their numbers. */
CW_API cw_status cw_survey_postings(cw_survey *survey, uint32_t kind, cw_postings **out);
CW_API void cw_postings_close(cw_postings *postings);
/* Blocks: the hash of the first entry of each, where it ends, and the bytes of all. */
CW_API size_t cw_postings_blocks(const cw_postings *postings, const uint64_t **firsts, const size_t **ends, const uint8_t **bytes);
/* The files and counts of one hash in a block; files[doc] renames document doc, and leaves it out when it is negative. CW_E_CHECKSUM or
 * CW_E_FORMAT for a damaged block. */
CW_API cw_status cw_postings_find(const uint8_t *block, size_t size, uint64_t hash, const int32_t *files, size_t docs, int32_t *found,
                                  uint32_t *counts, size_t capacity, size_t *count);
/* Joins blocks of several postings, their documents renamed as above. */
CW_API cw_status cw_merge_open(cw_merge **out);
CW_API void cw_merge_close(cw_merge *merge);
CW_API cw_status cw_merge_add(cw_merge *merge, const uint8_t *block, size_t size, const int32_t *files, size_t docs);
CW_API cw_status cw_merge_postings(cw_merge *merge, cw_postings **out);
/* Adds to scores[file] what a term gives: weight * count (k1 + 1) / (count + k1 (1 - b + b length / mean_length)). */
CW_API cw_status cw_bm25_add(const int32_t *files, const uint32_t *counts, size_t count, const uint32_t *lengths, size_t file_count,
                             double weight, double k1, double b, double mean_length, double *scores);
/* Hash of a term or name in postings; the digest of a file's bytes (128 bits, not cryptographic). */
CW_API uint64_t cw_name_hash(const uint8_t *name, size_t size);
CW_API void cw_digest(const uint8_t *bytes, size_t size, uint8_t digest[16]);
/* The terms of a text, each ended by a newline, as they are counted in files: room for 6 bytes a byte of text is always enough. */
CW_API cw_status cw_text_terms(const uint8_t *text, size_t size, uint8_t *out, size_t capacity, size_t *written);
/* Lines "count name" of every identifier in the code of a text, in order of their first places; `path` tells the language. Room for
 * 4 bytes a byte of text and 64 more is always enough. */
CW_API cw_status cw_survey_names(const uint8_t *text, size_t size, const char *path, uint8_t *out, size_t capacity, size_t *written);
/* What tells the vocabulary of a tokenizer from all others. */
CW_API uint64_t cw_tokenizer_fingerprint(const cw_tokenizer *tokenizer);

/* cffi: end */

#endif
