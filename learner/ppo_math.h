/* The arithmetic of PPO on ragged arrays: rewards, advantages, losses.  Pure.
 *
 * Sequence i owns cells offsets[i] .. offsets[i+1]-1, one for each completion
 * token, the end token included.  Formulas: algorithms B.1 to B.8. */
#pragma once

#include <stdint.h>

/* r[t] = -beta (lp[t] - ref[t]) + (score at the last cell of each sequence). */
void ppo_rewards(float *rewards, const float *logprob, const float *ref_logprob,
		 const float *scores, const int *offsets, int n_seqs, double beta);
/* delta = r + gamma V' - V;  A = delta + gamma lam A';  returns = A + V. */
void ppo_gae(float *advantages, float *returns, const float *rewards, const float *values,
	     const int *offsets, int n_seqs, double gamma, double lam);
/* (x - mean) / sqrt(var + 1e-8), population variance; mean is put back unless
 * shift.  n < 2: unchanged. */
void ppo_whiten(float *x, int n, int shift);

struct ppo_token {
	double loss, dlogprob;	/* policy */
	double ratio, approxkl; /* approxkl = (new - old)^2 / 2 */
	int clipped;
};
struct ppo_token ppo_policy_loss(double new_logprob, double old_logprob, double advantage,
				 double clip_low, double clip_high);
/* 0.5 max((V - ret)^2, (Vc - ret)^2) and its derivative; clip <= 0: no clipping. */
double ppo_value_loss(double value, double old_value, double ret, double clip, double *dvalue,
		      int *clipped);
/* After an iteration of n episodes with kl nats a sequence (Ziegler et al. 2019); one whose
 * kl is not finite changes nothing, as it does not change the weights. */
double ppo_adapt_kl(double coef, double kl, double target, double horizon, double n);
