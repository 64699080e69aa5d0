/* One step of gradient descent at rate 1 against the golden gradients.
 *
 *     golden_step rows DIR TENSOR    golden ids [T] or [N, T] as rows of ids
 *     golden_step check DIR FINAL    each tensor of FINAL must be that of DIR without its
 *                                    golden gradient
 *
 * DIR is one of tests/golden/models. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/model/safetensors.h"

static void open_file(struct safetensors *file, const char *dir, const char *name)
{
	char *path = path_join(dir, name);
	struct error err;

	if (safetensors_open(file, path, &err) != STATUS_OK)
		die("%s", err.text);
	free(path);
}

static int print_rows(const struct safetensors *golden, const char *name)
{
	const struct tensor_view *view = safetensors_find(golden, name);
	int64_t *ids, n;
	struct error err;

	if (!view || view->rank < 1 || view->rank > 2 || strcmp(view->dtype_name, "I64") != 0)
		die("%s: %s is missing or not I64 of one or two dimensions", golden->path, name);
	ids = xcalloc(view->n_elements, sizeof *ids);
	if (tensor_read_bytes(view, ids, &err) != STATUS_OK)
		die("%s", err.text);
	n = view->shape[view->rank - 1];
	for (size_t i = 0; i < view->n_elements; i++)
		printf("%s%" PRId64 "%s", (int64_t)i % n ? "," : "{\"input_ids\":[", ids[i],
		       (int64_t)(i + 1) % n ? "" : "]}\n");
	free(ids);
	return 0;
}

/* All of a tensor, which must have n elements. */
static float *values(const struct safetensors *file, const char *name, size_t n)
{
	const struct tensor_view *view = safetensors_find(file, name);
	float *out = xcalloc(n, sizeof *out);
	struct error err;

	if (!view || view->n_elements != n)
		die("%s: %s is missing or not of %zu elements", file->path, name, n);
	if (tensor_read(view, 0, n, out, &err) != STATUS_OK)
		die("%s", err.text);
	return out;
}

/* Whether the step is the gradient: but for what transformers and we round apart, and
 * for what the sum with the weight rounds. */
static bool is_step(const float *before, const float *after, const float *gradient, size_t n,
		    const char *name)
{
	double error = 0, norm = 0, weights = 0;

	for (size_t k = 0; k < n; k++) {
		double step = (double)before[k] - (double)after[k];

		error += pow(step - (double)gradient[k], 2);
		norm += pow((double)gradient[k], 2);
		weights += pow((double)before[k], 2);
	}
	if (sqrt(error) <= 1e-4 * sqrt(norm) + 1e-7 * sqrt(weights) + 1e-7)
		return true;
	fprintf(stderr, "%s: the step is off by %g of norm %g\n", name, sqrt(error), sqrt(norm));
	return false;
}

static int check(const struct safetensors *golden, const char *dir, const char *final)
{
	struct safetensors before, after;
	int n_checked = 0, n_wrong = 0;

	open_file(&before, dir, "model.safetensors");
	open_file(&after, final, "model.safetensors");
	for (size_t i = 0; i < golden->n; i++) {
		const struct tensor_view *view = &golden->tensors[i];
		const char *name = view->name + 5;
		float *gradient, *old, *new;

		if (strncmp(view->name, "grad.", 5) != 0)
			continue;
		gradient = values(golden, view->name, view->n_elements);
		old = values(&before, name, view->n_elements);
		new = values(&after, name, view->n_elements);
		n_wrong += !is_step(old, new, gradient, view->n_elements, name);
		n_checked++;
		free(gradient);
		free(old);
		free(new);
	}
	safetensors_close(&before);
	safetensors_close(&after);
	if (n_checked == 0)
		die("%s holds no gradients", golden->path);
	return n_wrong > 0;
}

int main(int argc, char **argv)
{
	struct safetensors golden;
	int exit_code;

	if (argc < 4)
		die("usage: golden_step rows DIR TENSOR | check DIR FINAL");
	open_file(&golden, argv[2], "golden.safetensors");
	exit_code = strcmp(argv[1], "rows") == 0 ? print_rows(&golden, argv[3])
						 : check(&golden, argv[2], argv[3]);
	safetensors_close(&golden);
	return exit_code;
}
