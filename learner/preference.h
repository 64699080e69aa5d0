/* Losses of preferences, as functions of a few numbers, with their derivatives. */
#pragma once

#include <stdbool.h>

/* Bradley and Terry 1952: P(chosen beats rejected) = sigmoid(x), x their margin.
 * Returns -log sigmoid(x) = softplus(-x); *dx, its derivative, is -sigmoid(-x). */
double preference_loss(double x, double *dx);

/* Direct preference optimisation and its relatives (algorithms E.5).  h is the
 * log-probability of a completion under the policy less that under the reference;
 * D = h[0] - h[1], chosen less rejected; l(x) = preference_loss(x); e the smoothing.
 *     sigmoid   (1 - e) l(beta D) + e l(-beta D)              Rafailov 2023; e: Mitchell 2023
 *     robust    ((1 - e) l(beta D) - e l(-beta D)) / (1 - 2 e)     Chowdhury 2024
 *     hinge     max(0, 1 - beta D)                                 Zhao 2023
 *     ipo       (D - 1 / (2 beta))^2, by default with each h
 *               divided by its number of ids                       Azar 2023 */
enum dpo_type { DPO_SIGMOID, DPO_ROBUST, DPO_HINGE, DPO_IPO };
struct dpo_loss {
	enum dpo_type type;
	double beta, label_smoothing;
	bool ipo_length_norm;
};
/* n: ids of the two completions.  dh: out, derivatives by h. */
double dpo_loss(const struct dpo_loss *loss, const double h[2], const int n[2], double dh[2]);

/* KTO (Ethayarajh 2024): a completion alone, wanted or not, against z, an estimate of
 * the KL divergence, which is a constant here.
 *     weight (1 - sigmoid(beta (h - z)))   if wanted, else   weight (1 - sigmoid(beta (z - h)))
 */
double kto_loss(double beta, double weight, bool is_wanted, double h, double z, double *dh);
