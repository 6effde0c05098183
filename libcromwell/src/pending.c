/* pending.c: weak definitions of the public functions whose files have not landed; each refuses with CW_E_ARGUMENT. */
#include "cromwell.h"

#define PENDING __attribute__((weak))
#pragma GCC diagnostic ignored "-Wunused-parameter"

PENDING cw_status cw_model_open(const char *path, cw_model **out, cw_fault *fault) { return CW_E_ARGUMENT; }
PENDING void cw_model_close(cw_model *model) {}
PENDING void cw_model_describe(const cw_model *model, cw_model_info *out) {}
PENDING const char *cw_model_config(const cw_model *model, size_t *size) { return 0; }
PENDING const cw_tokenizer *cw_model_tokenizer(const cw_model *model) { return 0; }
PENDING cw_status cw_session_open(const cw_model *model, const cw_session_options *options, cw_session **out, cw_fault *fault) { return CW_E_ARGUMENT; }
PENDING void cw_session_close(cw_session *session) {}
PENDING uint32_t cw_session_length(const cw_session *session) { return 0; }
PENDING cw_status cw_session_feed(cw_session *session, const int32_t *ids, size_t count) { return CW_E_ARGUMENT; }
PENDING cw_status cw_session_feed_image(cw_session *session, const uint8_t *tiles, uint32_t rows, uint32_t cols) { return CW_E_ARGUMENT; }
PENDING cw_status cw_session_logits(cw_session *session, const float **logits) { return CW_E_ARGUMENT; }
PENDING cw_status cw_session_rewind(cw_session *session, uint32_t length) { return CW_E_ARGUMENT; }
PENDING cw_status cw_session_joint(const cw_session *session, uint32_t first, uint32_t count, float *out) { return CW_E_ARGUMENT; }
PENDING cw_status cw_session_export(const cw_session *session, uint32_t first, uint32_t count, void *out, size_t size) { return CW_E_ARGUMENT; }
PENDING cw_status cw_session_restore(cw_session *session, const int32_t *ids, uint32_t count, const void *state, size_t size) { return CW_E_ARGUMENT; }
PENDING void cw_session_trace(cw_session *session, cw_trace_fn trace, void *user) {}
PENDING cw_status cw_diff_open(const uint8_t *old_text, size_t old_size, const uint8_t *new_text, size_t new_size, cw_diff **out, cw_fault *fault) { return CW_E_ARGUMENT; }
PENDING void cw_diff_close(cw_diff *diff) {}
PENDING size_t cw_diff_changes(const cw_diff *diff, const cw_diff_change **changes) { return 0; }
PENDING const cw_model *cw_session_model(const cw_session *session) { return 0; }
