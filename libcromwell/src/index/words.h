/* words.h: the words of one file with how often they stand in code and elsewhere, and the terms that they give. */
#ifndef CW_INDEX_WORDS_H
#define CW_INDEX_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "cromwell.h"

enum { CW_WORD_BYTES = 64 }; /* longer ones are data, not names */

typedef struct {
  uint64_t hash;
  uint32_t at, size; /* in the text; size 0: a free slot */
  uint32_t code, text; /* how often in code; in comments, strings and prose */
} cw_word_count;

typedef struct {
  cw_word_count *slots; /* [mask + 1] */
  size_t mask, used;
  uint32_t *order; /* slots in use, first come first [used] */
} cw_words;

/* Of a word or term: the same for ever, as indexes on disk hold it. */
uint64_t cw_term_hash(const uint8_t *bytes, size_t size);
cw_status cw_words_open(cw_words *words);
void cw_words_close(cw_words *words);
void cw_words_clear(cw_words *words);
/* Bytes after a text that may be read: CW_TEXT_SLACK. */
enum { CW_TEXT_SLACK = 64 };
/* Counts the word text[at..at+size); the text has slack. */
cw_status cw_words_add(cw_words *words, const uint8_t *text, uint32_t at, uint32_t size, int is_code);
/* Adds how often a hash came up, for terms: at and size stay 0 and 1. */
cw_status cw_words_count(cw_words *words, uint64_t hash, uint32_t count);

/* Which bytes make words: ASCII letters, digits, "_", and every byte from 0x80 on, so that no character of UTF-8 is cut. */
enum { CW_BYTE_LOWER = 1, CW_BYTE_UPPER = 2, CW_BYTE_DIGIT = 3, CW_BYTE_UNDERSCORE = 4, CW_BYTE_HIGH = 5 };
extern const uint8_t cw_byte_class[256];

typedef cw_status (*cw_term_fn)(void *user, const uint8_t *term, size_t size);
/* Calls `give` with the terms (which have slack) of a word in lower case: the whole, and its parts where there are several: parseHTTPResponse gives
 * parsehttpresponse, parse, http and response; utf8_len gives utf8_len, utf, 8 and len. ASCII alone is lowered. */
cw_status cw_word_terms(const uint8_t *word, size_t size, cw_term_fn give, void *user);

#endif
