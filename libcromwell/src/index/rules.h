/* rules.h: one ignore file: its lines as rules, the last that matches decides. */
#ifndef CW_INDEX_RULES_H
#define CW_INDEX_RULES_H

#include "cromwell.h"

typedef struct cw_rules cw_rules;

enum { CW_RULES_NOTHING = 0, CW_RULES_IGNORE = 1, CW_RULES_KEEP = -1 };

/* Rules from the text of an ignore file; *out is NULL when it holds none. */
cw_status cw_rules_parse(const uint8_t *text, size_t size, cw_rules **out);
/* Rules from a file, opened from the folder `folder_fd`; *out is NULL when it is absent, unreadable, no regular file, or larger than
 * 16 MiB, and where `follow` is 0 a symbolic link. */
cw_status cw_rules_read(int folder_fd, const char *name, int follow, cw_rules **out);
void cw_rules_free(cw_rules *rules);
/* What the rules say of path[0..size), relative to the folder of their file; `base` is where its last name starts. */
int cw_rules_match(const cw_rules *rules, const char *path, size_t size, size_t base, int is_folder);

#endif
