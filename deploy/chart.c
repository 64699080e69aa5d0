/* Charts are drawn in a plane of WIDTH x HEIGHT units; the page scales them.
 *
 *        title
 *     max  +-----------------+
 *          |    ___/\__      |
 *     min  +-----------------+
 *          first x      last x */
#include "deploy/chart.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { WIDTH = 420, HEIGHT = 200, LEFT = 58, RIGHT = 10, TOP = 10, BOTTOM = 22 };
enum { MAX_POINTS = 350, N_TICKS = 4 };

void html_append(struct buf *out, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		switch (text[i]) {
		case '&':
			buf_append_string(out, "&amp;");
			break;
		case '<':
			buf_append_string(out, "&lt;");
			break;
		case '>':
			buf_append_string(out, "&gt;");
			break;
		case '"':
			buf_append_string(out, "&quot;");
			break;
		case '\'':
			buf_append_string(out, "&#39;");
			break;
		case '\0': /* which a page may not hold */
			buf_append_string(out, "&#xFFFD;");
			break;
		default:
			buf_append_char(out, text[i]);
		}
	}
}

void number_append(struct buf *out, double value)
{
	buf_printf(out, fabs(value) >= 1e5 && fabs(value) < 1e9 ? "%.0f" : "%.5g", value);
}

struct axes {
	double x0, x1, y0, y1;
};

static double place_x(const struct axes *a, double x)
{
	return LEFT + (x - a->x0) / (a->x1 - a->x0) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct axes *a, double y)
{
	return HEIGHT - BOTTOM - (y - a->y0) / (a->y1 - a->y0) * (HEIGHT - TOP - BOTTOM);
}

/* Whether a value has a place: sums and ranges of such values are finite. */
static bool is_drawn(double y)
{
	return fabs(y) <= 1e300;
}

/* The range of all points that are drawn; false if there is none.  A range of one value is
 * widened, so that it can be divided by. */
static bool find_axes(struct axes *a, const struct curve *curves, int n_curves)
{
	double pad;

	*a = (struct axes){INFINITY, -INFINITY, INFINITY, -INFINITY};
	for (int c = 0; c < n_curves; c++) {
		for (size_t i = 0; i < curves[c].n; i++) {
			if (!is_drawn(curves[c].y[i]))
				continue;
			a->x0 = fmin(a->x0, curves[c].x[i]);
			a->x1 = fmax(a->x1, curves[c].x[i]);
			a->y0 = fmin(a->y0, curves[c].y[i]);
			a->y1 = fmax(a->y1, curves[c].y[i]);
		}
	}
	if (!(a->x0 <= a->x1))
		return false;
	if (a->x0 == a->x1)
		a->x1 = a->x0 + 1;
	pad = a->y0 == a->y1 ? (fabs(a->y0) < 1e-300 ? 1 : 0.05 * fabs(a->y0))
			     : 0.04 * (a->y1 - a->y0);
	a->y0 -= pad;
	a->y1 += pad;
	return true;
}

/* The round step, 1, 2 or 5 times a power of ten, that gives about N_TICKS ticks. */
static double tick_step(double range)
{
	double raw = range / N_TICKS, power = pow(10, floor(log10(raw)));
	double factor = raw / power;

	return power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
}

static void append_axes(struct buf *out, const struct axes *a)
{
	double step = tick_step(a->y1 - a->y0), first = ceil(a->y0 / step) * step;

	for (int i = 0; i <= 2 * N_TICKS && first + i * step <= a->y1; i++) {
		double at = first + i * step, y = place_y(a, at);

		buf_printf(out,
			   "<line class=grid x1=%d x2=%d y1=%.1f y2=%.1f />"
			   "<text class=tick text-anchor=end x=%d y=%.1f>",
			   LEFT, WIDTH - RIGHT, y, y, LEFT - 4, y + 3.5);
		number_append(out, fabs(at) < 1e-9 * step ? 0 : at);
		buf_append_string(out, "</text>");
	}
	buf_printf(out, "<text class=tick x=%d y=%d>", LEFT, HEIGHT - 6);
	number_append(out, a->x0);
	buf_printf(out, "</text><text class=tick text-anchor=end x=%d y=%d>", WIDTH - RIGHT,
		   HEIGHT - 6);
	number_append(out, a->x1);
	buf_append_string(out, "</text>");
}

/* Means, least and greatest of the points [first, end) that are drawn. */
struct group {
	double x, mean, least, greatest;
	int n;
};

static struct group group_points(const struct curve *curve, size_t first, size_t end)
{
	struct group g = {.least = INFINITY, .greatest = -INFINITY};

	for (size_t i = first; i < end; i++) {
		if (!is_drawn(curve->y[i]))
			continue;
		g.x += curve->x[i];
		g.mean += curve->y[i];
		g.least = fmin(g.least, curve->y[i]);
		g.greatest = fmax(g.greatest, curve->y[i]);
		g.n++;
	}
	g.x /= g.n;
	g.mean /= g.n;
	return g;
}

static void append_curve(struct buf *out, const struct axes *a, const struct curve *curve,
			 int colour)
{
	size_t n_groups = curve->n < MAX_POINTS ? curve->n : MAX_POINTS;
	bool is_grouped = n_groups < curve->n;
	struct buf line = BUF_INIT;
	int drawn = 0;

	for (size_t k = 0; k < n_groups; k++) {
		struct group g =
			group_points(curve, curve->n * k / n_groups, curve->n * (k + 1) / n_groups);
		double x = place_x(a, g.x);

		if (g.n == 0)
			continue;
		if (is_grouped && g.n > 1)
			buf_printf(out, "<line class=range%d x1=%.1f x2=%.1f y1=%.1f y2=%.1f />",
				   colour, x, x, place_y(a, g.least), place_y(a, g.greatest));
		buf_printf(&line, "%s%.1f,%.1f", drawn++ ? " " : "", x, place_y(a, g.mean));
	}
	if (drawn == 1)
		buf_printf(out, "<circle class=dot%d r=2.5 cx=%.*s cy=%s />", colour,
			   (int)strcspn(line.data, ","), line.data, strchr(line.data, ',') + 1);
	else
		buf_printf(out, "<polyline class=curve%d points=\"%s\" />", colour, line.data);
	buf_release(&line);
}

void chart_append(struct buf *out, const char *title, const struct curve *curves, int n_curves)
{
	struct axes axes;

	if (!find_axes(&axes, curves, n_curves))
		return;
	buf_append_string(out, "<figure><figcaption>");
	html_append(out, title, strlen(title));
	for (int c = 0; n_curves > 1 && c < n_curves; c++) {
		buf_printf(out, " <span class=key%d>", c);
		html_append(out, curves[c].label, strlen(curves[c].label));
		buf_append_string(out, "</span>");
	}
	buf_printf(out, "</figcaption><svg viewBox=\"0 0 %d %d\" role=img>", WIDTH, HEIGHT);
	append_axes(out, &axes);
	for (int c = 0; c < n_curves; c++)
		if (curves[c].n > 0)
			append_curve(out, &axes, &curves[c], c);
	buf_append_string(out, "</svg></figure>\n");
}
