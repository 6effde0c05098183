/* bpe.h: byte pair encoding of one piece. */
#ifndef CW_TEXT_BPE_H
#define CW_TEXT_BPE_H

#include "text/vocabulary.h"

#define CW_MERGE_MAX 64 /* bytes of the longest piece that is merged pair by pair; longer ones are searched */

/* Writes the tokens of piece[0..size) to ids and their number to *count; `readable` >= size >= 1 bytes may be read.
 * CW_E_CAPACITY when there are more than `capacity`. Time is linear in `size`. */
cw_status cw_bpe_encode(const struct cw_tokenizer *tokenizer, const uint8_t *piece, size_t size, size_t readable, int32_t *ids,
                        size_t capacity, size_t *count);

/* The same by search, for any size. */
cw_status cw_bpe_search(const struct cw_tokenizer *tokenizer, const uint8_t *piece, size_t size, size_t readable, int32_t *ids,
                        size_t capacity, size_t *count);

#endif
