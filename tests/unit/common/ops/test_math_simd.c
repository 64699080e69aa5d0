/* math_simd.h at the AVX2 level, against libm in double precision. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "common/ops/isa.h"

enum { EXIT_SKIPPED = 77 };

#ifdef __x86_64__
#include <immintrin.h>
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define KERNEL_LEVEL 1
#include "tests/unit/common/ops/math_simd_cases.h"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
static int run_cases(void)
{
	return EXIT_SKIPPED;
}
#endif

int main(void)
{
	if (isa_best() < ISA_AVX2) {
		printf("this CPU has no AVX2\n");
		return EXIT_SKIPPED;
	}
	return run_cases();
}
