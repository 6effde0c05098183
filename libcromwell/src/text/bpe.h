/* bpe.h: byte pair encoding of one piece. */
#ifndef CW_TEXT_BPE_H
#define CW_TEXT_BPE_H

#include "text/vocabulary.h"

/* Writes the tokens of `piece` (size >= 1) to ids and their number to *count. CW_E_CAPACITY when there are more than `capacity`.
 * Time is linear in `size`. */
cw_status cw_bpe_encode(const struct cw_tokenizer *tokenizer, const uint8_t *piece, size_t size, int32_t *ids, size_t capacity,
                        size_t *count);

#endif
