/* rlhf report: a run as one HTML page that needs nothing else: its state, curves of
 * its metrics, the config, and samples of the first and the last step.
 *
 * A metric eval/NAME is drawn into the chart of NAME, if there is one. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/buf.h"
#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/run/options.h"
#include "common/run/run_dir.h"
#include "deploy/chart.h"
#include "deploy/commands.h"
#include "proto/comm.h"
#include "proto/lines.h"

enum { MAX_SERIES = 256, N_SAMPLES = 4, MAX_CONFIG_BYTES = 1 << 24 };

/* ---- metrics ---- */

struct series {
	char *name;
	double *values; /* [n_lines], NaN where a line lacks it */
};
struct metrics {
	struct series series[MAX_SERIES];
	int n_series;
	double *steps;
	size_t n_lines, capacity;
};

static struct series *find_series(struct metrics *m, const char *name)
{
	for (int s = 0; s < m->n_series; s++)
		if (strcmp(m->series[s].name, name) == 0)
			return &m->series[s];
	return NULL;
}

static struct series *add_series(struct metrics *m, const char *name)
{
	struct series *series;

	if (m->n_series == MAX_SERIES)
		return NULL;
	series = &m->series[m->n_series++];
	series->name = xstrdup(name);
	series->values = xcalloc(m->capacity, sizeof(double));
	for (size_t i = 0; i < m->n_lines; i++)
		series->values[i] = NAN;
	return series;
}

static void grow(struct metrics *m)
{
	if (m->n_lines < m->capacity)
		return;
	m->capacity = m->capacity ? 2 * m->capacity : 256;
	m->steps = xrealloc(m->steps, m->capacity, sizeof *m->steps);
	for (int s = 0; s < m->n_series; s++)
		m->series[s].values =
			xrealloc(m->series[s].values, m->capacity, sizeof(double));
}

static void add_line(struct metrics *m, const struct json *line)
{
	const struct json *step = json_get(line, "step");

	if (!step || json_type(step) != JSON_NUMBER)
		return;
	grow(m);
	m->steps[m->n_lines] = json_number(step);
	for (int s = 0; s < m->n_series; s++)
		m->series[s].values[m->n_lines] = NAN;
	for (const struct json *at = json_first(line); at; at = json_next(at)) {
		struct series *series;

		if (json_type(at) != JSON_NUMBER || at == step ||
		    strcmp(json_key(at), "time/unix") == 0)
			continue;
		series = find_series(m, json_key(at));
		if (!series)
			series = add_series(m, json_key(at));
		if (series)
			series->values[m->n_lines] = json_number(at);
	}
	m->n_lines++;
}

static void metrics_release(struct metrics *m)
{
	for (int s = 0; s < m->n_series; s++) {
		free(m->series[s].name);
		free(m->series[s].values);
	}
	free(m->steps);
}

/* Calls visit with each whole line of a file; a file that is absent has none.  It is not mapped:
 * a run that goes on cuts it to what its checkpoint knows, and a map's lost bytes kill. */
typedef void visit_line(void *context, const struct json *line);

static enum status read_lines(FILE *file, const char *path, visit_line *visit, void *context,
			      struct error *err)
{
	char *text = NULL;
	size_t capacity = 0;
	ssize_t n;
	enum status status = STATUS_OK;

	while ((n = getline(&text, &capacity, file)) > 0 && text[n - 1] == '\n') {
		struct json *line = json_parse(text, (size_t)n - 1, path, NULL);

		if (line)
			visit(context, line);
		json_free(line);
	}
	if (n < 0 && !feof(file))
		status = error_set(err, STATUS_BAD_INPUT, "%s: cannot read: %s", path,
				   strerror(errno));
	free(text);
	return status;
}

static enum status each_line(const char *dir, const char *name, visit_line *visit, void *context,
			     struct error *err)
{
	char *path = path_join(dir, name);
	enum status status = STATUS_OK;
	FILE *file = NULL;
	uint64_t size;
	int fd;

	if (!file_exists(path))
		goto done;
	fd = file_open(path, &size, err);
	if (fd < 0) {
		status = STATUS_BAD_INPUT;
		goto done;
	}
	file = fdopen(fd, "r");
	if (!file)
		die("%s: cannot read its descriptor: %s", path, strerror(errno));
	status = read_lines(file, path, visit, context, err);
done:
	if (file)
		fclose(file);
	free(path);
	return status;
}

static void visit_metrics(void *context, const struct json *line)
{
	add_line(context, line);
}

/* ---- samples ---- */

/* The first samples of the first step, then of the last step seen. */
struct samples {
	struct buf first, last;
	int64_t first_step, last_step;
	int n_first, n_last;
};

