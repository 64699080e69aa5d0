/* math_simd.h at the portable level; test_math_simd.c is the same for AVX2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>

#define KERNEL_LEVEL 0
#include "common/ops/math_simd.h"
#include "tests/unit/common/ops/math_simd_cases.h"

int main(void)
{
	return run_cases();
}
