/* session.h: one sequence: its states, and the buffers to compute them in. All of it lives in one arena:
 *
 *     | states of tokens: keys and values of every layer, joint inputs, f, AR output | states of images | buffers of CW_ROWS rows |
 *     | vision encoder buffers (sessions with tiles) | scratch of each worker | logits |                                        */
#ifndef CW_MODEL_SESSION_H
#define CW_MODEL_SESSION_H

#include "model/attention.h"
#include "model/model.h"
#include "model/rope.h"

enum { CW_LOGIT_ROWS = 64 /* tokens whose logits can be had at once */ };

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
  float *gate;    /* [CW_ROWS, M] */
  float *up;      /* [CW_ROWS, M] */
} cw_buffers;

/* Buffers of the vision encoder, for one tile; E is the widest expansion. */
typedef struct {
  float *x, *y;       /* [4096, channels or P] */
  float *expanded;    /* [4096, E] */
  float *depthwise;   /* [4096, E] */
  float *squeeze;     /* [4 E] means, squeezed, gains and row sums */
  float *h, *q, *k, *v; /* [1024, P] */
  float *gate;        /* [1024, mlp] */
  cw_cache cache;     /* 1024 positions, window by window */
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
  cw_cache *language, *jepa, *ar; /* [layers] each */
  float **joint_input;            /* [fusion layers] of [max_tokens, J]: text entering each fusion block */
  float *joint;                   /* [max_tokens, J]: f */
  float *ar_out;                  /* [max_tokens, A]: output of the AR blocks, before ar.norm */

  cw_image *images; /* [max_tiles] */
  uint32_t image_count, vision_count; /* vision_count: vision tokens of all images */
  cw_cache *cross;                    /* [fusion layers]: null key, then vision tokens, as text sees them */
  cw_cache *vision_self;              /* [fusion layers]: vision tokens as vision sees them */
  cw_cache vision_text;               /* text as vision sees it, one layer at a time */
  float *vision_x;                    /* [max vision tokens, J]: the image being fed */

  cw_rope rope_language, rope_jepa, rope_ar; /* parts with equal head sizes share tables */
  uint32_t rope_filled;
  cw_buffers buffers;
  cw_vision_buffers vision;
  float *logits; /* [CW_LOGIT_ROWS, vocab] */
  uint32_t logits_known; /* so many last tokens, 0 for none */
};

/* The steps of docs/model.md for rows `position` .. position+rows-1 (at most CW_ROWS), whose ids are stored. */
void cw_text_forward(cw_session *session, uint32_t position, uint32_t rows);
/* One fusion block over the text rows in session->buffers.x. */
void cw_fusion_text(cw_session *session, uint32_t layer, uint32_t rows);
/* The fusion blocks over `count` vision tokens in session->vision.tokens, which become those from `first` on. */
void cw_fusion_vision(cw_session *session, uint32_t first, uint32_t count);
/* Encodes tiles [rows * cols, 256, 256, 3] to session->vision.tokens. */
void cw_vision_encode(cw_session *session, const uint8_t *tiles, uint32_t rows, uint32_t cols);
/* Takes the encoder's buffers from the arena, and the scratch floats that a worker needs for it. */
void cw_vision_take(cw_vision_buffers *buffers, const cw_config *config, uint32_t max_vision, cw_arena *arena);
size_t cw_vision_scratch(const cw_config *config);

const cw_model *cw_session_model(const cw_session *session);

#endif
