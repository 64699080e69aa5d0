/* Bradley and Terry 1952: P(chosen beats rejected) = sigmoid(margin).  Both forms
 * below take exp of a number that is not positive, so that neither overflows. */
#include "learner/preference.h"

#include <math.h>

double preference_loss(double chosen, double rejected, double *dchosen)
{
	double margin = chosen - rejected, e = exp(-fabs(margin));

	*dchosen = -(margin > 0 ? e : 1) / (1 + e); /* -sigmoid(-margin) */
	return fmax(-margin, 0) + log1p(e);
}
