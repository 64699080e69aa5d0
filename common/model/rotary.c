/* Frequencies of rotary positions.  With theta the base and r the width,
 *
 *     f_i = theta^(-2i/r)
 *     linear    f / factor
 *     dynamic   f of a larger base, for sequences longer than `original`
 *     llama3    f where waves are short, f / factor where they are long, blended between
 *     yarn      f where i is small, f / factor where it is large, blended between
 *     longrope  f / e_i, with one list e for sequences up to `original`, one beyond
 *
 * Frequencies and angles are rounded to float where transformers does, because a float
 * angle at a large position is far from the exact one.  Cosine and sine of that angle
 * are then exact.  Sources: linear, kaiokendev 2023; dynamic, bloc97 and emozilla 2023;
 * YaRN, Peng et al. 2023; LongRoPE, Ding et al. 2024; Llama 3, Dubey et al. 2024. */
#include "common/model/rotary.h"

#include <limits.h>
#include <math.h>

static const double PI = 3.14159265358979323846;

static double blend(double a, double b, double share_of_b)
{
	return a * (1 - share_of_b) + b * share_of_b;
}

static double clip(double x, double low, double high)
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
	return (float)rotary->theta * powf(stretch, (float)((double)width / (width - 2)));
}

static double llama3(const struct rotary *rotary, double f)
{
	double wavelength = 2 * PI / f;

	if (wavelength < rotary->original / rotary->high)
		return f;
	if (wavelength > rotary->original / rotary->low)
		return f / rotary->factor;
	return blend(f / rotary->factor, f,
		     (rotary->original / wavelength - rotary->low) / (rotary->high - rotary->low));
}

/* The pair that turns so many times over the original positions. */
static double yarn_pair(const struct rotary *rotary, double turns, int width)
{
	return width * log(rotary->original / (turns * 2 * PI)) / (2 * log(rotary->theta));
}

static double yarn(const struct rotary *rotary, double f, int i, int width)
{
	double begin = yarn_pair(rotary, rotary->high, width);
	double end = yarn_pair(rotary, rotary->low, width);

	begin = fmax(rotary->truncate ? floor(begin) : begin, 0);
	end = fmin(rotary->truncate ? ceil(end) : end, width - 1);
	if (begin == end)
		end += 0.001;
	return blend(f, f / rotary->factor, clip((i - begin) / (end - begin), 0, 1));
}

void rotary_frequencies(float *frequencies, const struct rotary *rotary, int width, int length)
{
	double theta = rotary->kind == ROTARY_DYNAMIC ? dynamic_theta(rotary, width, length)
						      : rotary->theta;

	for (int i = 0; i < width / 2; i++) {
		double f = pow(theta, -2.0 * i / (double)width);

		switch (rotary->kind) {
		case ROTARY_DEFAULT:
		case ROTARY_DYNAMIC:
			break;
		case ROTARY_LINEAR:
			f /= rotary->factor;
			break;
		case ROTARY_LLAMA3:
			f = llama3(rotary, f);
			break;
		case ROTARY_YARN:
			f = yarn(rotary, f, i, width);
			break;
		case ROTARY_LONGROPE:
			f /= length > rotary->original ? rotary->long_factor[i]
						       : rotary->short_factor[i];
			break;
		}
		frequencies[i] = (float)f;
	}
}

int rotary_fixed_length(const struct rotary *rotary)
{
	bool varies = rotary->kind == ROTARY_DYNAMIC || rotary->kind == ROTARY_LONGROPE;

	return varies ? rotary->original : INT_MAX;
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