static void append_sample(struct buf *out, const struct json *line, const struct json *text)
{
	const struct json *score = json_get(line, "score");
	size_t n;
	const char *completion = json_string(text, &n);

	buf_append_string(out, "<tr><td>");
	if (score && json_type(score) == JSON_NUMBER)
		number_append(out, json_number(score));
	buf_append_string(out, "<td>");
	html_append(out, completion, n);
	buf_append_char(out, '\n');
}

static void visit_rollout(void *context, const struct json *line)
{
	struct samples *samples = context;
	const struct json *number = json_get(line, "step"), *text = json_get(line, "completion");
	int64_t step;

	if (!number || !json_int64(number, &step) || !text || json_type(text) != JSON_STRING)
		return;
	if (samples->n_first == 0)
		samples->first_step = step;
	if (step == samples->first_step) {
		if (samples->n_first++ < N_SAMPLES)
			append_sample(&samples->first, line, text);
		return;
	}
	if (step != samples->last_step) {
		samples->last_step = step;
		samples->n_last = 0;
		buf_reset(&samples->last);
	}
	if (samples->n_last++ < N_SAMPLES)
		append_sample(&samples->last, line, text);
}

static void append_samples(struct buf *page, int64_t step, const struct buf *rows)
{
	buf_printf(page,
		   "<h3>Step %" PRId64
		   "</h3>\n<table class=samples><tr><th>score<th>completion\n",
		   step);
	buf_append(page, rows->data, rows->length);
	buf_append_string(page, "</table>\n");
}

/* ---- the page ---- */

static const char style[] =
	"<style>\n"
	":root{color-scheme:light dark;--ink:#1b1f24;--faint:#d8dde3;--soft:#5b6672;"
	"--paper:#fff;--a:#1f6feb;--b:#d9480f}\n"
	"@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--faint:#343b44;--soft:#9aa5b1;"
	"--paper:#14171b;--a:#6ea8fe;--b:#ffa265}}\n"
	"body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);"
	"max-width:1320px;margin:2em auto;padding:0 1.2em}\n"
	"h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}h3{font-size:1em}\n"
	".charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(360px,1fr));gap:1em}\n"
	"figure{margin:0;border:1px solid var(--faint);border-radius:6px;padding:.5em}\n"
	"figcaption{font-size:.85em;font-weight:600}\n"
	"svg{width:100%;height:auto;display:block}\n"
	".grid{stroke:var(--faint)}.tick{font-size:10px;fill:var(--soft)}\n"
	".curve0,.curve1{fill:none;stroke-width:1.6}.curve0{stroke:var(--a)}.curve1{stroke:var(--b)}\n"
	".range0{stroke:var(--a);opacity:.25}.range1{stroke:var(--b);opacity:.25}\n"
	".dot0{fill:var(--a)}.dot1{fill:var(--b)}.key0{color:var(--a)}.key1{color:var(--b)}\n"
	"table{border-collapse:collapse;font-size:.9em}td,th{text-align:left;vertical-align:top;"
	"padding:.15em .9em .15em 0;border-bottom:1px solid var(--faint)}\n"
	".samples td+td{white-space:pre-wrap}pre{overflow:auto;font-size:.85em;"
	"border:1px solid var(--faint);border-radius:6px;padding:.8em}\n"
	"</style>\n";

/* The series that a chart of its own does not need: it is drawn with NAME's. */
static struct series *partner_of(struct metrics *m, const char *name)
{
	struct buf full = BUF_INIT;
	struct series *found;

	buf_printf(&full, "eval/%s", name);
	found = find_series(m, full.data);
	buf_release(&full);
	return found;
}

static bool is_partner(struct metrics *m, const struct series *series)
{
	return strncmp(series->name, "eval/", 5) == 0 && find_series(m, series->name + 5);
}

static void append_charts(struct buf *page, struct metrics *m)
{
	buf_append_string(page, "<h2>Curves over steps</h2>\n<div class=charts>\n");
	for (int s = 0; s < m->n_series; s++) {
		const struct series *series = &m->series[s];
		const struct series *partner = partner_of(m, series->name);
		struct curve curves[2] = {{m->steps, series->values, m->n_lines, "train"}};

		if (partner)
			curves[1] = (struct curve){m->steps, partner->values, m->n_lines, "eval"};
		if (!is_partner(m, series))
			chart_append(page, series->name, curves, partner ? 2 : 1);
	}
	buf_append_string(page, "</div>\n");
}

/* First, least, greatest and last value, a row a metric. */
static void append_table(struct buf *page, const struct metrics *m)
{
	buf_append_string(page, "<h2>Values</h2>\n<table><tr><th>metric<th>first<th>least"
				"<th>greatest<th>last\n");
	for (int s = 0; s < m->n_series; s++) {
		const double *values = m->series[s].values;
		double cells[4] = {NAN, INFINITY, -INFINITY, NAN};

		for (size_t i = 0; i < m->n_lines; i++) {
			if (!isfinite(values[i]))
				continue;
			if (isnan(cells[0]))
				cells[0] = values[i];
			cells[1] = fmin(cells[1], values[i]);
			cells[2] = fmax(cells[2], values[i]);
			cells[3] = values[i];
		}
		buf_append_string(page, "<tr><td>");
		html_append(page, m->series[s].name, strlen(m->series[s].name));
		for (int c = 0; c < 4; c++) {
			buf_append_string(page, "<td>");
			number_append(page, cells[c]);
		}
		buf_append_char(page, '\n');
	}
	buf_append_string(page, "</table>\n");
}

