/* Every sigmoid takes exp of a number that is not positive, so that none overflows. */
#include "learner/preference.h"

#include <math.h>

static double sigmoid(double x)
{
	double e = exp(-fabs(x));

	return (x > 0 ? 1 : e) / (1 + e);
}

double preference_loss(double x, double *dx)
{
	*dx = -sigmoid(-x);
	return fmax(-x, 0) + log1p(exp(-fabs(x)));
}

/* a l(x) + b l(-x) and its derivative. */
static double both_ways(double x, double a, double b, double *dx)
{
	double forward, backward;
	double loss = a * preference_loss(x, &forward) + b * preference_loss(-x, &backward);

	*dx = a * forward - b * backward;
	return loss;
}

static double ipo_loss(const struct dpo_loss *loss, const double h[2], const int n[2], double dh[2])
{
	double by[2] = {loss->ipo_length_norm ? n[0] : 1, loss->ipo_length_norm ? n[1] : 1};
	double gap = h[0] / by[0] - h[1] / by[1] - 1 / (2 * loss->beta);

	dh[0] = 2 * gap / by[0];
	dh[1] = -2 * gap / by[1];
	return gap * gap;
}

double dpo_loss(const struct dpo_loss *loss, const double h[2], const int n[2], double dh[2])
{
	double x = loss->beta * (h[0] - h[1]), e = loss->label_smoothing;
	double value = 0, dx = 0;

	switch (loss->type) {
	case DPO_SIGMOID:
		value = both_ways(x, 1 - e, e, &dx);
		break;
	case DPO_ROBUST:
		value = both_ways(x, (1 - e) / (1 - 2 * e), -e / (1 - 2 * e), &dx);
		break;
	case DPO_HINGE:
		value = fmax(0, 1 - x);
		dx = x < 1 ? -1 : 0;
		break;
	case DPO_IPO:
		return ipo_loss(loss, h, n, dh);
	}
	dh[0] = loss->beta * dx;
	dh[1] = -dh[0];
	return value;
}

double kto_loss(double beta, double weight, bool is_wanted, double h, double z, double *dh)
{
	double x = beta * (is_wanted ? h - z : z - h);
	double loss = sigmoid(-x);

	*dh = (is_wanted ? -1 : 1) * weight * beta * loss * sigmoid(x);
	return weight * loss;
}
