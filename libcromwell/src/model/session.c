/* session.c: opens a session and feeds it. Nothing here allocates after cw_session_open. */
#include "model/session.h"

#include <stdlib.h>
#include <string.h>

#include "cpu.h"

/* The null key stands first among what text sees of pictures; its value stays zero. */
static void put_null_keys(cw_session *s) {
  for (uint32_t i = 0; i < s->model->config.fusion.layers; i++)
    cw_cache_put(&s->cross[i], 0, s->model->weights.fusion[i].text_null_k, s->vision_x);
}

static cw_status open_session(cw_session *s, uint32_t threads) {
  cw_arena measured = {0};
  cw_session_take(s, threads, &measured);
  CW_TRY(cw_arena_open(&measured, &s->arena));
  cw_session_take(s, threads, &s->arena);
  if (s->max_vision > 0) put_null_keys(s);
  s->run.kernels = cw_kernels_selected();
  return cw_pool_open(threads, &s->run.pool);
}

cw_status cw_session_open(const cw_model *model, const cw_session_options *options, cw_session **out, cw_fault *fault) {
  if (model == NULL || options == NULL || out == NULL)
    return cw_fault_set(fault, CW_E_ARGUMENT, "no model, no options or nowhere to put the session");
  const cw_config *config = &model->config;
  if (options->max_tokens < 1 || options->max_tokens > config->max_positions)
    return cw_fault_set(fault, CW_E_ARGUMENT, "max_tokens is %u, expected 1 to %u", options->max_tokens, config->max_positions);
  if (options->max_tiles > config->vision.max_tiles)
    return cw_fault_set(fault, CW_E_ARGUMENT, "max_tiles is %u, expected 0 to %u", options->max_tiles, config->vision.max_tiles);
  if (options->threads < 0 || options->threads > 64)
    return cw_fault_set(fault, CW_E_ARGUMENT, "threads is %d, expected 0 to 64", options->threads);
  uint32_t threads = (uint32_t)(options->threads == 0 ? cw_threads_default() : options->threads);
  cw_session *session = calloc(1, sizeof *session);
  if (session == NULL) return cw_fault_set(fault, CW_E_MEMORY, "no memory for a session");
  session->model = model;
  session->max_tokens = options->max_tokens;
  session->max_vision = options->max_tiles * cw_vision_tokens_per_tile(config);
  session->guidance = options->guidance != 0;
  cw_status status = open_session(session, threads);
  if (status != CW_OK) {
    cw_session_close(session);
    return cw_fault_set(fault, status, "no memory for a session of %u tokens and %u tiles", options->max_tokens, options->max_tiles);
  }
  *out = session;
  return CW_OK;
}

void cw_session_close(cw_session *session) {
  if (session == NULL) return;
  cw_pool_close(session->run.pool);
  cw_arena_close(&session->arena);
  free(session);
}

const cw_model *cw_session_model(const cw_session *session) { return session->model; }

uint32_t cw_session_length(const cw_session *session) { return session == NULL ? 0 : session->length; }

/* Non-zero when an image waits for its <IMAGE> token. */
static int image_waits(const cw_session *s) { return s->image_count > 0 && s->images[s->image_count - 1].position == s->length; }

/* What cw_session_feed and cw_session_feed_each refuse. */
static cw_status check_feed(const cw_session *s, const int32_t *ids, size_t count) {
  if (count > s->max_tokens - s->length) return CW_E_CAPACITY;
  for (size_t i = 0; i < count; i++)
    if (ids[i] < 0 || (uint32_t)ids[i] >= s->model->config.vocab_size) return CW_E_ARGUMENT;
  return count > 0 && image_waits(s) && ids[0] != s->model->image_token ? CW_E_ARGUMENT : CW_OK;
}

_Static_assert((int)CW_PASS_MOST <= (int)CW_ROWS, "the buffers take a pass of several sessions");

static void take_ids(cw_session *s, const int32_t *ids, size_t count) {
  memcpy(s->ids + s->length, ids, count * sizeof *ids);
  cw_align_forget(&s->alignment, s->length);
  cw_session_write(s, s->length, s->length + (uint32_t)count);
}

cw_status cw_session_feed(cw_session *s, const int32_t *ids, size_t count) {
  if (s == NULL || (ids == NULL && count > 0)) return CW_E_ARGUMENT;
  CW_TRY(check_feed(s, ids, count));
  if (count == 0) return CW_OK;
  take_ids(s, ids, count);
  cw_session_fill_rope(s, s->length, s->length + (uint32_t)count);
  for (size_t done = 0; done < count;) {
    cw_feed feed = {.session = s, .position = s->length, .rows = count - done < CW_ROWS ? (uint32_t)(count - done) : CW_ROWS};
    cw_text_forward(s, &feed, 1);
    s->length += feed.rows;
    done += feed.rows;
  }
  return CW_OK;
}