static enum status append_config(struct buf *page, const char *dir, struct error *err)
{
	char *path = path_join(dir, "config.json");
	struct buf text = BUF_INIT;
	enum status status = STATUS_OK;

	if (file_exists(path))
		status = file_read(path, MAX_CONFIG_BYTES, &text, err);
	if (status == STATUS_OK && text.length > 0) {
		buf_append_string(page, "<h2>Config</h2>\n<pre>");
		html_append(page, text.data, text.length);
		buf_append_string(page, "</pre>\n");
	}
	buf_release(&text);
	free(path);
	return status;
}

static void append_heading(struct buf *page, const char *dir, const char *state, int64_t step)
{
	time_t now = time(NULL);
	struct tm local;
	char date[64];

	strftime(date, sizeof date, "%Y-%m-%d %H:%M", localtime_r(&now, &local));
	buf_append_string(page, "<!doctype html>\n<html lang=en><meta charset=utf-8>\n"
				"<meta name=viewport content=\"width=device-width\">\n<title>");
	html_append(page, dir, strlen(dir));
	buf_printf(page, "</title>\n%s<h1>", style);
	html_append(page, dir, strlen(dir));
	buf_printf(page, "</h1>\n<p>%s at step %" PRId64 "; this page was written %s.</p>\n", state,
		   step, date);
}

static enum status make_page(struct buf *page, const char *dir, struct error *err)
{
	struct metrics metrics = {0};
	struct samples samples = {.last_step = -1};
	char state[16];
	int64_t step;
	enum status status = run_dir_need_state(dir, state, &step, err);

	if (status != STATUS_OK)
		return status;
	append_heading(page, dir, state, step);
	status = each_line(dir, "metrics.jsonl", visit_metrics, &metrics, err);
	if (status == STATUS_OK && metrics.n_lines > 0) {
		append_charts(page, &metrics);
		append_table(page, &metrics);
	}
	if (status == STATUS_OK)
		status = each_line(dir, "rollouts.jsonl", visit_rollout, &samples, err);
	if (samples.n_first > 0) {
		buf_append_string(page, "<h2>Samples</h2>\n");
		append_samples(page, samples.first_step, &samples.first);
	}
	if (samples.n_last > 0)
		append_samples(page, samples.last_step, &samples.last);
	if (status == STATUS_OK)
		status = append_config(page, dir, err);
	buf_append_string(page, "</html>\n");
	metrics_release(&metrics);
	buf_release(&samples.first);
	buf_release(&samples.last);
	return status;
}

/* The page is complete before its file is opened. */
static enum status write_page(const struct buf *page, const char *path, struct error *err)
{
	struct line_output *output;
	enum status status = line_output_open(&output, path, err), closed;

	if (status != STATUS_OK)
		return status;
	status = line_output_write(output, page->data, page->length, err);
	closed = line_output_close(output, status == STATUS_OK, err);
	return status == STATUS_OK ? closed : status;
}

static enum status write_report(const char *dir, const char *output, struct error *err)
{
	char *path = output ? xstrdup(output) : path_join(dir, "report.html");
	struct buf page = BUF_INIT;
	enum status status = make_page(&page, dir, err);

	if (status == STATUS_OK)
		status = write_page(&page, path, err);
	if (status == STATUS_OK && strcmp(path, "-") != 0)
		log_info("%s", path);
	buf_release(&page);
	free(path);
	return status;
}

int report_main(int argc, char **argv)
{
	const char *dir = NULL, *output = NULL;
	bool help = false;
	const struct option options[] = {
		{.name = "RUN",
		 .type = OPTION_STRING,
		 .target = &dir,
		 .required = true,
		 .help = "directory of a run"},
		{.name = "--output",
		 .type = OPTION_STRING,
		 .target = &output,
		 .help = "file to write, - for standard output (default: RUN/report.html)"},
	};
	struct error err;
	struct comm *world;
	enum status status = options_parse(options, sizeof options / sizeof *options, argc, argv,
					   "rlhf report RUN [--output FILE]", "rlhf report runs/p",
					   &help, &err);

	if (help)
		return status;
	status = comm_begin(&world, argc, argv, status, &err);
	if (status != STATUS_OK)
		return status;
	if (comm_is_lead(world))
		status = write_report(dir, output, &err);
	return comm_end(status, &err);
}
