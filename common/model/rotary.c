/* Frequencies of rotary positions.  With theta the base and r the width,
 *
 *     f_i = theta^(-2i/r)
 *     linear    f / factor
 *     dynamic   f of a larger base, for sequences longer than `original`
 *     llama3    f where waves are short, f / factor where they are long, blended between
 *     yarn      f where i is small, f / factor where it is large, blended between
 *     longrope  f / e_i, with one list e for sequences up to `original`, one beyond
 *
 * Each operation is rounded to float as in transformers: a frequency that differs in its
 * last bit turns by another angle at position 1,000.  Cosine and sine of that angle
 * are then exact.  Sources: linear, kaiokendev 2023; dynamic, bloc97 and emozilla 2023;
 * YaRN, Peng et al. 2023; LongRoPE, Ding et al. 2024; Llama 3, Dubey et al. 2024. */
#include "common/model/rotary.h"

#include <limits.h>
#include <math.h>

static const double PI = 3.14159265358979323846;

static float clip(float x, float low, float high)
{
	return x < low ? low : x > high ? high : x;
}

/* The base that stretches the positions of a sequence; in single precision from the
 * length on, as a tensor of one element makes it. */
static double dynamic_theta(const struct rotary *rotary, int width, int length)
{
	float stretch;

	if (length <= rotary->original)
		return rotary->theta;
	stretch = (float)rotary->factor * (float)length / (float)rotary->original -
		  (float)(rotary->factor - 1);
	return (float)rotary->theta * (float)pow(stretch, (double)width / (width - 2));
}

/* A number over a frequency or a wavelength is that times its reciprocal, as in torch. */
static float llama3(const struct rotary *rotary, float f)
{
	float wavelength = 1 / f * (float)(2 * PI), factor = (float)rotary->factor;
	float low = (float)rotary->low, share;

	/* Where high is not above low, none is between. */
	if (wavelength > (float)(rotary->original / rotary->low))
		return f / factor;
	if (wavelength < (float)(rotary->original / rotary->high))
		return f;
	share = (1 / wavelength * (float)rotary->original - low) /
		(float)(rotary->high - rotary->low);
	return (1 - share) * f / factor + share * f;
}

/* The pair that turns so many times over the original positions. */
static double yarn_pair(const struct rotary *rotary, double turns, int width)
{
	return width * log(rotary->original / (turns * 2 * PI)) / (2 * log(rotary->theta));
}

/* period: 1 / f. */
static float yarn(const struct rotary *rotary, float period, int i, int width)
{
	double begin = yarn_pair(rotary, rotary->high, width);
	double end = yarn_pair(rotary, rotary->low, width);
	float share;

	begin = fmax(rotary->truncate ? floor(begin) : begin, 0);
	end = fmin(rotary->truncate ? ceil(end) : end, width - 1);
	if (begin == end)
		end += 0.001;
	share = 1 - clip(((float)i - (float)begin) / (float)(end - begin), 0, 1);
	return 1 / ((float)rotary->factor * period) * (1 - share) + 1 / period * share;
}

void rotary_frequencies(float *frequencies, const struct rotary *rotary, int width, int length)
{
	double theta = rotary->kind == ROTARY_DYNAMIC ? dynamic_theta(rotary, width, length)
						      : rotary->theta;
	const float *stretch =
		length > rotary->original ? rotary->long_factor : rotary->short_factor;

	for (int i = 0; i < (width + 1) / 2; i++) {
		/* The power alone in double: rounded once, as torch's is but for a few. */
		float exponent = (float)(2 * i) / (float)width;
		float period = (float)pow((float)theta, exponent), f = 1 / period;

		switch (rotary->kind) {
		case ROTARY_DEFAULT:
		case ROTARY_DYNAMIC:
			break;
		case ROTARY_LINEAR:
			f /= (float)rotary->factor;
			break;
		case ROTARY_LLAMA3:
			f = llama3(rotary, f);
			break;
		case ROTARY_YARN:
			f = yarn(rotary, period, i, width);
			break;
		case ROTARY_LONGROPE:
			f = 1 / (stretch[i] * period);
			break;
		}
		frequencies[i] = f;
	}
}

int rotary_fixed_length(const struct rotary *rotary)
{
	bool varies = rotary->kind == ROTARY_DYNAMIC || rotary->kind == ROTARY_LONGROPE;

	return varies ? rotary->original : INT_MAX;
}

/* llama3 divides the longest waves alone by its factor, and longrope each by its own: how far
 * either was trained is for max_position_embeddings to say. */
int rotary_stretched_length(const struct rotary *rotary)
{
	bool stretches = rotary->kind == ROTARY_LINEAR || rotary->kind == ROTARY_DYNAMIC ||
			 rotary->kind == ROTARY_YARN;

	return stretches ? (int)fmin(rotary->original * rotary->factor, MODEL_MAX_POSITIONS) : 0;
}

void rotary_row(float *row, const float *frequencies, const struct rotary *rotary, int width,
		int position)
{
	float factor = (float)rotary->attention_factor;

	for (int i = 0; i < width / 2; i++) {
		float angle = (float)position * frequencies[i];

		row[i] = (float)cos((double)angle) * factor;
		row[width / 2 + i] = (float)sin((double)angle) * factor;
	}
}