/* The feeds of a pass, those of no tokens left out; CW_E_ARGUMENT or CW_E_CAPACITY for what cw_session_feed_each refuses. */
static cw_status collect_feeds(const cw_session *host, cw_session *const *sessions, const int32_t *ids, const uint32_t *counts,
                               uint32_t count, cw_feed *feeds, uint32_t *feed_count) {
  uint32_t rows = 0;
  *feed_count = 0;
  for (uint32_t i = 0; i < count; i++) {
    cw_session *s = sessions[i];
    uint32_t here = counts == NULL ? 1 : counts[i];
    if (s == NULL || s->model != host->model || s->guidance != host->guidance || here > CW_PASS_MOST - rows) return CW_E_ARGUMENT;
    for (uint32_t k = 0; k < i; k++)
      if (sessions[k] == s) return CW_E_ARGUMENT;
    if (here == 0) continue;
    if (ids == NULL) return CW_E_ARGUMENT;
    CW_TRY(check_feed(s, ids + rows, here));
    if (here > host->max_tokens || s->length > host->max_tokens - here) return CW_E_CAPACITY; /* its tables are used */
    feeds[(*feed_count)++] = (cw_feed){.session = s, .position = s->length, .rows = here};
    rows += here;
  }
  return CW_OK;
}

cw_status cw_session_feed_in(cw_session *host, cw_session *const *sessions, const int32_t *ids, const uint32_t *counts, uint32_t count) {
  if (host == NULL || count > CW_SESSIONS_MOST) return CW_E_ARGUMENT;
  cw_feed feeds[CW_SESSIONS_MOST];
  uint32_t feed_count;
  CW_TRY(collect_feeds(host, sessions, ids, counts, count, feeds, &feed_count));
  if (feed_count == 0) return CW_OK;
  for (uint32_t i = 0; i < feed_count; ids += feeds[i].rows, i++) {
    take_ids(feeds[i].session, ids, feeds[i].rows);
    cw_session_fill_rope(host, feeds[i].position, feeds[i].position + feeds[i].rows);
  }
  cw_text_forward(host, feeds, feed_count);
  for (uint32_t i = 0; i < feed_count; i++) feeds[i].session->length += feeds[i].rows;
  return CW_OK;
}

cw_status cw_session_feed_each(cw_session *const *sessions, const int32_t *ids, const uint32_t *counts, uint32_t count) {
  if (count == 0) return CW_OK;
  return sessions == NULL ? CW_E_ARGUMENT : cw_session_feed_in(sessions[0], sessions, ids, counts, count);
}

cw_status cw_session_feed_image(cw_session *s, const uint8_t *tiles, uint32_t rows, uint32_t cols) {
  if (s == NULL || tiles == NULL || rows < 1 || rows > CW_GRID_LIMIT || cols < 1 || cols > CW_GRID_LIMIT) return CW_E_ARGUMENT;
  const cw_config *config = &s->model->config;
  if (rows * cols > config->vision.max_tiles || s->model->image_token < 0 || image_waits(s) || s->images != s->own_images) return CW_E_ARGUMENT;
  uint32_t count = rows * cols * cw_vision_tokens_per_tile(config);
  if (s->length == s->max_tokens || count > s->max_vision - s->vision_count) return CW_E_CAPACITY;
  cw_vision_encode(s, tiles, rows, cols);
  cw_fusion_vision(s, s->vision_count, count);
  s->images[s->image_count++] = (cw_image){.position = s->length, .first = s->vision_count};
  s->vision_count += count;
  return CW_OK;
}

cw_status cw_session_rewind(cw_session *s, uint32_t length) {
  if (s == NULL || length > s->length) return CW_E_ARGUMENT;
  while (s->image_count > 0 && s->images[s->image_count - 1].position >= length) s->vision_count = s->images[--s->image_count].first;
  if (s->image_count == 0) { /* from here on the session's own pictures, if it has shared another's */
    s->images = s->own_images;
    s->cross = s->own_cross;
  }
  s->length = length;
  return CW_OK;
}

cw_status cw_session_joint(const cw_session *s, uint32_t first, uint32_t count, float *out) {
  if (s == NULL || (out == NULL && count > 0) || first > s->length || count > s->length - first) return CW_E_ARGUMENT;
  size_t J = s->model->config.fusion.hidden;
  for (uint32_t t = first; t < first + count; t++, out += J)
    memcpy(out, cw_block_floats(s->blocks[t / CW_BLOCK], s->model->layout.joint) + t % CW_BLOCK * J, J * sizeof(float));
  return CW_OK;
}

void cw_session_trace(cw_session *session, cw_trace_fn trace, void *user) {
  if (session == NULL) return;
  session->run.trace = trace;
  session->run.trace_user = user;
}
