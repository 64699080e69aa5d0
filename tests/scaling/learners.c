/* The optimizer step of N learners on a simulated cluster.
 *
 *     learners FLOATS SEQUENCES LENGTH STEPS COST...      (costs as in costs.h)
 *
 * learner/trainer.c, proto/comm.c and proto/wire.c run as they are, compiled for
 * SimGrid's MPI.  What they compute is replaced here by the passing of simulated
 * time, and the large arrays, which nothing then looks at, by memory that all ranks
 * share.  Each learner has a gradient lane of its own.
 *
 * Prints, by the lead: ranks, seconds a step, seconds a step of computation alone,
 * bytes that a learner sends in a step, messages that it sends. */
#include <mpi.h>
#include <smpi/smpi.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/die.h"
#include "common/ops/elementwise.h"
#include "learner/trainer.h"
#include "proto/comm.h"
#include "tests/scaling/costs.h"

enum { LARGE = 1 << 20 }; /* bytes of an array that is shared */

static double costs[COST_COUNT];
static double computed; /* seconds */
static double sent_bytes, sent_messages;

static void spend(enum cost cost, double units)
{
	computed += costs[cost] * units;
	smpi_execute(costs[cost] * units);
}

/* ---- what the trainer calls ---- */

void zero_fill(float *y, size_t n, struct pool *pool)
{
	(void)y, (void)pool;
	spend(COST_ZERO, (double)n);
}
void add_into(float *y, const float *x, size_t n, struct pool *pool)
{
	(void)y, (void)x, (void)pool;
	spend(COST_ADD, (double)n);
}
void block_squares(double *sums, const float *x, size_t n, struct pool *pool)
{
	(void)x, (void)pool;
	for (size_t i = 0; i * SUM_BLOCK < n; i++)
		sums[i] = 1;
	spend(COST_SQUARE, (double)n);
}
void adamw_step(float *w, float *m, float *v, const float *g, size_t n, const struct adamw *adamw,
		int64_t t, float grad_scale, struct pool *pool)
{
	(void)w, (void)m, (void)v, (void)g, (void)adamw, (void)t, (void)grad_scale, (void)pool;
	spend(COST_ADAMW, (double)n);
}
void sgd_step(float *w, float *m, const float *g, size_t n, double learning_rate, double momentum,
	      double weight_decay, float grad_scale, struct pool *pool)
{
	(void)w, (void)m, (void)g, (void)n, (void)learning_rate, (void)momentum;
	(void)weight_decay, (void)grad_scale, (void)pool;
	die("the study is of adamw");
}
struct trained model_trained(const struct model *model)
{
	return (struct trained){.layout = &model->layout, .values = model->weights};
}
void model_pack_trained(struct model *model, struct pool *pool)
{
	(void)model, (void)pool; /* flat weights are all there is */
}
size_t model_bytes(const struct model *model)
{
	return model->layout.n_floats * sizeof(float);
}

/* ---- memory and messages ---- */

void *__real_xaligned(size_t n, size_t size);
void *__wrap_xaligned(size_t n, size_t size);
void *__wrap_xaligned(size_t n, size_t size)
{
	return n * size < LARGE ? __real_xaligned(n, size) : SMPI_SHARED_MALLOC(n * size);
}

/* A simulated rank has one thread, and needs no more here. */
int MPI_Init_thread(int *argc, char ***argv, int required, int *provided)
{
	*provided = required;
	return PMPI_Init(argc, argv);
}

int MPI_Isend(const void *data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm,
	      MPI_Request *request)
{
	sent_bytes += count; /* of MPI_BYTE */
	sent_messages++;
	return PMPI_Isend(data, count, type, to, tag, comm, request);
}

/* ---- the study ---- */

static void microbatch(void *context, int first, int n, float *grads, double *stats,
		       struct arena *arena, struct pool *pool)
{
	const int *lengths = context;

	(void)grads, (void)arena, (void)pool;
	for (int i = first; i < first + n; i++)
		spend(COST_TOKEN, lengths[i]);
	stats[0] += n;
}

static void study(struct comm *world, size_t n_floats, int n_seqs, int length, int n_steps)
{
	const struct optimizer_config optimizer = {
		.name = "adamw", .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .max_grad_norm = 1};
	struct model model = {.layout = {.n_floats = n_floats}};
	int *lengths = xcalloc((size_t)n_seqs, sizeof *lengths);
	struct trainer trainer;
	double began, norm, stats;

	for (int i = 0; i < n_seqs; i++)
		lengths[i] = length;
	model.weights = __wrap_xaligned(n_floats, sizeof(float));
	trainer_init(&trainer, &model, &optimizer, comm_size(world), world, NULL);
	comm_barrier(world);
	computed = sent_bytes = sent_messages = 0;
	began = MPI_Wtime();
	for (int k = 0; k < n_steps; k++) {
		trainer_step(&trainer, lengths, n_seqs, 1e-4, microbatch, lengths, &stats, 1,
			     &norm);
		if (stats != n_seqs)
			die("%g of %d sequences were counted", stats, n_seqs);
	}
	comm_barrier(world);
	if (comm_is_lead(world))
		printf("%d %.6g %.6g %.6g %.6g\n", comm_size(world),
		       (MPI_Wtime() - began) / n_steps, computed / n_steps, sent_bytes / n_steps,
		       sent_messages / n_steps);
}

int main(int argc, char **argv)
{
	struct comm *world = comm_init();

	if (argc != 5 + COST_COUNT)
		die("expected FLOATS SEQUENCES LENGTH STEPS and %d costs", COST_COUNT);
	for (int c = 0; c < COST_COUNT; c++)
		costs[c] = atof(argv[5 + c]);
	study(world, (size_t)atoll(argv[1]), atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
	comm_finalize();
	return 0;
}
