/* What the tests of elementwise and row operations share. */
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/die.h"
#include "common/base/pool.h"
#include "common/base/rng.h"
#include "common/ops/isa.h"

/* Normal numbers of the given spread, a function of the key; free() them. */
static inline float *random_floats(size_t n, uint32_t key, double spread)
{
	float *x = xaligned(n, sizeof *x);
	for (size_t i = 0; i < n; i++)
		x[i] = (float)(spread * rng_normal(1, RNG_DATA, key, (uint32_t)i, 0, 0));
	return x;
}

static inline float *copy_floats(const float *x, size_t n)
{
	float *copy = xaligned(n, sizeof *copy);
	memcpy(copy, x, n * sizeof *copy);
	return copy;
}

/* |found - expected| <= tolerance * max(1, |expected|) */
static inline void assert_near(double found, double expected, double tolerance)
{
	if (!(fabs(found - expected) <= tolerance * fmax(1, fabs(expected))))
		fail_msg("found %.9g, expected %.9g", found, expected);
}

/* Runs a test at each ISA level of this CPU. */
static inline void at_each_level(void (*test)(void))
{
	for (enum isa isa = ISA_PORTABLE; isa <= isa_best(); isa++) {
		isa_select(isa);
		test();
	}
}
