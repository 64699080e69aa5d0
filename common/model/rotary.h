/* Frequencies of rotary positions, as transformers computes them. */
#pragma once

#include <stdbool.h>

#include "common/model/model_config.h"

/* frequencies of the pairs of width elements, of which the last pair may lack one, for a
 * sequence of the given length. */
void rotary_frequencies(float *frequencies, const struct rotary *rotary, int width, int length);

/* Longest sequence whose angles do not depend on its own length; INT_MAX if none does. */
int rotary_fixed_length(const struct rotary *rotary);

/* original * factor, the positions that linear, dynamic and yarn stretch the original ones to;
 * 0 for other kinds. */
int rotary_stretched_length(const struct rotary *rotary);

/* row [width]: cosines | sines at a position. */
void rotary_row(float *row, const float *frequencies, const struct rotary *rotary, int width,
		int position);
