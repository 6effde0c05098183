/* pieces.c: where the next piece ends. The twin of PATTERN in training/tokenizer.py, written as a scan: every byte is looked at a
 * bounded number of times, whatever the text. */
#include "text/pieces.h"

#include <emmintrin.h>

enum { SYMBOL = 0, LETTER, DIGIT, BLANK, NEWLINE };

/* Bytes from 0x80 on are letters, so that no text in UTF-8 is cut inside a character's bytes by its class. */
static const uint8_t class_of[256] = {
    ['\t'] = BLANK,         [' '] = BLANK,          ['\n'] = NEWLINE, ['\r'] = NEWLINE, ['0' ... '9'] = DIGIT,
    ['A' ... 'Z'] = LETTER, ['a' ... 'z'] = LETTER, [0x80 ... 0xff] = LETTER,
};

/* Bit i: byte i is of class `run`, which is LETTER or BLANK. SSE2, so every x86-64 has it. */
static inline uint32_t members(__m128i bytes, uint8_t run) {
  if (run == BLANK) {
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(' ')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'))));
  }
  __m128i lower = _mm_or_si128(bytes, _mm_set1_epi8(0x20)); /* bytes from 0x80 on are negative, and their top bit tells */
  __m128i ascii = _mm_and_si128(_mm_cmpgt_epi8(lower, _mm_set1_epi8('a' - 1)), _mm_cmplt_epi8(lower, _mm_set1_epi8('z' + 1)));
  return (uint32_t)(_mm_movemask_epi8(ascii) | _mm_movemask_epi8(bytes));
}

/* First position from `at` on that is not of class `run`. */
static inline size_t skip(const uint8_t *text, size_t size, size_t at, uint8_t run) {
  if (run == LETTER || run == BLANK) {
    for (; size - at >= 16; at += 16) {
      uint32_t others = ~members(_mm_loadu_si128((const __m128i *)(text + at)), run) & 0xFFFF;
      if (others) return at + (size_t)__builtin_ctz(others);
    }
  }
  while (at < size && class_of[text[at]] == run) at++;
  return at;
}

/* Newlines from `at` on, then the indentation of the line after them. */
static size_t line_end(const uint8_t *text, size_t size, size_t at) {
  return skip(text, size, skip(text, size, at, NEWLINE), BLANK);
}

size_t cw_piece_end(const uint8_t *text, size_t size, size_t at) {
  uint8_t first = class_of[text[at]];
  size_t next = at + 1;
  if (first == LETTER) return skip(text, size, next, LETTER);
  if (first == NEWLINE) return line_end(text, size, next);
  if (first == DIGIT) return next < size && class_of[text[next]] == DIGIT ? next + 1 : next;

  /* A symbol or a blank: it leads a word, begins or leads a run of symbols, or is one of several blanks. */
  if (next < size && class_of[text[next]] == LETTER) return skip(text, size, next + 1, LETTER);
  if (first == SYMBOL || (next < size && class_of[text[next]] == SYMBOL)) {
    size_t end = skip(text, size, next, SYMBOL);
    if (end == size) return end;
    if (class_of[text[end]] == NEWLINE) return line_end(text, size, end);
    if (text[end] == ' ' && end + 1 < size && class_of[text[end + 1]] == DIGIT) return end + 1;
    return end;
  }
  size_t end = skip(text, size, next, BLANK);
  if (end == size || class_of[text[end]] == DIGIT) return end;
  if (class_of[text[end]] == NEWLINE) return line_end(text, size, end);
  return end - 1; /* the last blank leads what follows; there are at least two, or a case above had applied */
}
