/* PPO's formulas, one function each; see ppo_math.h.  Sums are in double. */
#include "learner/ppo_math.h"

#include <math.h>

void ppo_rewards(float *rewards, const float *logprob, const float *ref_logprob,
		 const float *scores, const int *offsets, int n_seqs, double beta)
{
	for (int i = 0; i < n_seqs; i++) {
		for (int t = offsets[i]; t < offsets[i + 1]; t++)
			rewards[t] = (float)(-beta * ((double)logprob[t] - ref_logprob[t]));
		rewards[offsets[i + 1] - 1] += scores[i];
	}
}

void ppo_gae(float *advantages, float *returns, const float *rewards, const float *values,
	     const int *offsets, int n_seqs, double gamma, double lam)
{
	for (int i = 0; i < n_seqs; i++) {
		double next_value = 0, next_advantage = 0;

		for (int t = offsets[i + 1] - 1; t >= offsets[i]; t--) {
			double delta = rewards[t] + gamma * next_value - values[t];
			next_advantage = delta + gamma * lam * next_advantage;
			next_value = values[t];
			advantages[t] = (float)next_advantage;
			returns[t] = (float)(next_advantage + values[t]);
		}
	}
}

void ppo_whiten(float *x, int n, int shift)
{
	double mean = 0, variance = 0, scale;

	if (n < 2)
		return;
	for (int i = 0; i < n; i++)
		mean += x[i];
	mean /= n;
	for (int i = 0; i < n; i++)
		variance += (x[i] - mean) * (x[i] - mean);
	variance /= n;
	scale = 1 / sqrt(variance + 1e-8);
	for (int i = 0; i < n; i++)
		x[i] = (float)((x[i] - mean) * scale + (shift ? 0 : mean));
}

static double clamp(double x, double low, double high)
{
	return x < low ? low : x > high ? high : x;
}

struct ppo_token ppo_policy_loss(double new_logprob, double old_logprob, double advantage,
				 double clip_low, double clip_high)
{
	double difference = new_logprob - old_logprob;
	double ratio = exp(clamp(difference, -20, 20));
	double unclipped = -advantage * ratio;
	double clipped = -advantage * clamp(ratio, 1 - clip_low, 1 + clip_high);
	struct ppo_token token = {.loss = unclipped,
				  .dlogprob = -advantage * ratio,
				  .ratio = ratio,
				  .approxkl = 0.5 * difference * difference};

	if (clipped > unclipped) {
		token.loss = clipped;
		token.dlogprob = 0;
		token.clipped = 1;
	}
	return token;
}

double ppo_value_loss(double value, double old_value, double ret, double clip, double *dvalue,
		      int *clipped)
{
	double plain = value - ret, bounded;

	*clipped = 0;
	*dvalue = plain;
	if (clip <= 0)
		return 0.5 * plain * plain;
	bounded = old_value + clamp(value - old_value, -clip, clip) - ret;
	if (bounded * bounded <= plain * plain)
		return 0.5 * plain * plain;
	*clipped = 1;
	if (fabs(value - old_value) > clip)
		*dvalue = 0;
	return 0.5 * bounded * bounded;
}

double ppo_adapt_kl(double coef, double kl, double target, double horizon, double n)
{
	if (!isfinite(kl))
		return coef;
	return coef * (1 + clamp(kl / target - 1, -0.2, 0.2) * n / horizon);
}
