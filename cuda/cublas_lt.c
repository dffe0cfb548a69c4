/* cublas_lt.c - a product with a bias in one launch, by cublasLt. What it is to do is described once and kept, so that
 * a training step neither asks for the best algorithm again nor takes host memory. */
#include "cuda/cublas_handle.h"

#include <string.h>

static uint32_t alignment(const void *p)
{
    const uintptr_t at = (uintptr_t)p;
    return at % 16 == 0 ? 16 : at % 8 == 0 ? 8 : 4;
}

static void drop_plan(const ag_cublas *lib, ag_cublas_plan *p)
{
    if (p->a) lib->lt_layout_destroy(p->a);
    if (p->b) lib->lt_layout_destroy(p->b);
    if (p->c) lib->lt_layout_destroy(p->c);
    if (p->desc) lib->lt_desc_destroy(p->desc);
    memset(p, 0, sizeof *p);
}

static bool set(int *status, int outcome)
{
    *status = outcome;
    return outcome == CUBLAS_STATUS_SUCCESS;
}

/* The best algorithm that cublasLt knows for what the plan describes; not possible where it knows none. */
static int find_algorithm(const ag_cublas *lib, ag_cublas_handle *h, ag_cublas_plan *p)
{
    const uint64_t workspace = (uint64_t)h->workspace_bytes;
    const uint32_t aligned[4] = { p->a_aligned, p->b_aligned, p->c_aligned, p->c_aligned };
    cublas_found found;
    void *preference = NULL;
    int status, n = 0;
    if (!set(&status, lib->lt_preference_create(&preference))) return status;
    bool ok = set(&status, lib->lt_preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                                  sizeof workspace));
    for (int i = 0; i < 4 && ok; i++)
        ok = set(&status, lib->lt_preference_set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES + i,
                                                 &aligned[i], sizeof aligned[i]));
    if (ok) ok = set(&status, lib->lt_find(h->handle, p->desc, p->a, p->b, p->c, p->c, preference, 1, &found, &n));
    p->possible = ok && n > 0 && found.status == CUBLAS_STATUS_SUCCESS;
    if (p->possible) p->algorithm = found.algorithm;
    lib->lt_preference_destroy(preference);
    return status == CUBLAS_STATUS_NOT_SUPPORTED ? CUBLAS_STATUS_SUCCESS : status;
}

static int make_plan(const ag_cublas *lib, ag_cublas_handle *h, ag_cublas_plan *p, const void *bias)
{
    const uint32_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const bool a_is_n = p->a_op == CUBLAS_OP_N, b_is_n = p->b_op == CUBLAS_OP_N;
    const uint64_t m = (uint64_t)p->m, n = (uint64_t)p->n, k = (uint64_t)p->k;
    int status;
    if (set(&status, lib->lt_desc_create(&p->desc, p->compute, p->type)) &&
        set(&status, lib->lt_desc_set(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &p->a_op, sizeof p->a_op)) &&
        set(&status, lib->lt_desc_set(p->desc, CUBLASLT_MATMUL_DESC_TRANSB, &p->b_op, sizeof p->b_op)) &&
        set(&status, lib->lt_desc_set(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue)) &&
        set(&status, lib->lt_desc_set(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias)) &&
        set(&status, lib->lt_layout_create(&p->a, p->type, a_is_n ? m : k, a_is_n ? k : m, p->a_ld)) &&
        set(&status, lib->lt_layout_create(&p->b, p->type, b_is_n ? k : n, b_is_n ? n : k, p->b_ld)) &&
        set(&status, lib->lt_layout_create(&p->c, p->type, m, n, p->c_ld)))
        status = find_algorithm(lib, h, p);
    return status;
}

/* The plan for p, made if it is not there; NULL with an error. */
static ag_cublas_plan *plan_of(const char *op, ag_cublas_handle *h, const ag_cublas_product *p)
{
    const ag_cublas *lib = ag__cublas();
    ag_cublas_plan wanted;
    memset(&wanted, 0, sizeof wanted); /* padding, too: plans are compared as bytes */
    wanted.m = p->m, wanted.n = p->n, wanted.k = p->k;
    wanted.a_ld = p->a_ld, wanted.b_ld = p->b_ld, wanted.c_ld = p->c_ld;
    wanted.a_aligned = alignment(p->a), wanted.b_aligned = alignment(p->b), wanted.c_aligned = alignment(p->c);
    wanted.bias_aligned = alignment(p->bias);
    wanted.a_op = p->a_op, wanted.b_op = p->b_op, wanted.type = p->type, wanted.compute = p->compute;

    const size_t bytes = offsetof(ag_cublas_plan, desc);
    uint64_t hash = 0, word;
    for (size_t i = 0; i < bytes; i += sizeof word) {
        memcpy(&word, (const char *)&wanted + i, sizeof word);
        hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 29;
    }
    ag_cublas_plan *plan = &h->plan[hash % AG_CUBLAS_PLANS];
    if (plan->desc && memcmp(plan, &wanted, bytes) == 0) return plan;
    drop_plan(lib, plan);
    *plan = wanted;
    int status = make_plan(lib, h, plan, p->bias);
    if (ag__cublas_ok(op, status)) return plan;
    drop_plan(lib, plan);
    return NULL;
}
_Static_assert(offsetof(ag_cublas_plan, desc) % sizeof(uint64_t) == 0, "hashed by words");

bool ag__cublas_with_bias(const char *op, ag_cublas_handle *h, const ag_cublas_product *p, bool *done)
{
    static const double zero; /* 0 as a float, too */
    const ag_cublas *lib = ag__cublas();
    ag_cublas_plan *plan = plan_of(op, h, p);
    *done = false;
    if (!plan) return false;
    if (!plan->possible) return true;
    *done = true;
    return ag__cublas_ok(op,
                         lib->lt_desc_set(plan->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias, sizeof p->bias)) &&
           ag__cublas_ok(op, lib->lt_matmul(h->handle, plan->desc, p->alpha, p->a, plan->a, p->b, plan->b, &zero, p->c,
                                            plan->c, p->c, plan->c, &plan->algorithm, h->workspace,
                                            (size_t)h->workspace_bytes, h->stream));
}
