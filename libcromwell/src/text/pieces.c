/* pieces.c: where the next piece ends. The twin of PATTERN in training/tokenizer.py, written as a scan: every byte is looked at a
 * bounded number of times, whatever the text. */
#include "text/pieces.h"

enum { SYMBOL = 0, LETTER, DIGIT, BLANK, NEWLINE };

/* Bytes from 0x80 on are letters, so that no text in UTF-8 is cut inside a character's bytes by its class. */
static const uint8_t class_of[256] = {
    ['\t'] = BLANK,         [' '] = BLANK,          ['\n'] = NEWLINE, ['\r'] = NEWLINE, ['0' ... '9'] = DIGIT,
    ['A' ... 'Z'] = LETTER, ['a' ... 'z'] = LETTER, [0x80 ... 0xff] = LETTER,
};

/* First position from `at` on that is not of class `run`. */
static inline size_t skip(const uint8_t *text, size_t size, size_t at, uint8_t run) {
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
