/* Picks the row and element kernels of the current ISA level. */
#include "common/ops/element_kernel.h"
#include "common/ops/isa.h"
#include "common/ops/row_kernel.h"

extern const struct element_kernels element_kernels_portable;
extern const struct row_kernels row_kernels_portable;

#ifdef __x86_64__
extern const struct element_kernels element_kernels_avx2, element_kernels_avx512;
extern const struct row_kernels row_kernels_avx2, row_kernels_avx512;

static const struct element_kernels *const ELEMENT_TABLES[ISA_COUNT] = {
	[ISA_PORTABLE] = &element_kernels_portable,
	[ISA_AVX2] = &element_kernels_avx2,
	[ISA_AVX512] = &element_kernels_avx512,
};
static const struct row_kernels *const ROW_TABLES[ISA_COUNT] = {
	[ISA_PORTABLE] = &row_kernels_portable,
	[ISA_AVX2] = &row_kernels_avx2,
	[ISA_AVX512] = &row_kernels_avx512,
};
#else
static const struct element_kernels *const ELEMENT_TABLES[ISA_COUNT] = {
	[ISA_PORTABLE] = &element_kernels_portable,
};
static const struct row_kernels *const ROW_TABLES[ISA_COUNT] = {
	[ISA_PORTABLE] = &row_kernels_portable,
};
#endif

const struct element_kernels *element_kernels(void)
{
	return ELEMENT_TABLES[isa_current()];
}

const struct row_kernels *row_kernels(void)
{
	return ROW_TABLES[isa_current()];
}
