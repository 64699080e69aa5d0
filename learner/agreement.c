/* Whether ranks have read the same; see agreement.h. */
#include "learner/agreement.h"

#include <stdio.h>

#include "common/model/hf_side_files.h"
#include "common/run/fault.h"

enum status agreement_check(struct comm *comm, const char *what, const char *dir,
			    const struct model *model, struct pool *pool, struct error *err)
{
	char files[65] = "", sum[MODEL_CHECKSUM_BYTES] = "";
	char text[sizeof files + sizeof sum], name[512];

	if (comm_size(comm) == 1 || fault_omits("comparison"))
		return STATUS_OK;
	if (dir)
		hf_side_files_sha256(dir, files);
	if (model)
		model_checksum(model, pool, sum);
	snprintf(text, sizeof text, "%s %s", files, sum);
	snprintf(name, sizeof name, "%s%s%s", what, dir ? " at " : "", dir ? dir : "");
	return comm_compare(comm, text, name, err);
}
