/* The types in which checkpoints store numbers, and their values as floats. */
#pragma once

#include <stddef.h>

enum dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64, DTYPE_OTHER };

size_t dtype_bytes(enum dtype dtype);		 /* of an element; not of DTYPE_OTHER */
const char *dtype_name(enum dtype dtype);	 /* as safetensors writes it: "BF16" */
const char *dtype_config_name(enum dtype dtype); /* as config.json does: "bfloat16" */

/* n stored elements (little-endian, not aligned) as floats.  F64 is rounded to the nearest
 * float, the others are exact. */
void dtype_to_float(enum dtype dtype, const void *stored, size_t n, float *out);
/* The other way: rounded to nearest, ties to even; what is too large becomes infinite, NaN
 * stays NaN.  What dtype_to_float gave without rounding comes back with its bytes. */
void dtype_from_float(enum dtype dtype, const float *values, size_t n, void *stored);
