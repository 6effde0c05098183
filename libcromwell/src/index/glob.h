/* glob.h: the wildcards of one line of an ignore file, compiled and matched as git's wildmatch does. */
#ifndef CW_INDEX_GLOB_H
#define CW_INDEX_GLOB_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint8_t op;   /* of glob.c */
  uint8_t byte; /* of a literal */
  uint8_t set[32]; /* bits of the bytes that a class matches */
} cw_glob_step;

/* Compiles pattern[0..size) into steps [size + 1]. Returns their number, the end step included, or 0 for a pattern that git matches with
 * nothing (an unclosed class, a lone backslash at the end). */
size_t cw_glob_compile(const uint8_t *pattern, size_t size, cw_glob_step *steps);
/* Whether all of text[0..size) matches. Single wildcards never match a slash. */
int cw_glob_match(const cw_glob_step *steps, const uint8_t *text, size_t size);

#endif
