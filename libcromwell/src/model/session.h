/* session.h: one sequence: its states, and the buffers to compute them in. All that it owns lives in one arena:
 *
 *     | table of blocks | blocks of text states | states of images | buffers of CW_ROWS rows |
 *     | vision encoder buffers (sessions with tiles) | scratch of each worker | logits |                                        */
#ifndef CW_MODEL_SESSION_H
#define CW_MODEL_SESSION_H

#include "model/attention.h"
#include "model/block.h"
#include "model/model.h"
#include "model/rope.h"

enum {
  CW_SESSIONS_MOST = 64, /* sessions in one pass */
  CW_PASS_MOST = 192     /* tokens of several sessions in one, and tokens whose logits can be had at once */
};

/* An image stands before position `position`, that of its <IMAGE> token; its vision tokens begin at `first`. */
typedef struct {
  uint32_t position, first;
} cw_image;

/* Buffers for the rows at hand; W is the widest hidden size and M the widest mlp of the parts that use them. */
typedef struct {
  float *x;       /* [CW_ROWS, W] the stream that blocks add to */
  float *h;       /* [CW_ROWS, W] */
  float *q;       /* [CW_ROWS, W] */
  float *k, *v;   /* [CW_ROWS, W] */
  float *f;       /* [CW_ROWS, J] */
  float *wide;    /* [CW_ROWS, M] */
} cw_buffers;

/* Buffers of the vision encoder, for one tile; E is the widest expansion. */
typedef struct {
  float *x;           /* [4096, S] or [1024, C]: the stream of the convolutions */
  float *floats;      /* what float32 matrices read of all cells */
  float *convolved;   /* [E / 64][4096 or 1024][64]: channels in slabs */
  float *squeeze;     /* means, squeezed and gains */
  float *lines;       /* [64, E]: sums of rows of cells */
  float *stream;      /* [1024, P]: that of the ViT blocks */
  float *h, *q, *k, *v; /* [1024, P] */
  cw_cache cache;     /* the cells of a tile, window by window, each window from a new block on */
  uint32_t *windows;  /* [1024] the row of each cell in window order */
  float *tokens;      /* [max vision tokens, shuffle^2 P] */
} cw_vision_buffers;

struct cw_session {
  const cw_model *model;
  cw_arena arena;
  cw_run run;
  uint32_t max_tokens, max_vision; /* capacities, text and vision tokens */
  int guidance;

  uint32_t length; /* tokens fed */
  int32_t *ids;    /* [max_tokens] */
  cw_alignment alignment;
  uint8_t **blocks;               /* [ceil(max_tokens / 64)]: the blocks in use */
  uint8_t *own;                   /* as many blocks of the session's own; one that is shared gets a copy here when it is written */
  cw_cache *language, *jepa, *ar; /* [layers] each, over the blocks */

  cw_image *images; /* [max_tiles] */
  uint32_t image_count, vision_count; /* vision_count: vision tokens of all images */
  cw_cache *cross;                    /* [fusion layers]: null key, then vision tokens, as text sees them */
  cw_image *own_images;               /* images and cross are these, or another session's */
  cw_cache *own_cross;
  cw_cache *vision_self;              /* [fusion layers]: vision tokens as vision sees them */
  cw_cache vision_text;               /* text as vision sees it, one layer at a time */
  float *vision_x;                    /* [max vision tokens, J]: the image being fed */

  cw_rope rope_language, rope_jepa, rope_ar; /* parts with equal head sizes share tables */
  uint8_t *rope_filled; /* which steps of the tables are there */
  cw_buffers buffers;
  cw_vision_buffers vision;
  float *logits; /* [CW_PASS_MOST, vocab] */
};

/* Consecutive new tokens of a session, whose ids are stored and whose blocks may be written. */
typedef struct {
  cw_session *session;
  uint32_t position, rows;
} cw_feed;

/* The steps of docs/model.md for the rows of all feeds, CW_ROWS at most, in the buffers and with the threads of `host`. */
void cw_text_forward(cw_session *host, const cw_feed *feeds, uint32_t count);
/* One fusion block over the text rows in host->buffers.x. */
void cw_fusion_text(cw_session *host, uint32_t layer, const cw_feed *feeds, uint32_t count);
/* The fusion blocks over `count` vision tokens in session->vision.tokens, which become those from `first` on. */
void cw_fusion_vision(cw_session *session, uint32_t first, uint32_t count);
/* Encodes tiles [rows * cols, 256, 256, 3] to session->vision.tokens. */
void cw_vision_encode(cw_session *session, const uint8_t *tiles, uint32_t rows, uint32_t cols);
/* Takes the encoder's buffers from the arena. */
void cw_vision_take(cw_vision_buffers *buffers, const cw_config *config, int quantised, uint32_t max_vision, cw_arena *arena);
/* Floats of scratch that a worker needs for the encoder. */
size_t cw_vision_scratch(const cw_config *config);
/* Groups of the widest quantised input of the encoder's products. */
size_t cw_vision_input(const cw_config *config);
/* A cache over blocks of its own for `positions` positions. */
cw_cache cw_cache_take(cw_arena *arena, uint32_t heads, uint32_t head_dim, int quantised, uint32_t positions);

/* Room for everything: lays the session out over an arena, a measuring one first. */
void cw_session_take(cw_session *session, uint32_t threads, cw_arena *arena);
/* Rotation tables of positions first .. end-1. */
void cw_session_fill_rope(cw_session *session, uint32_t first, uint32_t end);
/* Makes blocks of positions first .. end-1 the session's own, and their headers right. */
void cw_session_write(cw_session *session, uint32_t first, uint32_t end);
/* cw_session_feed_each and cw_session_logits_each in the buffers and with the threads of `host`, of the same model and guidance. */
cw_status cw_session_feed_in(cw_session *host, cw_session *const *sessions, const int32_t *ids, const uint32_t *counts, uint32_t count);
cw_status cw_session_logits_in(cw_session *host, cw_session *const *sessions, const uint32_t *counts, uint32_t count, const float **logits);
/* Whether both hold the same tokens in the same blocks, pictures included: one shares all that the other has. */
int cw_session_shares_all(const cw_session *one, const cw_session *other);
/* The session becomes what the first `length` tokens of `from`, of the same model and guidance, are: tokens that both begin with stay,
 * states of others are copied. CW_E_ARGUMENT when they do not hold the same number of images, CW_E_CAPACITY when there is no room. */
cw_status cw_session_copy(cw_session *session, const cw_session *from, uint32_t length);

#endif
