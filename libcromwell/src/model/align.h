/* align.h: how far an answer has come in the region that it rewrites, what of it the instruction mentions, and which tokens it may go on with
 * (docs/model.md, Alignment). All of it follows from the ids fed. Twin: training/model/alignment.py. */
#ifndef CW_MODEL_ALIGN_H
#define CW_MODEL_ALIGN_H

#include "arena.h"
#include "model/config.h"

struct cw_session;

enum {
  CW_CANDIDATES = 4,
  CW_POINT = 32,       /* channels in which an answer points at tokens of the instruction */
  CW_MENTION_RUNS = 8, /* rows of embed.mention for runs of 0 to 7 words and more, three times */
  CW_PATHS = 32        /* tokens by which an answer can be rewound without following it from its start again */
};

/* Ids of the special tokens that tell the parts of an exchange. */
typedef struct {
  int32_t none, edit, edit_close, instruction, answer, answer_end;
} cw_align_ids;

/* What is known of one token fed. */
typedef struct {
  int32_t place;                    /* index of the region's token that comes next if the answer goes on copying; -1 outside answers */
  int32_t mention;                  /* row of embed.mention; -1 outside instructions and answers */
  uint32_t fresh;                   /* tokens of the answer since one that was copied */
  int32_t candidates[CW_CANDIDATES]; /* ids; this and the rest of answers alone */
  uint32_t instruction, instruction_end; /* what may be pointed at */
  float lead;                       /* how the region's next token begins, where what is pointed at takes its form; else 0 */
} cw_aligned;

typedef struct {
  cw_aligned *tokens;             /* [max_tokens]; NULL where the model is not aligned */
  uint32_t count;                 /* of tokens, those that hold for the session's ids */
  uint32_t *costs;                /* [CW_PATHS, max_tokens + 1]: of coming to each place of the region, after token t in row t % CW_PATHS */
  uint32_t costs_first, costs_end; /* the tokens whose costs are there */
} cw_alignment;

/* Room for `max_tokens` tokens; none where the model is not aligned. */
void cw_align_take(cw_alignment *alignment, const cw_config *config, uint32_t max_tokens, cw_arena *arena);
/* Ids from `first` on have changed. */
void cw_align_forget(cw_alignment *alignment, uint32_t first);
/* The token that is written when an answer at `at` points at the instruction's token t. */
int32_t cw_align_form(const struct cw_session *session, const cw_aligned *at, uint32_t t);
/* Makes what is known of the tokens before `end` hold. */
void cw_align_to(struct cw_session *session, uint32_t end);

#endif
