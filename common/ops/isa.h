/* Which kernels run: one level for a whole run, chosen by CPU features. */
#pragma once

#include <stdbool.h>

enum isa { ISA_PORTABLE, ISA_AVX2, ISA_AVX512, ISA_COUNT };

enum isa isa_best(void);    /* the highest level that this CPU supports */
enum isa isa_current(void); /* the best, until isa_select */
void isa_select(enum isa isa); /* at most isa_best(); before the first kernel runs */
const char *isa_name(enum isa isa); /* "portable", "avx2", "avx512" */
bool isa_parse(const char *name, enum isa *isa);
