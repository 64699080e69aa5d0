/* The choice of an ISA level.
 *
 * The CPU is asked for its features and never for its name.  A level counts
 * only if the operating system saves its registers too, which
 * __builtin_cpu_supports checks. */
#include "common/ops/isa.h"

#include <string.h>

#include "common/base/die.h"

static const char *const isa_names[ISA_COUNT] = {"portable", "avx2", "avx512"};
static enum isa selected;
static bool is_selected;

enum isa isa_best(void)
{
#ifdef __x86_64__
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
		return ISA_PORTABLE;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
	    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
		return ISA_AVX512;
	return ISA_AVX2;
#else
	return ISA_PORTABLE;
#endif
}

enum isa isa_current(void)
{
	if (!is_selected)
		isa_select(isa_best());
	return selected;
}

void isa_select(enum isa isa)
{
	if (isa > isa_best())
		die("the CPU has no %s, its best level is %s", isa_name(isa), isa_name(isa_best()));
	selected = isa;
	is_selected = true;
}

const char *isa_name(enum isa isa)
{
	return isa < ISA_COUNT ? isa_names[isa] : "unknown";
}

bool isa_parse(const char *name, enum isa *isa)
{
	for (int i = 0; i < ISA_COUNT; i++) {
		if (strcmp(name, isa_names[i]) == 0) {
			*isa = (enum isa)i;
			return true;
		}
	}
	return false;
}
