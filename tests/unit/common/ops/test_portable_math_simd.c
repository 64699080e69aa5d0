/* math_simd.h at the portable level; test_math_simd.c is the same for AVX2. */
#define KERNEL_LEVEL 0
#include "tests/unit/common/ops/math_simd_cases.h"

int main(void)
{
	return run_cases();
}
