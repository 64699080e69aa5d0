/* Moments on disk; see moments.h.  The lead makes the file and writes its header;
 * then each learner writes the bytes of its part where they belong. */
#include "learner/moments.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/model/safetensors.h"
#include "common/ops/elementwise.h"
#include "common/run/fault.h"

/* Where the parameters lie in the file. */
struct plan {
	char (*names)[PARAM_NAME_BYTES]; /* of layout->items */
	struct tensor_spec *specs;	 /* in file order */
	int n;
	struct buf header;
	uint64_t file_bytes;
};

static void plan_init(struct plan *plan, const struct param_layout *layout)
{
	*plan = (struct plan){.n = layout->n};
	plan->names = xcalloc((size_t)plan->n, sizeof *plan->names);
	plan->specs = xcalloc((size_t)plan->n, sizeof *plan->specs);
	for (int i = 0; i < plan->n; i++) {
		const struct param *param = &layout->items[i];

		param_name(param, plan->names[i]);
		plan->specs[i] = (struct tensor_spec){.name = plan->names[i],
						      .rank = 2,
						      .shape = {param->rows, param->cols},
						      .dtype = DTYPE_F32};
	}
	safetensors_plan(plan->specs, (size_t)plan->n, &plan->header, &plan->file_bytes);
}

static void plan_release(struct plan *plan)
{
	free(plan->names);
	free(plan->specs);
	buf_release(&plan->header);
}

/* The parameter that a spec, now sorted, describes: whose name it borrows. */
static const struct param *param_of(const struct plan *plan, const struct param_layout *layout,
				    const struct tensor_spec *spec)
{
	return &layout->items[(size_t)(spec->name - *plan->names) / sizeof *plan->names];
}

/* What of a parameter is in this learner's part: elements [*first, *first + n) of it. */
static size_t own_elements(const struct trainer *trainer, const struct param *param, size_t *first)
{
	size_t begin = param->offset, end = begin + (size_t)param->rows * (size_t)param->cols;

	begin = begin < trainer->begin ? trainer->begin : begin;
	end = end > trainer->end ? trainer->end : end;
	*first = begin - param->offset;
	return end > begin ? end - begin : 0;
}

static enum status system_error(struct error *err, const char *path, const char *what)
{
	return error_set(err, STATUS_BAD_INPUT, "%s: cannot be %s: %s", path, what,
			 strerror(errno));
}

/* --- writing --- */

static enum status create_file(const struct plan *plan, const char *path, struct error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	enum status status;

	if (fd < 0)
		return system_error(err, path, "created");
	status = file_write_at(fd, plan->header.data, plan->header.length, 0, path, err);
	if (status == STATUS_OK && ftruncate(fd, (off_t)plan->file_bytes) != 0)
		status = system_error(err, path, "made long enough");
	if (close(fd) != 0 && status == STATUS_OK)
		status = system_error(err, path, "closed");
	return status;
}

static enum status write_part(const struct trainer *trainer, const struct plan *plan,
			      const float *moment, const char *path, struct error *err)
{
	const struct param_layout *layout = trainer->trained.layout;
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	enum status status = STATUS_OK;

	if (fd < 0)
		return system_error(err, path, "opened");
	for (int i = 0; i < plan->n && status == STATUS_OK; i++) {
		const struct tensor_spec *spec = &plan->specs[i];
		const struct param *param = param_of(plan, layout, spec);
		size_t first, n = own_elements(trainer, param, &first);

		if (n > 0)
			status = file_write_at(fd,
					       moment + (param->offset + first - trainer->begin),
					       n * sizeof *moment,
					       spec->offset + first * sizeof *moment, path, err);
	}
	if (status == STATUS_OK && fsync(fd) != 0)
		status = system_error(err, path, "synced");
	if (close(fd) != 0 && status == STATUS_OK)
		status = system_error(err, path, "closed");
	return status;
}

static enum status save_moment(const struct trainer *trainer, const struct plan *plan,
			       const float *moment, const char *path, struct error *err)
{
	size_t n = trainer->end - trainer->begin, bad = first_non_finite(moment, n, trainer->pool);
	enum status status = STATUS_OK;

	if (bad < n)
		status = error_set(err, STATUS_FAILED,
				   "%s: not written: value %zu is not a finite number", path,
				   trainer->begin + bad);
	else if (comm_is_lead(trainer->learners))
		status = create_file(plan, path, err);
	status = comm_agree(trainer->learners, status, err);
	if (status == STATUS_OK)
		status = write_part(trainer, plan, moment, path, err);
	return comm_agree(trainer->learners, status, err);
}

enum status moments_save(const struct trainer *trainer, const char *dir, const char *prefix,
			 struct error *err)
{
	const float *const moments[2] = {trainer->m, trainer->v};
	struct plan plan;
	enum status status = STATUS_OK;

	plan_init(&plan, trainer->trained.layout);
	for (int i = 0; i < 2 && status == STATUS_OK; i++) {
		char *path = xasprintf("%s/%s-%c.safetensors", dir, prefix, "mv"[i]);

		if (moments[i])
			status = save_moment(trainer, &plan, moments[i], path, err);
		free(path);
	}
	plan_release(&plan);
	return status;
}

/* --- reading --- */

static enum status read_param(const struct trainer *trainer, const struct param *param,
			      const struct safetensors *file, float *moment, struct error *err)
{
	char name[PARAM_NAME_BYTES];
	const struct tensor_view *view;
	size_t first, bad, n = own_elements(trainer, param, &first);
	float *to = moment + (param->offset + first - trainer->begin);

	param_name(param, name);
	view = safetensors_find(file, name);
	if (!view || view->dtype != DTYPE_F32 || view->rank != 2 ||
	    view->shape[0] != param->rows || view->shape[1] != param->cols)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: tensor \"%s\" is missing or not F32 of the shape [%d, %d]",
				 file->path, name, param->rows, param->cols);
	if (n == 0)
		return STATUS_OK;
	if (tensor_read(view, first, n, to, err) != STATUS_OK)
		return STATUS_BAD_INPUT;
	bad = first_non_finite(to, n, NULL);
	if (bad < n)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: tensor \"%s\": element %zu is %g, expected a finite number",
				 file->path, name, first + bad, to[bad]);
	return STATUS_OK;
}

static enum status load_moment(const struct trainer *trainer, float *moment, const char *path,
			       struct error *err)
{
	const struct param_layout *layout = trainer->trained.layout;
	struct safetensors file;
	enum status status = safetensors_open(&file, path, err);

	if (status != STATUS_OK)
		return status;
	if (file.n != (size_t)layout->n)
		status = error_set(err, STATUS_BAD_INPUT, "%s: %zu tensors, expected %d", path,
				   file.n, layout->n);
	for (int i = 0; i < layout->n && status == STATUS_OK; i++)
		status = read_param(trainer, &layout->items[i], &file, moment, err);
	safetensors_close(&file);
	return status;
}

enum status moments_load(struct trainer *trainer, const char *dir, const char *prefix,
			 struct error *err)
{
	float *const moments[2] = {trainer->m, trainer->v};
	enum status status = STATUS_OK;

	for (int i = 0; i < 2 && status == STATUS_OK; i++) {
		char *path = xasprintf("%s/%s-%c.safetensors", dir, prefix, "mv"[i]);
		char *part = xasprintf("%s-%c", prefix, "mv"[i]);

		if (moments[i] && !fault_omits(part))
			status = load_moment(trainer, moments[i], path, err);
		free(part);
		free(path);
	}
	return status;
}
