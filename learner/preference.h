/* The Bradley-Terry loss of a preference pair. */
#pragma once

/* softplus(rejected - chosen) = -log sigmoid(chosen - rejected) and its
 * derivative with respect to chosen; that to rejected is its negative. */
double preference_loss(double chosen, double rejected, double *dchosen);
